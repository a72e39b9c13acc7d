"""Emergency stop: nothing is launched after it, jobs are killed, held or left, and it is undone by its counterpart."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Conflict, Refused
from experiments.models import Experiment
from submissions import line
from submissions.logic import holding, launching, stopping
from submissions.models import Command, Hold, Job, Submission
from submissions.queries import standing_holds
from submissions.states import JOB_RANK
from tests import builders
from tests.cast import Cast
from tests.contracts.world import World

WHO = {"actor": "user:operator", "reason": "the disk is full"}
GEN = (
    "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncs_split_type=nevents(2)\n"
    "recovery_rounds=0\ncompletion_pct=100\n"
)


@pytest.mark.django_db
def test_a_stop_says_what_it_meets_and_commands_what_runs(cast: Cast, world: World) -> None:
    plan = stopping.plan(cast.experiment)
    assert (plan.jobs, plan.submissions) == (1, 1)
    assert "Nothing of demo is launched" in plan.says("kill")
    made = stopping.stop(cast.experiment, "kill", **WHO)
    command = Command.objects.get(selection=made.selection)
    assert (command.verb, command.submission) == ("kill", world.own.objects["running"])
    assert command.reason == "emergency stop: the disk is full"
    with pytest.raises(Conflict, match="stopped already"):
        stopping.stop(cast.experiment, "hold", **WHO)


@pytest.mark.django_db
def test_nothing_is_claimed_while_it_stands(cast: Cast, world: World) -> None:
    holding.release(world.own.objects["hold"], actor="user:operator", reason="go")
    Submission.objects.filter(state="launch_failed").update(state="pending", look_at="2020-01-01T00:00Z")
    assert line.next_in_line(10)
    stopping.stop(None, "leave", **WHO)
    assert line.next_in_line(10) == []
    assert launching.start_some() == 0
    stopping.go_on(None, actor="user:administrator", reason="mended")
    assert line.next_in_line(10)


@pytest.mark.django_db
def test_what_was_claimed_just_before_is_not_started_and_not_given_up(cast: Cast, world: World, settings: Any) -> None:
    row = world.own.objects["running"]
    Submission.objects.filter(pk=row.pk).update(state="launching", attempt=1)
    row.refresh_from_db()
    stopping.stop(cast.experiment, "leave", **WHO)
    assert launching._not_stopped([row]) == []
    row.refresh_from_db()
    assert (row.state, row.attempt) == ("launching", 1)
    assert "stopped by operator: the disk is full" in row.why
    stopping.go_on(cast.experiment, **WHO)
    assert launching._not_stopped([row]) == [row]


@pytest.mark.django_db
def test_it_needs_a_reason_and_a_way_and_is_ended_by_go_on_only(cast: Cast) -> None:
    with pytest.raises(Refused, match="needs a reason"):
        stopping.stop(cast.experiment, "hold", actor="user:operator", reason="")
    with pytest.raises(Refused, match="Nothing was stopped"):
        stopping.stop(cast.experiment, "burn", **WHO)
    assert not Hold.objects.exists()
    made = stopping.stop(cast.experiment, "hold", **WHO)
    with pytest.raises(Refused, match="emergency stop"):
        holding.release(made, actor="user:shifter", reason="why not")
    assert standing_holds().count() == 1
    stopping.go_on(cast.experiment, **WHO)
    assert not standing_holds().exists()
    with pytest.raises(Conflict, match="not stopped"):
        stopping.go_on(cast.experiment, **WHO)


@pytest.mark.django_db
def test_the_banner_stands_on_every_page_of_the_experiment_and_on_no_other(
    cast: Cast, world: World, client: Any
) -> None:
    stopping.stop(cast.experiment, "hold", **WHO)
    client.force_login(cast.operator)
    for page in ("", "jobs/", "campaigns/", f"campaigns/c{world.own.objects['campaign'].pk}/", "queue/"):
        text = client.get(f"/e/demo/{page}").content.decode()
        assert "Emergency stop" in text and "the disk is full" in text and "operator" in text, page
    client.force_login(cast.stranger)
    assert "Emergency stop" not in client.get("/e/other/").content.decode()
    stopping.stop(Experiment.objects.get(name="other"), "leave", actor="user:judge", reason="why")
    stopping.go_on(cast.experiment, **WHO)
    assert "Emergency stop" in client.get("/e/other/").content.decode()
    client.force_login(cast.operator)
    assert "Emergency stop" not in client.get("/e/demo/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_jobs_that_a_stop_held_go_on_with_it(real_cast: Cast, local_system: Any, drive: Any, tmp_path: Any) -> None:
    gate = tmp_path / "open"
    script = f'until [ -e "{gate}" ]; do sleep 0.1; done; echo x > "$NAME"'
    builders.login_setup(real_cast, setup=f"export TINY_JOB='{script}'")
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=GEN))
    drive(lambda: Job.objects.filter(started_at__isnull=False, ended_at=None).count() == 4)
    stopping.stop(real_cast.experiment, "hold", **WHO)
    drive(lambda: not Command.objects.exclude(state="done").exists())
    assert set(Job.objects.values_list("state_code", flat=True)) == {JOB_RANK["held"]}
    gate.touch()
    stopping.go_on(real_cast.experiment, **WHO)

    def ended() -> bool:
        campaign.refresh_from_db()
        return campaign.state == "succeeded"

    drive(ended)
    assert {command.verb for command in Command.objects.all()} == {"hold", "release"}
