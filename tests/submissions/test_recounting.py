"""Counters and tallies that somebody wrote wrong are found, mended, written down and told (design 3)."""

from __future__ import annotations

import pytest
from django.db.models import F

from core import clock
from core.models import Transition
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem
from poms_site.overview.notices import RULES
from submissions.logic import merging, planning, recounting
from submissions.models import JobCount, JobTally, Submission
from submissions.states import JOB_RANK
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(cast):
    """A running submission with jobs of three states, some of which ended today."""
    builders.approved_campaign(cast)
    planning.plan_some()
    found = Submission.objects.first()
    Submission.objects.filter(pk=found.pk).update(state="running", look_at=None)
    system = BatchSystem.objects.create(name="local")
    states = ("processing", "succeeded", "succeeded", "failed")
    at = clock.now().timestamp()
    seen = [
        JobSeen(id=f"{n}@x", uuid=str(found.uuid), state=state, starts=1, at=at, site="SITE", wall_s=0.1 * n, cpus=8)
        for n, state in enumerate(states)
    ]
    merging.merge(system.pk, seen, source="test")
    return found


def told() -> list[tuple[str, str]]:
    return list(Transition.objects.filter(verb="recount").order_by("id").values_list("kind", "reason"))


def kept() -> list[object]:
    counters = JobCount.objects.exclude(n=0).order_by("submission", "state_code").values_list("state_code", "n")
    tallies = JobTally.objects.exclude(n=0).order_by("state_code").values_list("site", "state_code", "n")
    return [*counters, *tallies]


def test_what_is_right_is_left_alone(submission):
    before = kept()
    recounting.recount()
    assert kept() == before and told() == []


def test_a_wrong_counter_is_mended_and_told(submission):
    before = kept()
    JobCount.objects.filter(state_code=JOB_RANK["succeeded"]).update(n=F("n") + 3)
    JobCount.objects.filter(state_code=JOB_RANK["failed"]).delete()
    JobCount.objects.create(submission=submission, state_code=JOB_RANK["held"], n=1)
    recounting.recount()
    assert kept() == before
    assert sorted(reason for _, reason in told()) == [
        "the counter of failed said 0, and there are 1; mended",
        "the counter of held said 1, and there are 0; mended",
        "the counter of succeeded said 5, and there are 2; mended",
    ]
    step = Transition.objects.filter(verb="recount").first()
    assert (step.source, step.target, step.thing_id) == ("running", "running", submission.pk)


def test_a_wrong_tally_is_mended_and_told(submission):
    before = kept()
    JobTally.objects.filter(state_code=JOB_RANK["failed"]).update(n=7)
    JobTally.objects.filter(state_code=JOB_RANK["succeeded"]).update(wall_s=F("wall_s") + 5)
    recounting.recount()
    assert kept() == before
    assert JobTally.objects.get(state_code=JOB_RANK["succeeded"]).wall_s == pytest.approx(0.3)
    assert [kind for kind, _ in told()] == ["campaign", "campaign"]
    assert "said 7 jobs, and there are 1" in told()[0][1] and "off by -5.0 s" in told()[1][1]


def test_operators_hear_of_both():
    assert {rule.of for rule in RULES if rule.verb == "recount"} == {"submission", "campaign"}
