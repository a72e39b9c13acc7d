"""Loop `schedule`: each nominal time of a keep-up gets its one outcome, whatever was down meanwhile (T7)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction

from campaigns import keepup, queries
from campaigns.models import Schedule, StageVersion
from core.clock import now
from core.crashpoints import crashpoint
from core.errors import PomsError
from core.loops import careful, untroubled
from integrations.errors import OutsideError
from submissions.logic import following, ticking
from submissions.logic.arriving import arrive
from submissions.queries import work_going_on

A_PASS = 20
LEASE = timedelta(seconds=60)
WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=5)


def schedule_some() -> int:
    """Let schedules follow the definitions, then run those whose time has come; return how many steps that was."""
    did = _follow_some()
    due = _claim()
    if not due:
        return did
    for row in Schedule.objects.select_related("experiment", "stage__campaign__experiment").filter(pk__in=due):
        with careful("schedule", "schedule", row.pk):
            step(row)
    return did + len(due)


def _follow_some() -> int:
    behind, gone = queries.out_of_step(A_PASS)
    if not behind and not gone:
        return 0
    beside = ("revision__campaign__experiment", "stage")
    for version in StageVersion.objects.select_related(*beside).filter(pk__in=behind).order_by("pk"):
        with careful("schedule", "stage", version.stage_id):
            following.follow(version)
            crashpoint("schedule.after_follow")
    for row in Schedule.objects.filter(pk__in=gone).order_by("pk"):
        with careful("schedule", "schedule", row.pk):
            following.end(row)
    return len(behind) + len(gone)


def _claim() -> list[int]:
    """Take schedules that are due, each for a while: nobody else asks the catalogue for them meanwhile.

    Nominal times are those of this process's clock, which a simulation can move; the row's lock decides, not a lease.
    """
    at = now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE campaigns_schedule SET look_at = %(until)s
            WHERE id IN (
                SELECT id FROM campaigns_schedule s
                WHERE ended_at IS NULL AND look_at <= %(at)s AND {untroubled("schedule", "schedule").format(id="s.id")}
                ORDER BY look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - a constant condition
            {"at": at, "until": at + LEASE, "limit": A_PASS},
        )
        return [row[0] for row in cursor.fetchall()]


def step(schedule: Schedule) -> None:
    """Do the next step of one schedule: pass over what is not run, and run what is."""
    with transaction.atomic():
        row = ticking.locked(schedule)
        if row.ended_at is not None:
            return
        tick = row.asked_at or _next(row)
        if row.next_at is None and tick is None:
            following.finish(row, f"its end, {row.ends_at:%Y-%m-%d %H:%M} UTC, has come")
    crashpoint("schedule.after_judging")
    if tick is not None:
        _run(row, tick)


def _next(row: Schedule) -> datetime | None:
    """Return the nominal time of a locked schedule that is to be run now, after writing the outcomes of others."""
    at = now()
    if stopped := _stopped(row):
        ticking.skip_due(row, stopped)
        return None
    times, more = ticking.due(row, min(at, row.valid_until or at))
    if not times:
        Schedule.objects.filter(pk=row.pk).update(look_at=row.next_at or at)
        return None
    judged = keepup.judge(
        times, now=at, catch_up=row.catch_up, cap=row.cap, more=more, tries=row.tries, why=row.why
    )  # fmt: skip
    ticking.pass_over(row, judged.passed)
    busy = work_going_on(row.stage_id) if judged.run and row.overlap != keepup.ALLOW and not row.tries else ""
    if judged.run is None or not busy:
        Schedule.objects.filter(pk=row.pk, next_at=judged.run).update(look_at=at + LEASE)
        return judged.run
    if row.overlap == keepup.SKIP:
        ticking.close(row, judged.run, keepup.SKIPPED, f"the work of an earlier tick goes on: {busy}")
    else:
        ticking.put_off(row, at + WAIT, f"waited for the work of an earlier tick: {busy}", tries=0)
    return None


def _stopped(row: Schedule) -> str:
    if row.paused_at is not None:
        return f"paused by {row.paused_by.removeprefix('user:')}: {row.pause_reason}"
    if row.valid_until is not None and row.next_at is not None and row.valid_until <= row.next_at:
        return f"the keep-up request was not renewed after {row.valid_until:%Y-%m-%d %H:%M} UTC"
    return ""


def _run(row: Schedule, tick: datetime) -> None:
    """Look for new files; where that cannot be done now, the tick stays due until the next time comes."""
    try:
        arrive(row, tick)
    except (OutsideError, PomsError) as error:
        with transaction.atomic():
            fresh = ticking.locked(row)
            if not ticking.is_open(fresh, tick):
                return
            if tick == fresh.asked_at:
                ticking.close(fresh, tick, keepup.FAILED, str(error))
            else:
                tries = fresh.tries + 1
                wait = min(LONGEST_WAIT, timedelta(seconds=2 ** min(tries, 10)))
                ticking.put_off(fresh, now() + wait, str(error), tries=tries)
