"""The input ledger: unit → batch → attempt → accepted outputs (design 3)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from campaigns.models import Edge, Stage
from experiments.models import Experiment
from experiments.scoping import Scoped


class Snapshot(Scoped):
    """The frozen input of a stage: how many units of which dataset, as it was cut, and the digest of their keys.

    A pass has one, and a further one each time that it takes what its dataset has gained since.
    """

    EXPERIMENT_PATH = "stage__campaign__experiment_id"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+")
    pass_number = models.PositiveIntegerField(default=1)
    number = models.PositiveSmallIntegerField(default=1, help_text="within its pass")
    dataset = models.TextField()
    mark = models.CharField(max_length=200, default="", help_text="the catalogue's own name for it")
    split = models.CharField(max_length=200, default="")
    units = models.BigIntegerField()
    left_out = models.JSONField(default=dict, help_text="why the split leaves files out, and how many")
    digest = models.CharField(max_length=64)
    taken_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stage", "pass_number", "number"], name="submissions_snapshot_uq")
        ]


class Slice(Scoped):
    """A part of a frozen dataset, to be one batch: its files become units when a batch takes it, and not before.

    So a million files wait in as many rows as there will be batches. That a file is in one slice is the cutter's
    doing; that it is in one batch is the key of its unit (design 3).
    """

    EXPERIMENT_PATH = "snapshot__stage__campaign__experiment_id"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="slices", db_index=False)
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=200, default="", help_text="what its files have in common")
    units = models.PositiveIntegerField()
    events = models.BigIntegerField(default=0, help_text="of its files, as far as the catalogue knows them")
    inputs = models.TextField(help_text="a line each: key, path, events, size, separated by tabs")
    asked_at = models.DateTimeField(null=True, help_text="when its files were last asked for from tape")
    on_disk = models.PositiveIntegerField(db_default=0, help_text="files that were on disk when it was last looked")
    on_disk_at = models.DateTimeField(null=True, help_text="since when all its files were seen on disk")
    taken_at = models.DateTimeField(null=True, help_text="since when a batch has it")
    batch = models.OneToOneField("Batch", on_delete=models.PROTECT, null=True, related_name="slice")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["snapshot", "number"], name="submissions_slice_number_uq")]
        indexes = [
            models.Index(
                fields=["snapshot", "number"], name="submissions_slice_untaken_ix",
                condition=models.Q(taken_at__isnull=True),
            )
        ]  # fmt: skip

    def file_names(self) -> list[str]:
        """Return the names of its files."""
        keys = (line.partition("\t")[0] for line in self.inputs.split("\n"))
        return [key.removeprefix("file:") for key in keys]


class Unit(Scoped):
    """What a stage consumes: a file, or a numbered range of events with its seed."""

    # There are as many of these rows as there are files: no index without a question that needs it.
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+", db_index=False)
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    pass_number = models.PositiveIntegerField(default=1, help_text="deliberate reprocessing opens the next one")
    key = models.CharField(max_length=220, help_text="file:<name>, events:<first> or value:<words>")
    file_name = models.CharField(max_length=200, blank=True)
    path = models.TextField(blank=True)
    first_event = models.BigIntegerField(null=True)
    events = models.BigIntegerField(null=True)
    size = models.BigIntegerField(null=True)
    traits = models.JSONField(null=True, help_text="what its stage's split goes by: run, taken_at, a metadata value")
    seed = models.BigIntegerField(null=True)
    edge = models.ForeignKey(Edge, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    output = models.ForeignKey("Output", on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    batch = models.ForeignKey("Batch", on_delete=models.PROTECT, null=True, related_name="units")
    arrived_at = models.DateTimeField(null=True, help_text="when its file was there, of those that a schedule found")

    class Meta:
        constraints = [
            # The key comes first: a file's own story is asked for by its name.
            models.UniqueConstraint(fields=["key", "stage", "pass_number"], name="submissions_unit_key_uq"),
            models.UniqueConstraint(fields=["edge", "output", "pass_number"], name="submissions_unit_output_uq"),
        ]
        indexes = [
            models.Index(
                fields=["output"], name="submissions_unit_of_output_ix", condition=models.Q(output__isnull=False)
            ),
            models.Index(
                fields=["stage", "id"],
                name="submissions_unit_untaken_ix",
                condition=models.Q(batch__isnull=True),
            ),
            # Of what a schedule found: how soon it was done.
            models.Index(
                fields=["stage", "arrived_at"],
                name="submissions_unit_arrived_ix",
                condition=models.Q(arrived_at__isnull=False),
            ),
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
        # What came to nothing, for reports: of millions of results, a few.
        indexes = [models.Index(fields=["at"], name="submissions_result_refused_ix", condition=~models.Q(refused=""))]


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
    metadata = models.JSONField(default=dict)

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
