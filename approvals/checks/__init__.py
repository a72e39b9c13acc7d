"""The check report of a request (P4): one small class for each question, over facts that were gathered before. Pure.

A new check is a class with a `name` and `lines(facts)`, entered in CHECKS in the order of the report. What could not
be asked is "not checked", never "pass".
"""

from __future__ import annotations

from approvals.checks.base import FAIL, NOT_CHECKED, PASS, WARN, Answer, Check, Facts, Line, Same, Slots, verdict
from approvals.checks.code import Configuration, Production, Release
from approvals.checks.definition import Agreement, Begun, References, Scripts, Whole
from approvals.checks.fife import FifeLaunch
from approvals.checks.inputs import Datasets, Duplicates, OutputNames, Tape
from approvals.checks.people import Approvers, Entitled, OwnFields
from approvals.checks.resources import Expense, Fits

__all__ = [
    "CHECKS", "FAIL", "NOT_CHECKED", "PASS", "WARN", "Answer", "Facts", "Line", "Same", "Slots", "report", "verdict",
]  # fmt: skip

CHECKS: tuple[Check, ...] = (
    Whole(), References(), Agreement(), Begun(), Datasets(), Tape(), Production(), Release(), Configuration(),
    FifeLaunch(), Scripts(), OutputNames(), Duplicates(), Fits(), Expense(), Approvers(), Entitled(), OwnFields(),
)  # fmt: skip


def report(facts: Facts) -> list[Line]:
    """Run every check; one that cannot be made here says so, and never "pass"."""
    return [line for check in CHECKS for line in check.lines(facts)]
