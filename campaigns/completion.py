"""When a stage or batch is complete (T5). Pure."""

from __future__ import annotations


def is_met(done: int, inputs: int, percent: int) -> bool:
    """Tell whether enough inputs have located output: at least `percent` of them, and never none of some."""
    if inputs == 0:
        return True
    return done > 0 and done * 100 >= inputs * percent


def tally(done: int, inputs: int) -> str:
    """Return how many inputs have output, in words, for the history."""
    if inputs == 1:
        return "its input has located output" if done else "its input has no located output"
    return f"{done} of {inputs} inputs have located output"
