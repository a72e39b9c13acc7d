"""A real black hole on the local batch system: it eats jobs, is found, and the next submission stays away from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import due
from submissions.logic import guarding
from submissions.models import Exclusion, Guard, Job, Submission
from submissions.states import JOB_RANK
from tests import builders

STAGE = (
    "[campaign_stage gen]\nstage_type=generator\nevents=40\nevents_per_job=1\ncs_split_type=nevents(40)\n"
    "recovery_rounds=2\n"
)
# On one of the two nodes every job fails at once, so that this one is always free; on the other one each takes a while.
JOB = 'test "$POMS_NODE" != local-01 || exit 1; sleep 0.3; echo "$KEYS" > "$NAME"'
FIRST = ("plan", "launch", "observe")


@pytest.mark.django_db(transaction=True)
def test_a_black_hole_is_found_and_the_recovery_runs_elsewhere(real_cast, local_system, drive):
    builders.login_setup(real_cast, setup=f"export TINY_JOB='{JOB}'")
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=STAGE, campaign="eaten"))
    drive(lambda: Job.objects.filter(ended_at__isnull=False).count() == 40, names=FIRST)
    ended = Job.objects.values_list("node", "state_code")
    assert {node for node, state in ended if state == JOB_RANK["failed"]} == {"local-01"}
    eaten = Job.objects.filter(node="local-01").count()
    assert eaten > 20
    Guard.objects.update_or_create(system=local_system, defaults={"mode": "act"})
    guarding.guard_some()
    row = Exclusion.objects.get()
    assert (row.level, row.name, row.state) == ("node", "local-01", "excluded")
    assert row.evidence["failures"] == eaten

    def over():
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(over)
    assert campaign.state == "succeeded"
    recovery = Submission.objects.get(kind="recovery")
    assert recovery.avoided == {"nodes": ["local-01"]}
    assert set(Job.objects.filter(submission=recovery).values_list("node", flat=True)) == {"local-02"}

    # Its time is over, and it was mended: the jobs of one submission try it, and let it in again.
    Exclusion.objects.update(until=due(timedelta(seconds=-1)))
    _look()
    assert Exclusion.objects.get().state == "on_probation"
    builders.login_setup(real_cast).__class__.objects.update(setup="")
    again = builders.approved_campaign(real_cast, builders.definition(stages=STAGE, campaign="mended"))
    drive(lambda: Job.objects.filter(submission__campaign=again, ended_at__isnull=False).count() == 40, names=FIRST)
    assert Exclusion.objects.get().canary == Submission.objects.get(campaign=again)
    _look()
    assert Exclusion.objects.get().state == "released"


def _look() -> None:
    Guard.objects.update(judge_at=due(timedelta(seconds=-1)))
    guarding.guard_some()
