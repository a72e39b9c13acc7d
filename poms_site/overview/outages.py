"""How services were during a span of time: states as stretches, and the outages that a job ran into (D1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from core.models import Transition
from experiments.models import Experiment
from integrations.models import Downtime, Service, ServiceState
from poms_site.overview.charts import Window
from poms_site.overview.words import clock, duration

MOST_SERVICES = 60
MOST_CHANGES = 2000
DOWN = "down"


@dataclass(frozen=True)
class Outage:
    """One stretch in which a service was down: looks found it so, a person said so, or it was planned.

    Looks come every so often: it may have begun up to `margin` before it was found.
    """

    begin: datetime
    end: datetime | None  # None: it is down still
    how: str
    reason: str
    margin: timedelta = timedelta()

    def overlap(self, begin: datetime, end: datetime) -> timedelta:
        """Return for how long of a span it was down."""
        return max(timedelta(), min(self.end or end, end) - max(self.begin, begin))

    def may_hold(self, at: datetime) -> bool:
        """Tell whether the service was, or may already have been, down at a moment."""
        return self.begin - self.margin <= at and (self.end is None or at <= self.end)


@dataclass(frozen=True)
class Stretch:
    """One state of a service in the picture: where and how wide, in percent."""

    word: str
    x: float
    width: float
    text: str


@dataclass(frozen=True)
class During:
    """One service over a span of time."""

    service: Service
    stretches: Sequence[Stretch]
    outages: Sequence[Outage]


@dataclass(frozen=True)
class Hit:
    """What an outage of a service had to do with a job: for how long of its run, and whether it ended in it."""

    service: Service
    seconds: float
    ended_in: bool
    found_after: float  # seconds from the job's end until a look found the service down; 0 if it was known then
    reasons: Sequence[str]

    @property
    def text(self) -> str:
        """Say it in a sentence: SAM was down for 10 min while it ran, and when it ended."""
        if self.found_after:
            return f"{self.service} was found down {duration(round(self.found_after))} after it ended"
        told = f"{self.service} was down for {duration(max(1, round(self.seconds)))} while it ran"
        return f"{told}, and when it ended" if self.ended_in else told


def watched(experiment: Experiment, services: Any = Service.objects) -> QuerySet[Service]:
    """Return the services of an experiment and those of all, out of those that are given."""
    found: QuerySet[Service] = services.filter(Q(experiment=experiment) | Q(experiment=None), active=True)
    return found


def services_during(watched: QuerySet[Service], window: Window) -> list[During]:
    """Return how services were in a window: those with an outage first.

    Each is looked at in its history, in what people said of it, and in what was planned; those of which nothing is
    known in the window say so.
    """
    services = list(watched.select_related("experiment").order_by("name", "pk")[:MOST_SERVICES])
    spans: dict[int, list[ServiceState]] = defaultdict(list)
    seen = ServiceState.objects.filter(service__in=services).between(window.begin, window.end + _longest(services))
    for span in seen.order_by("-at")[:MOST_CHANGES]:
        spans[span.service_id].append(span)
    said, planned = _said(services, window), _planned(services, window)
    found = []
    for service in services:
        looked = spans[service.pk][::-1]
        outages = [*_looked_down(service, looked), *said.get(service.pk, ()), *planned.get(service.pk, ())]
        found.append(During(service, _stretches(window, looked, outages), sorted(outages, key=lambda o: o.begin)))
    return sorted(found, key=lambda one: not one.outages)


def shades(services: Iterable[During]) -> list[Stretch]:
    """Return the outages of all services as stretches to shade, each with its service's name."""
    return [
        Stretch(s.word, s.x, s.width, f"{one.service} {s.text}")
        for one in services
        for s in one.stretches
        if s.word == DOWN
    ]


def hits(services: Iterable[During], begin: datetime, end: datetime, *, ended: bool) -> list[Hit]:
    """Return the services that were down while something ran; `ended` tells whether it has ended at the end."""
    found = []
    for one in services:
        spans = [(max(o.begin, begin), min(o.end or end, end)) for o in one.outages if o.overlap(begin, end)]
        seconds = _covered(spans)
        holding = [o for o in one.outages if ended and o.may_hold(end)]
        if seconds or holding:
            late = 0.0 if seconds else min((o.begin - end).total_seconds() for o in holding)
            reasons = dict.fromkeys(o.reason for o in one.outages if o in holding or o.overlap(begin, end))
            found.append(Hit(one.service, seconds, bool(holding), max(0.0, late), list(reasons)))
    return found


def _longest(services: Sequence[Service]) -> timedelta:
    """Return how long after a failure a service may be found down."""
    return max((_margin(service) for service in services), default=timedelta())


def _margin(service: Service) -> timedelta:
    return timedelta(seconds=service.every_s * service.downs) if service.kind != "none" else timedelta()


def _looked_down(service: Service, looked: Iterable[ServiceState]) -> list[Outage]:
    return [
        Outage(span.at, span.until, "found by looking", span.reason, _margin(service))
        for span in looked
        if span.target == DOWN
    ]


def _said(services: Sequence[Service], window: Window) -> dict[int, list[Outage]]:
    """Return when people said that services were down, from the ledger: what they say ends with the next word."""
    steps = Transition.objects.filter(
        kind="outside_service", thing_id__in=[service.pk for service in services], at__lt=window.end,
        verb__in=("force_down", "force_up", "end_override"),
    )  # fmt: skip
    found: dict[int, list[Outage]] = defaultdict(list)
    later: dict[int, datetime] = {}
    for step in steps.order_by("-txid", "-id")[:MOST_CHANGES]:
        end = later.get(step.thing_id)
        if step.verb == "force_down" and (end is None or end > window.begin):
            who = step.actor.rpartition(":")[2]
            found[step.thing_id].append(Outage(step.at, end, f"said by {who}", step.reason))
        later[step.thing_id] = step.at
    return found


def _planned(services: Sequence[Service], window: Window) -> dict[int, list[Outage]]:
    rows = Downtime.objects.filter(service__in=services, begins_at__lt=window.end, ends_at__gt=window.begin)
    found: dict[int, list[Outage]] = defaultdict(list)
    for row in rows.order_by("begins_at")[:MOST_CHANGES]:
        end = min(row.ends_at, row.ended_at or row.ends_at)
        if end > max(row.begins_at, window.begin):
            found[row.service_id].append(Outage(row.begins_at, end, "planned", row.reason))
    return found


def _stretches(window: Window, looked: Iterable[ServiceState], outages: Iterable[Outage]) -> list[Stretch]:
    """Return what a service was found in, with all outages over it."""
    spans = [(span.target, span.at, span.until, span.reason) for span in looked if span.target != DOWN]
    spans += [(DOWN, one.begin, one.end, f"{one.how}: {one.reason}") for one in outages]
    found = []
    for word, begin, until, reason in spans:
        end = until or window.end
        if begin >= window.end or end <= window.begin:
            continue
        x = window.share(begin)
        text = f"{word} from {clock(begin)} to {clock(until) if until else 'now'}: {reason}"
        found.append(Stretch(word, x, max(0.4, round(window.share(end) - x, 2)), text))
    return found


def _covered(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Return how many seconds spans cover together; those that overlap count once."""
    total, reached = 0.0, None
    for begin, end in sorted(spans):
        start = begin if reached is None else max(begin, reached)
        if end > start:
            total += (end - start).total_seconds()
        reached = end if reached is None else max(reached, end)
    return total
