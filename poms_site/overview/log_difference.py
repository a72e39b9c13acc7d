"""Two logs beside each other: lines that say the same but for numbers, times and names are alike. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_LINES = 1000  # of each log: the time that aligning takes grows with the square
AROUND = 2  # lines that are alike and shown before and after those that are not
# What differs between two jobs that do the same: in this order, since a time has numbers in it.
_PLACES = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +\w+ +\w+ +[\d:]+(?: +\w+)? +\d{4}\b"), "<time>"),
    (re.compile(r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"0x[0-9a-fA-F]+"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b"), "<hash>"),
    (re.compile(r"(?<![A-Za-z])[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"), "<n>"),
    (re.compile(r"(?<=[A-Za-z_.-])\d+"), "<n>"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class Row:
    """One line of both logs, or of one of them; how: "same", "left", "right", or "skipped" with how many are alike."""

    how: str
    left: str = ""
    right: str = ""
    skipped: int = 0


def normalised(line: str) -> str:
    """Return a line without what differs from job to job: times, numbers, addresses, hashes, uuids."""
    for pattern, place in _PLACES:
        line = pattern.sub(place, line)
    return line.strip()


def aligned(left: str, right: str) -> list[Row]:
    """Return the last lines of both logs beside each other; long stretches that are alike are left out."""
    mine, theirs = left.splitlines()[-MOST_LINES:], right.splitlines()[-MOST_LINES:]
    plain = [normalised(line) for line in mine], [normalised(line) for line in theirs]
    rows: list[Row] = []
    for how, a, b, c, d in SequenceMatcher(None, *plain, autojunk=False).get_opcodes():
        if how == "equal":
            rows += [Row("same", x, y) for x, y in zip(mine[a:b], theirs[c:d], strict=True)]
        else:
            rows += [Row("left", line) for line in mine[a:b]] + [Row("right", right=line) for line in theirs[c:d]]
    return _folded(rows)


def _folded(rows: Sequence[Row]) -> list[Row]:
    """Leave out lines that are alike and far from any that is not."""
    different = [place for place, row in enumerate(rows) if row.how != "same"]
    near = {near for place in different for near in range(place - AROUND, place + AROUND + 1)}
    found: list[Row] = []
    for place, row in enumerate(rows):
        if place in near:
            found.append(row)
        elif found and found[-1].how == "skipped":
            found[-1] = Row("skipped", skipped=found[-1].skipped + 1)
        else:
            found.append(Row("skipped", skipped=1))
    return found
