"""A schedule's whole course: its rhythm in a zone, from a beginning to an end. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from campaigns.keepup import rhythm, wall
from campaigns.keepup.rhythm import Rhythm

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", re.ASCII)
EARLIEST, LATEST = 2000, 2999  # years that a schedule may name
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """The nominal times of a schedule: those of its rhythm from `start` on and before `end`, both in UTC."""

    rhythm: Rhythm
    zone: ZoneInfo
    start: datetime | None = None
    end: datetime | None = None

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the nominal times, in UTC, that are later than a moment, each later than the one before."""
        if self.start is not None:
            moment = max(moment, self.start - _INSTANT)
        for at in self.rhythm.moments(self.zone, moment, anchor=self.start):
            if self.end is not None and at >= self.end:
                return
            yield at

    def next(self, moment: datetime) -> datetime | None:
        """Return the first nominal time that is later than a moment; None if there is none."""
        return next(self.after(moment), None)


def span(text: str, zone_name: str, start: str, end: str) -> Span:
    """Return the course that the four texts of a definition mean; raise ValueError for what cannot be read."""
    place = zone(zone_name)
    begin, last = (wall.moment_of(datetime.fromisoformat(moment(at)), place) if at else None for at in (start, end))
    return Span(rhythm.read(text), place, begin, last)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name, such as America/Chicago; raise ValueError with a sentence."""
    if name not in _zones():
        raise ValueError(f"there is no time zone {name[:40] or '(none)'}; they have names such as America/Chicago")
    return ZoneInfo(name)


def moment(text: str) -> str:
    """Return a time on the wall as it is written, `2026-11-01 08:00`; raise ValueError with a sentence."""
    if not _MOMENT.fullmatch(text):
        raise ValueError(f"expected a time such as 2026-11-01 08:00, not {text[:40]}")
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text} is no time: {error}") from None
    if not EARLIEST <= at.year <= LATEST:
        raise ValueError(f"the year of a time is between {EARLIEST} and {LATEST}, not {at.year}")
    return at.isoformat(" ", "minutes")
