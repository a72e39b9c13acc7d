"""What can go wrong inside POMS, as exceptions that read as sentences; knows nothing of HTTP."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

LONGEST_WORD = 80  # that is compared with others
MOST_WORDS = 300


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


def nearest(word: str, known: Iterable[str], otherwise: str = "", *, likeness: float = 0.6) -> str:
    """Return the hint that names the known word most like this one, or another hint where none is like it."""
    # Likeness costs time by length times number; what nobody types need not be compared.
    words = [name for name in islice(known, MOST_WORDS) if len(name) <= LONGEST_WORD]
    near = difflib.get_close_matches(word, words, 1, likeness) if len(word) <= LONGEST_WORD else []
    return f"did you mean {near[0]}?" if near else otherwise


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


@dataclass
class TooMany(PomsError):
    """Somebody asked for more than they may within a minute; nothing was done. `wait`: seconds until there is room."""

    wait: int = 1
