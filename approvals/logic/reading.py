"""What a request asks for, read once: its files, the dataset they are kept as, its definition with its wishes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approvals.composing import Wishes, composed, list_name, listed
from approvals.models import Request
from campaigns.definition import Definition, Parsed
from campaigns.logic import editing
from core.errors import Problem, Refused
from integrations import registry
from integrations.errors import OutsideError
from integrations.errors import Refused as Unreadable


@dataclass(frozen=True)
class Reading:
    """A request as it was read: `names` are the files it lists or queries, None where it names a dataset or nothing."""

    names: Sequence[str] | None
    text: str  # the definition with the request's wishes in it: what runs
    parsed: Parsed  # what the text says, and all that is wrong with it or missing
    failure: OutsideError | None = None  # why its files are not known

    @property
    def definition(self) -> Definition:
        """Return the definition, whole or not."""
        return self.parsed.definition

    def whole(self, refusal: str) -> Definition:
        """Return the definition, or refuse with every complaint about it."""
        if self.parsed.errors:
            raise Refused(refusal, self.parsed.errors)
        return self.definition


def attempt(request: Request, author: Any) -> Reading:
    """Read a request as somebody proposes it; where the catalogue does not tell its files, `failure` says why."""
    names: Sequence[str] | None = None
    failure: OutsideError | None = None
    wrong: list[Problem] = []
    try:
        names = _names(request)
    except Unreadable as error:  # it cannot be read, now or later
        failure, wrong = error, [Problem("query", str(error), "write it as the catalogue reads it")]
    except OutsideError as error:
        failure = error
    wishes = Wishes(request.title, input_dataset(request, names), request.release, request.memory_mb, request.events)
    text, lacking = composed(request.definition, wishes)
    parsed = editing.read(text, request.experiment, author)
    parsed.errors[:0] = [*wrong, *lacking]
    return Reading(names, text, parsed, failure)


def read(request: Request, author: Any) -> Reading:
    """Read a request as somebody proposes it; raises OutsideError where the catalogue does not tell its files."""
    found = attempt(request, author)
    if found.failure is not None:
        raise found.failure
    return found


def keep_input(request: Request, found: Reading) -> None:
    """Keep the files that a request lists or queries as a dataset of the catalogue; the same files, the same name."""
    if found.failure is not None:
        raise found.failure
    if found.names:
        registry.catalogue(request.experiment).define(input_dataset(request, found.names), found.names)


def input_dataset(request: Request, names: Sequence[str] | None) -> str:
    """Return the dataset that the request's own input is, or will be kept as."""
    return request.dataset or (list_name(request.experiment.name, names) if names else "")


def _names(request: Request) -> list[str] | None:
    if request.files.strip():
        return listed(request.files)
    if request.query.strip():
        return list(registry.catalogue(request.experiment).query(request.query))
    return None
