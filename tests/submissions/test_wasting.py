"""Waste: the flags with what to change, and campaigns that pause themselves once by the same evidence (D2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core import clock
from core.errors import Refused
from core.models import Transition, Trouble
from submissions import usage
from submissions.logic import curbing, excluding, holding
from submissions.models import Hold, Job
from submissions.wasting import Asked, Failing, Flag, Used, flags
from tests.submissions.test_guarding import WHY, ended, guard_of, healthy, look, running, system, two  # noqa: F401
from tests.submissions.test_line import campaign

ASKED = Asked(memory_mb=2000, wall_s=14_400, cpus=1, per_job=4)
FINE = Used(True, wall_s=7200, cpu_s=6500, memory_mb=1500, memory_asked_mb=2000, wall_asked_s=14_400)


def jobs(number=20, **values):
    return [replace(FINE, **values)] * number


def words(found):
    return [(flag.word, flag.parameter, flag.now, flag.proposed) for flag in found]


def test_jobs_that_fit_have_no_flag():
    assert flags(jobs(), ASKED) == []
    assert flags([], ASKED) == []
    assert flags(jobs(9, wall_s=20), ASKED) == []  # too few to say anything


@pytest.mark.parametrize(
    ("used", "asked", "wanted"),
    [
        (jobs(wall_s=300, cpu_s=280), ASKED, ("too_short", "files_per_job", "4", "40")),
        (jobs(wall_s=590, cpu_s=500), ASKED, ("too_short", "files_per_job", "4", "28")),
        (jobs(wall_s=1.0, cpu_s=1.0), replace(ASKED, share="events_per_job", per_job=100),
         ("too_short", "events_per_job", "100", "1000")),
        (jobs(18) + jobs(2, wall_s=14_000, cpu_s=13_000), ASKED, ("too_long", "files_per_job", "4", "2")),
        (jobs(18) + jobs(2, succeeded=False, code="wall", wall_s=14_400), replace(ASKED, per_job=1),
         ("too_long", "wall_s", "14400", "18000")),
        (jobs(18) + jobs(2, memory_mb=1990), ASKED, ("too_little_memory", "memory_mb", "2000", "2500")),
        (jobs(18) + jobs(2, succeeded=False, code="memory", memory_mb=None), ASKED,
         ("too_little_memory", "memory_mb", "2000", "2500")),
        (jobs(memory_mb=700), replace(ASKED, memory_mb=8000), ("too_much_memory", "memory_mb", "8000", "1000")),
        (jobs(cpu_s=1000), ASKED, ("low_efficiency", "sites", "", "those where its input lies")),
        (jobs(cpu_s=7200, cpus=8), replace(ASKED, cpus=8), ("low_efficiency", "cpus", "8", "1")),
        ([replace(FINE, wall_s=wall, cpu_s=wall, memory_mb=500 + wall / 10) for wall in range(2000, 12_000, 500)], ASKED,
         ("leak", "files_per_job", "4", "2")),
    ],
)  # fmt: skip
def test_each_waste_names_the_parameter_and_a_value(used, asked, wanted):
    assert words(flags(used, asked)) == [wanted]


def test_what_was_asked_for_more_of_already_is_not_flagged_again():
    grown = replace(ASKED, memory_mb=3000, wall_s=20_000, per_job=1)
    near = jobs(18) + jobs(2, memory_mb=1990, wall_s=14_300, cpu_s=14_000)
    assert flags(near, grown) == []
    assert [flag.word for flag in flags(near, replace(ASKED, per_job=1))] == ["too_little_memory", "too_long"]


def test_one_bad_node_does_not_make_a_campaign_fail_too_much():
    assert Failing(jobs=40, failures=30, nodes=4, mean=0.8).is_too_much()
    assert not Failing(jobs=40, failures=30, nodes=11, mean=0.09).is_too_much()
    assert not Failing(jobs=19, failures=19, nodes=4, mean=1.0).is_too_much()
    assert not Failing(jobs=40, failures=20, nodes=4, mean=0.5).is_too_much()
    assert not Failing(jobs=40, failures=40, nodes=4, mean=1.0).is_too_much(share=100)


@pytest.fixture
def curb():
    def run():
        curbing.curb_some()
        assert not Trouble.objects.filter(loop="curb").exists()
        return list(Hold.objects.filter(actor="rule:waste").order_by("pk"))

    return run


@pytest.mark.django_db
def test_a_campaign_above_its_limit_pauses_itself_with_the_evidence_and_once(cast, two, curb):  # noqa: F811
    mine, other = two
    for number in range(5):
        ended(mine, f"n{number}", 4, 3)
        ended(other, f"n{number}", 4, 1)
    (hold,) = curb()
    assert (hold.scope, hold.campaign_id) == ("campaign", mine.campaign_id)
    assert "15 of the 20 jobs that ended in the last hour failed, on 5 nodes: more than 50 %" in hold.reason
    assert len(curb()) == 1
    holding.release(hold, actor="user:op", reason="mended")
    assert len(curb()) == 1
    for number in range(5):
        ended(mine, f"n{number}", 4, 3, ago=-10, long=1)
    with clock.shifted(timedelta(minutes=11)):
        assert len(curb()) == 2


@pytest.mark.django_db
def test_what_people_removed_and_what_bad_nodes_ate_does_not_count(cast, two, curb):  # noqa: F811
    mine, _ = two
    healthy(mine, nodes=4, jobs=2)
    ended(mine, "n01", 40, 40, state="removed")
    assert curb() == []
    for number in range(5):
        ended(mine, f"bad{number}", 4, 4)
    excluded = [
        excluding.exclude(cast.experiment, "local", "node", f"bad{n}", hours=1, actor="user:op", reason=WHY)
        for n in range(5)
    ]
    assert curb() == []
    for row in excluded:
        excluding.release(row, actor="user:op", reason="mended")
    assert len(curb()) == 1


@pytest.mark.django_db
def test_a_stopped_batch_system_pauses_no_campaign_of_its_own(cast, system, two, curb):  # noqa: F811
    mine, other = two
    for number in range(20):
        ended(mine, f"n{number:02}", 3, 3)
        ended(other, f"n{number:02}", 3, 3)
    guard_of(system, mode="act")
    look()
    assert curb() == []


@pytest.mark.django_db
def test_a_limit_is_the_campaigns_own_or_its_experiments(cast, two, curb):  # noqa: F811
    mine, _ = two
    for number in range(5):
        ended(mine, f"n{number}", 4, 3)
    given = {"actor": "user:op", "reason": WHY}
    curbing.set_limit(cast.experiment, None, 100, 20, **given)
    assert curb() == []
    assert curbing.limit_of(mine.campaign) == (100, 20)
    curbing.set_limit(cast.experiment, mine.campaign, 70, 20, **given)
    curbing.set_limit(cast.experiment, mine.campaign, 60, 20, **given)
    assert curbing.limit_of(mine.campaign) == (60, 20)
    assert len(curb()) == 1
    assert Transition.objects.filter(verb="limit_waste").count() == 3
    for share, least, reason in ((0, 1, WHY), (101, 1, WHY), (50, 0, WHY), (50, 20, " ")):
        with pytest.raises(Refused):
            curbing.set_limit(cast.experiment, None, share, least, actor="user:op", reason=reason)


@pytest.mark.django_db
def test_the_sample_is_of_the_latest_jobs_of_each_stage(cast, two):  # noqa: F811
    mine, _ = two
    (later,) = running(campaign(cast, "later", batches=1))
    ended(mine, "n1", 70, 0, long=2.0)
    ended(mine, "n1", 3, 3, state="removed")
    Job.objects.filter(submission=mine).update(memory_mb=40.0, cpu_s=100.0, cpus=2)
    stage = mine.batch.stage_id
    found = usage.used_by([stage, later.batch.stage_id])
    assert set(found) == {stage}
    assert len(found[stage]) == usage.JOBS
    job = found[stage][0]
    assert (job.succeeded, job.wall_s, job.cpu_s, job.memory_mb, job.cpus) == (True, 120.0, 100.0, 40.0, 2)
    assert (job.memory_asked_mb, job.wall_asked_s) == (mine.memory_mb, mine.wall_s)
    (flag,) = [one for one in flags(found[stage], Asked(2000, 3600, 2)) if one.word == "low_efficiency"]
    assert isinstance(flag, Flag)
