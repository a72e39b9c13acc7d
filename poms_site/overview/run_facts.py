"""What the report of a run says of stages, key numbers, request and reproduction: set-based and bounded."""

from __future__ import annotations

import platform
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.db.models import Count, F

from approvals.models import Request
from campaigns import queries as definitions
from campaigns.models import Campaign, EdgeVersion, StageVersion
from poms_site.overview.words import Look, look
from submissions import queries
from submissions.models import Acceptance, Output, Snapshot, Submission, Unit

SEEDS = 400
_ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class StageFacts:
    """One stage: what it should do, how far it is, and what it was fed."""

    version: StageVersion
    campaign_state: str
    progress: Mapping[str, int]
    jobs: Mapping[str, int]
    batches: Mapping[str, int]
    outputs: int
    events: int
    feeds: list[Feed]
    snapshots: Sequence[Snapshot] = ()

    @property
    def name(self) -> str:
        """Return the stage's name."""
        return self.version.stage.name

    @property
    def state(self) -> str:
        """Return a word for where the stage is, in the words of campaigns."""
        if self.version.stage.completed_at is not None:
            return "succeeded" if self.version.stage.succeeded else "failed"
        if self.campaign_state == "cancelled":
            return "cancelled"
        return "running" if self.batches else "pending"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more comes into it: it has ended, or its campaign has."""
        return self.version.stage.completed_at is not None or self.campaign_state in _ENDED

    @property
    def look(self) -> Look:
        """Return how the stage's state looks."""
        return look(self.state)

    @property
    def total_jobs(self) -> int:
        """Return how many jobs it has had."""
        return sum(self.jobs.values())

    @property
    def failed_jobs(self) -> int:
        """Return how many of its jobs failed or were lost."""
        return self.jobs.get("failed", 0) + self.jobs.get("lost", 0)

    @property
    def total_batches(self) -> int:
        """Return how many batches it has."""
        return sum(self.batches.values())


@dataclass(frozen=True)
class Feed:
    """An edge, seen from the stage below it: how many files came along it."""

    upstream: str
    downstream: str
    pattern: str
    gate: str
    files: int


def stages_of(campaign: Campaign) -> list[StageFacts]:
    """Return the stages of the campaign in the order of its text."""
    versions, edges = definitions.graph_of(campaign)
    ids = [version.stage_id for version in versions]
    progress = queries.progress_of(version.stage for version in versions)
    jobs, batches = queries.job_counts_by_stage(ids), queries.batch_counts(ids)
    fed = dict(
        Unit.objects.filter(stage_id__in=ids, edge__isnull=False, pass_number=F("stage__pass_number"))
        .values_list("edge_id")
        .annotate(Count("pk"))
        .order_by()
    )
    outputs = _outputs_of(ids)
    snapshots: dict[int, list[Snapshot]] = defaultdict(list)
    for row in Snapshot.objects.filter(stage_id__in=ids).order_by("pass_number", "number"):
        own = snapshots[row.stage_id]
        snapshots[row.stage_id] = [*own, row] if own and own[0].pass_number == row.pass_number else [row]
    feeds: dict[int, list[Feed]] = defaultdict(list)
    for edge in edges:
        feeds[edge.edge.downstream_id].append(_feed(edge, fed.get(edge.edge_id, 0)))
    return [
        StageFacts(
            v, campaign.state, progress[v.stage_id], jobs.get(v.stage_id, {}), batches.get(v.stage_id, {}),
            *outputs.get(v.stage_id, (0, 0)), feeds[v.stage_id], snapshots[v.stage_id],
        )
        for v in versions
    ]  # fmt: skip


def _outputs_of(stage_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return how many files and events each stage's present pass put out; files of one result hold the same events."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stage_id, sum(files)::bigint, coalesce(sum(events), 0)::bigint FROM ("
            " SELECT o.stage_id, o.result_id, count(*) AS files, max(o.events) AS events FROM submissions_output o"
            " JOIN campaigns_stage g ON g.id = o.stage_id AND g.pass_number = o.pass_number"
            " WHERE o.stage_id = ANY(%s) GROUP BY 1, 2) r GROUP BY stage_id",
            [list(stage_ids)],
        )
        return {stage_id: (files, events) for stage_id, files, events in cursor.fetchall()}


