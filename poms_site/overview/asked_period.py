"""The period that somebody asks for, in an address of a page or of the API."""

from __future__ import annotations

from datetime import date

from core.clock import now
from core.errors import Problem, Refused
from poms_site.overview.periods import FIRST, KINDS, Period, period_of

LAST = date(2200, 1, 1)


def period_asked(kind: str, on: str) -> Period:
    """Return the period by its kind and a day in it; nothing is the week of today, and of today."""
    problems = []
    if kind and kind not in KINDS:
        problems.append(Problem("period", f"unknown: {kind[:40]}", ", ".join(KINDS)))
    try:
        day = date.fromisoformat(on) if on else now().date()
        if not FIRST <= day <= LAST:
            problems.append(Problem("on", f"{day} is between no days that there were", f"{FIRST} to {LAST}"))
    except ValueError:
        problems.append(Problem("on", f"no day: {on[:40]}", "such as 2026-11-30"))
    if problems:
        raise Refused("There is no such report.", problems)
    return period_of(kind or "week", day)
