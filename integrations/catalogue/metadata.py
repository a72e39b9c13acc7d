"""What SAM's form of metadata says of a file: its runs and times (protocols 1.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any, NamedTuple

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].+)?")
MOST = 10**15


class RunOf(NamedTuple):
    """A run, or a part of one, with its type, such as physics."""

    run: int
    subrun: int = 0
    type: str = ""


def runs_of(metadata: Mapping[str, Any]) -> list[RunOf]:
    """Return the runs, in their order: of `[[713, 74, "physics"]]` as of `[713]`; what is no run is left out."""
    given = metadata.get("runs")
    found: dict[tuple[int, int], RunOf] = {}
    for entry in given if isinstance(given, list) else []:
        parts = entry if isinstance(entry, list) else [entry]
        run, subrun = _whole(parts[0] if parts else None), _whole(parts[1] if len(parts) > 1 else 0)
        if run is not None:
            kind = parts[2] if len(parts) > 2 else ""
            found.setdefault((run, subrun or 0), RunOf(run, subrun or 0, str(kind or "")[:80]))
    return sorted(found.values())


def first_run(metadata: Mapping[str, Any]) -> int | None:
    """Return the lowest run, or None of a file without."""
    runs = runs_of(metadata)
    return runs[0].run if runs else None


def moment_of(metadata: Mapping[str, Any], key: str) -> datetime | None:
    """Return a time of the metadata; without a zone it is UTC; None where it is no time."""
    text = metadata.get(key)
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not MINYEAR < at.year < MAXYEAR:
        return None  # a zone may carry it out of the years that there are
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _whole(given: Any) -> int | None:
    if isinstance(given, str) and re.fullmatch(r"\d{1,15}", given):
        return int(given)
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < MOST else None