def _feed(version: EdgeVersion, files: int) -> Feed:
    edge = version.edge
    across = edge.upstream.campaign_id != edge.campaign_id
    above = f"{edge.upstream.campaign.name}/{edge.upstream.name}" if across else edge.upstream.name
    return Feed(above, edge.downstream.name, edge.pattern, version.gate, files)


def numbers_of(campaign: Campaign, stages: Sequence[StageFacts]) -> dict[str, int]:
    """Return the key numbers; counters stand beside a recount of the input ledger, so that a loss shows.

    duplicates: outputs that are passed on though no accepted result has them. lost: results that a counter
    claims and the ledger lacks, inputs that a successful stage left in no batch, and jobs of which nobody knows.
    """
    submissions = Submission.objects.filter(batch__stage__campaign=campaign)
    units = Unit.objects.filter(stage__campaign=campaign)
    accepted = Acceptance.objects.filter(unit__stage__campaign=campaign)
    outputs = Output.objects.filter(stage__campaign=campaign)
    claimed = sum(stage.progress["done"] for stage in stages)
    forgotten = units.filter(batch=None, stage__succeeded=True).count()
    return {
        "batches": sum(stage.total_batches for stage in stages),
        "submissions": submissions.count(),
        "jobs": sum(stage.total_jobs for stage in stages),
        "failed_jobs": sum(stage.failed_jobs for stage in stages),
        "recovered_inputs": accepted.exclude(result__submission__kind="first").count(),
        "inputs": units.count(),
        "outputs": outputs.count(),
        "duplicates": outputs.filter(result__acceptances=None).count(),
        "lost": max(0, claimed - accepted.count()) + forgotten + sum(s.jobs.get("lost", 0) for s in stages),
    }


def request_of(campaign: Campaign) -> Request | None:
    """Return the request that the campaign's running revision came from, else its latest, with checks and decisions."""
    rows = (
        Request.objects.filter(campaign=campaign)
        .select_related("requester", "experiment")
        .prefetch_related("checks", "decisions__approver")
    )
    running = rows.filter(revision_id=campaign.revision_id).order_by("-pk").first() if campaign.revision_id else None
    return running or rows.order_by("-pk").first()


@dataclass(frozen=True)
class Recipe:
    """How one stage was run: enough to run it again by hand."""

    stage: StageFacts
    example: Submission | None
    command: str
    environment: list[tuple[str, str]]
    setup: str


def recipes_of(stages: Iterable[StageFacts]) -> list[Recipe]:
    """Return command and environment of each stage, as its first submission had them."""
    stages = list(stages)
    firsts = {
        row.batch.stage_id: row
        for row in Submission.objects.filter(batch__stage_id__in=[s.version.stage_id for s in stages])
        .select_related("batch", "experiment")
        .defer("jobs_file")
        .order_by("batch__stage_id", "pk")
        .distinct("batch__stage_id")
    }
    return [_recipe(stage, firsts.get(stage.version.stage_id)) for stage in stages]


def _recipe(stage: StageFacts, first: Submission | None) -> Recipe:
    if first is None:
        return Recipe(stage, None, stage.version.launch_script, [], stage.version.setup)
    return Recipe(stage, first, shlex.join(first.command), sorted(first.environment.items()), first.setup)


@dataclass(frozen=True)
class SeedRange:
    """A range of events and the seed that they are made from."""

    stage: str
    first: int
    last: int
    seed: int


def seeds_of(campaign: Campaign) -> tuple[list[SeedRange], int]:
    """Return the event ranges with their seeds, at most SEEDS of them, and how many there are."""
    rows = Unit.objects.filter(
        stage__campaign=campaign, seed__isnull=False, first_event__isnull=False, events__isnull=False
    )
    last = F("first_event") + F("events") - 1
    shown = rows.order_by("stage_id", "first_event").values_list("stage__name", "first_event", last, "seed")
    return [SeedRange(*row) for row in shown[:SEEDS]], rows.count()


def versions() -> list[tuple[str, str]]:
    """Return the versions of what ran this."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = str(cursor.fetchone()[0])
    return [
        ("POMS", settings.VERSION),
        ("Python", platform.python_version()),
        ("Django", django.get_version()),
        ("PostgreSQL", server),
        ("System", f"{platform.system()} {platform.machine()}"),
    ]


def standing_gates(campaign: Campaign) -> list[dict[str, Any]]:
    """Return what keeps the campaign from going on now."""
    return queries.gates(campaign)
