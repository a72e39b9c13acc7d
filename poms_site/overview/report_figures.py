"""What a report counts, as data: each figure with its words and unit, and how it follows from plain counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from submissions.states import JOB_ENDED

Counts = Mapping[str, float]
Value = float | None
CORE_HOUR = 3600.0
WASTED = ("failed", "lost", "removed")


@dataclass(frozen=True)
class Figure:
    """One line of a report. `good` says whether more is better (1), worse (-1), or neither (0)."""

    key: str
    word: str
    unit: str  # "", core-h, % or s
    section: str
    good: int = 0


FIGURES = (
    Figure("filed", "Requests filed", "", "Requests"),
    Figure("approved", "Requests approved", "", "Requests"),
    Figure("returned", "Requests returned", "", "Requests"),
    Figure("rejected", "Requests rejected", "", "Requests"),
    Figure("decision_median", "Time to a decision, median", "s", "Requests", -1),
    Figure("decision_p90", "Time to a decision, nine of ten", "s", "Requests", -1),
    Figure("result_median", "Request to result, median", "s", "Requests", -1),
    Figure("result_p90", "Request to result, nine of ten", "s", "Requests", -1),
    Figure("campaigns_succeeded", "Campaigns succeeded", "", "Work", 1),
    Figure("campaigns_failed", "Campaigns failed", "", "Work", -1),
    Figure("batches_completed", "Batches completed", "", "Work", 1),
    Figure("batches_failed", "Batches failed", "", "Work", -1),
    Figure("recoveries", "Recoveries of batches", "", "Work", -1),
    Figure("submitted", "Submissions launched", "", "Work"),
    Figure("launches_failed", "Launches failed", "", "Work", -1),
    Figure("succeeded", "Jobs succeeded", "", "Jobs", 1),
    Figure("failed", "Jobs failed", "", "Jobs", -1),
    Figure("lost", "Jobs lost", "", "Jobs", -1),
    Figure("removed", "Jobs removed", "", "Jobs"),
    Figure("success", "Success of jobs", "%", "Jobs", 1),
    Figure("used", "Core-hours used", "core-h", "Cost"),
    Figure("wasted", "Core-hours that came to nothing", "core-h", "Cost", -1),
    Figure("waste", "Share that came to nothing", "%", "Cost", -1),
    Figure("efficiency", "Processor time of core time", "%", "Cost", 1),
    Figure("surplus", "Results that did not count", "", "Cost", -1),
    Figure("late", "Objectives of keep-ups missed", "", "Keep-up", -1),
)
BY_KEY = {figure.key: figure for figure in FIGURES}
# What stands for a stage too: the rest belongs to requests, campaigns or schedules.
OF_STAGES = (
    "batches_completed", "batches_failed", "recoveries", "submitted", "launches_failed", "succeeded", "failed", "lost",
    "removed", "success", "used", "wasted", "efficiency",
)  # fmt: skip
# Figure -> the steps of the ledger that it counts, as `kind verb`.
STEPS = {
    "filed": ("request file",),
    "approved": ("request approve",),
    "returned": ("request return",),
    "rejected": ("request reject",),
    "campaigns_succeeded": ("campaign succeed",),
    "campaigns_failed": ("campaign fail",),
    "batches_completed": ("batch complete", "batch pass_on"),
    "batches_failed": ("batch fail",),
    "recoveries": ("batch recover",),
    "submitted": ("submission submit", "submission adopt"),
    "launches_failed": ("submission fail_launch", "submission give_up"),
    "late": ("schedule miss",),
}


def quantile(sizes: Sequence[float], share: float) -> Value:
    """Return the value below which a share of the sizes lies, between two by their distance; None where there are none.

    The same as PostgreSQL's percentile_cont.
    """
    if not sizes:
        return None
    ordered = sorted(sizes)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def figures(counts: Counts, decided: Sequence[float] = (), answered: Sequence[float] = ()) -> dict[str, Value]:
    """Return every figure of plain counts.

    Counts are `kind verb` of the ledger, `n <state>` and `core <state>` of jobs that ended (core-seconds), `cpu`, and
    `surplus`, `core surplus` of results that did not count. `decided` and `answered` are seconds from the filing of
    requests to the decision and to the result. A job that somebody removed says nothing about success.
    """
    found: dict[str, Value] = {key: sum(counts.get(step, 0) for step in steps) for key, steps in STEPS.items()}
    jobs = {state: counts.get(f"n {state}", 0) for state in JOB_ENDED}
    tried = jobs["succeeded"] + jobs["failed"] + jobs["lost"]
    core = sum(counts.get(f"core {state}", 0) for state in JOB_ENDED)
    lost = sum(counts.get(f"core {state}", 0) for state in WASTED) + counts.get("core surplus", 0)
    found |= jobs | {
        "success": 100 * jobs["succeeded"] / tried if tried else None,
        "used": core / CORE_HOUR,
        "wasted": lost / CORE_HOUR,
        "waste": 100 * lost / core if core else None,
        "efficiency": 100 * counts.get("cpu", 0) / core if core else None,
        "surplus": counts.get("surplus", 0),
        "decision_median": quantile(decided, 0.5),
        "decision_p90": quantile(decided, 0.9),
        "result_median": quantile(answered, 0.5),
        "result_p90": quantile(answered, 0.9),
    }
    return {figure.key: found[figure.key] for figure in FIGURES}
