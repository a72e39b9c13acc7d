"""What the report of a run says of request, stages, batches, history and reproduction: set-based and bounded."""

from __future__ import annotations

import platform
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Max, Min, Q

from approvals.models import Request
from campaigns import queries as definitions
from campaigns.models import Campaign, EdgeVersion, Revision, StageVersion
from core.models import Transition
from poms_site.overview.words import Look, look
from submissions import queries
from submissions.models import (
    Acceptance,
    Batch,
    Command,
    Hold,
    Job,
    JobCount,
    Output,
    Snapshot,
    Submission,
    Unit,
)  # fmt: skip
from submissions.states import JOB_STATES

BATCHES = 200
EVENTS = 300
SEEDS = 400
_UNHAPPY = ("failed", "launch_failed", "removed", "unsure")


@dataclass
class StageFacts:
    """One stage: what it should do, how far it is, and what it was fed."""

    version: StageVersion
    progress: Mapping[str, int]
    jobs: Mapping[str, int]
    batches: Mapping[str, int]
    outputs: int
    events: int
    feeds: list[Feed]
    snapshot: Snapshot | None = None

    @property
    def name(self) -> str:
        """Return the stage's name."""
        return self.version.stage.name

    @property
    def state(self) -> str:
        """Return a word for where the stage is, in the words of campaigns."""
        if self.version.stage.completed_at is not None:
            return "succeeded" if self.version.stage.succeeded else "failed"
        return "running" if self.batches else "pending"

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


@dataclass
class Attempt:
    """One submission as the report shows it."""

    row: Submission
    jobs: Mapping[str, int]
    first_start: datetime | None
    last_end: datetime | None
    reasons: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """Return how long it took from the intent to the end; None while it runs."""
        return (self.row.ended_at - self.row.created_at).total_seconds() if self.row.ended_at else None


@dataclass
class BatchFacts:
    """One batch with its attempts."""

    row: Batch
    attempts: list[Attempt]

    @property
    def only(self) -> Attempt | None:
        """Return its attempt if it needed just the one that went as it should."""
        same = len(self.attempts) == 1 and look(self.attempts[0].row.state) == look(self.row.state)
        return self.attempts[0] if same else None


def stages_of(campaign: Campaign) -> list[StageFacts]:
    """Return the stages of the campaign in the order of its text."""
    versions, edges = definitions.graph_of(campaign)
    ids = [version.stage_id for version in versions]
    progress = queries.progress_of(version.stage for version in versions)
    jobs, batches = queries.job_counts_by_stage(ids), queries.batch_counts(ids)
    fed = dict(
        Unit.objects.filter(stage_id__in=ids, edge__isnull=False)
        .values_list("edge_id")
        .annotate(Count("pk"))
        .order_by()
    )
    outputs = _outputs_of(ids)
    snapshots = {row.stage_id: row for row in Snapshot.objects.filter(stage_id__in=ids).order_by("pass_number")}
    feeds: dict[int, list[Feed]] = defaultdict(list)
    for edge in edges:
        feeds[edge.edge.downstream_id].append(_feed(edge, fed.get(edge.edge_id, 0)))
    return [
        StageFacts(
            v, progress[v.stage_id], jobs.get(v.stage_id, {}), batches.get(v.stage_id, {}),
            *outputs.get(v.stage_id, (0, 0)), feeds[v.stage_id], snapshots.get(v.stage_id),
        )
        for v in versions
    ]  # fmt: skip


def _outputs_of(stage_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return how many files and events each stage put out; files of one result hold the same events."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stage_id, sum(files)::bigint, coalesce(sum(events), 0)::bigint FROM ("
            " SELECT stage_id, result_id, count(*) AS files, max(events) AS events FROM submissions_output"
            " WHERE stage_id = ANY(%s) GROUP BY stage_id, result_id) r GROUP BY stage_id",
            [list(stage_ids)],
        )
        return {stage_id: (files, events) for stage_id, files, events in cursor.fetchall()}


def _feed(version: EdgeVersion, files: int) -> Feed:
    edge = version.edge
    return Feed(edge.upstream.name, edge.downstream.name, edge.pattern, version.gate, files)


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


