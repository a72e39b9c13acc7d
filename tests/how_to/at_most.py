"""Criterion `at_most(500)` of completion: no more output files than that, where more would mean that jobs ran wild."""

from __future__ import annotations

from campaigns.completion import Facts, Verdict, Way, number


def at_most(argument: str, facts: Facts) -> Verdict:
    """Say whether there are no more output files; what is there already cannot become less."""
    return Verdict(facts.outputs <= int(argument), f"{facts.outputs} output files, at most {argument} are wanted")


ROW = {
    "at_most": Way(at_most, number),
}
