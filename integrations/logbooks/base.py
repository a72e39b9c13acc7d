"""What every logbook must offer; each call ends in an answer or in one of the three errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class EntrySeen:
    """An entry as its logbook knows it: its number there, and its page."""

    number: str
    link: str


class Logbook(Protocol):
    """A logbook. Every call raises only integrations.errors.OutsideError."""

    def write(self, text: str, *, mark: str, since: datetime) -> EntrySeen:
        """Return the entry that bears this mark, written now if there is none: never a second one.

        `since` is before anybody could have written it: entries that are older need not be searched.
        """
        ...