def batches_of(campaign: Campaign, order: Mapping[int, int]) -> tuple[list[BatchFacts], int]:
    """Return at most BATCHES batches with their attempts, and how many there are.

    Where there are more, those that needed more than one attempt or did not complete come first. `order` gives
    each stage its place.
    """
    rows = Batch.objects.filter(stage__campaign=campaign)
    total = rows.count()
    trouble = Count("submissions", filter=~Q(submissions__kind="first") | Q(submissions__state__in=_UNHAPPY))
    chosen = list(
        rows.select_related("stage", "experiment").annotate(trouble=trouble).order_by("-trouble", "pk")[:BATCHES]
    )
    chosen.sort(key=lambda batch: (order.get(batch.stage_id, len(order)), batch.pass_number, batch.number))
    attempts = _attempts_of([batch.pk for batch in chosen])
    return [BatchFacts(batch, attempts.get(batch.pk, [])) for batch in chosen], total


def _attempts_of(batch_ids: Sequence[int]) -> dict[int, list[Attempt]]:
    rows = (
        Submission.objects.filter(batch_id__in=batch_ids)
        .select_related("experiment")
        .defer("jobs_file", "environment", "setup", "job_ids", "command")
        .order_by("pk")
    )
    ids = [row.pk for row in rows]
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for counted in JobCount.objects.filter(submission_id__in=ids, n__gt=0).order_by("-state_code"):
        counts[counted.submission_id][JOB_STATES[counted.state_code]] = counted.n
    spans = {
        row["submission_id"]: (row["begin"], row["end"])
        for row in Job.objects.filter(submission_id__in=ids)
        .values("submission_id")
        .annotate(begin=Min("started_at"), end=Max("ended_at"))
        .order_by()
    }
    reasons = defaultdict(list)
    steps = Transition.objects.filter(kind="submission", thing_id__in=ids, reason__gt="").filter(
        Q(verb="create") | Q(target__in=("completed", *_UNHAPPY))
    )
    for thing_id, reason in steps.order_by("id").values_list("thing_id", "reason"):
        reasons[thing_id].append(reason)
    found: dict[int, list[Attempt]] = defaultdict(list)
    for row in rows:
        begin, end = spans.get(row.pk, (None, None))
        found[row.batch_id].append(Attempt(row, counts.get(row.pk, {}), begin, end, reasons[row.pk]))
    return found


@dataclass(frozen=True)
class Event:
    """One line of the history: what, which step, by whom and why."""

    at: datetime
    thing: str
    state: str
    verb: str
    who: str
    by_person: bool
    reason: str


def history_of(campaign: Campaign) -> tuple[list[Event], int]:
    """Return what decided about the run, oldest first: the last EVENTS of them, and how many there are.

    Everything that happened to request, revision, campaign, holds and commands; of batches only what is not
    routine.
    """
    batches = Batch.objects.filter(stage__campaign=campaign).values("pk")
    submissions = Submission.objects.filter(batch__stage__campaign=campaign).values("pk")
    holds = Hold.objects.filter(
        Q(campaign=campaign) | Q(stage__campaign=campaign) | Q(batch__stage__campaign=campaign)
    ).values("pk")
    commands = Command.objects.filter(submission__batch__stage__campaign=campaign).values("pk")
    requests = Request.objects.filter(campaign=campaign).values("pk")
    rows = Transition.objects.filter(
        Q(kind="campaign", thing_id=campaign.pk)
        | Q(kind="request", thing_id__in=requests)
        | Q(kind="revision", thing_id__in=Revision.objects.filter(campaign=campaign).values("pk"))
        | Q(kind="hold", thing_id__in=holds)
        | Q(kind="command", thing_id__in=commands)
        | Q(kind="batch", thing_id__in=batches, target__in=("failed", "cancelled"))
        | Q(kind="batch", thing_id__in=batches, verb__in=("recover", "relaunch"))
        | Q(kind="submission", thing_id__in=submissions, target__in=("launch_failed", "unsure", "removed"))
    )
    total = rows.count()
    last = list(rows.order_by("-id")[:EVENTS])[::-1]
    numbers = dict(Revision.objects.filter(campaign=campaign).values_list("pk", "number"))
    return [_event(row, campaign, numbers) for row in last], total


_LETTERS = {"campaign": "c", "request": "r", "batch": "b", "submission": "s", "hold": "h", "command": "x"}


def _event(row: Transition, campaign: Campaign, revisions: Mapping[int, int]) -> Event:
    if row.kind == "revision":
        thing = f"revision {revisions[row.thing_id]}"
    else:
        thing = f"{row.kind} {campaign.experiment.name}/{_LETTERS[row.kind]}{row.thing_id}"
    kind, _, name = row.actor.partition(":")
    who = name if kind == "user" else f"POMS, loop {name}" if kind == "loop" else row.actor
    return Event(row.at, thing, row.target, row.verb, who, kind == "user", row.reason)


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
