"""Between the clock on a wall and the moments that pass: what a zone makes of a time when its clock changes. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


def shown(at: datetime, zone: ZoneInfo) -> datetime:
    """Return what the wall's clock shows at a moment, as a time without zone."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment, in UTC, of a time on the wall: its first if it comes twice, the change if it never comes."""
    early = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if shown(early, zone) == wall:
        return early
    return _change(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), early, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment between two others, to the minute, at which the zone's offset changes."""
    old = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before) / MINUTE)
    while high - low > 1:
        middle = (low + high) // 2
        if (before + middle * MINUTE).astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return before + high * MINUTE
