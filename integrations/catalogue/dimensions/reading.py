"""What the values of a query mean: numbers, runs, moments, patterns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from integrations.catalogue.dimensions.tree import DimensionError

_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,9})?")
_RUN = re.compile(r"(\d{1,15})(?:\.(\d{1,15}))?")
_DAY = re.compile(r"(\d\d)-([A-Za-z]{3})-(\d{4}|\d\d)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Moment(NamedTuple):
    """A time; a day alone is its midnight, and lasts until the next one."""

    at: datetime
    whole_day: bool = False

    @property
    def end(self) -> datetime:
        """Return the end of what was meant: of the day, or the moment itself."""
        return self.at + timedelta(days=1) - timedelta(microseconds=1) if self.whole_day else self.at


class Run(NamedTuple):
    """A run, and one subrun of it where that was meant."""

    run: int
    subrun: int | None = None


def number(text: str, of: str) -> Decimal:
    """Read a number."""
    if not _NUMBER.fullmatch(text):
        raise DimensionError(f"{of} is a number, which {text[:80]!r} is not.")
    return Decimal(text)


def is_number(text: str) -> bool:
    """Tell whether it reads as a number."""
    return bool(_NUMBER.fullmatch(text))


def run(text: str) -> Run:
    """Read a run, such as 123, or a subrun, such as 123.4."""
    found = _RUN.fullmatch(text)
    if not found:
        raise DimensionError(f"run_number is a run, such as 123, or a subrun, such as 123.4; {text[:80]!r} is neither.")
    return Run(int(found[1]), int(found[2]) if found[2] else None)


def moment(text: str, of: str) -> Moment:
    """Read a time, such as 2026-11-22, 22-Nov-2026 or 2026-11-22T10:00:00-0600; without a zone it is UTC."""
    try:
        if day := _DAY.fullmatch(text):
            year = int(day[3]) + (2000 if len(day[3]) == 2 else 0)
            return Moment(datetime(year, _MONTHS.index(day[2].lower()) + 1, int(day[1]), tzinfo=UTC), True)
        if not re.match(r"\d{4}-\d\d-\d\d(?:$|[Tt ])", text):
            raise ValueError(text)
        at = datetime.fromisoformat(text)
        return Moment(at if at.tzinfo else at.replace(tzinfo=UTC), len(text) == 10)
    except (ValueError, OverflowError) as error:
        form = "such as 2026-11-22, 22-Nov-2026 or '2026-11-22T10:00:00'"
        raise DimensionError(f"{of} is a time, {form}; {text[:80]!r} is none.") from error


def has_wildcard(text: str) -> bool:
    """Tell whether a value stands for more than itself."""
    return "%" in text
