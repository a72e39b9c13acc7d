"""When a campaign will be done, from how fast results came, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

FEWEST = 3
LONGEST = 100 * 365 * 86400.0  # nobody plans for longer, and a date cannot be any


@dataclass(frozen=True)
class Forecast:
    """The expected end, and by how much it may be off (one standard deviation)."""

    end: datetime
    spread: timedelta


def expected_units(
    units: Mapping[str, int], feeds: Sequence[tuple[str, str, int]], done: Mapping[str, int]
) -> dict[str, int]:
    """Return how many inputs each stage will have in the end, those that its parents still have to make included.

    `units` and `done` are what stages have and finished so far, in an order in which parents come first; `feeds` are
    (upstream, downstream, files passed). A parent goes on to give as many files for an input as it gave so far, or
    one where it has given none yet.
    """
    expected: dict[str, int] = {}
    for name in units:
        coming = 0.0
        for upstream, downstream, passed in feeds:
            if downstream == name and upstream != name and upstream in units:
                share = passed / done[upstream] if done.get(upstream) else 1.0
                coming += expected.get(upstream, units[upstream]) * share
        expected[name] = max(units[name], round(coming))
    return expected


def forecast(results: Sequence[datetime], remaining: int, at: datetime) -> Forecast | None:
    """Return when `remaining` inputs will be done, from the times of the latest results; None if too few came
    or it would take more than a lifetime.

    Results are taken to come at random at a steady rate, so that n of them give the rate to 1/sqrt(n), and the
    remaining ones vary by their own square root.
    """
    if remaining <= 0 or len(results) < FEWEST:
        return None
    span = (at - min(results)).total_seconds()
    if span <= 0:
        return None
    seconds = remaining * span / len(results)
    if seconds > LONGEST:
        return None
    spread = seconds * sqrt(1 / len(results) + 1 / remaining)
    return Forecast(at + timedelta(seconds=seconds), timedelta(seconds=spread))
