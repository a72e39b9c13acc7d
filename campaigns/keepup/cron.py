"""Cron expressions of five fields, and the moments that they name in a zone. Pure.

Fields and their meaning are those of crontab(5) of Vixie's cron: names, ranges, steps and lists; where both kinds of
day are restricted, either will do. What is done at changes of the clock is decided in
docs/develop/decisions/0017-nominal-times.md.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from campaigns.keepup import wall

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# name, least, most, words of the field
FIELDS = (("minute", 0, 59, ()), ("hour", 0, 23, ()), ("day of the month", 1, 31, ()), ("month", 1, 12, MONTHS),
          ("day of the week", 0, 7, DAYS))  # fmt: skip
NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
HORIZON = timedelta(days=366 * 41)  # every weekday has fallen on every date, a 29 February too
_DAY = timedelta(days=1)
_TERM = re.compile(r"(\*|\w{1,3})(?:-(\w{1,3}))?(?:/(\d{1,2}))?", re.ASCII)


@dataclass(frozen=True)
class Cron:
    """The times on the wall that an expression names: sorted minutes and hours, and which dates."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    both: bool  # a date must be right by its day and its weekday, else one of them is enough

    @property
    def hourly(self) -> bool:
        """Tell whether it names no hours, so that it goes on in every hour that passes, whatever the clock says."""
        return len(self.hours) == 24

    def on(self, day: date) -> bool:
        """Tell whether it names times of a date."""
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_day and by_weekday if self.both else by_day or by_weekday

    def moments(self, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
        """Yield the moments in UTC that are later than one, in order, without end."""
        yield from self._passing(zone, after) if self.hourly else self._named(zone, after)

    def _named(self, zone: ZoneInfo, last: datetime) -> Iterator[datetime]:
        """Yield each named time of each date once."""
        day = wall.shown(last, zone).date() - _DAY
        while day.year < date.max.year:
            if self.on(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        at = wall.moment_of(datetime.combine(day, time(hour, minute)), zone)
                        if at > last:  # of several times that a change skips, one is left
                            last = at
                            yield at
            day += _DAY

    def _passing(self, zone: ZoneInfo, last: datetime) -> Iterator[datetime]:
        """Yield every moment at which the wall's clock shows one of the minutes."""
        at = last.astimezone(UTC).replace(second=0, microsecond=0) + wall.MINUTE
        while at.year < date.max.year:
            local = at.astimezone(zone)
            right = self.on(local.date())
            if right and local.minute in self.minutes:
                yield at
            ahead = timedelta(minutes=self._ahead(local, right))
            # Over a change of the clock nothing is leapt: it is walked up to, minute by minute.
            same = (at + ahead).astimezone(zone).utcoffset() == local.utcoffset()
            at += ahead if same else wall.MINUTE

    def _ahead(self, local: datetime, right: bool) -> int:
        """Return after how many minutes the clock may show one of the minutes next, if it is not changed."""
        if not right:
            return (24 - local.hour) * 60 - local.minute
        place = bisect_right(self.minutes, local.minute)
        return (self.minutes[place] if place < len(self.minutes) else 60) - local.minute


def parse(text: str) -> Cron:
    """Read an expression such as `30 2 * * mon-fri` or `@daily`; raise ValueError with a sentence."""
    bare = " ".join(text.split()).lower()
    fields = NICKNAMES.get(bare, bare).split()
    if bare.startswith("@") and bare not in NICKNAMES:
        raise ValueError(f"there is no {bare[:20]}; there are {', '.join(NICKNAMES)}")
    if len(fields) != len(FIELDS):
        names = ", ".join(name for name, *_ in FIELDS)
        raise ValueError(f"a cron expression has five fields ({names}), not {len(fields)}")
    sets = [_field(field, *kind) for field, kind in zip(fields, FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = sets
    both = fields[2].startswith("*") or fields[4].startswith("*")
    found = Cron(tuple(sorted(minutes)), tuple(sorted(hours)), days, months, frozenset(n % 7 for n in weekdays), both)
    begin = date(2000, 1, 1)
    if not any(found.on(begin + n * _DAY) for n in range(HORIZON.days)):
        raise ValueError(f"no date is ever {fields[2]} {fields[3]} {fields[4]}")
    return found


def _field(text: str, name: str, least: int, most: int, words: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _TERM.fullmatch(part)
        if match is None or (match[1] == "*" and match[2]):
            raise ValueError(f"the {name} cannot be read: {part[:20] or 'nothing'}")
        step = int(match[3] or 1)
        if match[1] == "*":
            low, high = least, min(most, 6) if words == DAYS else most
        else:
            low = _number(match[1], name, least, most, words)
            last = _number(match[2], name, least, most, words) if match[2] else (most if match[3] else low)
            high = 7 if last == 0 and low > 0 and match[2] and words == DAYS else last  # fri-sun
        if high < low or not step:
            raise ValueError(f"the {name} {part} names nothing: {'a step of 0' if not step else f'{high} < {low}'}")
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _number(text: str, name: str, least: int, most: int, words: tuple[str, ...]) -> int:
    if text in words:
        return words.index(text) + (1 if words == MONTHS else 0)
    if not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f"the {name} {text} is not between {least} and {most}")
    return int(text)
