"""The calendar of a schedule: the nominal times that were, each with its outcome, and those that come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from campaigns import keepup
from campaigns.models import Schedule
from core.clock import now
from submissions import latency
from submissions.models import Tick

DUE, COMING = "due", "coming"
MOST = 500
AROUND = timedelta(days=7)


@dataclass(frozen=True)
class Entry:
    """One time of a calendar, with what became of it; `local` is the same moment in the schedule's zone."""

    at: datetime
    local: datetime
    outcome: str  # one of keepup.OUTCOMES, due or coming
    inputs: int = 0
    known: datetime | None = None
    reason: str = ""
    asked_by: str = ""


def past(
    row: Schedule, most: int = MOST, *, since: datetime | None = None, until: datetime | None = None
) -> list[Entry]:
    """Return the latest times that have an outcome, newest first; `until` is not among them."""
    rows = Tick.objects.filter(schedule=row).order_by("-nominal")
    rows = rows.filter(nominal__gte=since) if since else rows
    rows = rows.filter(nominal__lt=until) if until else rows
    place = keepup.zone(row.zone)
    return [
        Entry(tick.nominal, tick.nominal.astimezone(place), tick.outcome, tick.inputs, tick.at, tick.reason,
              tick.asked_by)
        for tick in rows[:most]
    ]  # fmt: skip


def coming(row: Schedule, most: int, *, since: datetime | None = None, until: datetime | None = None) -> list[Entry]:
    """Return the next times without outcome, the first first."""
    return list(islice(_ahead(row, since, until), most))


def _ahead(row: Schedule, since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    if row.ended_at is not None or row.next_at is None:
        return
    place, at = keepup.zone(row.zone), now()
    begin = max(row.next_at, since) if since else row.next_at
    for nominal in row.course().after(begin - timedelta(microseconds=1)):
        if until is not None and nominal >= until:
            return
        yield Entry(nominal, nominal.astimezone(place), DUE if nominal <= at else COMING, reason="")


@dataclass(frozen=True)
class InTime:
    """How the objective of a schedule stands, in the words of the guide."""

    objective: str
    word: str
    standing: keepup.Standing


def in_time(row: Schedule) -> InTime | None:
    """Return how a schedule's objective stands now, or None if it has none."""
    if not row.objective:
        return None
    objective = keepup.read_objective(row.objective)
    found = latency.standing_of(row, objective, now())
    return InTime(str(objective), found.word(objective), found)
