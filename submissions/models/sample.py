"""Samples of how many jobs of an experiment were in which state: the picture over time, without reading jobs."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from experiments.models import Experiment
from experiments.scoping import Scoped


class JobSample(Scoped):
    """The jobs of an experiment that had not ended, at one minute; older ones are kept for full hours only.

    While there are none, nothing is written: the last sample says so.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+", db_index=False)
    at = models.DateTimeField()
    hourly = models.BooleanField(help_text="of a full hour: kept longer")
    idle = models.PositiveIntegerField(default=0)
    staging = models.PositiveIntegerField(default=0)
    processing = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "at"], name="submissions_jobsample_uq")]
        indexes = [
            models.Index(fields=["at"], name="submissions_jobsample_fine_ix", condition=Q(hourly=False)),
            models.Index(fields=["at"], name="submissions_jobsample_ix", condition=Q(hourly=True)),
        ]
