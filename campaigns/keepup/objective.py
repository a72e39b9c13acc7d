"""How soon new data should be done: what share in how many hours, and whether that will be missed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

# The share of the hours after which what still waits is counted as probably late, so that there is time to act.
AGEING = 0.75
# The share is taken of what arrived in these days and the limit before them.
WINDOW = timedelta(days=7)
# How an objective stands.
MET, AT_RISK, MISSED = WORDS = ("met", "at_risk", "missed")
_TEXT = re.compile(r"(\d{1,3}(?:\.\d)?)\s*%\s+within\s+(\d{1,5})\s*h", re.ASCII)


@dataclass(frozen=True)
class Objective:
    """So many percent within so many hours after they have arrived."""

    percent: float
    hours: int

    def __str__(self) -> str:
        return f"{self.percent:g}% within {self.hours} h"

    @property
    def limit(self) -> timedelta:
        """Return how long one may take."""
        return timedelta(hours=self.hours)


def parse(text: str) -> Objective:
    """Read an objective such as `95% within 24 h`; raise ValueError with a sentence."""
    match = _TEXT.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError("an objective looks like 95% within 24 h")
    found = Objective(float(match[1]), int(match[2]))
    if not 1 <= found.percent <= 100 or not 1 <= found.hours <= 10_000:
        raise ValueError("an objective is between 1 and 100 % and between 1 and 10000 h")
    return found


@dataclass(frozen=True)
class Standing:
    """How an objective stands: of what arrived in the window, how much was done in time, late, and waits."""

    in_time: int = 0
    late: int = 0  # done late, or waiting for longer than the limit already
    ageing: int = 0  # waiting for most of the limit, counted by AGEING
    fresh: int = 0  # waiting for less
    oldest: datetime | None = None  # arrival of what waits longest

    @property
    def backlog(self) -> int:
        """Return how many of those not late yet wait."""
        return self.ageing + self.fresh

    @property
    def share(self) -> float | None:
        """Return the percentage done in time, of those of which it is known; None if there are none."""
        known = self.in_time + self.late
        return 100 * self.in_time / known if known else None

    def word(self, objective: Objective) -> str:
        """Return MET, AT_RISK or MISSED for the window as a whole, what still waits included.

        It is missed when too many are late even if all that wait are done in time, and at risk when those that have
        waited for most of the limit would make it so: that is said before the objective is missed.
        """
        all_of_them = self.in_time + self.late + self.backlog
        spare = all_of_them * (100 - objective.percent) / 100 + 1e-9
        if self.late > spare:
            return MISSED
        return AT_RISK if self.late + self.ageing > spare else MET


def standing(
    facts: Iterable[tuple[datetime, datetime | None]], objective: Objective, now: datetime, window: timedelta = WINDOW
) -> Standing:  # fmt: skip
    """Return how an objective stands by when each input arrived and was done (None: it waits)."""
    in_time = late = ageing = fresh = 0
    oldest: datetime | None = None
    for arrived, done in facts:
        if arrived < now - window - objective.limit:
            continue
        took = (done or now) - arrived
        if done is None and (oldest is None or arrived < oldest):
            oldest = arrived
        if took > objective.limit:
            late += 1
        elif done is not None:
            in_time += 1
        elif took > AGEING * objective.limit:
            ageing += 1
        else:
            fresh += 1
    return Standing(in_time, late, ageing, fresh, oldest)
