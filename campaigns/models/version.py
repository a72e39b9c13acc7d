"""What one revision says about a stage and about an edge: what batches use and never changes."""

from __future__ import annotations

from django.db import models

from campaigns.models.campaign import Edge, Revision, Stage
from experiments.scoping import Scoped


class StageVersion(Scoped):
    """One stage in one revision, with everything that a launch of it needs."""

    EXPERIMENT_PATH = "revision__campaign__experiment_id"

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="stage_versions")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="versions")
    position = models.PositiveSmallIntegerField(help_text="in the order of the text")
    type = models.CharField(max_length=20)
    dataset = models.CharField(max_length=400, blank=True)
    split = models.CharField(max_length=60)
    software_version = models.CharField(max_length=100, blank=True)
    completion_type = models.CharField(max_length=20)
    completion_pct = models.PositiveSmallIntegerField()
    events = models.BigIntegerField(default=0)
    seed = models.BigIntegerField(default=0)
    events_per_job = models.BigIntegerField(default=0)
    files_per_job = models.PositiveIntegerField(default=1)
    most_files = models.PositiveIntegerField(default=0, help_text="of the dataset, the first of them; 0: all")
    work = models.CharField(max_length=64, db_index=True, default="", help_text="what it does to an input, as a hash")
    memory_mb = models.PositiveIntegerField()
    memory_factor = models.FloatField()
    wall_s = models.PositiveIntegerField()
    recovery_rounds = models.PositiveSmallIntegerField()
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

    class Meta:
        constraints = [models.UniqueConstraint(fields=["revision", "stage"], name="campaigns_stageversion_uq")]


class EdgeVersion(Scoped):
    """One edge in one revision: when its gate opens."""

    EXPERIMENT_PATH = "revision__campaign__experiment_id"

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="edge_versions")
    edge = models.ForeignKey(Edge, on_delete=models.PROTECT, related_name="versions")
    gate = models.CharField(max_length=10, default="all", help_text="all, each, or a share such as 90%")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["revision", "edge"], name="campaigns_edgeversion_uq")]
