"""What a definition would do if it ran: slices, commands, environment, jobs, hours, bytes; nothing is written (J7).

It is said before a draft is saved and before a request is filed, with the same code that cuts, commands and estimates.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approvals.estimate import Cost, StageCost, in_order
from approvals.logic import looking, reading
from approvals.models import Request
from campaigns import command, splitting
from campaigns.definition import Definition, StageText, known_words
from campaigns.definition.comparing import Change, compare
from campaigns.logic import editing
from campaigns.models import Campaign
from campaigns.queries import newest
from campaigns.splitting import Input
from core.errors import Problem
from experiments.models import Experiment
from integrations.errors import OutsideError
from submissions.logic import freezing

MOST_WEIGHED = 1_000_000
SHOWN = 3


@dataclass(frozen=True)
class Slices:
    """Into how many batches the input is cut, how large the first few and the last are; None: nobody knows yet."""

    count: int | None = None
    first: tuple[int, ...] = ()
    last: int = 0
    unit: str = "files"
    why: str = ""  # why it is not known


@dataclass(frozen=True)
class StagePlan:
    """What one stage would do."""

    name: str
    inputs: int | None
    slices: Slices
    command: str  # as a shell would be given it; it is started without one
    environment: dict[str, str]
    setup: str
    cost: StageCost


@dataclass(frozen=True)
class Foreseen:
    """The whole: what is wrong, what each stage would do, what it costs, and what is different to what runs."""

    name: str
    campaign: Campaign | None
    errors: Sequence[Problem]
    warnings: Sequence[Problem]
    stages: Sequence[StagePlan]
    cost: Cost
    changes: Sequence[Change]


def foresee(experiment: Experiment, text: str, *, by: Any, request: Request | None = None) -> Foreseen:
    """Say what a text would do, asked for by this person or as part of a request."""
    asked = request or Request(experiment=experiment, requester=by, title="a plan")
    asked.definition = text
    found = reading.attempt(asked, by)
    facts = looking.look(asked, found, brief=True)
    whole = found.definition
    standing = Campaign.objects.filter(experiment=experiment, name=whole.name, test=False).exclude(state="cancelled")
    campaign = standing.select_related("experiment", "revision").order_by("-pk").first()
    before = _definition_of(campaign, by) if campaign else Definition(name=whole.name)
    costs = {entry.name: entry for entry in (facts.cost or Cost()).stages}
    plans: list[StagePlan] = []
    if not found.parsed.errors:
        plans = [_plan(experiment, whole, stage, costs[stage.name], by) for stage in in_order(whole)]
    changes = compare(before, whole) if before.digest != whole.digest else []
    return Foreseen(
        whole.name, campaign, found.parsed.errors, found.parsed.warnings, plans, facts.cost or Cost(), changes
    )


def _definition_of(campaign: Campaign, by: Any) -> Definition:
    """Return what runs now; of a campaign that never ran, the newest text."""
    revision = campaign.revision or newest(campaign)
    if revision is None:
        return Definition(name=campaign.name)
    return editing.read(revision.text or revision.source, campaign.experiment, revision.author).definition


def _plan(experiment: Experiment, whole: Definition, stage: StageText, cost: StageCost, by: Any) -> StagePlan:
    kind = next(entry for entry in whole.job_types if entry.name == stage.job_type)
    setup = next(entry for entry in whole.login_setups if entry.name == stage.login_setup)
    words = known_words(whole, stage, experiment=experiment.name, experimenter=by.username)
    argv = command.argv(kind.launch_script, command.overlay(kind.parameters, stage.params), words)
    environment = command.environment_of(
        experiment=experiment.name, campaign=whole.name, stage=stage.name, stage_type=stage.type, launcher=by.username
    )
    where = f"{setup.account}@{setup.host}" if setup.account else setup.host
    return StagePlan(
        stage.name, cost.inputs, _slices(experiment, stage, cost.inputs), shlex.join(argv), environment,
        f"{setup.name} ({where})", cost,
    )  # fmt: skip


def _slices(experiment: Experiment, stage: StageText, number: int | None) -> Slices:
    """Cut the input as the planner will; of what other stages still have to make only the number is known."""
    split = splitting.parse(stage.split)
    if number is None:
        return Slices(why="how many inputs it gets is not known")
    if number > MOST_WEIGHED:
        return Slices(why=f"it has {number} inputs; so many are cut only when it runs")
    if stage.type == "generator":
        step = stage.events_per_job or stage.events
        ranges = [min(step, stage.events - first) for first in range(0, stage.events, step)]
        return _told(split, [Input(rank, events=events) for rank, events in enumerate(ranges)], "ranges of events")
    if split.what.holds == "values":
        return _told(split, [Input(rank) for rank in range(number)], "combinations")
    if not split.wants and split.what.groups in ("", "rank"):
        return _told(split, [Input(rank) for rank in range(number)], "files")
    if stage.dataset in ("", "from_parent"):
        return Slices(why=f"it is cut by {stage.split}, and its inputs are not there yet")
    try:
        _, inputs = freezing.see(experiment, stage.catalogue, stage.dataset, split, stage.most_files)
    except OutsideError as error:
        return Slices(why=str(error))
    return _told(split, inputs, "files")


def _told(split: splitting.Split, inputs: Sequence[Input], unit: str) -> Slices:
    found = splitting.cut(split, inputs)
    sizes = [len(part.members) for part in found.slices]
    left_out = [f"{times} left out: {why}" for why, times in sorted(found.left_out.items())]
    return Slices(len(sizes), tuple(sizes[:SHOWN]), sizes[-1] if sizes else 0, unit, why="; ".join(left_out))
