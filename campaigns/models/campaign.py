"""Campaigns, their immutable revisions, and the identities of stages and edges over all revisions."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from campaigns import states
from experiments.models import Experiment
from experiments.scoping import Scoped


class Campaign(Scoped):
    """A high-level task: a graph of stages that an experiment wants done."""

    STATES = states.CAMPAIGN

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=states.CAMPAIGN.choices(), default="new")
    state_since = models.DateTimeField(db_default=Now())
    rank = models.IntegerField(default=50, help_text="0 to 100; the higher goes first")
    test = models.BooleanField(default=False, help_text="a test run: its outputs are kept apart")
    known_as = models.CharField(max_length=100, blank=True, help_text="the name that a test run's jobs see")
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    archived_at = models.DateTimeField(null=True, help_text="since when lists leave it out")
    revision = models.ForeignKey(
        "Revision",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="the approved one, which runs",
    )
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "-rank", "id"], name="campaigns_campaign_state_ix"),
            models.Index(
                fields=["ended_at"], name="campaigns_campaign_ended_ix", condition=models.Q(ended_at__isnull=False)
            ),
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/c1."""
        return f"{self.experiment.name}/c{self.pk}"

    @property
    def name_for_jobs(self) -> str:
        """Return the name that jobs see: a test run's is that of the campaign which it tries out."""
        return self.known_as or self.name

    def __str__(self) -> str:
        return self.ref


class Revision(Scoped):
    """One immutable definition of a campaign: approval belongs to it, by the hash of its text (design 3)."""

    EXPERIMENT_PATH = "campaign__experiment_id"
    STATES = states.REVISION

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    text = models.TextField(help_text="canonical, with the job types and set-ups that it uses; a draft has none")
    source = models.TextField(help_text="as it was sent")
    digest = models.CharField(max_length=64)
    keywords = models.JSONField(default=dict)
    state = models.CharField(max_length=20, choices=states.REVISION.choices(), default="draft")
    state_since = models.DateTimeField(db_default=Now())
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=400, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "number"], name="campaigns_revision_number_uq")]

    @property
    def experiment_id(self) -> int:
        """Return the key of the campaign's experiment, for the ledger."""
        return self.campaign.experiment_id


class Stage(Scoped):
    """The identity of a stage: its name in its campaign, whatever the revision says about it."""

    EXPERIMENT_PATH = "campaign__experiment_id"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(max_length=100)
    pass_number = models.PositiveIntegerField(default=1, help_text="deliberate reprocessing opens the next one")
    completed_at = models.DateTimeField(null=True, help_text="when every input had its verdict")
    succeeded = models.BooleanField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "name"], name="campaigns_stage_name_uq")]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/c1/gen."""
        return f"{self.campaign.ref}/{self.name}"

    def __str__(self) -> str:
        return self.ref


class Edge(Scoped):
    """The identity of a dependency: outputs of one stage that match a pattern feed another."""

    EXPERIMENT_PATH = "campaign__experiment_id"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="edges")
    upstream = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="edges_down")
    downstream = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="edges_up")
    pattern = models.CharField(max_length=400, default="%", help_text="SQL LIKE over the output's name")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upstream", "downstream", "pattern"], name="campaigns_edge_uq")]
