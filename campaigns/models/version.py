"""What one revision says about a stage and about an edge: what batches use and never changes."""

from __future__ import annotations

from django.db import models

from campaigns.definition.values import named
from campaigns.models.campaign import Edge, Revision, Stage
from experiments.scoping import Scoped
from integrations.batch.base import Slots
from integrations.launcher.base import Place


class StageVersion(Scoped):
    """One stage in one revision, with everything that a launch of it needs."""

    EXPERIMENT_PATH = "revision__campaign__experiment_id"

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="stage_versions")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="versions")
    position = models.PositiveSmallIntegerField(help_text="in the order of the text")
    type = models.CharField(max_length=20)
    dataset = models.TextField(blank=True)
    catalogue = models.CharField(max_length=30, default="", help_text="by name; empty: the experiment's own")
    split = models.CharField(max_length=200)
    software_version = models.CharField(max_length=100, blank=True)
    completion_type = models.CharField(max_length=20)
    completion_pct = models.PositiveSmallIntegerField()
    completion = models.CharField(max_length=400, default="", help_text="what it needs beside located output")
    ask_after_h = models.PositiveIntegerField(default=72, help_text="hours of waiting for that, then people are asked")
    destination = models.CharField(max_length=200, default="", help_text="to where a transfer brings its files")
    events = models.BigIntegerField(default=0)
    seed = models.BigIntegerField(default=0)
    events_per_job = models.BigIntegerField(default=0)
    files_per_job = models.PositiveIntegerField(default=1)
    most_files = models.PositiveIntegerField(default=0, help_text="of the dataset, the first of them; 0: all")
    work = models.CharField(max_length=64, db_index=True, default="", help_text="what it does to an input, as a hash")
    memory_mb = models.PositiveIntegerField()
    memory_factor = models.FloatField()
    wall_s = models.PositiveIntegerField()
    wall_factor = models.FloatField(default=1.5)
    cpus = models.PositiveSmallIntegerField(default=1)
    disk_mb = models.PositiveIntegerField(default=0, help_text="0: as the batch system does")
    gpus = models.PositiveSmallIntegerField(default=0)
    slots = models.CharField(max_length=100, blank=True, default="", help_text="kinds that will do; empty: any")
    sites = models.TextField(blank=True, default="", help_text="the only ones; empty: any")
    avoid_sites = models.TextField(blank=True, default="")
    recovery_rounds = models.PositiveSmallIntegerField()
    canary = models.PositiveSmallIntegerField(default=0, help_text="batches that must succeed before the rest follows")
    recoveries = models.JSONField(default=list, help_text="the job type's list of kinds with their overrides")
    most_tries = models.PositiveSmallIntegerField(default=4, help_text="of one input, after which it is skipped")
    value_overrides = models.JSONField(default=dict, help_text="by the value that a batch is of; * for the others")
    schedule = models.CharField(max_length=200, blank=True, default="", help_text="cron expression or interval")
    schedule_zone = models.CharField(max_length=60, default="UTC")
    schedule_start = models.CharField(max_length=20, blank=True, default="")
    schedule_end = models.CharField(max_length=20, blank=True, default="")
    catch_up = models.CharField(max_length=10, default="last")
    catch_up_cap = models.PositiveSmallIntegerField(default=10)
    overlap = models.CharField(max_length=10, default="allow")
    latency_objective = models.CharField(max_length=40, blank=True, default="")
    recall_times = models.CharField(
        max_length=200,
        blank=True,
        default="",
        help_text="cron expression or interval: when files on tape are asked for",
    )
    recall_window = models.PositiveIntegerField(default=50, help_text="slices that are asked for from tape at once")
    job_type = models.CharField(max_length=100)
    launch_script = models.TextField()
    parameters = models.JSONField(default=list, help_text="all layers but those of a recovery or test")
    output_file_patterns = models.CharField(max_length=400)
    login_setup = models.CharField(max_length=100)
    host = models.CharField(max_length=200)
    account = models.CharField(max_length=100, blank=True)
    setup = models.TextField(blank=True)
    launcher = models.CharField(max_length=20)
    batch = models.CharField(max_length=30)

    @property
    def place(self) -> Place:
        """Return where its scripts run."""
        return Place.of(self.launcher, self.revision.campaign.experiment_id, self.host, self.account)

    @property
    def slots_asked(self) -> Slots:
        """Return what a job wants of a slot, as the stage says it for all its batches."""
        return Slots(
            memory_mb=self.memory_mb, wall_s=self.wall_s, cpus=self.cpus, disk_mb=self.disk_mb, gpus=self.gpus,
            kinds=named(self.slots), sites=named(self.sites), avoid_sites=named(self.avoid_sites),
        )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["revision", "stage"], name="campaigns_stageversion_uq")]
        indexes = [
            # What the schedule loop looks through for rows to be made and changed.
            models.Index(fields=["revision"], name="campaigns_stageversion_sch_ix", condition=~models.Q(schedule="")),
        ]


class EdgeVersion(Scoped):
    """One edge in one revision: when its gate opens."""

    EXPERIMENT_PATH = "revision__campaign__experiment_id"

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="edge_versions")
    edge = models.ForeignKey(Edge, on_delete=models.PROTECT, related_name="versions")
    gate = models.CharField(max_length=10, default="all", help_text="all, each, or a share such as 90%")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["revision", "edge"], name="campaigns_edgeversion_uq")]
