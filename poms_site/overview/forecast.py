"""When a campaign will be done, from how fast results came, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

FEWEST = 3  # results before a rate is worth telling: then it is known to 60 %
LONGEST = 100 * 365 * 86400.0  # nobody plans for longer, and a date cannot be any


@dataclass(frozen=True)
class Forecast:
    """The expected end as it is seen `at` a moment, and by how much it may be off (one standard deviation)."""

    at: datetime
    end: datetime
    spread: timedelta

    @property
    def earliest(self) -> datetime:
        """Return the end if all goes well, within the spread; it is never in the past."""
        return max(self.at, self.end - self.spread)

    @property
    def latest(self) -> datetime:
        """Return the end if all goes slowly, within the spread."""
        return self.end + self.spread


def expected_units(
    units: Mapping[str, int], feeds: Sequence[tuple[str, str, int]], done: Mapping[str, int],
    ended: Collection[str] = (),
) -> dict[str, int]:  # fmt: skip
    """Return how many inputs each stage will have in the end, those that its parents still have to make included.

    `units` and `done` are what stages have and finished so far, in an order in which parents come first; `feeds` are
    (upstream, downstream, files passed). A parent goes on to give as many files for an input as it gave so far, or
    one where it has given none yet. Stages that have `ended` get and give nothing more.
    """
    expected: dict[str, int] = {}
    for name in units:
        if name in ended:
            expected[name] = units[name]
            continue
        coming = 0.0
        for upstream, downstream, passed in feeds:
            if downstream == name and upstream != name and upstream in units:
                share = passed / done[upstream] if done.get(upstream) else 1.0
                coming += passed if upstream in ended else expected.get(upstream, units[upstream]) * share
        expected[name] = max(units[name], round(coming))
    return expected


def forecast(results: Sequence[tuple[datetime, int]], remaining: int, at: datetime) -> Forecast | None:
    """Return when `remaining` inputs will be done, from the latest results; None if too few came, or it takes too long.

    `results` are times with how many inputs were done then: those of a submission come all at once, when it is
    settled, and are one result here. Results are taken to come at random at a steady rate (a Poisson process), each
    with k inputs of an unknown spread. Then the time from the n-th last result until now is gamma distributed: its
    mean is n times the time between results, its variance a share 1/n of the mean squared. So the time for an input is
    measured without bias by span / inputs, and known to the share sqrt(q / n), where q = <k^2> / <k>^2; q is 1
    where all results have equally many inputs. What remains are m = remaining / <k> further results, and the time
    that these take varies by the share sqrt(q / m) (variance of a compound Poisson process: rate * <k^2>). Both are
    independent, so the squares add up. The spread is one standard deviation.
    """
    results = [(then, inputs) for then, inputs in results if inputs > 0]
    if remaining <= 0 or len(results) < FEWEST:
        return None
    span = (at - min(then for then, _ in results)).total_seconds()
    if span <= 0:
        return None
    inputs = sum(k for _, k in results)
    seconds = remaining * span / inputs
    if seconds > LONGEST:
        return None
    number, each = len(results), inputs / len(results)
    uneven = sum(k * k for _, k in results) / number / each**2
    spread = seconds * sqrt(uneven * (1 / number + each / remaining))
    return Forecast(at, at + timedelta(seconds=seconds), timedelta(seconds=min(spread, LONGEST)))
