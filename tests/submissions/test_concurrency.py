"""Two at once: parents that end at the same moment, and launches that many ask for. POMS_ROUNDS=1000 is the full size."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.db.models import Count, Max, Q

from campaigns.models import Campaign, Edge, EdgeVersion, Revision, Stage, StageVersion
from core.clock import now
from core.errors import Conflict
from core.loops import careful
from core.models import Trouble
from integrations import registry
from integrations.catalogue.base import Attempt, FileSeen, Produced
from integrations.errors import Unsure
from integrations.launcher.base import Fate, Launch, Started
from submissions.logic import launching, planning, recovering, settling
from submissions.models import Acceptance, Batch, PlanDue, Snapshot, StageProgress, Submission, SubmissionUnit, Unit
from tests import builders
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)

SIDES = ("left", "right")
THREADS = 50
PATIENCE = 60


# Rounds of two parents; of the fifty launches a fifth of them, since one such round costs five times as much.
ROUNDS = int(os.environ.get("POMS_ROUNDS") or 15)
LAUNCH_ROUNDS = max(1, ROUNDS // 5)


# --- Two parents ----------------------------------------------------------------------------------------------


FAMILY = (
    "[campaign_stage left]\nstage_type=generator\nevents=1\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    "[campaign_stage right]\nstage_type=generator\nevents=1\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    "[campaign_stage child]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=10\n"
    "[dependencies child]\ncampaign_stage_1=left\ngate_1=all\ncampaign_stage_2=right\ngate_2=all\n"
)


class Everything:
    """A catalogue to which each submission has left one output for each of its inputs."""

    can: frozenset[str] = frozenset()

    def produced(self, attempt: Attempt) -> list[Produced]:
        output = FileSeen(name=f"{attempt.uuid}.txt", path=f"{attempt.place}/{attempt.uuid}.txt", size=1)
        return [Produced(job="1.0@local", units=list(attempt.inputs), outputs=[output])]

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        return {}

    def known(self, names: Sequence[str]) -> set[str]:
        return set()


def families(cast: Cast, count: int) -> list[dict[str, tuple[int, int]]]:
    """Make campaigns whose two parents have each one submission, all of whose jobs have ended.

    They are copies of one that was approved. Returns (submission, stage) by the parent's name, and the child's
    stage as (0, stage), for each.
    """
    model = builders.approved_campaign(cast, builders.definition(stages=FAMILY))
    versions = list(StageVersion.objects.filter(revision_id=model.revision_id).select_related("stage"))
    edges = list(EdgeVersion.objects.filter(revision_id=model.revision_id).select_related("edge"))
    revision = Revision.objects.get(pk=model.revision_id)
    campaigns = Campaign.objects.bulk_create(_copy(model, state="running", revision=None) for _ in range(count))
    revisions = Revision.objects.bulk_create(_copy(revision, campaign=campaign) for campaign in campaigns)
    for campaign, theirs in zip(campaigns, revisions, strict=True):
        campaign.revision = theirs
    Campaign.objects.bulk_update(campaigns, ["revision"])
    stages = Stage.objects.bulk_create(
        Stage(campaign=campaign, name=version.stage.name) for campaign in campaigns for version in versions
    )
    of = {(stage.campaign_id, stage.name): stage for stage in stages}
    copies = StageVersion.objects.bulk_create(
        _copy(version, revision=theirs, stage=of[theirs.campaign_id, version.stage.name])
        for theirs in revisions for version in versions
    )  # fmt: skip
    made = Edge.objects.bulk_create(
        Edge(campaign=campaign, upstream=of[campaign.pk, edge.edge.upstream.name], downstream=of[campaign.pk, "child"])
        for campaign in campaigns for edge in edges
    )  # fmt: skip
    EdgeVersion.objects.bulk_create(
        EdgeVersion(revision_id=edge.campaign.revision_id, edge=edge, gate="all") for edge in made
    )
    parents = [version for version in copies if version.stage.name in SIDES]
    once = {"pass_number": 1}
    StageProgress.objects.bulk_create(
        StageProgress(stage=version.stage, units=1, taken=1, closed=True, **once) for version in parents
    )
    Snapshot.objects.bulk_create(
        Snapshot(stage=version.stage, dataset="events(1)", units=1, digest="", **once) for version in parents
    )
    batches = Batch.objects.bulk_create(
        Batch(experiment=cast.experiment, stage=version.stage, version=version, number=1, n_units=1,
              state="jobs_completed", reason_key=f"slice:{version.stage_id}:1:1", **once)
        for version in parents
    )  # fmt: skip
    units = Unit.objects.bulk_create(
        Unit(experiment=cast.experiment, stage=batch.stage, batch=batch, key="events:0", events=1, **once)
        for batch in batches
    )
    submissions = Submission.objects.bulk_create(
        Submission(experiment=cast.experiment, batch=batch, campaign_id=batch.stage.campaign_id,
                   reason_key=f"first:{batch.pk}", kind="first", uuid=uuid4(), state="jobs_completed", launcher="local", system="local", output_dir="there", memory_mb=1, wall_s=1,
                   job_ids=["1.0@local"])
        for batch in batches
    )  # fmt: skip
    SubmissionUnit.objects.bulk_create(
        SubmissionUnit(submission=submission, unit=unit, job_index=0)
        for submission, unit in zip(submissions, units, strict=True)
    )
    # What the model itself has to do is not part of the race.
    Campaign.objects.filter(pk=model.pk).update(state="cancelled")
    PlanDue.objects.all().delete()
    found: dict[int, dict[str, tuple[int, int]]] = {campaign.pk: {} for campaign in campaigns}
    for submission in submissions:
        stage = submission.batch.stage
        found[stage.campaign_id][stage.name] = (submission.pk, stage.pk)
    for campaign in campaigns:
        found[campaign.pk]["child"] = (0, of[campaign.pk, "child"].pk)
    return list(found.values())


def _copy(row: object, **values: object) -> object:
    kept = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if not field.primary_key}
    kept = {name: value for name, value in kept.items() if name.removesuffix("_id") not in values}
    return type(row)(**kept, **values)


def end_one_parent(side: int, family: dict[str, tuple[int, int]], number: int, together: Callable[[], None]) -> None:
    """Bring one parent from its ended jobs to the end of its stage, and plan the child, as the loops do.

    Which steps begin at the same moment changes from round to round.
    """
    submission_id, stage_id = family[SIDES[side]]
    submission = Submission.objects.select_related("batch", "experiment").get(pk=submission_id)
    together()
    settling.settle(submission)
    if number % 3 == 1:
        together()
    recovering.decide(submission.batch_id)
    planning.plan(stage_id)
    if number % 3 == 2:
        together()
    planning.plan(family["child"][1])


def play_side(side: int, families_: list[dict[str, tuple[int, int]]], barrier: object, told: Path) -> None:
    """Play one parent through all rounds, in step with the process that plays the other."""

    def together() -> None:
        barrier.wait(PATIENCE)

    try:
        for number, family in enumerate(families_):
            end_one_parent(side, family, number, together)
            together()
            if side == 0:
                # What another planner had in its hands was left with its note: the next tick plans it.
                for _ in range(PlanDue.objects.filter(stage_id=family["child"][1]).count()):
                    planning.plan(family["child"][1])
    except BaseException:
        barrier.abort()
        told.write_text(traceback.format_exc())
        raise


def test_a_child_of_two_parents_that_end_at_once_starts_exactly_once(real_cast, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "catalogue", lambda *of: Everything())
    family = families(real_cast, ROUNDS)
    began = time.monotonic()
    _race(family, tmp_path)
    print(f"\n{len(family)} rounds of two parents: {time.monotonic() - began:.1f} s")
    children = Stage.objects.filter(pk__in=[entry["child"][1] for entry in family])
    parents = Stage.objects.filter(pk__in=[entry[side][1] for entry in family for side in SIDES])
    assert parents.filter(succeeded=True).count() == 2 * len(family)
    batches = Batch.objects.filter(stage__in=children)
    assert batches.count() == len(family)
    assert batches.values("stage").distinct().count() == len(family)
    assert set(batches.values_list("n_units", "state")) == {(2, "pending")}
    starts = Submission.objects.filter(batch__in=batches)
    assert starts.count() == len(family)
    assert set(starts.values_list("state", "kind")) == {("pending", "first")}
    covered = starts.annotate(n=Count("units")).values_list("n", flat=True)
    assert set(covered) == {2}
    assert Acceptance.objects.count() == 2 * len(family)
    assert set(StageProgress.objects.filter(stage__in=children).values_list("units", "taken", "closed")) == {
        (2, 2, True)
    }
    ended = parents.values("campaign").annotate(last=Max("completed_at")).values_list("campaign", "last")
    opened = dict(batches.values_list("stage__campaign_id", "created_at"))
    assert all(opened[campaign] > last for campaign, last in ended)
    assert not Trouble.objects.exists()


def _race(family: list[dict[str, tuple[int, int]]], tmp_path: Path) -> None:
    """Play both sides in processes of their own, so that they really run at the same time."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(SIDES))
    connections.close_all()
    pids = []
    for side, name in enumerate(SIDES):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                play_side(side, family, barrier, tmp_path / name)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    said = [(tmp_path / name).read_text() for name in SIDES if (tmp_path / name).exists()]
    assert codes == [0, 0], "\n".join(said)


