"""The spans of time that reports are of: a day, a week from Monday, or all there was; days are UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

KINDS = ("day", "week", "all")
FIRST = date(2000, 1, 1)  # before anything that this system can have done
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """Whole days, from `begin` to before `end`."""

    kind: str
    begin: date
    end: date

    @property
    def name(self) -> str:
        """Return its name: 2026-11-30, 2026-W49, or all."""
        if self.kind == "week":
            year, week, _ = self.begin.isocalendar()
            return f"{year}-W{week:02}"
        return self.begin.isoformat() if self.kind == "day" else "all"

    @property
    def title(self) -> str:
        """Return what it is called in a head line: the week 2026-W49, 30 November to 6 December 2026."""
        if self.kind == "week":
            last = self.end - DAY
            return f"Week {self.name}, {self.begin.day} {self.begin:%B} to {last.day} {last:%B %Y}"
        return f"{self.begin:%A}, {self.begin.day} {self.begin:%B %Y}" if self.kind == "day" else "All there was"

    @property
    def since(self) -> datetime:
        """Return its first moment."""
        return datetime.combine(self.begin, datetime.min.time(), UTC)

    @property
    def until(self) -> datetime:
        """Return the first moment after it."""
        return datetime.combine(self.end, datetime.min.time(), UTC)

    @property
    def before(self) -> Period | None:
        """Return the period before, with which it is compared; there is none before all."""
        length = self.end - self.begin
        return None if self.kind == "all" else Period(self.kind, self.begin - length, self.begin)

    @property
    def after(self) -> Period | None:
        """Return the period that follows."""
        length = self.end - self.begin
        return None if self.kind == "all" else Period(self.kind, self.end, self.end + length)

    def is_over(self, at: datetime) -> bool:
        """Tell whether nothing more can happen in it."""
        return self.until <= at


def period_of(kind: str, on: date) -> Period:
    """Return the period of a kind in which a day lies; raise ValueError for another kind."""
    if kind == "day":
        return Period(kind, on, on + DAY)
    if kind == "week":
        monday = on - timedelta(days=on.weekday())
        return Period(kind, monday, monday + 7 * DAY)
    if kind == "all":
        return Period(kind, FIRST, on + DAY)
    raise ValueError(f"no period: {kind}")


def latest_over(kind: str, at: datetime) -> Period:
    """Return the last period of a kind that is over."""
    found = period_of(kind, at.astimezone(UTC).date()).before
    if found is None:
        raise ValueError(f"{kind} is never over")
    return found
