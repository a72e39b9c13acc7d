"""What every logbook must offer; each call ends in an answer or in one of the three errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.errors import Problem


@dataclass(frozen=True)
class EntrySeen:
    """An entry as its logbook knows it: its number there, and its page."""

    number: str
    link: str


class Logbook(Protocol):
    """A logbook, made of its address, the name of a credential and a category.

    Every call raises only integrations.errors.OutsideError.
    """

    def __init__(self, url: str, credential: str, category: str) -> None:
        """Take them as an administrator has set them."""

    @staticmethod
    def problems(url: str, credential: str, category: str) -> list[Problem]:
        """Return what is wrong with them as they were entered: fields book_url, credential and category."""
        ...

    def write(self, text: str, *, mark: str, since: datetime) -> EntrySeen:
        """Return the entry that bears this mark, written now if there is none: never a second one.

        `since` is before anybody could have written it: entries that are older need not be searched.
        """
        ...
