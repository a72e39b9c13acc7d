"""Whatever of the reports is lost, late, twice or cut off: jobs come to the same state, and none ends that has not (M7, F9).

POMS_HISTORIES=100000 and POMS_LOST_JOBS=300000 are the full sizes.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core import clock
from integrations import registry
from integrations.batch.base import JobSeen, Snapshot
from integrations.errors import Unavailable
from integrations.models import BatchSystem
from submissions.logic import merging, observing, planning
from submissions.models import Job, JobCount, Submission
from submissions.states import JOB_ENDED, JOB_RANK, JOB_STARTED
from tests import builders

HISTORIES = int(os.environ.get("POMS_HISTORIES") or 400)
LOST_JOBS = int(os.environ.get("POMS_LOST_JOBS") or 3_000)
SEED = int(os.environ.get("POMS_SEED") or random.SystemRandom().randrange(10**6))
T0 = time.time() - 7_200

pytestmark = pytest.mark.django_db


@pytest.fixture
def system(cast) -> BatchSystem:
    """A batch system with one launched submission."""
    stage = "[campaign_stage gen]\nstage_type=generator\nevents=1\nevents_per_job=1\ncs_split_type=None\n"
    builders.approved_campaign(cast, builders.definition(stages=stage))
    planning.plan_some()
    Submission.objects.update(state="running", look_at=None, launched_at=clock.now())
    return BatchSystem.objects.create(name="local")


def life(dice: random.Random, uuid: str, name: str) -> list[JobSeen]:
    """Return what really happens to one job, in order: starts over now and then, held now and then, mostly ends.

    What has failed or was removed may be begun anew under its id, as Slurm does; what has succeeded is not.
    """
    at, told = T0 + dice.random(), []
    for start in range(1, dice.choice((1, 1, 1, 2, 3)) + 1):
        last = ["succeeded", "failed", "removed", "processing"] if dice.random() < 0.9 else ["idle", "held"]
        for state in ("idle", "staging_in", "processing", *dice.choice(([], ["held", "idle"], ["suspended"])),
                      "staging_out", dice.choice(last)):  # fmt: skip
            at += dice.choice((0.001, 1.0, dice.random() * 100))
            told.append(JobSeen(id=name, uuid=uuid, state=state, starts=start, at=at, node=f"n{start}"))
            if state in JOB_ENDED:
                break
        if told[-1].state == "succeeded":
            break
    return told


def meaning(reports: list[JobSeen]) -> tuple[str, int, float]:
    """Return the state that a set of reports means, in one line of Python."""
    found = max(reports, key=lambda r: (r.starts, r.state in JOB_ENDED, r.at, JOB_RANK[r.state]))
    return found.state, found.starts, found.at


def states() -> dict[str, tuple[str, int, float]]:
    rows = Job.objects.values_list("external_id", "state_code", "starts", "event_at")
    word = {code: state for state, code in JOB_RANK.items()}
    return {name: (word[code], starts, at.timestamp()) for name, code, starts, at in rows}


def garbled(dice: random.Random, told: list[JobSeen]) -> list[JobSeen]:
    """Return the reports in some order, some of them several times."""
    found = [report for report in told for _ in range(dice.choice((1, 1, 1, 2, 3)))]
    dice.shuffle(found)
    return found


def merge_in_pieces(system: BatchSystem, dice: random.Random, told: list[JobSeen]) -> None:
    while told:
        cut = dice.randrange(1, max(2, len(told) // 2 + 2))
        merging.merge(system.pk, told[:cut], source="test")
        told = told[cut:]


def test_any_history_permuted_doubled_cut_off_and_completed_means_the_same(system):
    print(f"seed {SEED}")
    dice, uuid = random.Random(SEED), str(Submission.objects.get().uuid)
    lives = {f"{n}@x": life(dice, uuid, f"{n}@x") for n in range(HISTORIES)}
    cut_off = {name: told[: dice.randrange(1, len(told) + 1)] for name, told in lives.items()}
    merge_in_pieces(system, dice, garbled(dice, [report for told in cut_off.values() for report in told]))
    assert states() == {name: near(meaning(told)) for name, told in cut_off.items()}
    # The rest comes afterwards, and all that was said before once more.
    merge_in_pieces(system, dice, garbled(dice, [report for told in lives.values() for report in told]))
    assert states() == {name: near(meaning(told)) for name, told in lives.items()}
    counted = {count.state_code: count.n for count in JobCount.objects.filter(n__gt=0)}
    assert sum(counted.values()) == HISTORIES
    for code, number in counted.items():
        assert Job.objects.filter(state_code=code).count() == number
    begun = {
        name: min((report.at for report in told if report.state in JOB_STARTED), default=None)
        for name, told in lives.items()
    }
    assert {name: at and at.timestamp() for name, at in Job.objects.values_list("external_id", "started_at")} == {
        name: at and datetime.fromtimestamp(at, UTC).timestamp() for name, at in begun.items()
    }


def near(fact: tuple[str, int, float]) -> tuple[str, int, float]:
    """Return a meaning with the time as PostgreSQL keeps it, to the microsecond."""
    state, starts, at = fact
    return state, starts, datetime.fromtimestamp(at, UTC).timestamp()


class Lossy:
    """A batch system whose pushed changes were lost in part, and which knows the truth when it is asked."""

    def __init__(self, truth: dict[str, JobSeen], gone: set[str]) -> None:
        self.truth, self.gone, self.silent, self.asked = truth, gone, False, 0

    def snapshot(self, since: str) -> Snapshot:
        if self.silent:
            raise Unavailable("it does not answer")
        return Snapshot("later")

    def jobs(self, ids: list[str]) -> tuple[list[JobSeen], list[str]]:
        if self.silent:
            raise Unavailable("it does not answer")
        self.asked += 1
        known = [self.truth[name] for name in ids if name not in self.gone]
        return known, [name for name in ids if name in self.gone]

    def depth(self) -> dict[str, int]:
        return {"slots": 1}


def test_a_third_of_the_reports_lost_is_made_good_in_two_polls_and_nothing_ends_that_has_not(system, monkeypatch):
    print(f"seed {SEED}")
    dice, submission = random.Random(SEED), Submission.objects.get()
    uuid = str(submission.uuid)
    names = [f"{n}@x" for n in range(LOST_JOBS)]
    lives = {name: life(dice, uuid, name) for name in names}
    truth = {name: replace(told[-1]) for name, told in lives.items()}
    gone = {name for name, last in truth.items() if last.state not in JOB_ENDED and dice.random() < 0.01}
    Submission.objects.update(job_ids=names)
    arrived = [report for told in lives.values() for report in told if dice.random() >= 0.3]
    dice.shuffle(arrived)
    for begin in range(0, len(arrived), 20_000):
        merging.merge(system.pk, arrived[begin : begin + 20_000], source="push")
    ended = {name for name, last in truth.items() if last.state in JOB_ENDED}
    known_ended = set(Job.objects.exclude(ended_at=None).values_list("external_id", flat=True))
    batch = Lossy(truth, gone)
    monkeypatch.setattr(registry, "batch", lambda name: batch)
    monkeypatch.setattr(observing, "SWEEP_JOBS", LOST_JOBS)
    with clock.shifted(timedelta(minutes=5)):
        batch.silent = True
        observing.observe_some()
        assert set(Job.objects.exclude(ended_at=None).values_list("external_id", flat=True)) == known_ended
        batch.silent = False
        observing.observe(system)
        with clock.shifted(timedelta(minutes=5)):
            observing.observe(system)
    found = states()
    lost = {name for name, (state, *_) in found.items() if state == "lost"}
    assert lost == gone, "lost is what two answers did not know, and nothing else"
    wrong = {
        name: (found[name], truth[name]) for name in names if name not in gone and found[name][0] != truth[name].state
    }
    assert not wrong, f"{len(wrong)} of {LOST_JOBS}, such as {next(iter(wrong.items()))}"
    false = set(Job.objects.exclude(ended_at=None).values_list("external_id", flat=True)) - ended - gone
    assert not false


def test_a_sweep_goes_on_where_the_last_one_ended(system, monkeypatch):
    submission = Submission.objects.get()
    names = [f"{n}@x" for n in range(25)]
    seen = {name: JobSeen(id=name, uuid=str(submission.uuid), state="processing", starts=1, at=T0) for name in names}
    merging.merge(system.pk, list(seen.values()), source="test")
    batch, asked = Lossy(seen, set()), []
    ask = batch.jobs
    monkeypatch.setattr(batch, "jobs", lambda ids: asked.append(sorted(ids)) or ask(ids), raising=False)
    monkeypatch.setattr(registry, "batch", lambda name: batch)
    monkeypatch.setattr(observing, "SWEEP_JOBS", 10)
    for minutes in range(5, 25, 5):
        with clock.shifted(timedelta(minutes=minutes)):
            observing.observe(system)
    assert [len(ids) for ids in asked] == [10, 10, 5, 10]
    assert sorted(name for ids in asked[:3] for name in ids) == sorted(names)
    assert asked[3] == asked[0]


def test_what_has_failed_is_asked_about_once_more(system, monkeypatch):
    submission = Submission.objects.get()
    failed = JobSeen(id="1@x", uuid=str(submission.uuid), state="failed", starts=1, at=T0, exit_code=1)
    forgotten = replace(failed, id="2@x")
    merging.merge(system.pk, [failed, forgotten], source="push")
    batch, asked = Lossy({"1@x": replace(failed, state="processing", starts=2, exit_code=None)}, {"2@x"}), []
    ask = batch.jobs
    batch.truth["2@x"] = forgotten
    monkeypatch.setattr(batch, "jobs", lambda ids: asked.append(sorted(ids)) or ask(ids), raising=False)
    monkeypatch.setattr(registry, "batch", lambda name: batch)
    for minutes in (0, 5, 10):
        with clock.shifted(timedelta(minutes=minutes)):
            observing.observe(system)
    assert states()["1@x"][:2] == ("processing", 2)
    assert states()["2@x"][:2] == ("failed", 1), "that a batch system has forgotten an end makes nothing lost"
    assert [ids for ids in asked if "2@x" in ids] == [["1@x", "2@x"]]


def test_a_submission_is_looked_at_for_its_first_job_and_its_last_not_for_each(system):
    """With half a million jobs thousands of submissions have news in a tick, and next to none of them has to be settled."""
    row = Submission.objects.get()
    Submission.objects.update(state="submitted", look_at=None, job_ids=["1@x", "2@x"], n_jobs=2)

    def looked_for(*states: str) -> bool:
        at[0] += 1
        seen = [
            JobSeen(id=f"{n}@x", uuid=str(row.uuid), state=state, starts=1, at=at[0])
            for n, state in enumerate(states, 1)
        ]
        merging.merge(system.pk, seen, source="test")
        found = Submission.objects.filter(look_at__isnull=False).exists()
        Submission.objects.update(look_at=None)
        return found

    at = [T0]
    assert not looked_for("idle", "idle")
    assert looked_for("processing", "idle"), "the first has begun"
    Submission.objects.update(state="running")
    assert not looked_for("succeeded", "idle")
    assert not looked_for("succeeded", "processing")
    assert looked_for("succeeded", "failed"), "the last has ended"
    Submission.objects.update(job_ids=["1@x", "2@x", "3@x"], state="running")
    assert not looked_for("succeeded", "removed"), "one was never seen"
    assert looked_for("succeeded", "removed", "succeeded")
    Submission.objects.update(state="jobs_completed")
    assert looked_for("succeeded", "removed", "failed"), "what has ended is something else"


def test_a_system_whose_kind_is_not_known_here_keeps_no_other_from_being_looked_at(system):
    """A host with an older POMS may come upon a row that was entered by a newer one."""
    stranger = BatchSystem.objects.create(name="cloud", backend="nimbus")
    after = BatchSystem.objects.create(name="after", backend="local")
    observing.observe_some()
    stranger.refresh_from_db()
    after.refresh_from_db()
    assert "cloud is of the kind nimbus, which is not known on this host" in stranger.error
    assert "the local batch daemon does not answer" in after.error, "it was asked"
