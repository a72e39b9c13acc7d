"""When a stage or batch is complete (T5). Pure."""

from __future__ import annotations


def is_met(done: int, inputs: int, percent: int) -> bool:
    """Tell whether enough inputs have located output: at least `percent` of them, and never none of some."""
    if inputs == 0:
        return True
    return done > 0 and done * 100 >= inputs * percent
