"""What decides about the order of waiting work beside ranks: shares, boosts, and how large batch systems are."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Campaign
from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.models import BatchSystem

HEAVIEST = 1000


class Share(Scoped):
    """How much of the slots an experiment gets where others want them too; without a row its weight is 1."""

    experiment = models.OneToOneField(Experiment, on_delete=models.CASCADE, related_name="+")
    weight = models.PositiveIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(HEAVIEST)],
        help_text="relative to the weights of other experiments; 1 to 1000",
    )  # fmt: skip

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(weight__gte=1), name="submissions_share_weight_ck")]

    def __str__(self) -> str:
        return f"{self.experiment.name} has weight {self.weight}"


class Boost(Scoped):
    """A campaign stands on top of its experiment's queue for a while."""

    EXPERIMENT_PATH = "campaign__experiment_id"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    since = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, help_text="when somebody took it back; else it ends by itself")
    ended_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign"], name="submissions_boost_standing_uq", condition=Q(ended_at__isnull=True)
            )
        ]


class Pool(models.Model):
    """How many slots a batch system has, as it said last: `observe` writes it, the launcher and forecasts go by it."""

    system = models.OneToOneField(BatchSystem, on_delete=models.CASCADE, related_name="+")
    slots = models.PositiveIntegerField(default=0)
    seen_at = models.DateTimeField(db_default=Now())
