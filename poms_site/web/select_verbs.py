"""Which verbs pages offer on selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from submissions.logic import selecting

WORDS = {"kill": "Kill", "hold": "Hold", "release": "Release", "retry": "Retry", "launch": "Launch now"}


def offered(noun: str, held: frozenset[str], verbs: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the verbs (all, or of these) that a person who holds these permissions can say to a selection."""
    return [
        {"name": verb, "word": WORDS[verb], "danger": verb == "kill", "route": f"select-page-{noun}-{verb}"}
        for verb in verbs or selecting.VERBS[noun]
        if selecting.RULES[verb] in held or "define_own" in held
    ]
