"""Outcomes of nominal times: each is written once, with the schedule's place moved past it in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from campaigns.keepup import SKIPPED, Passed
from campaigns.models import Schedule
from core.clock import now
from core.transitions import record
from submissions.models import Tick

MOST_DUE = 2_000  # nominal times that are looked at in one step


def locked(schedule: Schedule) -> Schedule:
    """Lock a schedule's row and return it as it is now: who writes an outcome holds it."""
    rows = Schedule.objects.select_related("experiment", "stage__campaign__experiment")
    return rows.select_for_update(of=("self",), no_key=True).get(pk=schedule.pk)


def is_open(row: Schedule, nominal: datetime) -> bool:
    """Tell whether a time of a locked schedule still waits for its outcome."""
    return row.ended_at is None and nominal in (row.next_at, row.asked_at)


def due(row: Schedule, at: datetime) -> tuple[list[datetime], bool]:
    """Return the nominal times without outcome that have come by now, oldest first, and whether there are more."""
    if row.ended_at is not None or row.next_at is None or row.next_at > at:
        return [], False
    found = [row.next_at]
    for nominal in row.course().after(row.next_at):
        if nominal > at:
            break
        if len(found) == MOST_DUE:
            return found, True
        found.append(nominal)
    return found, False


def close(row: Schedule, nominal: datetime, outcome: str, reason: str = "", *, inputs: int = 0, **also: Any) -> None:
    """Write the outcome of a time of a locked schedule, which is open; `also` are further fields of the schedule."""
    asked = nominal == row.asked_at
    Tick.objects.create(
        schedule=row, nominal=nominal, outcome=outcome, at=now(), inputs=inputs, reason=reason,
        asked_by=row.asked_by if asked else "",
    )  # fmt: skip
    if asked:
        _update(row, asked_at=None, asked_by="", look_at=_look(row.next_at), **also)
    else:
        _go_on(row, nominal, **also)


def pass_over(row: Schedule, passed: Sequence[Passed]) -> None:
    """Write the outcomes of nominal times that are not run, the next ones of a locked schedule in their order."""
    at = now()
    if passed:
        Tick.objects.bulk_create(
            Tick(schedule=row, nominal=one.at, outcome=one.outcome, at=at, reason=one.reason) for one in passed
        )
        _go_on(row, passed[-1].at)


def skip_due(row: Schedule, reason: str) -> bool:
    """Pass over all nominal times of a locked schedule that have come; tell whether it was all of them."""
    times, more = due(row, now())
    pass_over(row, [Passed(nominal, SKIPPED, reason) for nominal in times])
    return not more


def put_off(row: Schedule, until: datetime, why: str, *, tries: int) -> None:
    """Let a nominal time that is due be tried later, at the latest when the next one comes."""
    following = row.comes_after(row.next_at) if row.next_at else None
    _update(row, tries=tries, why=why, look_at=min(until, following) if following else until)


def note(row: Schedule, source: str, verb: str, *, actor: str, reason: str) -> None:
    """Write into the ledger what was done to a schedule, with what it did before."""
    record(
        [(row.pk, source)], "schedule", row.condition, experiment_id=row.experiment_id, actor=actor, reason=reason,
        verb=verb,
    )  # fmt: skip


def _go_on(row: Schedule, nominal: datetime, **also: Any) -> None:
    following = row.comes_after(nominal)
    _update(row, next_at=following, look_at=_look(following), tries=0, why="", **also)


def _look(following: datetime | None) -> datetime:
    return following or now()


def _update(row: Schedule, **fields: Any) -> None:
    Schedule.objects.filter(pk=row.pk).update(**fields)
    for name, value in fields.items():
        setattr(row, name, value)
