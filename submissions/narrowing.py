"""What lists can be narrowed by beside place and state: of jobs, how much they used, when they ran, how they exited.

Pages, API and selections share it, so that "all that fit the filters" are those that one sees. No index serves these: a
page of a list looks through so many rows for those that fit, and goes on below (queries.LOOKED_THROUGH).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, Value
from django.db.models.functions import Coalesce

from core.errors import Problem, Refused

Narrow = Callable[[Any, str], Any]


def numbered(rows: Any, value: str) -> Any:
    """Narrow batches to those whose numbers within their stage are in a range, such as 26-50."""
    found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", value)
    if not found:
        raise _unreadable("numbers", f"no range: {value[:40]}", "such as 26-50")
    return rows.filter(number__gte=int(found[1]), number__lte=int(found[2] or found[1]))


def _number(name: str, lookup: str, hint: str, *, whole: bool = False) -> Narrow:
    def narrow(rows: Any, value: str) -> Any:
        pattern = r"-?[0-9]{1,9}" if whole else r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
        if not re.fullmatch(pattern, value):
            raise _unreadable(name, f"no number: {value[:40]}", hint)
        return rows.filter(**{lookup: int(value) if whole else float(value)})

    return narrow


def _moment(name: str, lookup: str) -> Narrow:
    def narrow(rows: Any, value: str) -> Any:
        try:
            at = datetime.fromisoformat(value)
        except ValueError as error:
            raise _unreadable(name, f"no time: {value[:40]}", "such as 2026-11-01T08:00Z") from error
        if at.tzinfo is None:
            raise _unreadable(name, f"has no zone: {value[:40]}", "such as 2026-11-01T08:00Z")
        return rows.filter(**{lookup: at})

    return narrow


def _efficiency(rows: Any, value: str) -> Any:
    """Narrow to jobs that used less of their cores' time than so many percent."""
    if not re.fullmatch(r"[0-9]{1,3}", value):
        raise _unreadable("efficiency_below", f"no percentage: {value[:40]}", "such as 30")
    most = F("wall_s") * Coalesce(F("cpus"), Value(1)) * (int(value) / 100)
    return rows.filter(wall_s__gt=0, cpu_s__lt=most)


def _unreadable(name: str, what: str, hint: str) -> Refused:
    return Refused("The list cannot be filtered so.", [Problem(name, what, hint)])


# name in an address: its word, and how it narrows
JOBS: Mapping[str, tuple[str, Narrow]] = {
    "exit_code": ("exit code", _number("exit_code", "exit_code", "such as 65", whole=True)),
    "memory_over": ("memory over (MB)", _number("memory_over", "memory_mb__gt", "megabytes, such as 2000")),
    "wall_over": ("wall time over (s)", _number("wall_over", "wall_s__gt", "seconds, such as 3600")),
    "wall_under": ("wall time under (s)", _number("wall_under", "wall_s__lt", "seconds, such as 60")),
    "efficiency_below": ("processor used below (%)", _efficiency),
    "started_after": ("started after", _moment("started_after", "started_at__gte")),
    "started_before": ("started before", _moment("started_before", "started_at__lt")),
    "ended_after": ("ended after", _moment("ended_after", "ended_at__gte")),
    "ended_before": ("ended before", _moment("ended_before", "ended_at__lt")),
}
