"""Whether work goes on: which loops run, whether the clock and any worker live, and which rows nobody tries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max

from core import queue
from core.loops import Loop, all_loops
from core.models import Heartbeat, Trouble
from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding, few
from poms_site.overview import words
from poms_site.overview.loops import Standing


def loops() -> Iterator[Finding]:
    """See which loops have not begun a pass for long, or begin and do not end well."""
    beats = {row.loop: row for row in Heartbeat.objects.all()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")  # heartbeats are written by the database's clock
        at = cursor.fetchone()[0]
    yield from judge_loops(all_loops(), beats, at, queue.waiting(), rings=settings.POMS_BELL)


def judge_loops(
    known: Sequence[Loop], beats: Mapping[str, Heartbeat], at: datetime, bells: int, *, rings: bool = True
) -> Iterator[Finding]:
    """Say which of the loops are late by their heartbeats at a moment, and by the bells that hang who is missing."""
    late: dict[str, float] = {}
    failing: list[Heartbeat] = []
    for loop in known:
        beat = beats.get(loop.name)
        standing = Standing(loop, beat, at)
        if beat is None or beat.started_at is None:
            late[loop.name] = 0.0
        elif standing.is_late:
            late[loop.name] = (at - beat.started_at).total_seconds()
        elif standing.is_failing:
            failing.append(beat)
    who = _who_is_missing(bells, rings=rings)
    if late and len(late) == len(known):
        yield Finding("loops", BROKEN, f"No loop has begun{_since(min(late.values()))}: {who[0]}.", who[1])
    elif late:
        named = few(f"{name} (not begun{_since(seconds)})" for name, seconds in late.items())
        yield Finding(
            "loops", BROKEN, f"Late loops: {named}.",
            f"{who[1]} `manage.py reconcile {next(iter(late))} --once` does its work meanwhile.",
        )  # fmt: skip
    for beat in failing:
        yield Finding(
            "loops", BROKEN, f"Passes of the loop {beat.loop} fail: {words.shortened(beat.last_error, 200)}",
            "Look for its traceback in the workers' log, and mend the cause.",
        )  # fmt: skip
    if not late and not failing:
        yield Finding("loops", WELL, f"All {len(known)} loops run.")


def _who_is_missing(bells: int, *, rings: bool) -> tuple[str, str]:
    """Return who keeps loops from running, and what to do: bells that hang are rung, so it is not the clock."""
    if not rings:
        return "POMS_BELL is off", "Set POMS_BELL=1, or run `manage.py reconcile` for each loop."
    if bells:
        return f"{words.count(bells, 'bell')} that no worker answers", "Start workers (`manage.py qcluster`)."
    return "nobody rings", "Start the clock (`manage.py clock`), and workers (`manage.py qcluster`)."


def _since(seconds: float) -> str:
    return f" for {words.duration(seconds)}" if seconds else " even once"


def troubles() -> Iterator[Finding]:
    """Count the rows that no loop tries any more until a person has said so."""
    rows = Trouble.objects.filter(next_at=None).order_by().values("loop", "kind")
    found = list(rows.annotate(n=Count("pk"), latest=Max("pk")).order_by("loop", "kind"))
    errors = Trouble.objects.in_bulk([row["latest"] for row in found])
    for row in found:
        one = errors[row["latest"]]
        yield Finding(
            "troubles", WARNING,
            f"The loop {row['loop']} has parked {words.count(row['n'], row['kind'])}, the latest {one.kind}"
            f" {one.thing_id}: {words.shortened(one.error, 200)}",
            f"Mend the cause, then have it tried again: `poms loop retry t{one.pk} --reason …`.",
        )  # fmt: skip
    if not found:
        yield Finding("troubles", WELL, "No row is parked.")