# --- Two launches ---------------------------------------------------------------------------------------------


@dataclass
class Host:
    """A launch host with the shim's rules, in memory; it counts how often each launch was really started.

    Every third call does its work and gives no answer, as a connection does that breaks.
    """

    attempts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    started: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    calls: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def depth(self) -> dict[str, int]:
        return {"idle": 0, "running": 0, "held": 0, "slots": 1}

    def present(self, setup: str, programs: Sequence[str]) -> dict[str, bool]:
        return dict.fromkeys(programs, True)

    def start(self, launches: Sequence[Launch]) -> dict[str, Started]:
        with self.guard:
            outcomes = {launch.uuid: self._start(launch) for launch in launches}
            self.calls += 1
            answers = self.calls % 3 != 0
        time.sleep(0.002)
        if not answers:
            raise Unsure("the connection broke")
        return outcomes

    def _start(self, launch: Launch) -> Started:
        self.asked += 1
        recorded = self.attempts.get(launch.uuid, 0)
        if self.ended.get(launch.uuid, float("inf")) <= time.monotonic():
            return Started("finished")
        if launch.uuid in self.ended:
            return Started("running")
        if recorded != launch.after or recorded >= launch.attempt:
            return Started("stale")
        self.attempts[launch.uuid] = launch.attempt
        self.started[launch.uuid] += 1
        self.ended[launch.uuid] = time.monotonic() + 0.01
        return Started("started")

    def status(self, uuids: Sequence[str]) -> dict[str, Fate]:
        with self.guard:
            return {uuid: self._status(uuid) for uuid in uuids}

    def _status(self, uuid: str) -> Fate:
        attempt = self.attempts.get(uuid)
        if attempt is None:
            return Fate("never_seen")
        if self.ended[uuid] > time.monotonic():
            return Fate("running", attempt)
        return Fate("finished", attempt, exit_code=0, job_ids=(f"{uuid}.0",))

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        with self.guard:
            return {uuid: [f"{uuid}.0"] if self._status(uuid).state == "finished" else [] for uuid in uuids}

    def environment(self, wanted: Any) -> dict[str, str]:
        return {}


