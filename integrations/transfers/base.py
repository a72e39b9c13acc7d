"""What a service that takes files to where they stay must offer: what it says of those on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Waiting:
    """A file that is on its way: its turn comes, or it is being done."""


@dataclass(frozen=True)
class Failed:
    """A file that does not get on, and why, in the service's own words."""

    message: str


Standing = Waiting | Failed


class Transfers(Protocol):
    """The transfer services of one experiment."""

    def status(self, names: Sequence[str]) -> dict[str, Standing]:
        """Return how files stand; a name of which no service says anything has come through, or was never seen.

        Raises only integrations.errors.OutsideError: where one of the services does not answer, nobody knows.
        """
        ...
