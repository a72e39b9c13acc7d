"""The one statement that writes jobs: any order, any repetition, exact counters, unbroken history (T6, F9)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.models import Transition
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem
from submissions.logic import merging, planning
from submissions.models import Job, JobCount, JobTally, Submission
from submissions.states import JOB_ENDED, JOB_RANK
from tests import builders

REPORTED = [state for state in JOB_RANK if state != "lost"]
T0 = 1_700_000_000.0


@pytest.fixture
def submission(cast):
    """A submission that was launched, and the batch system it went to."""
    builders.approved_campaign(cast)
    planning.plan_some()
    found = Submission.objects.first()
    Submission.objects.filter(pk=found.pk).update(state="submitted", look_at=None)
    found.batch_system = BatchSystem.objects.create(name="local")
    return found


def seen(submission, job, state, at, starts=1, **more):
    return JobSeen(id=f"{job}@x", uuid=str(submission.uuid), state=state, starts=starts, at=T0 + at, **more)


def merge(submission, *reports):
    with transaction.atomic():
        return merging.merge(submission.batch_system.pk, reports, source="test")


def fold(reports):
    """Return the state that a set of reports means, in one line of Python."""
    return max(reports, key=lambda r: (r.starts, r.state in JOB_ENDED, r.at, JOB_RANK[r.state]))


def recount():
    """Return how many jobs ended and what they used, by day, site and state, from the jobs themselves."""
    found = {}
    for job in Job.objects.exclude(ended_at=None):
        wall = job.wall_s or 0
        used = (1, wall, wall * (job.cpus or 1), job.cpu_s or 0)
        key = (job.ended_at.date(), job.site, job.state_code)
        found[key] = tuple(map(sum, zip(found.get(key, (0, 0, 0, 0)), used, strict=True)))
    return found


def check_whole(submission):
    counted = Counter(Job.objects.values_list("state_code", flat=True))
    kept = {c.state_code: c.n for c in JobCount.objects.filter(n__gt=0)}
    assert kept == dict(counted)
    tallied = {
        (row.day, row.site, row.state_code): (row.n, row.wall_s, row.core_s, row.cpu_s)
        for row in JobTally.objects.filter(n__gt=0)
    }
    assert tallied == {key: pytest.approx(used) for key, used in recount().items()}
    last = {}
    for step in Transition.objects.filter(kind="job").order_by("id"):
        assert step.source == last.get(step.thing_id, ""), "a gap in the history"
        assert step.actor and step.at
        last[step.thing_id] = step.target
    assert last == {job.pk: job.state for job in Job.objects.all()}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_any_order_and_repetition_of_reports_means_the_same(submission, seed):
    dice = random.Random(seed)
    histories = {
        job: [
            seen(
                submission,
                job,
                dice.choice(REPORTED),
                dice.randrange(12) * 20_000,
                dice.randrange(1, 4),
                site=dice.choice(["here", "there"]),
                wall_s=dice.randrange(100),
                cpu_s=dice.choice([None, 5.5]),
                cpus=dice.choice([None, 1, 8]),
            )
            for _ in range(dice.randrange(1, 8))
        ]
        for job in range(40)
    }
    told = [report for history in histories.values() for report in history for _ in range(dice.choice([1, 1, 2]))]
    dice.shuffle(told)
    mark = transaction.savepoint()
    while told:
        cut = dice.randrange(1, len(told) + 1)
        merge(submission, *told[:cut])
        told = told[cut:]
    states = {job.external_id: (job.state, job.starts) for job in Job.objects.all()}
    expected = {f"{job}@x": (fold(history).state, fold(history).starts) for job, history in histories.items()}
    assert states == expected
    check_whole(submission)
    transaction.savepoint_rollback(mark)


def test_every_phase_in_one_look_is_a_transition(submission):
    phases = ("idle", "staging_in", "processing", "staging_out", "succeeded")
    merge(submission, *(seen(submission, 1, phase, n) for n, phase in enumerate(phases)))
    assert list(Transition.objects.filter(kind="job").order_by("id").values_list("target", flat=True)) == list(phases)
    job = Job.objects.get()
    assert (job.started_at.timestamp() - T0, job.ended_at.timestamp() - T0) == (1, 4)


def test_an_end_is_not_taken_back_by_a_later_report_of_the_same_start(submission):
    merge(submission, seen(submission, 1, "succeeded", 5))
    assert merge(submission, seen(submission, 1, "processing", 9)) == 0
    assert Job.objects.get().state == "succeeded"


def test_a_new_start_replaces_an_end(submission):
    merge(submission, seen(submission, 1, "failed", 5))
    merge(submission, seen(submission, 1, "processing", 9, starts=2))
    job = Job.objects.get()
    assert job.state == "processing" and job.ended_at is None
    check_whole(submission)


def test_lost_yields_to_any_report_and_takes_no_ended_job(submission):
    merge(submission, seen(submission, 1, "processing", 2), seen(submission, 2, "succeeded", 2))
    merge(submission, seen(submission, 1, "lost", 9), seen(submission, 2, "lost", 9))
    assert {job.external_id: job.state for job in Job.objects.all()} == {"1@x": "lost", "2@x": "succeeded"}
    merge(submission, seen(submission, 1, "failed", 3, exit_code=7))
    job = Job.objects.get(external_id="1@x")
    assert (job.state, job.exit_code) == ("failed", 7)
    check_whole(submission)


def test_reports_of_an_unknown_submission_change_nothing(submission):
    stranger = replace(seen(submission, 1, "idle", 1), uuid="00000000-0000-4000-8000-000000000000")
    assert merge(submission, stranger) == 0
    assert not Job.objects.exists()


def test_a_tag_that_is_no_uuid_stands_in_nobodys_way(submission):
    strange = JobSeen(id="9@x", uuid="bare-0", state="idle", starts=0, at=T0)
    assert merge(submission, strange, seen(submission, 1, "idle", 0)) == 1
    assert Job.objects.count() == 1


def test_what_a_job_needed_is_the_most_that_was_seen(submission):
    merge(submission, seen(submission, 1, "processing", 1, memory_mb=300.0, node="a"))
    merge(submission, seen(submission, 1, "succeeded", 2, memory_mb=200.0))
    job = Job.objects.get()
    assert (job.memory_mb, job.node) == (300.0, "a")


def test_nasty_text_comes_through(submission):
    text = "tab\there \\N back\\slash\nnewline \x01 ü€ '; DROP TABLE x; --"
    merge(submission, seen(submission, 1, "failed", 1, reason=text))
    assert Job.objects.get().reason == text
