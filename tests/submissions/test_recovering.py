"""Recovery: what is missing is launched again, at most N rounds, with more memory where memory was the cause."""

from __future__ import annotations

import pytest

from campaigns.models import Campaign
from core.clock import now
from submissions import queries
from submissions.logic import acting, holding, offering, recovering
from submissions.models import Acceptance, Batch, Command, Job, Output, Result, Submission
from tests import builders

GEN = (
    "[campaign_stage gen]\nstage_type=generator\nevents=3\nevents_per_job=1\ncs_split_type=nevents(3)\n"
    "memory_mb=60\nrecovery_rounds={rounds}\ncompletion_pct={percent}\n"
)
pytestmark = pytest.mark.django_db(transaction=True)


def run(cast, drive, job, *, rounds=2, percent=100, until=("succeeded", "failed")):
    """Run three one-event jobs with the given shell text."""
    builders.login_setup(cast, setup=f"export TINY_JOB='{job}'")
    campaign = builders.approved_campaign(cast, builders.definition(stages=GEN.format(rounds=rounds, percent=percent)))

    def ended():
        campaign.refresh_from_db()
        return campaign.state in until

    drive(ended)
    return campaign


def test_a_job_that_fails_once_is_recovered(real_cast, local_system, drive):
    campaign = run(real_cast, drive, 'test "$ROUND $KEYS" = "0 events:1" && exit 9; echo x > "$NAME"')
    assert campaign.state == "succeeded"
    first, second = Submission.objects.order_by("pk")
    assert (first.state, second.state, second.kind, second.round) == ("failed", "completed", "recovery", 1)
    assert list(second.units.values_list("unit__key", flat=True)) == ["events:1"]
    assert Job.objects.get(state_code=7).exit_code == 9
    assert Acceptance.objects.count() == 3 and Output.objects.count() == 3
    assert Batch.objects.get().rounds == 1


def test_after_the_last_round_the_batch_fails_below_its_percentage(real_cast, local_system, drive):
    campaign = run(real_cast, drive, 'test "$KEYS" = "events:1" && exit 9; echo x > "$NAME"', rounds=1)
    assert campaign.state == "failed"
    assert Submission.objects.count() == 2
    assert Batch.objects.get().state == "failed"
    (progress,) = queries.progress_of(campaign.stages.all()).values()
    found = {name: number for name, number in progress.items() if number}
    assert found == {"units": 3, "done": 2, "events_done": 2, "failed": 1}


def test_enough_inputs_with_output_are_enough(real_cast, local_system, drive):
    job = 'test "$KEYS" = "events:1" && exit 9; echo x > "$NAME"'
    assert run(real_cast, drive, job, rounds=1, percent=60).state == "succeeded"


def test_a_job_that_ran_out_of_memory_gets_more(real_cast, local_system, drive):
    hungry = '"$POMS_PYTHON" -c "b = bytearray(90_000_000); print(len(b))"'
    job = f'test "$KEYS" = "events:1" && {{ {hungry} || exit 3; }}; echo x > "$NAME"'
    builders.TINY_SUBMIT.stat()
    campaign = run(real_cast, drive, job.replace("$POMS_PYTHON", "python3"))
    assert campaign.state == "succeeded"
    second = Submission.objects.order_by("pk").last()
    assert [entry["memory_mb"] for entry in second.jobs_file["jobs"]] == [120]
    assert Job.objects.get(state_code=7).code == "memory"


def test_a_failed_batch_can_be_launched_again_by_a_person(real_cast, local_system, drive, tmp_path):
    gate = tmp_path / "mended"
    job = f'test -e "{gate}" || exit 9; echo x > "$NAME"'
    campaign = run(real_cast, drive, job, rounds=0)
    assert campaign.state == "failed"
    gate.touch()
    recovering.relaunch(Batch.objects.get(), actor="user:shifter", reason="the disk is mended")

    def done():
        return Campaign.objects.get(pk=campaign.pk).state == "succeeded"

    drive(done)
    assert Submission.objects.order_by("pk").last().kind == "relaunch"


