"""Intervals: so much time after each other, whatever clocks on walls show. Pure.

They are counted from the beginning that a schedule names, else from 1970-01-01 00:00 UTC, as Temporal does: so the
moments follow from the text alone, and the same text always gives the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=366)
SHORTEST = timedelta(seconds=5)  # the period of the loop that looks at schedules
_TEXT = re.compile(r"every\s+(\d{1,6})\s*([a-z]+)", re.ASCII)
_UNITS = {
    "s": "s", "second": "s", "seconds": "s", "min": "min", "mins": "min", "minute": "min", "minutes": "min",
    "h": "h", "hour": "h", "hours": "h",
}  # fmt: skip
_SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Interval:
    """So many seconds, minutes or hours, as text and as time."""

    number: int
    unit: str  # s, min or h

    def __str__(self) -> str:
        return f"every {self.number} {self.unit}"

    @property
    def length(self) -> timedelta:
        """Return how long it is."""
        return timedelta(seconds=self.number * _SECONDS[self.unit])

    def moments(self, after: datetime, anchor: datetime | None = None) -> Iterator[datetime]:
        """Yield the moments in UTC that are later than one, in order, without end."""
        begin = anchor or EPOCH
        first = (after.astimezone(UTC) - begin) // self.length + 1
        for number in count(first):
            yield begin + number * self.length


def parse(text: str) -> Interval:
    """Read an interval such as `every 5 min` or `every 24 h`; raise ValueError with a sentence."""
    match = _TEXT.fullmatch(" ".join(text.split()).lower())
    if match is None:
        raise ValueError("an interval looks like every 5 min or every 24 h")
    if match[2] not in _UNITS:
        raise ValueError(
            f"an interval is in s, min or h, not {match[2][:20]}; for times of a day use a cron expression"
        )
    found = Interval(int(match[1]), _UNITS[match[2]])
    if not SHORTEST <= found.length <= LONGEST:
        raise ValueError(f"an interval is between {SHORTEST.seconds} s and {LONGEST.days * 24} h long")
    return found
