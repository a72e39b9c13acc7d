"""What can go wrong inside POMS, as exceptions that read as sentences; knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what somebody sent: where, what, and what to do about it."""

    field: str
    message: str
    hint: str = ""
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as the API shows it, without an empty line number."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass
class PomsError(Exception):
    """A refusal that a person should read."""

    detail: str
    problems: Sequence[Problem] = field(default_factory=tuple)

    def __str__(self) -> str:
        """Return the sentence, followed by the single problems."""
        parts = [self.detail, *(f"{p.field}: {p.message}" for p in self.problems)]
        return "; ".join(parts)


class Refused(PomsError):
    """What was asked cannot be done as asked; nothing was changed."""


class Conflict(PomsError):
    """What was asked does not fit what has happened meanwhile; nothing was changed."""


class StaleState(Conflict):
    """The thing is no longer in the state that the caller expected."""


class NotAllowed(PomsError):
    """The person may see the thing but not do this to it."""


class NotVisible(PomsError):
    """The thing does not exist, as far as this person may know."""


class NotAvailable(PomsError):
    """Something that is needed does not answer now; try again later."""
