"""How states look everywhere: meaning, mark and colour by the table of the interface; never colour alone."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """One row of the table: mark, the same for terminals without Unicode, and a colour of the terminal."""

    meaning: str
    mark: str
    ascii_mark: str
    colour: str


WAITING = Look("waiting", "○", "o", "bright_black")
PERSON = Look("needs a person", "☛", "!", "yellow")
MOVING = Look("moving", "◐", "~", "blue")
GOOD = Look("done", "✔", "+", "green")
FAILED = Look("failed", "✗", "x", "red")
ENDED = Look("ended by someone", "▬", "-", "magenta")
UNKNOWN = Look("unknown", "", "", "default")

_TABLE = {
    WAITING: "draft new pending idle suspended not_checked unknown",
    PERSON: "pending_approval returned unsure held warn degraded ending watched",
    MOVING: "launching submitted running staging_in processing staging_out project_running on_probation",
    GOOD: "jobs_completed completed succeeded approved pass done applied up live released",
    FAILED: "failed launch_failed lost rejected fail refused down expired unusable",
    ENDED: "cancelled removed withdrawn superseded revoked put_away excluded undone",
}
LOOKS = {state: look for look, states in _TABLE.items() for state in states.split()}

CAMPAIGN_ENDED = {"succeeded": True, "failed": False, "cancelled": False}
JOB_ENDED = frozenset({"succeeded", "failed", "removed", "lost"})


def look(state: str) -> Look:
    """Return how a state looks; of a state newer than this client only the word is shown."""
    return LOOKS.get(state, UNKNOWN)
