"""What a stage waits for after its batches have ended, where its definition asks for more than located output."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Stage
from experiments.scoping import Scoped


class Completion(Scoped):
    """A stage's pass that has done all it can, until its criteria are met, fail, or a person decides (T5)."""

    EXPERIMENT_PATH = "stage__campaign__experiment_id"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+")
    pass_number = models.PositiveIntegerField(default=1)
    inputs = models.BigIntegerField(help_text="that the stage was given")
    since = models.DateTimeField(db_default=Now())
    look_at = models.DateTimeField(null=True, db_default=Now(), help_text="when a loop should judge it next")
    waits_for = models.TextField(blank=True, help_text="in words, as it was seen last")
    asked_at = models.DateTimeField(null=True, help_text="since when people are asked what to do: it waits for long")
    signed = models.BooleanField(null=True, help_text="what a reviewer said")
    signed_by = models.CharField(max_length=150, blank=True)
    signed_at = models.DateTimeField(null=True)
    checks = models.JSONField(default=dict, help_text="check scripts: command -> its launch and what it said")
    ended_at = models.DateTimeField(null=True, help_text="when the stage got its verdict")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "pass_number"], name="submissions_completion_uq")]
        indexes = [
            models.Index(fields=["look_at"], name="submissions_completion_due_ix", condition=Q(ended_at__isnull=True))
        ]
