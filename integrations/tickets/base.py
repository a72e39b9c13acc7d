"""What every service desk must offer; each call ends in an answer or in one of the three errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.errors import Problem


@dataclass(frozen=True)
class TicketSeen:
    """A ticket as its desk knows it: the desk's own key, the number that people say, its state, its page."""

    sys_id: str
    number: str
    standing: str
    link: str


class ServiceDesk(Protocol):
    """A service desk, made of its address, the name of a credential and who gets new tickets.

    Every call raises only integrations.errors.OutsideError.
    """

    def __init__(self, url: str, credential: str, group: str) -> None:
        """Take them as an administrator has set them."""

    @staticmethod
    def problems(url: str, credential: str, group: str) -> list[Problem]:
        """Return what is wrong with them as they were entered: fields desk_url, credential and group."""
        ...

    def open(self, correlation_id: str, short_description: str, description: str) -> TicketSeen:
        """Return the ticket of this correlation id, made now if there is none: never a second one."""
        ...

    def note(self, sys_id: str, text: str, *, mark: str, again: bool = False) -> None:
        """Say something in a ticket; `again` looks first whether what bears this mark stands there already."""
        ...

    def close(self, sys_id: str, text: str) -> TicketSeen:
        """Resolve a ticket; one that is resolved already stays so."""
        ...

    def read(self, sys_id: str) -> TicketSeen | None:
        """Return a ticket, or None where the desk has none of this key."""
        ...
