"""References as people type them: completed with the experiment, checked to be of the kind that is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from poms_client.errors import UsedWrongly

KINDS = {"r": "request", "c": "campaign", "b": "batch", "s": "submission", "j": "job", "k": "schedule",
         "h": "hold", "v": "service", "l": "limit", "x": "command", "w": "shift", "f": "failure",
         "o": "route", "e": "exclusion", "p": "reproduction"}  # fmt: skip
_NUMBERED = re.compile(r"([a-z])[0-9]+")


def parts(path: str | Sequence[str]) -> Sequence[str]:
    """Split a path or reference; raise UsedWrongly on parts that would lead elsewhere."""
    found = path.strip("/").split("/") if isinstance(path, str) else [*path]
    if any(part in ("", ".", "..") for part in found):
        raise UsedWrongly(f"{'/'.join(found)!r} is not a reference", hint="It looks like demo/c1")
    return found


class Noun(NamedTuple):
    """One kind of object: its word, its place in the API, how many parts its reference has."""

    word: str
    collection: str
    length: int = 2

    def full(self, given: str, experiment: str | None = None) -> str:
        """Return the whole reference; raise UsedWrongly when it is incomplete or of another kind."""
        found = parts(given)
        if len(found) == self.length - 1 and experiment:
            found = [experiment, *found]
        if len(found) != self.length:
            example = f"demo/{self.letter}1" if self.letter else "demo/name" if self.length > 1 else "name"
            if self.length == 3:
                example += "/gen"
            more = "; with --experiment its first part may be left out" if self.length > 1 else ""
            raise UsedWrongly(
                f"{given!r} is not the reference of a {self.word}", hint=f"It looks like {example}{more}."
            )
        kind = _NUMBERED.fullmatch(found[1]) if self.letter else None
        meant = "campaign" if self.word == "stage" else self.word
        if kind and self.letter and KINDS.get(kind[1], meant) != meant:
            other = KINDS[kind[1]]
            raise UsedWrongly(f"{'/'.join(found)} is a {other}, not a {self.word}", hint=f"Say poms {other} …")
        return "/".join(found)

    @property
    def letter(self) -> str:
        """The letter of its numbers, none where references carry names."""
        word = "campaign" if self.word == "stage" else self.word
        return next((letter for letter, kind in KINDS.items() if kind == word), "")


REQUEST = Noun("request", "requests")
CAMPAIGN = Noun("campaign", "campaigns")
STAGE = Noun("stage", "stages", 3)
BATCH = Noun("batch", "batches")
SUBMISSION = Noun("submission", "submissions")
JOB = Noun("job", "jobs")
SHIFT = Noun("shift", "shifts")
REPRODUCTION = Noun("reproduction", "reproductions")
COMMAND = Noun("command", "commands")
SCHEDULE = Noun("schedule", "schedules")
FAILURE = Noun("failure", "failures")
ROUTE = Noun("route", "routes")
SERVICE = Noun("service", "services")
HOLD = Noun("hold", "holds")
EXCLUSION = Noun("exclusion", "exclusions")
LIMIT = Noun("limit", "limits")
TEMPLATE = Noun("template", "templates")
JOBTYPE = Noun("jobtype", "jobtypes")
SETUP = Noun("setup", "setups")
CREDENTIAL = Noun("credential", "credentials")
HOST = Noun("host", "launch-hosts")
SYSTEM = Noun("system", "batch-systems", 1)
LOOP = Noun("loop", "loops", 1)
TROUBLE = Noun("trouble", "troubles", 1)
