"""What is asked for from tape by the clock, and how far the outputs of batches are on their way to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Stage
from experiments.scoping import Scoped
from submissions.models.batch import Batch


class Prestaging(Scoped):
    """A stage that asks for its files on tape only at the times of its definition: when it does so next."""

    EXPERIMENT_PATH = "stage__campaign__experiment_id"

    stage = models.OneToOneField(Stage, on_delete=models.CASCADE, related_name="+")
    times = models.CharField(max_length=300, help_text="expression and zone, by which the next time was reckoned")
    next_at = models.DateTimeField(null=True, help_text="the first nominal time at which nothing was asked for yet")
    asked_at = models.DateTimeField(null=True, help_text="when it asked last")
    files = models.PositiveIntegerField(default=0, help_text="that it asked for then")


class TapeProgress(Scoped):
    """How many outputs of a batch are on tape, by the catalogue, and what the FTS says of the others.

    What was not answered keeps what was known, with its date: silence is never a number.
    """

    EXPERIMENT_PATH = "batch__experiment_id"

    batch = models.OneToOneField(Batch, on_delete=models.CASCADE, related_name="tape_progress")
    since = models.DateTimeField(db_default=Now(), help_text="when it was looked at first")
    look_at = models.DateTimeField(null=True, db_default=Now(), help_text="when to look next; none: all are on tape")
    outputs = models.PositiveIntegerField(default=0)
    on_tape = models.PositiveIntegerField(null=True)
    tape_at = models.DateTimeField(null=True, help_text="when the catalogue answered last")
    tape_why = models.TextField(blank=True, help_text="why the catalogue did not answer the last question")
    waiting = models.PositiveIntegerField(null=True, help_text="at the FTS")
    failed = models.PositiveIntegerField(null=True, help_text="at the FTS")
    failures = models.JSONField(default=list, help_text="of those, the first: name, message, since when")
    has_fts = models.BooleanField(default=False)
    fts_at = models.DateTimeField(null=True, help_text="when the FTS answered last")
    fts_why = models.TextField(blank=True, help_text="why the FTS did not answer the last question")

    class Meta:
        indexes = [
            models.Index(fields=["look_at"], name="submissions_tapeprogress_ix", condition=Q(look_at__isnull=False))
        ]

    @property
    def tape_unknown_since(self) -> datetime | None:
        """Return since when nobody can say what is on tape; None where the last question was answered."""
        return (self.tape_at or self.since) if self.tape_why else None

    @property
    def fts_unknown_since(self) -> datetime | None:
        """Return since when nobody can say what the FTS does; None where the last question was answered."""
        return (self.fts_at or self.since) if self.fts_why else None

    @property
    def unseen(self) -> int:
        """Return how many outputs are neither on tape nor known to the FTS, by the last answers of both."""
        return max(0, self.outputs - (self.on_tape or 0) - (self.waiting or 0) - (self.failed or 0))

    def said(self) -> tuple[Any, ...]:
        """Return what it says, without when that was asked."""
        reasons = sorted({entry["message"] for entry in self.failures})
        return (self.outputs, self.on_tape, self.tape_why, self.waiting, self.failed, reasons, self.fts_why)
