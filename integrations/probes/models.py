"""Services that launches need, what their probes have found, and when they are down by plan (P1, J10)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from core.clock import now
from core.editable import Editable
from experiments.models import Experiment, User
from experiments.scoping import Scoped, ScopedQuerySet
from integrations import states

GATES = (
    ("everything", "everything of its experiment, or of all"),
    ("batch", "launches into a batch system"),
    ("host", "launches from a launch host"),
    ("catalogue", "launches of stages that use a catalogue"),
    ("nothing", "nothing: it is only shown"),
)
FORCED = (("up", "up"), ("down", "down"))


class ServiceQuerySet(ScopedQuerySet["Service"]):
    """Services as a person sees them."""

    def visible_to(self, user: Any) -> ServiceQuerySet:
        """Return those of the person's experiments, those of all, and those that the person provides."""
        seen = user.experiment_ids("view")
        return self.filter(
            Q(experiment__in=seen)
            | (Q(experiment=None) if seen else Q(pk__in=[]))
            | Q(pk__in=Service.providers.through._default_manager.filter(user_id=user.pk).values("service_id"))
        )


class Service(Editable, Scoped):
    """Something outside that launches need: how it is looked at, what it gates, and how it is."""

    STATES = states.SERVICE
    EDITABLE = ("title", "kind", "settings", "gates", "gated", "every_s", "downs", "ups", "active")

    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="none: of all"
    )
    name = models.SlugField(max_length=40)
    title = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=12, help_text="how it is looked at: one of probes.kinds, or none")
    settings = models.JSONField(default=dict, blank=True, help_text="as the probe declares them; no secret")
    gates = models.CharField(
        max_length=12, choices=GATES, default="nothing", help_text="what is not launched meanwhile"
    )
    gated = models.CharField(max_length=200, blank=True, help_text="which one, by name; empty: every one")
    every_s = models.PositiveIntegerField(default=60, help_text="seconds between two looks")
    downs = models.PositiveSmallIntegerField(default=1, help_text="looks in a row that must fail to close the gate")
    ups = models.PositiveSmallIntegerField(default=2, help_text="looks in a row that must succeed to open it")
    active = models.BooleanField(default=True)
    providers: models.ManyToManyField[User, models.Model] = models.ManyToManyField(User, blank=True, related_name="+")
    state = models.CharField(max_length=12, choices=states.SERVICE.choices(), default="unknown")
    state_since = models.DateTimeField(db_default=Now())
    said = models.TextField(blank=True, help_text="what the last look found, as a sentence")
    figures = models.JSONField(default=dict, blank=True)
    down_count = models.PositiveIntegerField(default=0, help_text="looks in a row that failed")
    up_count = models.PositiveIntegerField(default=0, help_text="looks in a row that succeeded")
    blind_count = models.PositiveIntegerField(default=0, help_text="looks in a row that found out nothing")
    looked_at = models.DateTimeField(null=True, blank=True)
    look_at = models.DateTimeField(db_default=Now(), help_text="when it is due for a look")
    forced = models.CharField(max_length=4, choices=FORCED, blank=True, help_text="what a person says it is")
    forced_by = models.CharField(max_length=150, blank=True)
    forced_reason = models.TextField(blank=True)
    forced_until = models.DateTimeField(null=True, blank=True)

    objects = ServiceQuerySet.as_manager()  # type: ignore[misc]  # those of no experiment are everybody's

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name"], name="integrations_service_name_uq"),
            models.UniqueConstraint(
                fields=["name"], name="integrations_service_of_all_uq", condition=Q(experiment__isnull=True)
            ),
            models.CheckConstraint(
                condition=Q(downs__gte=1, ups__gte=1, every_s__gte=1), name="integrations_service_ck"
            ),
        ]
        indexes = [models.Index(fields=["look_at"], name="integrations_service_due_ix", condition=Q(active=True))]

    def __str__(self) -> str:
        return self.title or self.name

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/v1; all/v1 for one of all."""
        return f"{self.experiment.name if self.experiment else 'all'}/v{self.pk}"

    @property
    def is_forced(self) -> bool:
        """Tell whether what a person says of it stands now."""
        return bool(self.forced) and (self.forced_until is None or self.forced_until > now())

    def downtime(self) -> Downtime | None:
        """Return the scheduled downtime in which it is now."""
        at = now()
        rows = Downtime.objects.filter(service=self, ended_at=None, begins_at__lte=at, ends_at__gt=at)
        return rows.order_by("-ends_at").first()


class ServiceState(Scoped):
    """One change of how a service was: kept, so that an outage can be drawn under what ran meanwhile (D1)."""

    EXPERIMENT_PATH = "service__experiment_id"

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="history")
    source = models.CharField(max_length=12)
    target = models.CharField(max_length=12)
    reason = models.TextField()
    figures = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(null=True, help_text="when the next change came")

    class StateQuerySet(ScopedQuerySet["ServiceState"]):
        """Changes as a person sees them."""

        def visible_to(self, user: Any) -> ServiceState.StateQuerySet:
            """Return those of services that the person sees."""
            return self.filter(service__in=Service.objects.visible_to(user))

        def between(self, begin: datetime, end: datetime) -> ServiceState.StateQuerySet:
            """Return what services were in at some moment of a span."""
            return self.filter(at__lt=end).filter(Q(until=None) | Q(until__gt=begin))

    objects = StateQuerySet.as_manager()  # type: ignore[misc]  # those of no experiment are everybody's

    class Meta:
        indexes = [
            models.Index(fields=["service", "-at"], name="integrations_servicestate_ix"),
            models.Index(fields=["until", "at"], name="integrations_servicestate_t_ix"),
        ]


class Downtime(Scoped):
    """A service is down by plan from one moment to another."""

    EXPERIMENT_PATH = "service__experiment_id"

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="downtimes")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, help_text="when somebody took it back")

    class DowntimeQuerySet(ScopedQuerySet["Downtime"]):
        """Downtimes as a person sees them."""

        def visible_to(self, user: Any) -> Downtime.DowntimeQuerySet:
            """Return those of services that the person sees."""
            return self.filter(service__in=Service.objects.visible_to(user))

    objects = DowntimeQuerySet.as_manager()  # type: ignore[misc]  # those of no experiment are everybody's

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("begins_at")), name="integrations_downtime_span_ck")
        ]
        indexes = [models.Index(fields=["service", "ends_at"], name="integrations_downtime_of_ix")]

    def __str__(self) -> str:
        return f"{self.service} from {self.begins_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M}"
