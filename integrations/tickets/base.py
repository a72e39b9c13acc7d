"""What every service desk must offer; each call ends in an answer or in one of the three errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class TicketSeen:
    """A ticket as its desk knows it: the desk's own key, the number that people say, its state, its page."""

    sys_id: str
    number: str
    standing: str
    link: str


class ServiceDesk(Protocol):
    """A service desk. Every call raises only integrations.errors.OutsideError."""

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
