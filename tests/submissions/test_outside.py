"""Launches that were made without POMS: kept beside a stage, watched to their end, never launched and never counted."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from uuid import uuid4

import pytest

from campaigns.models import Campaign, Stage
from core.clock import now
from core.errors import Conflict, Refused
from core.models import Transition
from integrations.batch.local import DAEMON
from integrations.models import BatchSystem
from submissions import queries
from submissions.logic import holding, launching, outside, planning, recovering, reprocessing
from submissions.models import Acceptance, Batch, Job, Report, Submission, Unit
from tests import builders
from tests.cast import Cast


@pytest.fixture
def stage(cast: Cast, db: None) -> Stage:
    BatchSystem.objects.create(name="local", backend="local")
    return builders.approved_campaign(cast).stages.get(name="gen")


@pytest.mark.django_db
def test_a_launch_is_kept_without_inputs_and_is_not_launched(cast, stage):
    made = outside.register(stage, by=cast.operator, command="jobsub_submit -G demo 'file:///a b.sh'", dataset="raw")
    assert (made.kind, made.state, made.launcher, made.job_ids) == ("outside", "launching", "", [])
    assert made.reason_key.startswith("outside:") and made.batch.reason_key.startswith("outside:")
    assert made.command == ["jobsub_submit", "-G", "demo", "file:///a b.sh"]
    assert (made.batch.n_units, made.batch.state, made.batch.label) == (0, "pending", "raw")
    planning.plan(stage.pk)
    assert not Unit.objects.filter(batch=made.batch).exists()
    launching.launch_some()
    assert Submission.objects.get(pk=made.pk).state == "launching"  # nobody asks a launcher for it
    told = Transition.objects.filter(kind="submission", thing_id=made.pk).values_list("actor", flat=True)
    assert set(told) == {"user:operator"}


@pytest.mark.django_db
def test_the_numbers_of_batches_go_on_and_the_stage_counts_its_own_only(cast, stage):
    outside.register(stage, by=cast.operator)
    planning.plan(stage.pk)
    outside.register(stage, by=cast.operator)
    assert list(Batch.objects.filter(stage=stage).order_by("pk").values_list("number", flat=True)) == [1, 2, 3, 4]
    assert queries.batch_counts([stage.pk])[stage.pk] == {"pending": 2}
    assert queries.progress_of([stage])[stage.pk]["waiting"] == 4


@pytest.mark.django_db
def test_the_first_job_id_submits_it_and_further_ones_are_added(cast, stage):
    made = outside.register(stage, by=cast.operator)
    for job_id in ("12@sched.example.org", "12@sched.example.org", "13.0@sched.example.org"):
        outside.report(made, by=cast.operator, job_id=job_id, status="New")
    row = Submission.objects.get(pk=made.pk)
    assert row.state == "submitted" and row.batch.state == "submitted"
    assert row.job_ids == ["12.0@sched.example.org", "13.0@sched.example.org"] and row.n_jobs == 2
    assert row.told["jobsub_job_id"] == "13.0@sched.example.org"


@pytest.mark.django_db
def test_a_status_becomes_a_report_and_what_has_ended_does_not_step_back(cast, stage):
    from submissions.logic import merging

    made = outside.register(stage, by=cast.operator, job_ids=["12@far"])
    system = BatchSystem.objects.get(name="local")

    def said(status: str) -> str:
        outside.report(made, by=cast.operator, job_id="12@far", status=status)
        merging.merge(system.pk, [], list(Report.objects.order_by("pk")), source="batch:local")
        return Job.objects.get(submission=made).state

    assert [said(word) for word in ("Idle", "Running", "Held", "Running")] == [
        "idle",
        "processing",
        "held",
        "processing",
    ]
    assert said("Completed") == "succeeded"
    assert [said(word) for word in ("Running", "Idle", "Held")] == ["succeeded"] * 3
    assert Job.objects.filter(submission=made).count() == 1


@pytest.mark.django_db
def test_of_our_own_launches_a_status_is_written_down_and_moves_nothing(cast, stage):
    planning.plan(stage.pk)
    own = Submission.objects.order_by("pk").first()
    Submission.objects.filter(pk=own.pk).update(**{"state": "running", "job_ids": ["1.0@local"]})
    outside.report(own, by=cast.operator, job_id="1@local", status="Completed", project="p", per_cent="100")
    row = Submission.objects.get(pk=own.pk)
    assert (row.state, row.job_ids) == ("running", ["1.0@local"])
    assert row.told == {
        "job_ids": ["1.0@local"], "jobsub_job_id": "1@local", "status": "Completed", "project": "p", "pct_complete": "100",
    }  # fmt: skip
    assert not Report.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "given, says",
    [({"status": "Runing"}, "unknown: Runing"), ({"per_cent": "lots"}, "not a number"), ({"job_id": "a\0b"}, "NUL"),
     ({"job_id": "x" * 200}, "no job id")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_changes_nothing(cast, stage, given, says):
    made = outside.register(stage, by=cast.operator)
    with pytest.raises(Refused, match=says):
        outside.report(made, by=cast.operator, **given)
    row = Submission.objects.get(pk=made.pk)
    assert (row.state, row.told, row.job_ids) == ("launching", {}, [])


@pytest.mark.django_db
def test_a_launch_that_names_no_job_has_failed_after_a_day_and_not_before(cast, stage):
    made = outside.register(stage, by=cast.operator)
    recovering.recover_some()
    assert Submission.objects.get(pk=made.pk).state == "launching"
    Batch.objects.filter(pk=made.batch_id).update(due_at=now() - timedelta(seconds=1))
    recovering.recover_some()
    row = Submission.objects.get(pk=made.pk)
    assert (row.state, row.batch.state) == ("launch_failed", "failed")
    assert "no job of it was named" in row.why
    assert Submission.objects.filter(batch=made.batch).count() == 1  # it is not launched again


@pytest.mark.django_db
def test_a_wrapper_that_says_launch_failed_is_believed(cast, stage):
    made = outside.register(stage, by=cast.operator)
    outside.report(made, by=cast.operator, status="LaunchFailed")
    recovering.recover_some()
    row = Submission.objects.get(pk=made.pk)
    assert (row.state, row.batch.state) == ("launch_failed", "failed")


@pytest.mark.django_db
def test_failed_outside_launches_are_not_launched_again_with_the_campaign(cast, stage):
    made = outside.register(stage, by=cast.operator)
    outside.report(made, by=cast.operator, status="LaunchFailed")
    recovering.recover_some()
    with pytest.raises(Refused, match="no failed batch"):
        recovering.relaunch_failed(stage.campaign, actor="user:operator", reason="all of it")


@pytest.mark.django_db
def test_whoever_launches_a_pending_submission_by_hand_takes_its_inputs_and_no_loop_launches_it(cast, stage):
    planning.plan(stage.pk)
    holding.hold("stage", stage, actor="user:operator", reason="by hand, this once")
    own = Submission.objects.order_by("pk").first()
    outside.report(own, by=cast.operator, job_id="7@local", status="New")
    row = Submission.objects.get(pk=own.pk)
    assert (row.state, row.job_ids, row.told["by_hand"]) == ("submitted", ["7.0@local"], True)
    assert row.units.count() == 2  # of its batch, as before
    assert own.pk not in Submission.objects.filter(state="pending").values_list("pk", flat=True)


@pytest.mark.django_db
def test_a_stage_that_was_never_proposed_or_runs_nothing_takes_no_launch(cast, stage):
    bare = Stage.objects.create(campaign=stage.campaign, name="later")
    with pytest.raises(Conflict, match="file a request"):
        outside.register(bare, by=cast.operator)
    text = builders.definition(
        stages="[campaign_stage gen]\nstage_type=generator\nevents=1\n[campaign_stage look]\nstage_type=approval\n"
        "dataset_or_split_data=from_parent\n[dependencies look]\ncampaign_stage_1=gen\n",
        campaign="looked",
    )
    with pytest.raises(Conflict, match="runs nothing"):
        outside.register(builders.approved_campaign(cast, text).stages.get(name="look"), by=cast.operator)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shell, state", [("true", "completed"), ("exit 3", "failed")])
def test_jobs_submitted_past_poms_are_watched_to_their_end(real_cast, local, local_system, drive, shell, state):
    stage = builders.approved_campaign(real_cast).stages.get(name="gen")
    holding.hold("stage", stage, actor="user:operator", reason="only what is launched outside")
    made = outside.register(stage, by=real_cast.operator, command="by hand")
    job = {"argv": ["/bin/sh", "-c", f"sleep 0.2; {shell}"], "env": {}, "memory_mb": 50, "wall_s": 60, "units": [],
           "inputs": [], "output_dir": str(local.home / "theirs"), "output_patterns": []}  # fmt: skip
    cluster = {"uuid": str(uuid4()), "owner": "somebody", "jobs": [{**job, "index": 0}, {**job, "index": 1}]}
    ended = subprocess.run(
        [sys.executable, str(DAEMON), "submit", "--spool", str(local.spool)], input=json.dumps(cluster).encode(),
        capture_output=True, check=True,
    )  # fmt: skip
    first = json.loads(ended.stdout)["job_ids"][0]
    outside.report(made, by=real_cast.operator, job_id=first.replace(".0@", "@"), status="New")
    # Had it all ended before its job was named, the sweep over what is quiet finds it by its id.
    Submission.objects.filter(pk=made.pk).update(launched_at=now() - timedelta(hours=1))
    BatchSystem.objects.update(swept_at=None)
    drive(lambda: Batch.objects.get(pk=made.batch_id).state == state)
    row = Submission.objects.get(pk=made.pk)
    assert row.state == state
    assert not Acceptance.objects.exists()
    assert row.jobs.filter(external_id=first).count() == 1
    assert "launched outside POMS" in Transition.objects.filter(kind="batch", thing_id=made.batch_id).last().reason
    assert not Submission.objects.filter(batch=made.batch_id).exclude(pk=made.pk).exists()
    other = Batch.objects.filter(stage=stage).exclude(pk=made.batch_id)
    assert set(other.values_list("state", flat=True)) <= {"pending"}  # the held stage has its own work still to do


@pytest.mark.django_db
def test_no_stage_schedule_or_pass_waits_for_a_launch_made_outside(cast, stage):
    outside.register(stage, by=cast.operator, job_ids=["12@far"])
    planning.plan(stage.pk)
    Batch.objects.filter(reason_key__startswith="slice:").update(**{"state": "completed"})
    Stage.objects.filter(campaign=stage.campaign).update(completed_at=now(), succeeded=True)
    Campaign.objects.filter(pk=stage.campaign_id).update(**{"state": "succeeded"})
    assert queries.work_going_on(stage.pk) == ""
    reprocessing.process_again(stage.campaign, "gen", actor="user:operator", reason="a better calibration")
    assert Stage.objects.get(pk=stage.pk).pass_number == 2
