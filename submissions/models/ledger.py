"""The input ledger: unit → batch → attempt → accepted outputs (design 3)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from campaigns.models import Edge, Stage
from experiments.models import Experiment
from experiments.scoping import Scoped


class Snapshot(Scoped):
    """The frozen input of a stage: how many units of which dataset, and the digest of their keys."""

    EXPERIMENT_PATH = "stage__campaign__experiment_id"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+")
    pass_number = models.PositiveIntegerField(default=1)
    dataset = models.CharField(max_length=400)
    units = models.BigIntegerField()
    digest = models.CharField(max_length=64)
    taken_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "pass_number"], name="submissions_snapshot_uq")]


class Unit(Scoped):
    """What a stage consumes: a file, or a numbered range of events with its seed."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    pass_number = models.PositiveIntegerField(default=1, help_text="deliberate reprocessing opens the next one")
    key = models.CharField(max_length=220, help_text="file:<name> or events:<first>")
    file_name = models.CharField(max_length=200, blank=True)
    path = models.TextField(blank=True)
    first_event = models.BigIntegerField(null=True)
    events = models.BigIntegerField(null=True)
    seed = models.BigIntegerField(null=True)
    edge = models.ForeignKey(Edge, on_delete=models.PROTECT, null=True, related_name="+")
    output = models.ForeignKey("Output", on_delete=models.PROTECT, null=True, related_name="+")
    batch = models.ForeignKey("Batch", on_delete=models.PROTECT, null=True, related_name="units")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stage", "pass_number", "key"], name="submissions_unit_key_uq"),
            models.UniqueConstraint(fields=["edge", "output"], name="submissions_unit_output_uq"),
        ]
        indexes = [
            models.Index(
                fields=["stage", "id"],
                name="submissions_unit_untaken_ix",
                condition=models.Q(batch__isnull=True),
            )
        ]


class Result(Scoped):
    """All outputs of one accepted attempt at some units."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    submission = models.ForeignKey("Submission", on_delete=models.PROTECT, related_name="results")
    job = models.CharField(max_length=100, help_text="the batch system's id of the job that made it")
    refused = models.TextField(blank=True, help_text="why it does not count; its outputs are surplus")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "job"], name="submissions_result_job_uq")]


class Acceptance(Scoped):
    """The one result of a unit: the key is the unit, so a second cannot be stored whatever happened."""

    EXPERIMENT_PATH = "result__experiment_id"

    unit = models.OneToOneField(Unit, on_delete=models.PROTECT, primary_key=True, related_name="acceptance")
    result = models.ForeignKey(Result, on_delete=models.PROTECT, related_name="acceptances")


class Output(Scoped):
    """A located output of an accepted result."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    pass_number = models.PositiveIntegerField(default=1)
    result = models.ForeignKey(Result, on_delete=models.PROTECT, related_name="outputs")
    name = models.CharField(max_length=200)
    room = models.CharField(max_length=20, blank=True, help_text="where names are unique: each test run has its own")
    path = models.TextField()
    size = models.BigIntegerField()
    checksum = models.CharField(max_length=80, blank=True)
    events = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name", "room"], name="submissions_output_name_uq")
        ]
        indexes = [models.Index(fields=["stage", "pass_number"], name="submissions_output_stage_ix")]


class StageProgress(Scoped):
    """Counters of a stage's pass, kept exact in the transactions that change what they count."""

    EXPERIMENT_PATH = "stage__campaign__experiment_id"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+")
    pass_number = models.PositiveIntegerField(default=1)
    units = models.BigIntegerField(default=0)
    taken = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    events_done = models.BigIntegerField(default=0)
    closed = models.BooleanField(default=False, help_text="no more units will come")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "pass_number"], name="submissions_progress_uq")]


class PlanDue(Scoped):
    """A note that the plan loop should look at a stage; plan deletes the notes that it has heeded.

    Notes are only ever inserted by others, so that two parents that settle at the same moment neither wait for
    each other nor lose a note.
    """

    EXPERIMENT_PATH = "stage__campaign__experiment_id"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+")
    due_at = models.DateTimeField(db_default=Now())
