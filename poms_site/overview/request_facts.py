"""What the page of a request and the approver's page show beside the request: cost, test run, gates, who could join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approvals.composing import REPORT, requirements
from approvals.estimate import Cost, StageCost
from approvals.logic import looking, merging, reading
from approvals.models import Confirmation, Request, TestRun
from approvals.queries import policy_of
from campaigns.definition import Definition
from core import differences
from integrations.errors import OutsideError
from poms_site.overview.counting import counts_by, together
from poms_site.overview.prediction import Work
from poms_site.overview.queue import WouldBe, predict_with
from poms_site.overview.run_facts import stages_of
from poms_site.overview.words import duration, size
from submissions import measuring

LONGEST_DIFF = 400
HIGHER = 20  # points of priority above the request's own, at which it is told what that would bring


@dataclass(frozen=True)
class Tile:
    """One figure of a test run: what it is, and how it came out."""

    name: str
    text: str
    more: str = ""


@dataclass(frozen=True)
class Trial:
    """How a test run went: its state, how far, and for each stage what an input took."""

    run: TestRun
    outdated: bool  # the definition was changed since
    done: int
    inputs: int
    failed: int
    stages: list[tuple[str, list[Tile]]]


@dataclass(frozen=True)
class Gate:
    """One thing that an operator confirms: the line, and who has, or nobody yet."""

    text: str
    needed: bool
    by: str = ""
    at: Any = None


def trial_of(request: Request) -> Trial | None:
    """Return how the latest test run of a request went, or None if there was none."""
    rows = TestRun.objects.filter(request=request).select_related("campaign__experiment", "by")
    run = rows.order_by("-pk").first()
    if run is None:
        return None
    stages = stages_of(run.campaign)
    told = together(counts_by("files", stages).values())
    seen = measuring.of_stages(run.campaign_id)
    names = [stage.name for stage in stages if stage.name in seen]
    limits = {stage.name: stage.version.memory_mb for stage in stages}
    tiles = [(name, _tiles(seen[name], limits[name])) for name in names]
    return Trial(run, _changed(request, run), told["done"], told["units"], sum(m.failed for m in seen.values()), tiles)


def _tiles(seen: measuring.Measure, limit: int) -> list[Tile]:
    each = f"± {duration(seen.spread)}" if seen.seconds is not None and seen.jobs > 1 else ""
    took = duration(seen.seconds) if seen.seconds is not None else "not known"
    memory = f"{seen.memory_mb:.0f} MB" if seen.memory_mb is not None else "not known"
    return [
        Tile("time per input", took, each),
        Tile("memory, 95 %", memory, f"of {limit} MB"),
        Tile("output per input", size(seen.bytes) if seen.bytes is not None else "none"),
        Tile("jobs", f"{seen.jobs} ended well", f"{seen.failed} failed" if seen.failed else "none failed"),
    ]


def _changed(request: Request, run: TestRun) -> bool:
    """Tell whether the definition is another one than was tried out."""
    if request.revision is not None and request.revision.digest == run.digest:
        return False
    try:
        found = reading.read(request, request.revision.author if request.revision else request.requester)
    except OutsideError:
        return False
    return bool(found.parsed.errors) or found.definition.digest != run.digest


@dataclass(frozen=True)
class Expense:
    """What a request will cost, and when it would start and end at its priority, and at a higher one."""

    cost: Cost
    expected: list[tuple[int, WouldBe]]


def expense_of(request: Request) -> Expense | None:
    """Return what a request will cost and when it would end; None where its definition cannot be read now."""
    try:
        facts = looking.look(request, reading.attempt(request, request.requester), brief=True)
    except OutsideError:
        return None
    cost = facts.cost or Cost()
    open_ = request.state in ("draft", "returned", "pending_approval")
    if facts.errors or not open_ or cost.core_hours is None or not cost.jobs:
        return Expense(cost, [])
    stages = [_work(facts.definition, stage) for stage in cost.stages]
    ranks = sorted({request.priority, min(100, request.priority + HIGHER)})
    found = [(rank, predict_with(request.experiment, stages, rank)) for rank in ranks]
    return Expense(cost, [(rank, would) for rank, would in found if would is not None])


def _work(definition: Definition, stage: StageCost) -> Work:
    """Return a stage that nobody has approved yet as the prediction takes it."""
    text = next(entry for entry in definition.stages if entry.name == stage.name)
    edges = [e for e in definition.edges if e.downstream == stage.name and e.upstream != stage.name]
    shares = {"each": 0.0, "all": 1.0}
    feeds = tuple((e.upstream, shares[e.gate] if e.gate in shares else float(e.gate.rstrip("%")) / 100) for e in edges)
    systems = {setup.name: setup.batch for setup in definition.login_setups}
    jobs, seconds = stage.jobs or 0, stage.seconds_per_job or 0.0
    doubt = stage.spread / stage.seconds if stage.seconds else 0.0
    begins = not feeds
    return Work(
        stage.name, seconds, doubt=doubt, waiting=jobs if begins else 0, later=0 if begins else jobs, feeds=feeds,
        system=systems.get(text.login_setup, "local"),
    )  # fmt: skip


def gates_of(request: Request) -> list[Gate]:
    """Return what an operator confirms before an approval, and what of it is done for the revision that waits."""
    rows = Confirmation.objects.filter(request=request, digest=request.revision.digest if request.revision else "")
    done = {row.requirement: row for row in rows.select_related("by")}
    lines = [("", policy_of(request.experiment_id).confirm), *((line, True) for line in requirements(request.special))]
    return [
        Gate(line or REPORT, needed, done[line].by.username, done[line].at)
        if line in done else Gate(line or REPORT, needed)
        for line, needed in lines
    ]  # fmt: skip


def partners_of(request: Request, user: Any) -> list[tuple[Request, merging.Preview]]:
    """Return the requests with which one that waits could be joined; none where the catalogue does not answer."""
    if request.state != "pending_approval":
        return []
    try:
        return merging.partners(request, user)
    except OutsideError:
        return []


def changed_since(request: Request, decisions: Sequence[Any]) -> tuple[str, list[tuple[str, str]]]:
    """Return what the definition changed since it was last seen, and since when: (+, - or blank, line).

    Last seen is what was last decided on, or what the request was cloned from; nothing if there is neither.
    """
    before, since = "", ""
    if decisions and request.campaign is not None:
        seen = request.campaign.revisions.filter(digest=decisions[0].digest).order_by("-number").first()
        before, since = (seen.source, "the last decision") if seen else ("", "")
    if not since:
        origin = request.origins.select_related("source__experiment").filter(how="clone").first()
        if origin is None:
            return "", []
        before, since = origin.source.definition, origin.source.ref
        after = request.definition
    else:
        after = request.revision.source if request.state == "pending_approval" and request.revision else _whole(request)
    lines = differences.between(before, after)
    return since, [(line[:1], line[1:]) for line in lines[:LONGEST_DIFF]]


def _whole(request: Request) -> str:
    try:
        return reading.read(request, request.requester).text
    except OutsideError:
        return request.definition
