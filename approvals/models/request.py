"""Requests: what somebody wants processed, the checks of it, the decisions on it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Concat, Lower, Now

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
    group = models.CharField(max_length=100, blank=True, help_text="for whom it is, where it is not for one person")
    production_stage = models.CharField(max_length=40)
    state = models.CharField(max_length=20, choices=states.REQUEST.choices(), default="draft")
    state_since = models.DateTimeField(db_default=Now())
    priority = models.PositiveSmallIntegerField(default=50)
    definition = models.TextField()
    dataset = models.CharField(max_length=400, blank=True, help_text="what to process, where it is one dataset")
    files = models.TextField(blank=True, help_text="what to process, as names of files, one a line")
    query = models.CharField(max_length=2000, blank=True, help_text="what to process, in the catalogue's language")
    events = models.BigIntegerField(null=True, blank=True, help_text="how many to generate")
    repository = models.CharField(max_length=100, blank=True, help_text="the package that holds the code")
    release = models.CharField(max_length=100, blank=True, help_text="the tag in its repository")
    configuration = models.CharField(max_length=400, blank=True, help_text="the configuration file's path in it")
    scripts = models.TextField(blank=True, help_text="what must be on the launch host, one a line")
    hours_per_file = models.FloatField(null=True, blank=True)
    memory_mb = models.PositiveIntegerField(null=True, blank=True)
    outputs = models.CharField(max_length=400, blank=True, help_text="how outputs are named, as SQL LIKE patterns")
    special = models.TextField(blank=True, help_text="requirements on output names and metadata, one a line")
    details = models.JSONField(default=dict, blank=True, help_text="the experiment's own keys")
    free_text = models.TextField(blank=True)
    keep_up = models.BooleanField(default=False, help_text="periodic processing of what newly arrives")
    valid_until = models.DateTimeField(null=True, blank=True, help_text="when a keep-up request lapses")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="+")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    filed_at = models.DateTimeField(null=True)
    sought = models.GeneratedField(
        # By which requests are found: one column in small letters, for `upper` of several took most of a search.
        expression=Lower(Concat("title", Value(" "), "dataset", Value(" "), "release")),
        output_field=models.TextField(), db_persist=True,
    )  # fmt: skip

    class Meta:
        indexes = [
            models.Index(fields=["experiment", "state"], name="approvals_request_state_ix"),
            models.Index(
                fields=["experiment", "production_stage", "-priority", "id"], name="approvals_request_inbox_ix",
                condition=Q(state="pending_approval"),
            ),
            models.Index(fields=["valid_until"], name="approvals_request_valid_ix", condition=Q(keep_up=True)),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/r1."""
        return f"{self.experiment.name}/r{self.pk}"


class Origin(Scoped):
    """Where a request comes from: it is a clone of another, or one of several were joined in it, or it is a part."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="origins")
    source = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="offspring")
    how = models.CharField(max_length=8, choices=[(way, way) for way in ("clone", "merge", "split")])

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "source"], name="approvals_origin_uq")]


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
    verdict = models.CharField(max_length=12, help_text="approve, return, reject or merge")
    reason = models.TextField()
    digest = models.CharField(max_length=64, help_text="hash of the revision that was decided on")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["at"], name="approvals_decision_at_ix")]


class Confirmation(Scoped):
    """An operator has read the check report of one revision (by its hash), or ticked off one special requirement."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="confirmations")
    requirement = models.TextField(blank=True, help_text="the line of `special` as it was read; empty: the report")
    digest = models.CharField(max_length=64)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "digest", "requirement"], name="approvals_confirmation_uq")
        ]


class TestRun(Scoped):
    """A definition tried out on a few inputs, through the normal path, with outputs kept apart."""

    EXPERIMENT_PATH = "request__experiment_id"
    __test__ = False  # pytest takes every class that is called so for tests

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="test_runs")
    campaign = models.OneToOneField(Campaign, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64, help_text="hash of the definition that was tried out")
    size = models.PositiveIntegerField(help_text="inputs of each stage that begins")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    account = models.CharField(max_length=100, blank=True, help_text="whose; empty: the experiment's")
    at = models.DateTimeField(db_default=Now())
