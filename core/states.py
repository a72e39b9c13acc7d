"""State tables: which moves a thing may make, by which verb, and who may ask for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SYSTEM = "system"


@dataclass(frozen=True)
class Move:
    """One allowed step from a state to another."""

    source: str
    target: str
    verb: str
    who: str = SYSTEM


class StateTable:
    """All states of one kind of thing and the moves between them (design 4)."""

    def __init__(self, kind: str, initial: str, moves: Iterable[Move]) -> None:
        """Take the table's kind, the state that things begin in, and every allowed move."""
        self.kind = kind
        self.initial = initial
        self.moves = tuple(moves)
        self._by_step = {(move.source, move.target): move for move in self.moves}
        names = [initial, *(s for move in self.moves for s in (move.source, move.target))]
        self.states = tuple(dict.fromkeys(names))

    def move(self, source: str, target: str) -> Move | None:
        """Return the allowed move between two states, or None."""
        return self._by_step.get((source, target))

    def sources(self, target: str) -> tuple[str, ...]:
        """Return the states from which the target may be reached in one move."""
        return tuple(move.source for move in self.moves if move.target == target)

    @property
    def final(self) -> tuple[str, ...]:
        """Return the states that no move leaves."""
        sources = {move.source for move in self.moves}
        return tuple(state for state in self.states if state not in sources)

    def choices(self) -> list[tuple[str, str]]:
        """Return the states as choices of a model field."""
        return [(state, state.replace("_", " ")) for state in self.states]


def table(kind: str, initial: str, *rows: tuple[str, str, str] | tuple[str, str, str, str]) -> StateTable:
    """Build a table from rows of (sources separated by blanks, target, verb[, who])."""
    moves = [
        Move(source, row[1], row[2], row[3] if len(row) > 3 else SYSTEM) for row in rows for source in row[0].split()
    ]
    return StateTable(kind, initial, moves)
