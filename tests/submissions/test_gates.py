"""Gates: what the launcher passes over is what "why" names, and once what it names is gone, it is launched."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from campaigns.models import Campaign, StageVersion
from core.clock import now
from core.models import Trouble
from integrations import registry
from integrations.models import BatchSystem, LaunchHost, Service
from poms_site.overview.why import ENDED, RUNS, STUCK, WAITS, why
from submissions import line
from submissions.logic import canaries, holding, limiting
from submissions.models import Batch, Hold, Job, JobCount, Limit, Submission
from submissions.states import JOB_RANK
from tests import builders
from tests.submissions.test_line import _claimed, abroad, campaign

ACTOR = "user:shifter"
REASON = "to see what becomes of it"


def host(cast, **values):
    given = {"name": "gpvm01", "account": "demopro", "address": "gpvm01.example.org", "home": "/var/poms", **values}
    return LaunchHost.objects.create(experiment=cast.experiment, **given)


def service(cast, **values):
    given = {"name": "sam", "kind": "none", "gates": "everything", "experiment": cast.experiment, **values}
    return Service.objects.create(**given)


class Ground:
    """A campaign with four waiting submissions on a launch host, and what one can put in their way."""

    def __init__(self, cast) -> None:
        self.cast = cast
        self.campaign = campaign(cast, "ground", batches=4)
        self.version = StageVersion.objects.get(revision_id=self.campaign.revision_id)
        self.rows = Submission.objects.filter(campaign=self.campaign)
        self.rows.update(launcher="ssh", host="gpvm01", account="demopro")
        self.host = host(cast)

    def first(self) -> Submission:
        return self.rows.order_by("created_at", "pk").first()

    def last(self) -> Submission:
        return self.rows.order_by("created_at", "pk").last()

    def held(self, scope, thing):
        return holding.hold(scope, thing, actor=ACTOR, reason=REASON)

    # Each puts something in the way and returns the gate and how it is taken away.
    def everything(self):
        return "hold", self._undo(self.held("everything", None))

    def experiment(self):
        return "hold", self._undo(self.held("experiment", self.cast.experiment))

    def of_campaign(self):
        return "hold", self._undo(self.held("campaign", self.campaign))

    def stage(self):
        return "hold", self._undo(self.held("stage", self.version.stage))

    def batch(self):
        return "hold", self._undo(self.held("batch", self.last().batch))

    def service_of_system(self):
        return "hold", self._undo(self.held("service", service(self.cast, name="a", gates="batch", gated="local")))

    def service_of_host(self):
        return "hold", self._undo(self.held("service", service(self.cast, name="b", gates="host", gated="gpvm01")))

    def service_of_catalogue(self):
        return "hold", self._undo(self.held("service", service(self.cast, name="c", gates="catalogue")))

    def service_of_all(self):
        return "hold", self._undo(self.held("service", service(self.cast, name="d", experiment=None)))

    def host_away(self):
        LaunchHost.objects.update(active=False)
        return "host", lambda: LaunchHost.objects.update(active=True)

    def host_left_alone(self):
        LaunchHost.objects.update(retry_at=now() + timedelta(hours=1), error="Connection refused")
        return "host", lambda: LaunchHost.objects.update(retry_at=now() - timedelta(seconds=1))

    def system_away(self):
        BatchSystem.objects.update_or_create(name="local", defaults={"backend": "local", "active": False})
        return "system", lambda: BatchSystem.objects.update(active=True)

    def parked(self):
        Trouble.objects.create(loop="launch", kind="submission", thing_id=self.last().pk, tries=5, error="X: boom")
        return "trouble", lambda: Trouble.objects.all().delete()

    def not_offered(self):
        Submission.objects.filter(pk=self.last().pk).update(offered="poms-x", look_at=None)
        return "catalogue", lambda: Submission.objects.update(offered_at=now(), look_at=now())

    def no_more(self):
        row = limiting.limit("submissions", 0, experiment=self.cast.experiment, actor=ACTOR, reason=REASON)
        return "limit", lambda: limiting.remove(row, actor=ACTOR, reason=REASON)

    def two_at_once(self):
        row = limiting.limit("scripts", 2, experiment=self.cast.experiment, host="gpvm01", actor=ACTOR, reason=REASON)
        return "limit", lambda: limiting.remove(row, actor=ACTOR, reason=REASON)

    def host_takes_one(self):
        LaunchHost.objects.update(most_at_once=1)
        return "limit", lambda: LaunchHost.objects.update(most_at_once=50)

    def system_takes_three(self):
        row = limiting.limit("submissions", 3, experiment=None, system="local", actor=ACTOR, reason=REASON)
        return "limit", lambda: limiting.remove(row, actor=ACTOR, reason=REASON)

    def jobs_of_system(self):
        row = limiting.limit("jobs", 1, experiment=None, system="local", actor=ACTOR, reason=REASON)
        return "limit", lambda: limiting.remove(row, actor=ACTOR, reason=REASON)

    def canary(self):
        StageVersion.objects.update(canary=1)
        return "canary", lambda: Batch.objects.filter(number=1).update(state="completed")

    def _undo(self, hold):
        return lambda: holding.release(hold, actor=ACTOR, reason="seen")


GATES = sorted(name for name in vars(Ground) if not name.startswith("_") and name not in ("first", "last", "held"))


@pytest.fixture
def ground(cast):
    return Ground(cast)


def launchable() -> set[int]:
    return {row.submission for row in line.next_in_line(1000)}


@pytest.mark.django_db
@pytest.mark.parametrize("name", GATES)
def test_why_names_the_gate_that_the_launcher_passes_over_and_without_it_launches(ground, name):
    row = ground.last()
    assert row.pk in launchable() and why(row).gates == []
    gate, take_away = getattr(ground, name)()
    assert row.pk not in launchable()
    answer = why(row)
    assert {told.gate for told in answer.gates} == {gate}, answer
    assert answer.verdict in (WAITS, STUCK)
    whole = why(ground.campaign)
    if name not in ("two_at_once", "host_takes_one", "system_takes_three", "jobs_of_system"):  # some of it goes on
        assert gate in {told.gate for told in whole.gates}, whole
    assert why(row.batch).gates == answer.gates
    assert row.pk not in {s.pk for s in _claimed()}
    Submission.objects.update(state="pending", look_at=now(), claimed_at=None)
    if name == "not_offered":
        Submission.objects.filter(pk=row.pk).update(look_at=None)
    take_away()
    assert row.pk in launchable()
    assert why(row).gates == []
    assert row.pk in {s.pk for s in _claimed()}


@pytest.mark.django_db
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(GATES), min_size=2, max_size=4, unique=True), data=st.data())
def test_of_several_gates_all_that_is_named_has_to_go(ground, names, data):
    assume_apart(names)
    row = ground.last()
    _afresh(ground)
    taken = [getattr(ground, name)() for name in names]
    for left in range(len(taken), 0, -1):
        assert row.pk not in launchable()
        told = why(Submission.objects.get(pk=row.pk)).gates
        assert told, names
        # What is named is in the way, and all that is surely in the way is named: limits come after the other gates.
        standing = {gate for gate, _ in taken}
        assert {gate.gate for gate in told} <= standing
        number = data.draw(st.integers(0, left - 1))
        _, take_away = taken.pop(number)
        take_away()
    assert row.pk in launchable()
    assert why(Submission.objects.get(pk=row.pk)).gates == []


def assume_apart(names) -> None:
    """Leave out what two would take away together."""
    from hypothesis import assume

    hosts, systems = {"host_left_alone", "two_at_once"}, {"system_takes_three", "jobs_of_system"}
    assume("host_away" not in names or not hosts & set(names))
    assume("system_away" not in names or not systems & set(names))


def _afresh(ground) -> None:
    Hold.objects.all().delete()
    Service.objects.all().delete()
    Limit.objects.all().delete()
    Trouble.objects.all().delete()
    BatchSystem.objects.all().update(active=True)
    StageVersion.objects.update(canary=0)
    Batch.objects.update(state="pending")
    LaunchHost.objects.update(active=True, most_at_once=50, retry_at=now() - timedelta(seconds=1))
    Submission.objects.update(state="pending", look_at=now(), claimed_at=None, offered="", offered_at=None)


# --- Limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_one_experiment_may_not_launch_stands_in_nobodys_way(cast):
    own, other = campaign(cast, "own", batches=5), campaign(abroad(cast), "foreign", batches=5)
    limiting.limit("submissions", 2, experiment=cast.experiment, actor=ACTOR, reason=REASON)
    claimed = [row.campaign_id for row in _claimed()]
    assert claimed.count(own.pk) == 2 and claimed.count(other.pk) == 5
    assert _claimed() == []


@pytest.mark.django_db
def test_a_rate_lets_so_many_through_in_a_minute(cast):
    campaign(cast, batches=5)
    limiting.limit("launches", 3, experiment=cast.experiment, actor=ACTOR, reason=REASON)
    assert len(_claimed()) == 3
    assert _claimed() == []
    Submission.objects.filter(state="launching").update(claimed_at=now() - timedelta(seconds=61))
    assert len(_claimed()) == 2


@pytest.mark.django_db
def test_idle_jobs_of_an_experiment_close_its_line_at_their_limit(cast):
    campaign(cast, batches=6)
    limiting.limit("idle", 2, experiment=cast.experiment, system="local", actor=ACTOR, reason=REASON)
    first = _claimed()
    assert len(first) == 2
    JobCount.objects.create(submission=first[0], state_code=JOB_RANK["processing"], n=1)
    assert len(_claimed()) == 1


@pytest.mark.django_db
def test_a_full_host_does_not_keep_another_stage_from_its_own(cast):
    row = campaign(cast, batches=6)
    Submission.objects.update(launcher="ssh", host="gpvm01", account="demopro")
    for name in ("gpvm01", "gpvm02"):
        host(cast, name=name, most_at_once=1)
    later = list(Submission.objects.filter(campaign=row).order_by("-pk").values_list("pk", flat=True)[:2])
    Submission.objects.filter(pk__in=later).update(host="gpvm02")
    assert [s.host for s in _claimed()] == ["gpvm01"] and [s.host for s in _claimed()] == ["gpvm02"]
    assert _claimed() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "field"),
    [({"kind": "sheep"}, "kind"), ({"most": -1}, "most"), ({"system": "nowhere"}, "system"), ({"host": "x"}, "host"),
     ({"reason": " "}, "reason"), ({"kind": "jobs", "host": "gpvm01"}, "kind")],
)  # fmt: skip
def test_a_limit_that_means_nothing_is_refused(cast, given, field):
    from core.errors import Refused

    host(cast)
    wanted = {"kind": "submissions", "most": 5, "experiment": cast.experiment, "actor": ACTOR, "reason": REASON}
    values = {**wanted, **given}
    with pytest.raises(Refused) as refusal:
        limiting.limit(values.pop("kind"), values.pop("most"), **values)
    assert field in [problem.field for problem in refusal.value.problems]
    assert not Limit.objects.exists()


# --- Canaries -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_canary_goes_first_and_alone_and_a_failed_one_holds_the_rest(cast):
    row = campaign(cast, batches=4)
    StageVersion.objects.update(canary=1)
    claimed = _claimed()
    assert [s.batch.number for s in claimed] == [1]
    assert _claimed() == []
    # It fails: the stage is held with the evidence; released, the rest goes all the same.
    Submission.objects.filter(pk=claimed[0].pk).update(**{"state": "failed", "why": "no such library"})
    Batch.objects.filter(pk=claimed[0].batch_id).update(state="failed", state_since=now())
    assert _claimed() == []
    assert canaries.judge_some() == 1 and canaries.judge_some() == 0
    hold = Hold.objects.get(actor=line.CANARY, released_at=None)
    assert "no such library" in hold.reason and "0 of 1 inputs" in hold.reason
    told = why(Submission.objects.filter(campaign=row, state="pending").first())
    assert hold.ref in [gate.ref for gate in told.gates]
    holding.release(hold, actor=ACTOR, reason="it was the node")
    assert len(_claimed()) == 3


@pytest.mark.django_db
def test_a_canary_that_succeeds_after_all_opens_the_stage_by_itself(cast):
    campaign(cast, batches=3)
    StageVersion.objects.update(canary=1)
    first = _claimed()[0]
    Submission.objects.filter(pk=first.pk).update(**{"state": "failed"})
    Batch.objects.filter(pk=first.batch_id).update(state="failed", state_since=now())
    canaries.judge_some()
    # Launched again: its own stage's hold does not keep the canary itself back.
    Batch.objects.filter(pk=first.batch_id).update(state="pending", state_since=now())
    Submission.objects.filter(pk=first.pk).update(state="pending", look_at=now())
    assert [s.batch.number for s in _claimed()] == [1]
    Batch.objects.filter(pk=first.batch_id).update(state="completed", state_since=now())
    assert canaries.judge_some() == 1
    assert not Hold.objects.filter(released_at=None).exists()
    assert len(_claimed()) == 2


# --- Other states ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_state_of_everything_has_an_answer(cast):
    row = campaign(cast, batches=2)
    attempt = Submission.objects.filter(campaign=row).first()
    for state in Submission.STATES.states:
        Submission.objects.filter(pk=attempt.pk).update(state=state, why="as it was said")
        found = why(Submission.objects.get(pk=attempt.pk))
        assert found.text and found.verdict in (RUNS, WAITS, STUCK, ENDED), state
    Submission.objects.filter(pk=attempt.pk).update(state="submitted")
    for state in Batch.STATES.states:
        Batch.objects.filter(pk=attempt.batch_id).update(state=state)
        assert why(Batch.objects.get(pk=attempt.batch_id)).text, state
    for state in Campaign.STATES.states:
        Campaign.objects.filter(pk=row.pk).update(state=state)
        assert why(Campaign.objects.get(pk=row.pk)).text, state
        assert why(attempt.batch.stage).text, state
    system, _ = BatchSystem.objects.get_or_create(name="local", defaults={"backend": "local"})
    for state, code in JOB_RANK.items():
        job = Job.objects.create(
            experiment=row.experiment, submission=attempt, system=system, external_id=f"{code}.0", state_code=code,
            reason="because", event_at=now(), state_since=now(),
        )  # fmt: skip
        assert why(job).text, state
    Submission.objects.filter(pk=attempt.pk).update(state="running")
    JobCount.objects.create(submission=attempt, state_code=JOB_RANK["processing"], n=2)
    assert why(Submission.objects.get(pk=attempt.pk)).verdict == RUNS


@pytest.mark.django_db
def test_a_request_says_who_is_asked_until_its_campaign_answers(cast):
    from approvals.logic import filing
    from approvals.models import Request

    draft = builders.request(cast)
    assert why(draft).verdict == STUCK
    filed = filing.file(draft, by=cast.experimenter)
    assert "approver of mc" in why(filed).text
    builders.approved_campaign(cast, builders.definition(campaign="another"))
    approved = Request.objects.filter(state="approved").select_related("campaign__experiment").get()
    assert why(approved).text.startswith(approved.campaign.ref)
    assert registry.batch_systems() == ("local",)
