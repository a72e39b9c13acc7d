"""What the campaign's page shows: progress, gates, stages, batches as a strip, failures, time line, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from campaigns.definition import APPROVAL, PASSES_ON, TRANSFER
from campaigns.models import Campaign
from poms_site.overview.counting import Counts, counts_by, together
from poms_site.overview.forecast import Forecast
from poms_site.overview.progress import expected_ends, percent
from poms_site.overview.run_facts import StageFacts, stages_of
from poms_site.overview.run_failures import Failure, failures_of
from poms_site.overview.run_graph import graph_of
from poms_site.overview.run_history import Event, history_of
from poms_site.overview.run_timeline import Timeline, timeline_of
from poms_site.overview.waste import StageWaste, waste_of
from poms_site.overview.words import Look, look, words
from submissions import queries
from submissions.models import Batch, Output

STRIP = 400
HISTORY = 14
GRAPH_WIDTH = 720
PICTURES = (".png", ".jpg", ".jpeg", ".svg")


# How a stage's gates are said beside its name, in few words; the gates themselves are said in full above.
_WAITS = {
    "hold": ("held", "held"), APPROVAL: ("pending_approval", "waits for an approval"),
    "completion": ("held", "waits for its completion"), TRANSFER: ("pending", "its files are on their way"),
    "tape": ("pending", "its files come from tape"), "edge": ("pending", "waits for others"),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One stage in numbers: what it waits for, as pairs of a state and words, its counts, and when it will be done."""

    stage: StageFacts
    counts: Counts
    end: Forecast | None
    waits: list[tuple[str, str]]

    @property
    def runs_nothing(self) -> bool:
        """Tell whether files only pass it, without any jobs."""
        return self.stage.version.type in PASSES_ON

    @property
    def goes_on(self) -> bool:
        """Tell whether there is still something to do in it."""
        return not self.stage.is_over and self.stage.campaign_state == "running"


@dataclass(frozen=True)
class Cell:
    """One batch in the strip."""

    key: str
    look: Look
    text: str


@dataclass(frozen=True)
class Strip:
    """The batches of a stage, the newest at the right."""

    stage: str
    cells: list[Cell]
    total: int


@dataclass
class CampaignFacts:
    """What is read anew each time."""

    stages: list[StageFacts]
    chosen: StageFacts | None
    rows: list[Row]
    together: Counts
    progress: Mapping[str, int]
    percent: str
    end: Forecast | None
    gates: list[dict[str, Any]]
    graph: dict[str, Any]
    strips: list[Strip]
    results: list[Output]

    @property
    def jobs(self) -> int:
        """Return how many jobs the campaign has had."""
        return sum(stage.total_jobs for stage in self.stages)


@dataclass
class SlowFacts:
    """What reads every job of a campaign, and is kept for a while where there are many."""

    failures: list[Failure]
    failures_total: int
    timeline: Timeline | None
    history: list[Event]
    history_total: int
    waste: list[StageWaste]


def gather(campaign: Campaign, way: str, stage: str) -> CampaignFacts:
    """Return what is read anew each time; `chosen` is the stage that was asked for, or None.

    Progress and expected end are those of the chosen stage, or of the campaign; `rows` are all its stages.
    """
    stages = stages_of(campaign)
    chosen = next((entry for entry in stages if entry.name == stage), None)
    narrowed = [chosen] if chosen else stages
    files = counts_by("files", stages)
    counts = files if way == "files" else counts_by(way, stages)
    end, ends = expected_ends(campaign, stages, files)
    gates = queries.gates(campaign)
    rows = [Row(entry, counts[entry.name], ends.get(entry.name), _waits(entry, gates)) for entry in stages]
    progress = counts[chosen.name] if chosen else together(counts.values())
    return CampaignFacts(
        stages, chosen, rows, together(counts.values()), progress, percent(progress),
        ends.get(chosen.name) if chosen else end, gates, graph_of(stages, GRAPH_WIDTH),
        _strips(narrowed), _results(campaign),
    )  # fmt: skip


def _waits(stage: StageFacts, gates: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    kinds = dict.fromkeys(gate["gate"] for gate in gates if gate["stage"] == stage.name)
    return [_WAITS[kind] for kind in kinds if kind in _WAITS]


def gather_slow(campaign: Campaign, chosen: StageFacts | None, stages: Sequence[StageFacts]) -> SlowFacts:
    """Return failures, waste, time line and history of a campaign, or of one of its stages."""
    failures, total = failures_of(campaign)
    if chosen:
        failures = [failure for failure in failures if failure.stage == chosen.name]
        total = len(failures)
    events, events_total = history_of(campaign)
    timeline = timeline_of(campaign, [], 0, stage_id=chosen.version.stage_id if chosen else None)
    waste = waste_of([stage.version for stage in ([chosen] if chosen else stages)])
    return SlowFacts(failures, total, timeline, events[::-1][:HISTORY], events_total, waste)


def _strips(stages: Sequence[StageFacts]) -> list[Strip]:
    room = max(20, STRIP // max(1, len(stages)))
    batches = queries.latest_batches([stage.version.stage_id for stage in stages], room)
    return [
        Strip(stage.name, [_cell(stage, batch) for batch in batches[stage.version.stage_id][::-1]], stage.total_batches)
        for stage in stages
        if stage.total_batches
    ]


def _cell(stage: StageFacts, batch: Batch) -> Cell:
    told = f"{words(batch.state)}, {batch.done} of {batch.n_units} inputs done"
    return Cell(f"b{batch.pk}", look(batch.state), f"batch {batch.number} of {stage.name}: {told}")


def _results(campaign: Campaign) -> list[Output]:
    """Return the pictures that the campaign put out, the newest first."""
    wanted = Q(pk__in=[])
    for ending in PICTURES:
        wanted |= Q(name__endswith=ending)
    return list(Output.objects.filter(wanted, stage__campaign=campaign).order_by("-pk")[:4])
