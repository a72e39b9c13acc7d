"""A recovery is planned, read, and then done exactly so: or not at all, where things have changed meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections

from approvals.models import Request
from campaigns.models import Campaign, Stage, StageVersion
from core.errors import Conflict, Refused
from core.models import Transition
from integrations import registry
from integrations.catalogue.base import CONSUMPTION
from integrations.errors import Unavailable
from submissions.logic import missing, planning, proposing, recovering
from submissions.models import Batch, Job, Submission
from tests.cast import Cast
from tests.failures import campaign_of, failed, planned


@pytest.fixture
def batches(cast: Cast) -> list[Batch]:
    return failed(cast)


def asked_for(made: Submission) -> list[tuple[int, int]]:
    return [(job["memory_mb"], job["wall_s"]) for job in made.jobs_file["jobs"]]


class Deaf:
    """A catalogue that follows what is consumed, and does not answer."""

    can = frozenset({CONSUMPTION})

    def fates(self, attempt: Any) -> dict[str, str]:
        raise Unavailable("the catalogue answers 503")


# --- What a plan says ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_plan_says_for_each_batch_what_is_missing_and_what_would_be_run(batches):
    before = Submission.objects.count(), Transition.objects.count()
    found = planned(campaign_of(batches))
    assert (found["anything"], found["inputs"], found["jobs"], found["unknown"]) == (True, 6, 6, [])
    first = found["batches"][0]
    assert (first["ref"], first["missing"], first["by"], first["applies"]) == (batches[0].ref, 3, "person", True)
    assert first["fates"] == {"failed": 3}
    assert first["causes"] == {"memory": 1, "time": 1, "itself": 1}
    assert (first["memory_mb"], first["wall_s"], first["more_memory"], first["more_time"]) == (200, 90, 1, 1)
    assert "every step was taken" in first["why"]
    assert (Submission.objects.count(), Transition.objects.count()) == before


@pytest.mark.django_db
def test_a_plan_of_a_stage_or_batch_is_about_it_alone(batches):
    assert [entry["ref"] for entry in planned(batches[1])["batches"]] == [batches[1].ref]
    other = Stage.objects.get(campaign=batches[0].stage.campaign, name="sum")
    assert planned(other)["batches"] == []
    assert planned(batches[0].stage)["inputs"] == 6


@pytest.mark.django_db
def test_the_next_step_of_the_list_comes_before_everything(batches):
    steps = [["state_failed", [["--fast=", "1"]]], ["consumed_status", []]]
    StageVersion.objects.filter(stage=batches[0].stage).update(recoveries=steps, most_tries=1)
    Batch.objects.update(step=0)
    skipped = planned(batches[0])["batches"][0]
    assert "tried 1 times" in skipped["why"]
    StageVersion.objects.update(most_tries=4)
    entry = planned(batches[0])["batches"][0]
    assert (entry["kind"], entry["step"], entry["why"]) == ("state_failed", 1, "step 1 of its list")
    assert entry["overrides"] == [["--fast=", "1"]]


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "runs"), [("process_status", 3), ("reprocess_orphans", 0), ("added_files", 0)])
def test_one_kind_chooses_its_inputs(batches, kind, runs):
    entry = planned(batches[0], kind)["batches"][0]
    assert (entry["inputs"], entry["applies"]) == (runs, bool(runs))
    assert bool(entry["kind"]) == bool(runs)


@pytest.mark.django_db
def test_a_kind_that_there_is_not_is_refused(batches):
    with pytest.raises(Refused, match="there is no nonsense"):
        proposing.ask(batches[0], "nonsense")


@pytest.mark.django_db
def test_a_node_that_failed_its_job_is_avoided(batches, monkeypatch):
    monkeypatch.setitem(missing.CODES, "", "node")
    entry = planned(batches[0])["batches"][0]
    assert entry["avoid"] == ["node-3"]


@pytest.mark.django_db
def test_costs_are_measured_else_declared_else_unknown(cast, batches):
    found = planned(campaign_of(batches))
    assert found["core_hours"] == pytest.approx(6 * 0.5)
    assert found["batches"][0]["source"] == "measured on this stage (2 jobs)"
    Job.objects.update(wall_s=None)
    unknown = planned(campaign_of(batches))
    assert (unknown["core_hours"], unknown["bytes"], unknown["batches"][0]["source"]) == (None, None, "unknown")
    batches[0].stage.campaign.refresh_from_db()
    Request.objects.filter(campaign=batches[0].stage.campaign).update(hours_per_file=2)
    declared = planned(campaign_of(batches))
    assert (declared["core_hours"], declared["batches"][0]["source"]) == (12.0, "estimate of the request")


@pytest.mark.django_db
def test_a_batch_whose_jobs_run_or_whose_campaign_is_over_is_left_alone(batches):
    for state, says in (("project_running", "have not ended"), ("cancelled", "cancelled")):
        Batch.objects.filter(pk=batches[0].pk).update(**{"state": state})
        found = planned(batches[0])
        assert not found["anything"]
        assert says in found["batches"][0]["why"]
    Batch.objects.update(**{"state": "completed"})
    Campaign.objects.update(**{"state": "succeeded"})
    assert "runs no more" in planned(batches[0])["batches"][0]["why"]


@pytest.mark.django_db
def test_what_the_loop_will_do_is_shown_and_left_to_it(batches):
    Batch.objects.update(**{"state": "jobs_completed", "step": 0, "rounds": 0})
    found = planned(campaign_of(batches))
    assert not found["anything"]
    assert {(entry["by"], entry["kind"], entry["step"]) for entry in found["batches"]} == {("loop", "pending_files", 1)}
    assert "decides on it by itself" in planned(batches[0], "pending_files")["batches"][0]["why"]


@pytest.mark.django_db
def test_what_the_catalogue_does_not_say_is_unknown_and_not_applied(batches, monkeypatch):
    monkeypatch.setattr(registry, "catalogue", lambda *of: Deaf())
    Submission.objects.filter(batch=batches[0]).update(offered="poms_demo_x")
    found = planned(campaign_of(batches), "consumed_status")
    first, second = found["batches"]
    assert found["unknown"] == [batches[0].ref]
    assert (first["applies"], first["inputs"], first["fates"], first["core_hours"]) == (False, 0, None, None)
    assert "503" in first["unknown"]
    assert second["applies"]
    made = proposing.apply(
        proposing.ask(campaign_of(batches), "consumed_status"), said=found["plan"], actor="user:operator", reason="why not"
    )  # fmt: skip
    assert [submission.batch_id for submission in made.submissions] == [batches[1].pk]
    # What does not go by it needs no answer.
    Batch.objects.filter(pk=batches[1].pk).update(**{"state": "failed"})
    assert planned(batches[0], "pending_files")["unknown"] == []


# --- Doing it ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_is_applied_is_what_the_plan_said(batches):
    campaign = campaign_of(batches)
    found = planned(campaign)
    done = proposing.apply(proposing.ask(campaign), said=found["plan"], actor="user:operator", reason="mended")
    made = done.submissions
    assert [(s.batch_id, s.kind, s.round, s.units.count()) for s in made] == [
        (batch.pk, "relaunch", 1, 3) for batch in batches
    ]
    assert asked_for(made[0]) == [(200, 60), (100, 90), (100, 60)]
    assert max(job[0] for job in asked_for(made[0])) == found["batches"][0]["memory_mb"]
    assert len(asked_for(made[0])) == found["batches"][0]["jobs"]
    assert set(Batch.objects.filter(stage=batches[0].stage).values_list("state", "rounds")) == {("pending", 0)}
    step = Transition.objects.filter(kind="batch", thing_id=batches[0].pk).order_by("-pk")[0]
    assert (step.source, step.target, step.verb, step.actor) == ("failed", "pending", "relaunch", "user:operator")
    assert step.reason.startswith("mended; again: 3")


@pytest.mark.django_db
def test_things_that_changed_meanwhile_are_a_conflict_with_the_new_plan(batches):
    campaign = campaign_of(batches)
    found = planned(campaign)
    recovering.relaunch(batches[0], actor="user:shifter", reason="I was quicker")
    with pytest.raises(Conflict) as raised:
        proposing.apply(proposing.ask(campaign), said=found["plan"], actor="user:operator", reason="mended")
    told = {problem.field: problem.message for problem in raised.value.problems}
    assert told["plan"] == f"is {planned(campaign)['plan']} now"
    assert set(told) == {"plan", batches[1].ref}
    assert Submission.objects.filter(batch=batches[1]).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "  "])
def test_nothing_is_applied_without_a_reason(batches, reason):
    with pytest.raises(Refused):
        proposing.apply(proposing.ask(batches[0]), actor="user:operator", reason=reason)


@pytest.mark.django_db
def test_the_rest_of_a_completed_batch_can_be_run_while_its_campaign_runs(batches):
    stage = batches[0].stage
    below = Stage.objects.get(campaign=stage.campaign, name="sum")
    Batch.objects.update(**{"state": "completed"})
    for one in (stage, below):
        Stage.objects.filter(pk=one.pk).update(completed_at=batches[0].created_at, succeeded=True)
    (made,) = proposing.apply(proposing.ask(batches[0]), actor="user:operator", reason="the rest too").submissions
    assert made.units.count() == 3
    assert set(Stage.objects.filter(pk__in=[stage.pk, below.pk]).values_list("completed_at", "succeeded")) == {
        (None, None)
    }
    step = Transition.objects.filter(kind="batch", thing_id=batches[0].pk).order_by("-pk")[0]
    assert (step.source, step.verb) == ("completed", "reopen")
    # With nothing running any more it ends again by itself, the stage below with it.
    Submission.objects.filter(pk=made.pk).update(state="failed")
    Batch.objects.filter(pk=batches[0].pk).update(state="completed")
    for _ in range(2):
        planning.plan_some()
    assert set(Stage.objects.filter(pk__in=[stage.pk]).values_list("succeeded", flat=True)) == {False}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("named", [True, False])
def test_of_two_that_apply_at_once_one_wins(real_cast, named):
    batches = failed(real_cast)
    campaign, barrier = campaign_of(batches), Barrier(2)
    said = planned(campaign)["plan"] if named else ""

    def act(who: str) -> str:
        try:
            asked = proposing.ask(campaign)
            barrier.wait(10)
            proposing.apply(asked, said=said, actor=f"user:{who}", reason="at once")
        except Conflict:
            return "conflict"
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(act, ("left", "right"))) == ["conflict", "done"]
    assert [Submission.objects.filter(batch=batch).count() for batch in batches] == [2, 2]
