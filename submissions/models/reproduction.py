"""Reproductions of batches, and what reviewers say of campaigns that have ended (J6)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Campaign
from experiments.models import Experiment
from experiments.scoping import Scoped
from submissions import states
from submissions.models.batch import Batch


class Reproduction(Scoped):
    """A batch that is run again as a test run of its own, to see whether the same comes out."""

    STATES = states.REPRODUCTION

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+", db_index=False)
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+", help_text="what is made again")
    campaign = models.OneToOneField(
        Campaign, on_delete=models.PROTECT, related_name="+", help_text="the test run that makes it again"
    )
    state = models.CharField(max_length=20, choices=states.REPRODUCTION.choices(), default="running")
    state_since = models.DateTimeField(db_default=Now())
    seed = models.BigIntegerField(null=True, help_text="of the stage, where another one was asked for")
    package = models.JSONField(null=True, help_text="the recipe of the package that it was started from")
    verdict = models.TextField(blank=True, help_text="in words: equal, or the kinds of what differs")
    differences = models.JSONField(default=list, help_text="of what, what, how it was, how it is now")
    remarks = models.JSONField(default=list)
    outputs = models.PositiveIntegerField(default=0, help_text="that were compared")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    reason = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    signed = models.BooleanField(null=True, help_text="what a reviewer said last")
    signed_by = models.CharField(max_length=150, blank=True)
    signed_at = models.DateTimeField(null=True)
    signed_why = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["experiment", "id"], name="submissions_reproduction_of_ix"),
            models.Index(fields=["id"], name="submissions_reproduction_go_ix", condition=Q(ended_at__isnull=True)),
            # What waits for a reviewer.
            models.Index(
                fields=["experiment", "id"],
                name="submissions_reproduction_in_ix",
                condition=Q(signed__isnull=True, state__in=("equal", "different")),
            ),
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/p1."""
        return f"{self.experiment.name}/p{self.pk}"


class Verdict(Scoped):
    """What a reviewer says of a campaign that has ended; the newest counts, and none is changed or deleted."""

    EXPERIMENT_PATH = "campaign__experiment_id"
    WORDS = ("good", "remarks", "bad", "withdrawn")

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="+")
    verdict = models.CharField(max_length=20, choices=[(word, word) for word in WORDS])
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField(db_default=Now())
