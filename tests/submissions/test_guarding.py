"""The guard on real rows: what it writes down, whom it concerns, what launches avoid, how trials go (D2)."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from core import clock
from core.clock import due, now
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition, Trouble
from experiments.logic import membership
from integrations.models import BatchSystem
from submissions.logic import excluding, guarding, holding, launching, wanting
from submissions.models import Exclusion, Guard, Hold, Job, Limit, Node, Submission
from submissions.queries import gates
from submissions.states import JOB_RANK
from tests.submissions.test_line import abroad, campaign

pytestmark = pytest.mark.django_db
WHY = "to see what becomes of it"
_number = count(1)


@pytest.fixture
def system(db):
    row, _ = BatchSystem.objects.get_or_create(name="local", defaults={"backend": "local"})
    return row


def guard_of(system, **values):
    row, _ = Guard.objects.get_or_create(system=system)
    Guard.objects.filter(pk=row.pk).update(**values)
    return row


def running(made):
    """Let the submissions of a campaign be in the batch system."""
    Submission.objects.filter(campaign=made).update(**{"state": "running"})
    return list(Submission.objects.filter(campaign=made).order_by("pk"))


def ended(submission, node, jobs, failures, *, site="far", ago=10.0, long=5.0, state="failed"):
    """Let jobs of a submission have ended on a node, so many minutes ago."""
    system = BatchSystem.objects.get(name="local")
    at = now() - timedelta(minutes=ago)
    return Job.objects.bulk_create(
        Job(
            experiment_id=submission.experiment_id, submission=submission, system=system,
            external_id=f"{next(_number)}.0@local", index=number, node=node, site=site, starts=1, event_at=at,
            state_since=at, ended_at=at, started_at=at - timedelta(minutes=long),
            state_code=JOB_RANK[state if number < failures else "succeeded"],
        )
        for number in range(jobs)
    )  # fmt: skip


def healthy(submission, nodes=20, jobs=3, **how):
    for number in range(nodes):
        ended(submission, f"n{number:02}", jobs, 0, **how)


def look(**guards):
    """Judge now."""
    Guard.objects.update(judge_at=due(timedelta(seconds=-1)), **guards)
    done = guarding.guard_some()
    assert not Trouble.objects.filter(loop="guard").exists(), Trouble.objects.filter(loop="guard").values()
    return done


@pytest.fixture
def two(cast, system):
    """A submission of each of two experiments, which run."""
    (mine,) = running(campaign(cast, batches=1))
    (other,) = running(campaign(abroad(cast), batches=1))
    return mine, other


def test_a_guard_that_observes_says_what_it_would_have_done_and_what_that_would_have_saved(cast, system, two):
    mine, _ = two
    healthy(mine)
    ended(mine, "bad", 9, 9)
    guard_of(system)
    assert look() == 1
    assert look() == 1
    rows = {row.experiment.name: row for row in Exclusion.objects.select_related("experiment")}
    assert {row.state for row in rows.values()} == {"watched"}
    assert set(rows) == {"demo", cast.other.name}
    assert (rows["demo"].level, rows["demo"].name, rows["demo"].until) == ("node", "bad", None)
    assert rows["demo"].verdict == rows[cast.other.name].verdict
    evidence = rows["demo"].evidence
    assert (evidence["jobs"], evidence["failures"], evidence["nodes"], evidence["expected"]) == (9, 9, 20, 0.0)
    assert evidence["campaigns"][0]["ref"] == mine.campaign.ref
    assert len(evidence["examples"]) == 5
    theirs = rows[cast.other.name].evidence
    assert (theirs["campaigns"], theirs["examples"]) == ([], [])
    assert theirs["others"] == {"campaigns": 1, "jobs": 9, "failures": 9}
    assert Node.objects.filter(system=system).count() == Guard.objects.get().nodes == 21
    ended(mine, "bad", 4, 4, ago=-0.01)  # after that look
    with clock.shifted(timedelta(minutes=1)):
        look()
    assert Exclusion.objects.get(experiment=cast.experiment).spared == 4
    assert Exclusion.objects.get(experiment=cast.other).spared == 0
    excluding.avoid([mine])
    assert Submission.objects.get(pk=mine.pk).avoided == {}
    with clock.shifted(timedelta(hours=3)):
        look()
    assert set(Exclusion.objects.values_list("state", flat=True)) == {"released"}


def test_a_guard_that_acts_keeps_new_submissions_from_the_node_and_tries_it_with_one_canary(cast, system, two):
    mine, _ = two
    healthy(mine)
    ended(mine, "bad", 9, 9)
    guard_of(system, mode="act")
    look()
    row = Exclusion.objects.get(experiment=cast.experiment)
    assert row.state == "excluded"
    assert row.until > now() + timedelta(minutes=59)
    steps = list(Transition.objects.filter(kind="exclusion", thing_id=row.pk).values_list("target", "actor"))
    assert steps == [("excluded", "rule:blackholes")]
    first, second = Submission.objects.filter(campaign=campaign(cast, "later", batches=2)).order_by("pk")
    launching._as_launches({first: 0})
    assert Submission.objects.get(pk=first.pk).avoided == {"nodes": ["bad"]}
    assert wanting.wanted_of(Submission.objects.get(pk=first.pk)).slots.avoid_nodes == ("bad",)
    look()  # the same evidence changes nothing
    assert Exclusion.objects.filter(experiment=cast.experiment).count() == 1
    with clock.shifted(timedelta(minutes=61)):
        look()
        assert Exclusion.objects.get(pk=row.pk).state == "on_probation"
        excluding.avoid([first, second])
        assert Exclusion.objects.get(pk=row.pk).canary_id == first.pk
        assert (first.avoided, second.avoided) == ({}, {"nodes": ["bad"]})
        excluding.avoid([first])  # its next attempt is the canary still
        assert first.avoided == {}
        ended(first, "bad", 1, 1, ago=0)
        look()
        row.refresh_from_db()
        assert (row.state, row.hours, row.canary_id) == ("excluded", 2, None)
    with clock.shifted(timedelta(minutes=190)):
        look()
        excluding.avoid([second])
        ended(second, "bad", 1, 0, ago=0)
        look()
        row.refresh_from_db()
        assert row.state == "released"
        look()  # what it did before does not count once more
    assert Exclusion.objects.filter(experiment=cast.experiment).count() == 1


def test_a_canary_that_never_ran_there_gives_its_place_to_the_next(cast, system, two):
    mine, _ = two
    row = excluding.exclude(cast.experiment, "local", "node", "bad", hours=1, actor="user:op", reason=WHY)
    guard_of(system)
    with clock.shifted(timedelta(minutes=61)):
        look()
        excluding.avoid([mine])
        Submission.objects.filter(pk=mine.pk).update(ended_at=now())
        look()
        row.refresh_from_db()
        assert (row.state, row.canary) == ("on_probation", None)
    with clock.shifted(timedelta(minutes=130)):
        look()
    row.refresh_from_db()
    assert row.state == "released"
    assert "no job came by" in Transition.objects.filter(kind="exclusion").order_by("-id")[0].reason


def test_no_more_nodes_are_excluded_than_the_cap_lets(cast, system, two):
    mine, _ = two
    healthy(mine, nodes=40)
    for number in range(4):
        ended(mine, f"bad{number}", 9, 9)
    guard_of(system, mode="act", cap=5)
    look()
    own = Exclusion.objects.filter(experiment=cast.experiment).order_by("name")
    assert list(own.values_list("state", flat=True)) == ["excluded", "excluded", "watched", "watched"]
    assert "no more than 5 % may" in own.last().reason
    excluding.release(own[0], actor="user:op", reason="repaired")
    excluding.release(Exclusion.objects.get(experiment=cast.other, name="bad0"), actor="user:op", reason="repaired")
    look()
    assert Exclusion.objects.get(experiment=cast.experiment, name="bad2").state == "excluded"
    assert not Exclusion.objects.filter(name="bad0", state="excluded").exists()


def test_what_one_experiment_undoes_stays_for_others_and_comes_to_those_who_come_later(cast, system):
    (mine,) = running(campaign(cast, batches=1))
    healthy(mine)
    ended(mine, "bad", 9, 9)
    guard_of(system, mode="act")
    look()
    (row,) = Exclusion.objects.all()
    (other,) = running(campaign(abroad(cast), batches=1))
    look()
    theirs = Exclusion.objects.get(experiment=cast.other)
    assert (theirs.state, theirs.verdict) == ("excluded", row.verdict)
    excluding.release(theirs, actor="user:stranger", reason="ours run there")
    look()
    assert list(Exclusion.objects.filter(experiment=cast.other).values_list("state", flat=True)) == ["undone"]
    assert Exclusion.objects.get(pk=row.pk).state == "excluded"
    excluding.avoid([other])
    assert other.avoided == {}


def test_a_broken_campaign_is_held_once_by_the_same_evidence(cast, system, two):
    mine, _ = two
    (sound,) = running(campaign(cast, "sound", batches=1))
    healthy(sound)
    for number in range(20):
        ended(mine, f"n{number:02}", 3, 3)
    guard_of(system, mode="act")
    look()
    (hold,) = Hold.objects.filter(actor="rule:blackholes")
    assert (hold.scope, hold.campaign_id) == ("campaign", mine.campaign_id)
    assert "60 of 60 jobs failed" in hold.reason
    (row,) = Exclusion.objects.all()
    assert (row.level, row.name, row.hold_id) == ("campaign", mine.campaign.ref, hold.pk)
    look()
    holding.release(hold, actor="user:op", reason="mended")
    look()
    look()
    assert Hold.objects.filter(actor="rule:blackholes").count() == 1
    assert Exclusion.objects.get(pk=row.pk).state == "released"
    for number in range(20):  # jobs that began after the release, and fail again
        ended(mine, f"n{number:02}", 3, 3, ago=-10, long=1)
    with clock.shifted(timedelta(minutes=11)):
        look()
    assert Hold.objects.filter(actor="rule:blackholes").count() == 2


def test_when_everything_fails_the_batch_system_is_stopped_for_a_while_and_tried_slowly(cast, system, two):
    mine, other = two
    for number in range(20):
        ended(mine, f"n{number:02}", 3, 3)
        ended(other, f"n{number:02}", 3, 3)
    guard_of(system, mode="act")
    look()
    (hold,) = Hold.objects.all()
    assert (hold.scope, hold.service.gated, hold.experiment) == ("service", "local", None)
    assert timedelta(minutes=59) < hold.until - now() < timedelta(minutes=61)
    assert sorted(Exclusion.objects.values_list("level", "state")) == [("pool", "excluded")] * 2
    (limit,) = Limit.objects.all()
    assert (limit.kind, limit.most, limit.system, limit.ended_at) == ("launches", 1, "local", None)
    later = campaign(cast, "later", batches=1)
    assert [gate["gate"] for gate in gates(later)] == ["hold"]
    look()
    assert Hold.objects.count() == 1
    with clock.shifted(timedelta(minutes=62)):
        holding.end_stop(hold, actor="loop:check", reason="its time was over")
        look()
        assert set(Exclusion.objects.values_list("state", flat=True)) == {"released"}
        ended(mine, "n01", 5, 5, ago=-3, long=1)
    with clock.shifted(timedelta(minutes=66)):
        look()
        again = Hold.objects.get(released_at=None)
        assert timedelta(minutes=119) < again.until - now() < timedelta(minutes=121)
        assert Exclusion.objects.filter(level="pool", state="excluded").count() == 2
    with clock.shifted(timedelta(minutes=190)):
        holding.end_stop(again, actor="loop:check", reason="its time was over")
        ended(mine, "n01", 1, 0, ago=-3, long=1)
    with clock.shifted(timedelta(minutes=194)):
        look()
    assert Limit.objects.get().ended_at is not None
    assert not Exclusion.objects.filter(state="excluded").exists()


def test_flaky_nodes_are_found_in_the_longer_window(cast, system, two):
    mine, _ = two
    healthy(mine, nodes=40, jobs=30, ago=200)
    ended(mine, "flaky", 40, 16, ago=200)
    guard_of(system)
    look()
    assert list(Exclusion.objects.filter(experiment=cast.experiment).values_list("name", flat=True)) == ["flaky"]
    assert Exclusion.objects.first().evidence["window_min"] == 480


def test_jobs_that_people_removed_say_nothing(cast, system, two):
    mine, _ = two
    healthy(mine)
    ended(mine, "bad", 30, 30, state="removed")
    guard_of(system)
    look()
    assert not Exclusion.objects.exists()


# --- People -----------------------------------------------------------------------------------------------------------


def test_people_exclude_extend_and_release_with_a_reason(cast, system, two):
    mine, _ = two
    ended(mine, "a", 1, 0)
    ended(mine, "b", 1, 0)
    guard_of(system)
    look()
    row = excluding.exclude(cast.experiment, "local", "node", "a", hours=5, actor="user:op", reason=WHY)
    excluding.avoid([mine])
    assert mine.avoided == {"nodes": ["a"]}
    with pytest.raises(Conflict):
        excluding.exclude(cast.experiment, "local", "node", "a", hours=5, actor="user:op", reason=WHY)
    with pytest.raises(Refused, match="Nothing was excluded"):  # no other would be left
        excluding.exclude(cast.experiment, "local", "node", "b", hours=5, actor="user:op", reason=WHY)
    for wrong in ({"hours": 0}, {"reason": " "}, {"level": "rack"}, {"system": "none"}, {"name": ""}):
        given = {"system": "local", "level": "node", "name": "c", "hours": 1.0, "reason": WHY, **wrong}
        with pytest.raises(Refused):
            excluding.exclude(cast.experiment, **given, actor="user:op")
    excluding.extend(row, 48, actor="user:op", reason="not mended")
    row.refresh_from_db()
    assert row.until > now() + timedelta(hours=47)
    excluding.release(row, actor="user:op", reason="mended")
    excluding.avoid([mine])
    assert mine.avoided == {}
    with pytest.raises(Conflict):
        excluding.extend(row, 1, actor="user:op", reason=WHY)
    said = Transition.objects.filter(kind="exclusion", thing_id=row.pk).order_by("id").values_list("verb", "actor")
    assert list(said) == [("create", "user:op"), ("extend", "user:op"), ("release", "user:op")]


def test_a_person_takes_the_word_of_a_guard_that_only_observes(cast, system, two):
    mine, _ = two
    healthy(mine)
    ended(mine, "bad", 9, 9)
    guard_of(system)
    look()
    row = excluding.exclude(cast.experiment, "local", "node", "bad", hours=2, actor="user:op", reason=WHY)
    assert (row.state, row.actor) == ("excluded", "rule:blackholes")
    assert Exclusion.objects.get(experiment=cast.other).state == "watched"


def test_a_stage_that_wants_but_one_site_does_not_wait_for_ever(cast, system, two):
    mine, _ = two
    excluding.exclude(cast.experiment, "local", "site", "far", hours=2, actor="user:op", reason=WHY)
    mine.jobs_file["slots"]["sites"] = ["far"]
    excluding.avoid([mine])
    assert mine.avoided == {}
    mine.jobs_file["slots"]["sites"] = ["far", "near"]
    excluding.avoid([mine])
    assert wanting.wanted_of(mine).slots.avoid_sites == ("far",)


def test_only_administrators_of_the_whole_service_say_how_a_system_is_guarded(cast, system):
    with pytest.raises(NotAllowed):
        excluding.set_guard(system, by=cast.operator, reason=WHY, mode="act")
    membership.join(cast.operator, "administrator", None)
    seen = guard_of(system).fingerprint
    row = excluding.set_guard(system, by=cast.operator, reason=WHY, mode="act", cap=20, seen=seen)
    assert (row.mode, row.cap, row.hours) == ("act", 20, 1)
    with pytest.raises(Conflict):
        excluding.set_guard(system, by=cast.operator, reason=WHY, mode="observe", seen=seen)
    for wrong in ({"mode": "dream"}, {"cap": 0}, {"hours": 0}, {"mode": "act"}):
        with pytest.raises(Refused):
            excluding.set_guard(system, by=cast.operator, reason=WHY, **wrong)
    assert Transition.objects.get(kind="guard").target == "act"
