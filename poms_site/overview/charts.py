"""The geometry of charts over time: axes and stacked areas, in shares of the width and height. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TIME_STEPS = (
    1, 2, 5, 10, 15, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR,
    2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY,
)  # fmt: skip


@dataclass(frozen=True)
class Tick:
    """One mark on an axis: where, in percent, and what it says; `minor` may be left out on narrow screens."""

    at: float
    text: str
    minor: bool = False


@dataclass(frozen=True)
class Window:
    """The time that a chart shows."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Return how long it is; never nothing, so that shares of it exist."""
        return max((self.end - self.begin).total_seconds(), 1.0)

    def share(self, at: datetime) -> float:
        """Return where a moment lies, in percent of the width, kept inside."""
        share = (at - self.begin).total_seconds() / self.seconds * 100
        return round(min(100.0, max(0.0, share)), 2)


def time_ticks(window: Window, most: int = 8) -> list[Tick]:
    """Return at most so many round times inside the window (UTC); every second one is minor."""
    step = next((s for s in _TIME_STEPS if window.seconds / s <= most - 1), _TIME_STEPS[-1])
    while window.seconds / step > most - 1:
        step *= 2
    first = -(-window.begin.timestamp() // step) * step
    stamps = [first + place * step for place in range(most) if first + place * step <= window.end.timestamp()]
    form = "%H:%M:%S" if step < _MINUTE else "%H:%M" if step < _DAY else "%Y-%m-%d"
    if _MINUTE <= step < _DAY and window.seconds > _DAY:
        form = "%m-%d %H:%M"
    times = [datetime.fromtimestamp(stamp, UTC) for stamp in stamps]
    return [Tick(window.share(at), f"{at:{form}}", minor=bool(place % 2)) for place, at in enumerate(times)]


def count_ticks(top: int, most: int = 4) -> list[tuple[float, int]]:
    """Return round counts up to the top, at most so many steps: (percent from above, count)."""
    step = 1
    while top / step > most:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return [(round(100 - value / max(top, 1) * 100, 2), value) for value in range(0, top + 1, step)]


@dataclass(frozen=True)
class Share:
    """One piece of a progress bar: its mark, how many, where and how wide in percent, and its word."""

    mark: str
    number: int
    at: float
    width: float
    word: str


def shares(progress: Mapping[str, int]) -> list[Share]:
    """Return the pieces of a progress bar: done, running, recovering, without result, waiting; none that is empty."""
    words = (("done", "done", "done"), ("moving", "running", "running"), ("again", "recovering", "recovering"),
             ("failed", "failed", "without result"), ("wait", "waiting", "waiting"))  # fmt: skip
    total = max(sum(progress.get(name, 0) for _, name, _ in words), 1)
    pieces, at = [], 0.0
    for mark, name, word in words:
        number = progress.get(name, 0)
        width = round(100 * number / total, 2)
        if number:
            pieces.append(Share(mark, number, round(at, 2), width, word))
        at += width
    return pieces


def levels(changes: Sequence[int]) -> list[int]:
    """Return the running sum of changes, never below zero.

    A report that came late can say that a job left a state before it entered it.
    """
    return [max(0, level) for level in accumulate(changes)]


def stacked(series: Sequence[Sequence[int]], top: int) -> list[str]:
    """Return an SVG path for each series, the first at the bottom: stairs, one step a bucket.

    The paths are drawn in a box that is as many units wide as there are buckets, and 1000 high.
    """
    paths = []
    below = [0.0] * len(series[0]) if series else []
    for values in series:
        above = [low + value for low, value in zip(below, values, strict=True)]
        paths.append(_band(below, above, 1000 / max(top, 1)) if any(values) else "")
        below = above
    return paths


def _band(below: Sequence[float], above: Sequence[float], scale: float) -> str:
    forth = _stairs(above, scale)
    back = _stairs(below, scale)
    return "M" + " L".join([*forth, *reversed(back)]) + "Z"


def _stairs(values: Sequence[float], scale: float) -> list[str]:
    """Return the corners of a stair; steps of equal height are one."""
    corners: list[tuple[int, float]] = []
    for place, value in enumerate(values):
        y = round(1000 - value * scale, 1)
        if len(corners) >= 2 and corners[-1][1] == y:
            corners[-1] = (place + 1, y)
        else:
            corners += [(place, y), (place + 1, y)]
    return [f"{x},{y:g}" for x, y in corners]


def day_of(window: Window) -> str:
    """Return the day or days that a window is on, for the end of an axis: 2026-11-22 UTC."""
    first, last = window.begin.astimezone(UTC).date(), window.end.astimezone(UTC).date()
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


def buckets(window: Window, most: int) -> tuple[int, timedelta]:
    """Return how many buckets a window is cut into, and how long each is: no shorter than 0.1 s."""
    number = max(1, min(most, int(window.seconds * 10)))
    return number, timedelta(seconds=window.seconds / number)