@pytest.fixture
def host(monkeypatch) -> Host:
    """The host to which every launch goes, and its batch system; leases run out while the act still goes on."""
    host = Host()
    monkeypatch.setattr(registry, "launcher", lambda key: host)
    monkeypatch.setattr(registry, "batch", lambda key: host)
    monkeypatch.setattr(launching, "LEASE", timedelta(milliseconds=5))
    monkeypatch.setattr(launching, "FIRST_LOOK", timedelta(milliseconds=1))
    return host


@pytest.fixture
def crowd() -> Iterator[Callable[[Callable[[], object]], list[object]]]:
    """Fifty threads, each with its own connection, which begin whatever they are told at the same moment."""
    pool = ThreadPoolExecutor(THREADS)

    def everybody(act: Callable[[], object]) -> list[object]:
        barrier = threading.Barrier(THREADS)

        def one() -> object:
            barrier.wait(PATIENCE)
            try:
                return act()
            except Conflict as error:
                return error

        return [done.result(PATIENCE) for done in [pool.submit(one) for _ in range(THREADS)]]

    yield everybody
    everybody(lambda: connection.close())
    pool.shutdown()


def failed_batches(cast: Cast, count: int) -> list[Batch]:
    """Return batches of a running campaign, each with one attempt that failed."""
    stage = "[campaign_stage gen]\nstage_type=generator\nevents={0}\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    builders.approved_campaign(cast, builders.definition(stages=stage.format(count)))
    while PlanDue.objects.exists():
        planning.plan_some()
    Submission.objects.update(state="failed", ended_at=now(), look_at=None)
    Batch.objects.update(state="failed")
    return list(Batch.objects.order_by("pk"))


def test_of_fifty_launches_at_once_one_is_made_and_its_script_starts_once(real_cast, host, crowd):
    batches = failed_batches(real_cast, LAUNCH_ROUNDS)
    began = time.monotonic()
    for batch in batches:
        clicks = crowd(lambda batch=batch: recovering.relaunch(batch, actor="user:coordinator", reason="again"))
        made = [click for click in clicks if isinstance(click, Submission)]
        assert len(made) == 1
        assert sum(isinstance(click, Conflict) for click in clicks) == THREADS - 1
        crowd(launching.launch_some)
        uuid = str(made[0].uuid)
        deadline = time.monotonic() + PATIENCE
        while Submission.objects.get(pk=made[0].pk).state != "submitted":
            assert time.monotonic() < deadline
            launching.launch_some()
        assert host.started[uuid] == 1
        assert batch.submissions.filter(~Q(state="failed")).count() == 1
    print(f"\n{len(batches)} rounds of {THREADS} launches: {time.monotonic() - began:.1f} s, {host.asked} starts asked")
    assert set(host.started.values()) == {1}
    assert len(host.started) == len(batches)
    assert not Trouble.objects.exists()


def test_a_step_that_another_worker_has_done_is_no_trouble(real_cast, host):
    batch = failed_batches(real_cast, 1)[0]
    submission = recovering.relaunch(batch, actor="user:coordinator", reason="again")
    launching.start_some()
    stale = Submission.objects.get(pk=submission.pk)
    for _ in range(2):
        with careful("launch", "submission", stale.pk):
            launching._record(stale, ["1.0@local"], 0, "twice")
    assert Submission.objects.get(pk=submission.pk).state == "submitted"
    assert not Trouble.objects.exists()
