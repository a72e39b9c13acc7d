"""What the guard found to eat jobs and kept them from, how it is told to act, and the limits of waste (D2)."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Campaign
from core.editable import Editable
from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.models import BatchSystem
from submissions import states
from submissions.models.batch import Submission
from submissions.models.control import Hold

LEVELS = ("node", "site", "campaign", "pool")
OBSERVE, ACT = "observe", "act"
MODES = ((OBSERVE, "say what would be done"), (ACT, "do it"))


class Exclusion(Scoped):
    """Something that eats an experiment's jobs: watched, or kept from new submissions for a while.

    What a rule finds concerns every experiment that uses the batch system: each gets a row of its own, with the same
    `verdict`, so that it sees its own evidence, undoes for itself alone, and has it in its own history.
    """

    STATES = states.EXCLUSION

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    system = models.ForeignKey(BatchSystem, on_delete=models.PROTECT, related_name="+", db_index=False)
    level = models.CharField(max_length=8, choices=[(level, level) for level in LEVELS])
    name = models.CharField(max_length=200, help_text="of the node, site, campaign or batch system")
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, null=True, related_name="+")
    verdict = models.UUIDField(default=uuid.uuid4, help_text="the same for all experiments that it concerns")
    state = models.CharField(max_length=12, choices=states.EXCLUSION.choices(), default="watched")
    state_since = models.DateTimeField(db_default=Now())
    evidence = models.JSONField(default=dict)
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    since = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(null=True, help_text="when the rule last found it so")
    until = models.DateTimeField(null=True, help_text="until it may be tried again")
    hours = models.FloatField(default=1.0, help_text="for how long it is excluded; each trial that fails doubles it")
    canary = models.ForeignKey(
        Submission, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False,
        help_text="whose jobs alone may run there while it is on probation",
    )  # fmt: skip
    spared = models.PositiveIntegerField(default=0, help_text="jobs that failed there while it was only watched")
    hold = models.ForeignKey(Hold, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["system", "level", "name", "experiment"], name="submissions_exclusion_standing_uq",
                condition=Q(state__in=states.STANDING),
            )
        ]  # fmt: skip

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/e1."""
        return f"{self.experiment.name}/e{self.pk}"

    @property
    def stands(self) -> bool:
        """Tell whether it is not over."""
        return self.state in states.STANDING

    def __str__(self) -> str:
        return f"{self.level} {self.name}"


class Guard(Editable, models.Model):
    """How the guard of a batch system acts, and when it judges again."""

    EDITABLE = ("mode", "cap", "hours")

    system = models.OneToOneField(BatchSystem, on_delete=models.CASCADE, related_name="+")
    mode = models.CharField(max_length=8, choices=MODES, default=OBSERVE)
    cap = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="percent of the nodes that may be excluded at once by the rule; one may be in any case",
    )  # fmt: skip
    hours = models.FloatField(default=1.0, help_text="for how long something is excluded at first")
    judge_at = models.DateTimeField(db_default=Now())
    judged_at = models.DateTimeField(null=True)
    slow_at = models.DateTimeField(db_default=Now(), help_text="when the longer window is judged next")
    nodes = models.PositiveIntegerField(default=0, help_text="that had a job lately, when it was last judged")

    def __str__(self) -> str:
        return f"guard of {self.system.name}"


class Node(models.Model):
    """A node of a batch system that has had one of our jobs: how many there are says how large the pool is."""

    system = models.ForeignKey(BatchSystem, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=100)
    site = models.CharField(max_length=100, blank=True)
    seen_at = models.DateTimeField(db_default=Now(), help_text="when a job had last ended there, within the hour")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["system", "name"], name="submissions_node_uq")]


class WasteLimit(Scoped):
    """From which share of failures a campaign pauses itself: an experiment's, or a campaign's own (D2)."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, null=True, related_name="+")
    share = models.PositiveSmallIntegerField(
        default=50, validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="percent of the jobs of an hour that may fail; 100: it never pauses itself",
    )  # fmt: skip
    least = models.PositiveIntegerField(
        default=20, validators=[MinValueValidator(1)], help_text="jobs that must have ended before anything is said"
    )

    # Unique by experiment and campaign, without one too: the migration says so (see StepTally).

    def __str__(self) -> str:
        return f"at most {self.share} % of {self.least} jobs or more"
