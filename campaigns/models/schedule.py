"""Schedules: the running state of a stage's keep-up; what it does is said by the approved definition."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns import keepup
from campaigns.models.campaign import Stage
from campaigns.models.version import StageVersion
from experiments.models import Experiment
from experiments.scoping import Scoped


class Schedule(Scoped):
    """When a stage looks for new files of its dataset, and how far it has come: one for each stage that has one.

    Every nominal time before `next_at` has its one outcome, a row of submissions.Tick; `next_at` and later ones have
    none yet. Both are written in one transaction.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    stage = models.OneToOneField(Stage, on_delete=models.CASCADE, related_name="schedule")
    version = models.ForeignKey(StageVersion, on_delete=models.PROTECT, related_name="+", help_text="that it follows")
    expression = models.CharField(max_length=200, help_text="cron expression or interval")
    zone = models.CharField(max_length=60, help_text="IANA name of the zone of its times")
    starts_at = models.DateTimeField(null=True, help_text="its first nominal time is not before")
    ends_at = models.DateTimeField(null=True, help_text="its last nominal time is before")
    catch_up = models.CharField(max_length=10, choices=[(word, word) for word in keepup.CATCH_UP])
    cap = models.PositiveSmallIntegerField(help_text="of missed times that are run where all are caught up")
    overlap = models.CharField(max_length=10, choices=[(word, word) for word in keepup.OVERLAP])
    objective = models.CharField(max_length=40, blank=True, help_text="such as 95% within 24 h")
    since = models.DateTimeField(help_text="when it began; what was there before counts as arrived then")
    next_at = models.DateTimeField(
        null=True, help_text="the first nominal time without outcome; none once all are over"
    )
    look_at = models.DateTimeField(help_text="when the schedule loop should look at it next")
    tries = models.PositiveIntegerField(default=0, help_text="failed ones of the nominal time that is due")
    why = models.TextField(blank=True, help_text="what the nominal time that is due waits for")
    mark = models.TextField(blank=True, help_text="the catalogue's: what is new is asked from there")
    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=150, blank=True)
    pause_reason = models.TextField(blank=True)
    valid_until = models.DateTimeField(null=True, help_text="until when the request's keep-up was renewed")
    asked_at = models.DateTimeField(null=True, help_text="when somebody asked for a run beside the schedule")
    asked_by = models.CharField(max_length=150, blank=True)
    standing = models.CharField(
        max_length=10, blank=True, help_text="of its objective, as last said: met, at_risk, missed"
    )
    ended_at = models.DateTimeField(null=True, help_text="when it came to its end or was taken out of the definition")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["look_at"], name="campaigns_schedule_look_ix", condition=Q(ended_at__isnull=True))
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/k1."""
        return f"{self.experiment.name}/k{self.pk}"

    @property
    def condition(self) -> str:
        """Return in a word what it does now: ended, paused or active."""
        if self.ended_at is not None:
            return "ended"
        return "paused" if self.paused_at is not None else "active"

    def course(self) -> keepup.Span:
        """Return its nominal times."""
        return keepup.Span(keepup.read(self.expression), keepup.zone(self.zone), self.starts_at, self.ends_at)

    def comes_after(self, moment: datetime) -> datetime | None:
        """Return its first nominal time later than a moment; None if there is none."""
        return self.course().next(moment)

    def __str__(self) -> str:
        return f"{self.expression} of {self.stage.ref}"
