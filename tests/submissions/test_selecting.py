"""Verbs on selections: what they will do to how many things, what that costs, and what came of each job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import loops
from core.clock import now
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from integrations import registry
from integrations.errors import Unavailable
from integrations.models import BatchSystem
from submissions import line
from submissions.logic import acting, holding, selecting
from submissions.models import Batch, Command, Hold, Job, JobCount, Submission
from submissions.queries import standing_holds
from submissions.states import JOB_RANK
from tests import builders
from tests.cast import Cast

WHO = {"actor": "user:operator", "reason": "the disk is full"}
GEN = (
    "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncs_split_type=nevents(2)\n"
    "recovery_rounds=0\ncompletion_pct=100\n"
)


@dataclass
class Counting:
    """A batch system that notes what it is asked, and answers as it is told."""

    answers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, int]] = field(default_factory=list)
    silent: bool = False

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        self.calls.append((verb, len(ids)))
        if self.silent:
            raise Unavailable("it does not answer")
        return {name: self.answers.get(name, "done") for name in ids}


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, db: None) -> Counting:
    """The batch system of these tests: of each job it is known what was asked."""
    system = Counting()
    monkeypatch.setitem(registry.BACKENDS, "counting", lambda row: system)
    BatchSystem.objects.create(name="counting", backend="counting")
    return system


def filled(cast: Cast, submissions: int, jobs: int, state: str = "processing") -> None:
    """Fill the database with submissions of so many jobs each that run."""
    from submissions.logic import planning

    text = builders.definition(stages=GEN.replace("events=4", f"events={2 * submissions}"))
    campaign = builders.approved_campaign(cast, text)
    planning.plan(campaign.stages.get().pk)
    system = BatchSystem.objects.get(name="counting")
    Batch.objects.update(state="project_running")
    Submission.objects.update(state="running", system="counting", n_jobs=jobs)
    at = now()
    for row in Submission.objects.all():
        names = [f"{row.pk}.{index}" for index in range(jobs)]
        Job.objects.bulk_create(
            Job(experiment=cast.experiment, submission=row, system=system, external_id=name, index=index,
                state_code=JOB_RANK[state], starts=1, event_at=at, state_since=at, node=f"node{index % 3}")
            for index, name in enumerate(names)
        )  # fmt: skip
        Submission.objects.filter(pk=row.pk).update(job_ids=names)
        JobCount.objects.create(submission=row, state_code=JOB_RANK[state], n=jobs)


def cost(rows: Any) -> int:
    """Return how many statements a kill of rows takes, with the pass of the loop that asks for it."""
    with CaptureQueriesContext(
        connection,
    ) as seen:
        selecting.act("kill", "job", rows, **WHO)
        acting.act_some()
    return len(seen)


@pytest.mark.django_db
def test_many_jobs_cost_as_many_statements_as_few_and_one_call_for_ten_thousand(
    cast: Cast, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cast, submissions=20, jobs=600)
    few = cost(Job.objects.filter(node="node0", index__lt=3))
    assert counting.calls == [("remove", 20)]
    counting.calls.clear()
    many = cost(Job.objects.filter(node="node1"))
    assert many == few, "it must not grow with the jobs"
    assert counting.calls == [("remove", 4_000)]
    monkeypatch.setattr(acting, "A_CALL", 1_500)
    counting.calls.clear()
    cost(Job.objects.filter(node="node2"))
    assert counting.calls == [("remove", 1_500), ("remove", 1_500), ("remove", 1_000)]


@pytest.mark.django_db
def test_more_submissions_cost_no_more_statements(cast: Cast, counting: Counting) -> None:
    filled(cast, submissions=30, jobs=2)
    few = cost(Job.objects.filter(submission__in=Submission.objects.order_by("pk")[:2]))
    many = cost(Job.objects.filter(submission__in=Submission.objects.order_by("pk")[2:30]))
    assert many == few
    assert len(counting.calls) == 2


@pytest.mark.django_db
def test_what_came_of_each_job_is_kept(cast: Cast, counting: Counting) -> None:
    filled(cast, submissions=1, jobs=4)
    names = list(Job.objects.order_by("pk").values_list("external_id", flat=True))
    counting.answers = {names[1]: "already", names[2]: "absent", names[3]: "refused: it is another's"}
    done = selecting.act("kill", "job", Job.objects.all(), each=True, **WHO)
    assert [answer["ref"] for answer in done.answers] == [job.ref for job in Job.objects.order_by("pk")]
    acting.act_some()
    command = Command.objects.get()
    assert command.selection == done.selection and command.state == "asked"
    assert command.outcomes == {
        "done": [names[0]], "already": [names[1]], "absent": [names[2]], "refused: it is another's": [names[3]]
    }  # fmt: skip
    Job.objects.exclude(external_id=names[3]).update(ended_at=now(), state_code=JOB_RANK["removed"])
    # Said later that it is gone: it was this command that removed it.
    counting.answers[names[0]] = "absent"
    Command.objects.update(due_at=now())
    acting.act_some()
    command.refresh_from_db()
    assert command.state == "refused" and "it is another's" in command.outcome
    assert command.tally == {"done": 1, "already": 1, "absent": 1, "refused: it is another's": 1}


@pytest.mark.django_db
def test_a_job_that_ended_by_itself_is_said_to_have_been_so_already(cast: Cast, counting: Counting) -> None:
    filled(cast, submissions=1, jobs=2)
    selecting.act("kill", "job", Job.objects.all(), **WHO)
    Job.objects.update(ended_at=now(), state_code=JOB_RANK["succeeded"])
    acting.act_some()
    assert Command.objects.get().state == "done"
    assert Command.objects.get().tally == {"already": 2}
    assert counting.calls == []


@pytest.mark.django_db
def test_a_batch_system_that_is_silent_is_asked_again_and_what_it_had_done_is_kept(
    cast: Cast, counting: Counting
) -> None:
    filled(cast, submissions=2, jobs=2)
    counting.silent = True
    selecting.act("kill", "submission", Submission.objects.all(), **WHO)
    acting.act_some()
    assert {row.state for row in Command.objects.all()} == {"wanted"}
    assert {row.outcome for row in Command.objects.all()} == {"it does not answer"}
    counting.silent = False
    Command.objects.update(due_at=now())
    acting.act_some()
    assert {(row.state, row.tally["done"]) for row in Command.objects.all()} == {("asked", 2)}


@pytest.mark.django_db
def test_one_command_that_cannot_be_stepped_stops_no_other(
    cast: Cast, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cast, submissions=3, jobs=1)
    selecting.act("kill", "submission", Submission.objects.all(), **WHO)
    bad = Command.objects.order_by("pk")[1]
    whole = acting._apply

    def apply(group: Sequence[Command]) -> None:
        if bad.pk in {wanted.pk for wanted in group}:
            raise ValueError("planted")
        whole(group)

    monkeypatch.setattr(acting, "_apply", apply)
    loops.run("act")
    states = dict(Command.objects.values_list("pk", "state"))
    assert states.pop(bad.pk) == "wanted"
    assert set(states.values()) == {"asked"}


@pytest.mark.django_db
def test_a_plan_says_how_many_and_the_verb_does_no_more(cast: Cast, counting: Counting) -> None:
    filled(cast, submissions=2, jobs=3)
    rows = Job.objects.filter(node="node1")
    plan = selecting.plan("kill", "job", rows)
    assert (plan.able, plan.jobs, plan.submissions, plan.campaigns, plan.left_out) == (2, 2, 2, 1, 0)
    assert plan.says.startswith("This removes 2 jobs of 2 submissions of 1 campaign.")
    Job.objects.filter(node="node2").update(node="node1")
    with pytest.raises(Conflict, match="It would be 4 by now, not 2"):
        selecting.act("kill", "job", rows, at_most=plan.able, **WHO)
    assert not Command.objects.exists()
    with pytest.raises(Refused, match="needs a reason"):
        selecting.act("kill", "job", rows, actor="user:operator", reason=" ")


@pytest.mark.django_db
def test_only_what_is_held_is_released(cast: Cast, counting: Counting) -> None:
    filled(cast, submissions=1, jobs=3)
    assert selecting.plan("release", "job", Job.objects.all()).able == 0
    Job.objects.filter(index=1).update(state_code=JOB_RANK["held"])
    done = selecting.act("release", "job", Job.objects.all(), **WHO)
    assert done.plan.able == 1 and done.plan.left_out == 2
    acting.act_some()
    assert counting.calls == [("release", 1)]


@pytest.mark.django_db
@pytest.mark.parametrize("noun", ["batch", "stage", "campaign"])
def test_a_hold_of_what_is_not_jobs_is_a_gate_and_release_takes_it_off(
    cast: Cast, counting: Counting, noun: str
) -> None:
    filled(cast, submissions=2, jobs=1)
    rows = selecting.MODELS[noun].objects.all()
    done = selecting.act("hold", noun, rows, **WHO)
    assert {hold.scope for hold in standing_holds()} == {noun}
    assert standing_holds().count() == len(done.answers) == rows.count()
    assert selecting.plan("hold", noun, rows).able == 0
    selecting.act("release", noun, rows, **WHO)
    assert not standing_holds().exists()
    assert Hold.objects.count() == rows.count()


@pytest.mark.django_db
@pytest.mark.parametrize("noun", ["submission", "batch", "stage", "campaign"])
def test_a_kill_reaches_the_jobs_of_what_is_chosen(cast: Cast, counting: Counting, noun: str) -> None:
    filled(cast, submissions=2, jobs=3)
    plan = selecting.plan("kill", noun, selecting.MODELS[noun].objects.all())
    assert (plan.jobs, plan.submissions) == (6, 2)
    selecting.act("kill", noun, selecting.MODELS[noun].objects.all(), **WHO)
    acting.act_some()
    assert counting.calls == [("remove", 6)]


@pytest.mark.django_db
def test_what_is_launched_now_goes_before_all_else(cast: Cast, counting: Counting, settings: Any) -> None:
    filled(cast, submissions=4, jobs=1)
    Submission.objects.update(state="pending", system="local", look_at=now())
    JobCount.objects.all().delete()
    last = Submission.objects.order_by("pk").last()
    assert last is not None
    assert line.next_in_line(10)[0].submission != last.pk
    batch = Batch.objects.filter(pk=last.batch_id)
    holding.hold("batch", batch.get(), actor="user:shifter", reason="wait")
    selecting.act("launch", "batch", batch, **WHO)
    assert not standing_holds().exists()
    assert line.next_in_line(10)[0].submission == last.pk
    assert Transition.objects.filter(kind="submission", thing_id=last.pk, verb="launch").count() == 1


@pytest.mark.django_db
def test_who_may_is_as_for_one_thing_and_analysts_may_to_their_own(cast: Cast, counting: Counting) -> None:
    filled(cast, submissions=2, jobs=1)
    rows = Job.objects.all()
    with pytest.raises(NotAllowed, match="operator"):
        selecting.permitted(cast.shifter, "kill", "job", cast.experiment, rows)
    assert selecting.permitted(cast.shifter, "hold", "job", cast.experiment, rows).count() == 2
    with pytest.raises(NotAllowed, match="operator"):
        selecting.permitted(cast.analyser, "kill", "job", cast.experiment, rows)
    Submission.objects.update(analyst=cast.analyser)
    assert selecting.permitted(cast.analyser, "kill", "job", cast.experiment, rows).count() == 2
    Submission.objects.update(analyst=cast.experimenter)
    with pytest.raises(NotAllowed, match="operator"):
        selecting.permitted(cast.analyser, "kill", "job", cast.experiment, rows)


@pytest.mark.django_db(transaction=True)
def test_jobs_of_a_real_batch_system_are_killed_by_a_filter_and_retried(
    real_cast: Cast, local_system: BatchSystem, drive: Any, tmp_path: Any
) -> None:
    gate = tmp_path / "mended"
    script = f'until [ -e "{gate}" ]; do sleep 0.1; done; echo x > "$NAME"'
    builders.login_setup(real_cast, setup=f"export TINY_JOB='{script}'")
    builders.approved_campaign(real_cast, builders.definition(stages=GEN))
    drive(lambda: Job.objects.filter(started_at__isnull=False, ended_at=None).count() == 4)
    one = Batch.objects.order_by("pk")[0]
    rows = Job.objects.filter(submission__batch=one)
    done = selecting.act("kill", "job", rows, **WHO)
    drive(lambda: Command.objects.get().state == "done")
    assert Command.objects.get().tally == {"done": 2}
    assert set(rows.values_list("state_code", flat=True)) == {JOB_RANK["removed"]}
    drive(lambda: Batch.objects.get(pk=one.pk).state == "failed")
    gate.touch()
    lost = Job.objects.filter(submission__batch=one, index=1)
    assert selecting.plan("retry", "job", lost).batches == 1
    selecting.act("retry", "job", lost, actor="user:shifter", reason="the disk has room")
    again = Submission.objects.filter(batch=one).order_by("-pk")[0]
    assert again.kind == "relaunch" and again.units.count() == 1
    assert Batch.objects.get(pk=one.pk).state == "pending"
    assert selecting.commands_of(done.selection).count() == 1
