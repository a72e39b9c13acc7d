"""Batches and submissions: a slice of a stage's input, and each attempt at it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Campaign, Stage, StageVersion
from experiments.models import Experiment, User
from experiments.scoping import Scoped
from integrations.launcher.base import Place
from submissions import states
from submissions.models.ledger import Unit

OUTSIDE = "outside"  # the kind of a submission that somebody launched without POMS, and how its batch's reason begins


class Batch(Scoped):
    """One slice of a stage's input, unique by why it exists."""

    STATES = states.BATCH

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(StageVersion, on_delete=models.PROTECT, related_name="+")
    pass_number = models.PositiveIntegerField(default=1)
    number = models.PositiveIntegerField(help_text="within its stage")
    reason_key = models.CharField(max_length=200, unique=True)
    state = models.CharField(max_length=20, choices=states.BATCH.choices(), default="pending")
    state_since = models.DateTimeField(db_default=Now())
    label = models.CharField(max_length=200, default="", help_text="what its inputs have in common: a run, a value")
    n_units = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0, help_text="units with an accepted result")
    rounds = models.PositiveSmallIntegerField(default=0, help_text="recoveries since the first launch or a relaunch")
    step = models.PositiveSmallIntegerField(default=0, help_text="of the list of recoveries, how many were taken")
    launch_failures = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, help_text="when the recover loop should decide on it")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stage", "pass_number", "number"], name="submissions_batch_number_uq"),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="submissions_batch_due_ix", condition=Q(due_at__isnull=False)),
            # What has been in its state for long: the shift page asks, whatever else there was.
            models.Index(
                fields=["experiment", "state", "state_since"],
                name="submissions_batch_open_ix",
                condition=Q(state__in=states.OPEN_BATCH),
            ),
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/b1."""
        return f"{self.experiment.name}/b{self.pk}"

    @property
    def is_outside(self) -> bool:
        """Tell whether it stands for a launch that was made outside POMS: it has no inputs of the stage's."""
        return self.reason_key.startswith(f"{OUTSIDE}:")


class Submission(Scoped):
    """One attempt at a batch, under its own uuid, which travels with the jobs."""

    STATES = states.SUBMISSION

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="submissions")
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, related_name="+", db_index=False, help_text="its batch's"
    )  # the index of its list, below, is its key's too
    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    reason_key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20, help_text="first, recovery, relaunch or outside")
    round = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=20, choices=states.SUBMISSION.choices(), default="pending")
    state_since = models.DateTimeField(db_default=Now())
    look_at = models.DateTimeField(null=True, db_default=Now(), help_text="when a loop should look at it next")
    not_before = models.DateTimeField(null=True, help_text="it is in line from then on; empty: at once")
    late_at = models.DateTimeField(null=True, help_text="when to look for outputs that came after it was settled")
    late_looks = models.PositiveSmallIntegerField(default=0)
    attempt = models.PositiveIntegerField(default=0, help_text="fence: an older attempt never runs again")
    unknown_since = models.DateTimeField(null=True, help_text="since when nobody can say what became of it")
    why = models.TextField(blank=True, help_text="the last thing worth knowing about it")
    launcher = models.CharField(max_length=20)
    host = models.CharField(max_length=200, default="", help_text="on which its script runs; empty: the worker's own")
    account = models.CharField(max_length=100, default="")
    system = models.CharField(max_length=30, help_text="the batch system that its jobs go to")
    command = ArrayField(models.TextField(), default=list)
    setup = models.TextField(blank=True)
    environment = models.JSONField(default=dict)
    jobs_file = models.JSONField(default=dict, help_text="what the script finds as jobs.json")
    offered = models.CharField(
        max_length=200, default="", help_text="the name by which its jobs get their inputs from the catalogue"
    )
    offered_at = models.DateTimeField(null=True, help_text="since when the catalogue offers them")
    output_dir = models.TextField()
    memory_mb = models.PositiveIntegerField()
    wall_s = models.PositiveIntegerField()
    n_jobs = models.PositiveIntegerField(default=1, help_text="planned; once submitted, those that there are")
    rank = models.IntegerField(null=True, help_text="its campaign's, when it was put into the batch system")
    front_at = models.DateTimeField(null=True, help_text="since when it goes before all else of its experiment")
    analyst = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False,
        help_text="whose analysis it is: their uploads come with it; empty: production",
    )  # fmt: skip
    uploads = models.JSONField(default=dict, help_text="what came with its launch: the name of a file and its SHA-256")
    sandbox_since = models.DateTimeField(null=True, help_text="since when those are on the launch host")
    avoided = models.JSONField(default=dict, help_text="nodes and sites that were excluded when it was launched")
    told = models.JSONField(default=dict, help_text="what a wrapper in the field said of it: command, project, job ids")
    job_ids = ArrayField(models.CharField(max_length=100), default=list)
    exit_code = models.IntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    claimed_at = models.DateTimeField(null=True, help_text="when a launcher took it: by that, rates are limited")
    launched_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    jobs_archived_at = models.DateTimeField(null=True, help_text="since when jobs of it are in the archive (M11)")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["batch"],
                name="submissions_submission_unfinished_uq",
                condition=Q(state__in=states.UNFINISHED),
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "look_at"],
                name="submissions_submission_look_ix",
                condition=Q(look_at__isnull=False),
            ),
            models.Index(
                fields=["claimed_at"], name="submissions_submission_rate_ix", condition=Q(claimed_at__isnull=False)
            ),
            models.Index(fields=["late_at"], name="submissions_submission_late_ix", condition=Q(late_at__isnull=False)),
            # The list and the history of a campaign's submissions.
            models.Index(fields=["campaign", "id"], name="submissions_submission_of_ix"),
            # What waits for a place, and what is there: the launcher asks for both before each claim.
            models.Index(
                fields=["campaign", "front_at", "created_at", "id"],
                name="submissions_submission_wait_ix",
                condition=Q(state="pending"),
            ),
            models.Index(
                fields=["system", "experiment"],
                name="submissions_submission_live_ix",
                condition=Q(state__in=states.IN_BATCH_SYSTEM),
            ),
            models.Index(
                fields=["sandbox_since"],
                name="submissions_submission_box_ix",
                condition=Q(sandbox_since__isnull=False),
            ),
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/s1."""
        return f"{self.experiment.name}/s{self.pk}"

    @property
    def place(self) -> Place:
        """Return where its script runs."""
        return Place.of(self.launcher, self.experiment_id, self.host, self.account)


class SubmissionUnit(Scoped):
    """A unit that an attempt covers, and in which of its jobs."""

    EXPERIMENT_PATH = "submission__experiment_id"

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="units")
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, related_name="+")
    job_index = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "unit"], name="submissions_submissionunit_uq")]