def test_a_second_result_of_a_unit_is_refused(real_cast, local_system, drive):
    run(real_cast, drive, 'echo x > "$NAME"')
    result = Result.objects.first()
    acceptance = Acceptance.objects.first()
    from django.db import IntegrityError, transaction

    with pytest.raises(IntegrityError), transaction.atomic():
        Acceptance.objects.bulk_create([Acceptance(unit_id=acceptance.unit_id, result=result)])


def test_a_kill_is_done_by_the_loop_and_ends_the_batch(real_cast, local_system, drive):
    builders.login_setup(real_cast, setup="export TINY_JOB='sleep 60'")
    builders.approved_campaign(real_cast, builders.definition(stages=GEN.format(rounds=2, percent=100)))
    drive(lambda: Job.objects.filter(ended_at=None).exclude(state_code=1).count() == 3)
    submission = Submission.objects.get()
    acting.command("hold", submission, actor="user:shifter", reason="wait")
    drive(lambda: Command.objects.get().state == "done")
    assert set(Job.objects.values_list("state_code", flat=True)) == {5}
    acting.command("kill", submission, actor="user:operator", reason="wrong release")
    drive(lambda: Batch.objects.get().state == "failed" and not Command.objects.exclude(state="done").exists())
    submission.refresh_from_db()
    assert submission.state == "removed"
    assert {command.state for command in Command.objects.all()} == {"done"}


def test_a_held_campaign_is_not_launched_until_it_is_released(real_cast, local_system, drive):
    builders.login_setup(real_cast)
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=GEN.format(rounds=2, percent=100)))
    hold = holding.hold("campaign", campaign, actor="user:shifter", reason="network maintenance")
    drive(lambda: Submission.objects.exists())
    from core import loops

    for _ in range(3):
        loops.run("launch")
    assert Submission.objects.get().state == "pending"
    holding.release(hold, actor="user:shifter", reason="it is over")

    def done():
        return Campaign.objects.get(pk=campaign.pk).state == "succeeded"

    drive(done)


def test_a_launch_that_fails_is_tried_again_and_then_given_up(real_cast, local_system, drive, settings):
    builders.login_setup(real_cast, setup="exit 4")
    builders.approved_campaign(real_cast, builders.definition(stages=GEN.format(rounds=2, percent=100)))
    drive(lambda: Batch.objects.filter(state="failed").exists())
    attempts = Submission.objects.order_by("pk")
    assert {s.state for s in attempts} == {"launch_failed"}
    assert len(attempts) == 1 + len(settings.RELAUNCH_SECONDS)
    assert "the script ended with 4" in attempts[0].why


def test_a_launch_that_goes_on_failing_waits_longer_each_time(real_cast, local_system, drive, settings):
    settings.RELAUNCH_SECONDS = [0, 3600, 7200]
    builders.login_setup(real_cast, setup="exit 4")
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=GEN.format(rounds=2, percent=100)))
    drive(lambda: Submission.objects.filter(not_before__isnull=False).exists())
    first, second, third = Submission.objects.order_by("pk")
    assert (first.state, second.state, third.state) == ("launch_failed", "launch_failed", "pending")
    assert second.not_before is None, "it was tried again at once"
    assert 3500 < (third.look_at - now()).total_seconds() <= 3600
    told = [gate["text"] for gate in queries.gates(campaign)]
    assert any(f"tried again at {third.look_at:%Y-%m-%d %H:%M}" in text for text in told), told
    # One that needs an offer of the catalogue waits as long, however soon it is offered.
    Submission.objects.filter(pk=third.pk).update(offered="poms_x", look_at=None)
    third.refresh_from_db()
    offering.offer(third)
    third.refresh_from_db()
    assert third.look_at == third.not_before
