"""Replaces %(…)s as ConfigParser's BasicInterpolation does, within limits that it has not. Pure.

A value of ten keys, each of which names the next a thousand times, is small to write and large to fill in: it is
refused. Each key is filled in once, so that a configuration costs by its size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from campaigns.fife_launch.model import Filled

DEEPEST = 10  # configparser.MAX_INTERPOLATION_DEPTH
LONGEST_VALUE = 64 * 1024
_TOKEN = re.compile(r"%%|%\(([^)]{1,200})\)s|%")


class Budget:
    """How much more may be filled in for all values together: a piece costs its characters and a little more."""

    def __init__(self, left: int = 8 * 1024 * 1024) -> None:
        self.left = left

    def spend(self, characters: int) -> bool:
        """Take as much as a piece costs; return whether there was enough."""
        self.left -= characters + 10
        return self.left >= 0

    @property
    def spent(self) -> bool:
        """Return whether there is nothing left."""
        return self.left < 0


class _TooMuch(Exception):
    """The value at hand cannot be filled in, whatever else it says."""


class Filler:
    """Fills in the values of one section from the names that may be used there."""

    def __init__(self, values: Mapping[str, str], budget: Budget | None = None) -> None:
        self.values = values
        self.budget = budget or Budget()
        self.known: dict[str, Filled] = {}

    def of(self, key: str) -> Filled:
        """Return the value of a key, filled in."""
        try:
            return self._of(key, 1)
        except _TooMuch as error:
            self.known[key] = Filled(None, (), str(error))
            return self.known[key]

    def _of(self, key: str, depth: int) -> Filled:
        found = self.known.get(key)
        if found is None:
            if depth > DEEPEST:
                raise _TooMuch(f"%({key})s refers to itself, or through more than {DEEPEST} others")
            found = self.known[key] = self._filled(self.values[key], depth)
        if depth + found.depth - 1 > DEEPEST:
            raise _TooMuch(f"%({key})s refers through more than {DEEPEST} others")
        return found

    def _filled(self, raw: str, depth: int) -> Filled:
        parts: list[str] = []
        unset: list[str] = []
        size, deepest, at = 0, 0, 0
        for match in _TOKEN.finditer(raw):
            piece = raw[at : match.start()]
            at = match.end()
            if match[0] == "%%":
                piece += "%"
            elif match[1] is None:
                said = raw[match.start() : match.start() + 20]
                return Filled(None, (), f"a percent sign that begins nothing: {said}")
            elif match[1] not in self.values:
                unset.append(match[1])
            else:
                inner = self._of(match[1], depth + 1)
                if inner.wrong:
                    return Filled(None, (), inner.wrong, inner.depth + 1)
                deepest = max(deepest, inner.depth)
                unset += inner.unset
                piece += inner.text or ""
            parts.append(piece)
            size += len(piece)
            self._pay(len(piece), size)
        rest = raw[at:]
        self._pay(len(rest), size + len(rest))
        missing = tuple(dict.fromkeys(unset))
        return Filled(None if missing else "".join([*parts, rest]), missing, "", deepest + 1)

    def _pay(self, amount: int, size: int) -> None:
        if size > LONGEST_VALUE:
            raise _TooMuch(f"filled in, it has more than {LONGEST_VALUE} characters")
        if not self.budget.spend(amount):
            raise _TooMuch("filled in, the values are too large together")


def names_in(raw: str) -> list[str]:
    """Return the names that a value refers to."""
    return [match[1] for match in _TOKEN.finditer(raw) if match[1]]
