"""Who is next: the rule by which waiting work gets its place in a batch system (J14, J16). Pure.

Each batch system has its own line. Between experiments the one goes first that has least there for its share: jobs in
the batch system that have not ended, divided by its weight; every piece that is chosen counts at once. Within an
experiment the highest effective rank goes first: rank, and points for each hour of waiting, and a boost while it
stands; at equal rank the older piece.

All that waits ages alike, so a piece is overtaken only by what comes while its points make less than the difference
of the ranks (`overtaken_for`): nothing starves.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

HIGHEST_RANK = 100
BOOST = 1000.0  # points: above every rank, and above what waited for six weeks at a point an hour
DEFAULT_WEIGHT = 1
NEVER = 10 * 365 * 24.0  # hours; nobody waits for longer, and a date cannot be any


@dataclass(frozen=True)
class Piece:
    """A submission that waits: `hours` since it does, `jobs` that it brings."""

    key: int
    experiment: int
    rank: int
    hours: float
    jobs: int
    boosted: bool = False


def effective_rank(rank: int, hours: float, ageing: float, *, boosted: bool = False) -> float:
    """Return what a piece goes by within its experiment; `ageing` is in points an hour."""
    return rank + (BOOST if boosted else 0.0) + ageing * hours


def in_order(pieces: Iterable[Piece], use: Mapping[int, int], weights: Mapping[int, int], ageing: float) -> list[Piece]:
    """Return the pieces of one batch system in the order in which they get their places.

    `use` is how many jobs of each experiment are there already; `weights` are the shares that are not the default.
    """
    lines: dict[int, list[Piece]] = defaultdict(list)
    for piece in pieces:
        lines[piece.experiment].append(piece)
    for line in lines.values():
        line.sort(key=lambda p: (-effective_rank(p.rank, p.hours, ageing, boosted=p.boosted), p.key), reverse=True)
    has = {experiment: use.get(experiment, 0) for experiment in lines}
    found = []
    while lines:
        first = min(lines, key=lambda e: (has[e] / weights.get(e, DEFAULT_WEIGHT), e))
        piece = lines[first].pop()
        has[first] += piece.jobs
        found.append(piece)
        if not lines[first]:
            del lines[first]
    return found


def admitted(ordered: Sequence[Piece], room: int | None) -> list[Piece]:
    """Return the pieces that may go now: as long as those before them leave room; None is room for all.

    So the last one may exceed the room by its own jobs: one larger than all the room would never go otherwise.
    """
    found, taken = [], 0
    for piece in ordered:
        if room is not None and taken >= room:
            break
        found.append(piece)
        taken += piece.jobs
    return found


def depth_of(setting: str, slots: int) -> int | None:
    """Return how many idle jobs are kept in a batch system with so many slots; None: no limit.

    The setting is a number of jobs, a multiple of the slots (`2x`), or 0. A multiple of slots that nobody knows yet is
    no limit. What cannot be read raises ValueError.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)(x?)", setting.strip())
    if not found or (not found[2] and "." in found[1]):
        raise ValueError(f"{setting[:20]!r} is neither a number of jobs nor a multiple of the slots such as 2x")
    value = float(found[1])
    if not value or (found[2] and not slots):
        return None
    return max(1, round(value * slots)) if found[2] else int(value)


def overtaken_for(rank: int, ageing: float) -> float:
    """Return for how many hours after a piece another may still come that goes before it, boosts left aside."""
    return (HIGHEST_RANK - rank) / ageing if ageing > 0 else NEVER


def place_at(minute: int, points: float, ageing: float) -> int:
    """Return the place, among the idle jobs of a batch system, of what was put there at a minute of the epoch.

    The higher goes first: earlier minutes do. `points` won or lost since then move it by the time in which ageing
    makes as many; so what was put back is reached all the same.
    """
    hours = points / ageing if ageing > 0 else NEVER * (1 if points > 0 else -1 if points < 0 else 0)
    return -minute + round(60 * max(-NEVER, min(NEVER, hours)))
