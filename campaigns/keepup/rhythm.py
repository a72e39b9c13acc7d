"""The rhythm of a schedule: a cron expression or an interval, read from its text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from campaigns.keepup import cron, interval

LONGEST_TEXT = 200


@dataclass(frozen=True)
class Rhythm:
    """A cron expression or an interval, and how it is written."""

    text: str
    of: cron.Cron | interval.Interval

    def __str__(self) -> str:
        return self.text

    def moments(self, zone: ZoneInfo, after: datetime, *, anchor: datetime | None = None) -> Iterator[datetime]:
        """Yield its moments in UTC that are later than one, in order, without end; an interval counts from `anchor`."""
        if isinstance(self.of, interval.Interval):
            return self.of.moments(after, anchor)
        return self.of.moments(zone, after)


def read(text: str) -> Rhythm:
    """Read `*/5 * * * *`, `@daily` or `every 24 h`; raise ValueError with a sentence."""
    bare = " ".join(text.split())
    if len(bare) > LONGEST_TEXT:
        raise ValueError(f"a schedule is at most {LONGEST_TEXT} characters long")
    if bare[:5].lower() == "every":
        found = interval.parse(bare)
        return Rhythm(str(found), found)
    return Rhythm(bare, cron.parse(bare))
