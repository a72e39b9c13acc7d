"""What every directory of people must offer: who belongs to an experiment, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Listed:
    """Somebody as a directory lists them: the account's name, the person's, the role here, and what says so."""

    username: str
    name: str
    role: str
    said_by: str


class Directory(Protocol):
    """A directory of people. Every call raises only integrations.errors.OutsideError."""

    def people_of(self, experiment: str) -> Sequence[Listed]:
        """Return everybody whom it lists for an experiment; an empty answer is one, a missing one is an error."""
        ...
