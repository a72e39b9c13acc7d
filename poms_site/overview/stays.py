"""How long things may stay in a state before somebody should look: data, a line for each kind and state. Pure.

What is here is what an operator would call long, not what is forbidden: the shift page says of each group that is
beyond it since when it is so.
"""

from __future__ import annotations

from datetime import timedelta

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

LONGEST: dict[tuple[str, str], timedelta] = {
    ("request", "pending_approval"): 3 * DAY,
    ("request", "returned"): 14 * DAY,
    ("batch", "pending"): DAY,
    ("batch", "submitted"): DAY,
    ("batch", "project_running"): 4 * DAY,
    ("batch", "jobs_completed"): 2 * HOUR,
    ("submission", "pending"): 12 * HOUR,
    ("submission", "launching"): 30 * MINUTE,
    ("submission", "unsure"): timedelta(0),  # only a person can say what became of it
    ("submission", "submitted"): DAY,
    ("submission", "running"): 4 * DAY,
    ("submission", "jobs_completed"): HOUR,
    ("job", "idle"): 2 * DAY,
    ("job", "staging_in"): 4 * HOUR,
    ("job", "processing"): 3 * DAY,
    ("job", "staging_out"): 4 * HOUR,
    ("job", "suspended"): 12 * HOUR,
    ("job", "held"): 6 * HOUR,
}


def longest_of(kind: str) -> dict[str, timedelta]:
    """Return by state how long things of a kind may stay."""
    return {state: stay for (other, state), stay in LONGEST.items() if other == kind}
