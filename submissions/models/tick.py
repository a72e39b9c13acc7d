"""Ticks: the one recorded outcome of each nominal time of a schedule."""

from __future__ import annotations

from django.db import models

from campaigns import keepup
from campaigns.models import Schedule
from experiments.scoping import Scoped


class Tick(Scoped):
    """What became of one nominal time of a schedule, for ever; and of each run that somebody asked for beside it."""

    EXPERIMENT_PATH = "schedule__experiment_id"

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="+")
    nominal = models.DateTimeField(help_text="the time by the schedule, not that of the run")
    outcome = models.CharField(max_length=12, choices=[(word, word.replace("_", " ")) for word in keepup.OUTCOMES])
    at = models.DateTimeField(help_text="when the outcome was known")
    inputs = models.PositiveIntegerField(default=0, help_text="new files that it made inputs")
    reason = models.TextField(blank=True)
    asked_by = models.CharField(max_length=150, blank=True, help_text="who asked for it, where it is no nominal time")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["schedule", "nominal"], name="submissions_tick_uq")]

    def __str__(self) -> str:
        return f"{self.nominal:%F %H:%M} {self.outcome}"
