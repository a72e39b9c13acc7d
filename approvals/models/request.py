"""Requests: what somebody wants processed, the checks of it, the decisions on it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from approvals import states
from campaigns.models import Campaign, Revision
from experiments.models import Experiment
from experiments.scoping import Scoped


class Request(Scoped):
    """A request to process something; it proposes a revision of a campaign."""

    STATES = states.REQUEST

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    title = models.CharField(max_length=200)
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    production_stage = models.CharField(max_length=40)
    state = models.CharField(max_length=20, choices=states.REQUEST.choices(), default="draft")
    state_since = models.DateTimeField(db_default=Now())
    priority = models.PositiveSmallIntegerField(default=50)
    definition = models.TextField()
    dataset = models.CharField(max_length=400, blank=True, help_text="what to process, where it is one dataset")
    release = models.CharField(max_length=100, blank=True)
    hours_per_file = models.FloatField(null=True, blank=True)
    special = models.TextField(blank=True, help_text="requirements on output names and metadata")
    free_text = models.TextField(blank=True)
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="+")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    filed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["experiment", "state"], name="approvals_request_state_ix")]

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/r1."""
        return f"{self.experiment.name}/r{self.pk}"


class CheckLine(Scoped):
    """One line of a request's check report (P4)."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="checks")
    position = models.PositiveSmallIntegerField()
    check_name = models.CharField(max_length=60)
    result = models.CharField(max_length=12, help_text="pass, warn, fail or not_checked")
    text = models.TextField()
    hint = models.TextField(blank=True)
    at = models.DateTimeField(db_default=Now())


class Decision(Scoped):
    """What an approver decided on one revision, by its hash."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="decisions")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=12, help_text="approve, return or reject")
    reason = models.TextField()
    digest = models.CharField(max_length=64, help_text="hash of the revision that was decided on")
    at = models.DateTimeField(db_default=Now())
