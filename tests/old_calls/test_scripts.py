"""Scripts of the field, in processes of their own over real HTTP, and the real definitions that experiments upload."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from approvals.logic import deciding
from approvals.models import Request
from campaigns.models import Campaign, JobType, LoginSetup
from experiments.logic import tokens
from integrations.models import BatchSystem
from submissions.logic import planning
from submissions.models import Command, Submission
from tests import builders
from tests.cast import Cast

HERE = Path(__file__).resolve().parent
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "poms_ini"
REAL = sorted(CASES.glob("*.ini"))

UPLOADS = """
import sys
from old_client import upload_wf
answer = upload_wf(sys.argv[1], production_stage="mc")
assert answer["status"] == "201 Created", answer
print(answer["campaign_id"])
"""
# What agents and people do with a campaign from its name to the end of a submission.
WORKS = """
import json, sys
from old_client import call, number_behind
campaign, _ = call("get_campaign_id", campaign_name="tiny")
stage, _ = call("get_campaign_stage_id", campaign_name="tiny", campaign_stage_name="gen")
place, status = call("launch_jobs", campaign_stage_id=int(stage), test_launch=None)
assert status == 303
submission = number_behind(place)
assert call("update_submission", submission_id=submission, jobsub_job_id="77@far", status="Running", pct_complete=10)[0] == "Ok."
task, _ = call("get_submission_id_for", campaign_stage_id=int(stage), user="operator", command_executed="jobsub_submit x")
outside = int(task.split("=")[1])
assert outside != submission
assert call("update_submission", submission_id=outside, jobsub_job_id="78@far", status="New")[0] == "Ok."
shown = json.loads(call("submission_details", submission_id=outside, fmt="json")[0])
assert shown["submission"]["jobsub_job_id"] == "78@far", shown
rows = json.loads(call("campaign_stage_submissions", fmt="json", campaign_name="tiny", stage_name="gen")[0])["submissions"]
assert {submission, outside} <= {row["submission_id"] for row in rows}
call("link_tags", campaign_id=int(campaign), tag_name="spring")
assert "would kill" in call("kill_jobs", submission_id=outside, act="kill")[0]
call("kill_jobs", submission_id=outside, act="kill", confirm="yes", reason="the script is done")
try:
    call("reset_campaign_split", campaign_stage_id=int(stage))
except RuntimeError as error:
    assert "410" in str(error) and "process-again" in str(error)
else:
    raise AssertionError("a call that is gone was answered")
print(submission, outside)
"""


def script(text: str, live_server: Any, user: Any, *words: str) -> str:
    """Run a script of the field as somebody; return what it printed."""
    _, secret = tokens.issue(user, "field")
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "POMS_OLD_BASE": f"{live_server.url}/poms/",
        "POMS_OLD_TOKEN": secret,
    }
    done = subprocess.run(
        [sys.executable, "-c", text, *words], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.django_db(transaction=True)
def test_scripts_of_the_field_upload_launch_report_and_kill(real_cast, live_server, tmp_path, settings):
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    BatchSystem.objects.create(name="local", backend="local")
    builders.login_setup(real_cast)
    text = tmp_path / "tiny.ini"
    text.write_text(builders.definition())
    made = int(script(UPLOADS, live_server, real_cast.operator, str(text)))
    request = Request.objects.get(campaign_id=made)
    deciding.approve(request, by=real_cast.approver, reason="fine")
    campaign = Campaign.objects.get(pk=made)
    planning.plan(campaign.stages.get(name="gen").pk)
    submission, outside = map(int, script(WORKS, live_server, real_cast.operator).split())
    assert Submission.objects.get(pk=submission).batch.stage.campaign_id == made
    assert Submission.objects.get(pk=outside).job_ids == ["78.0@far"]
    assert Command.objects.get(submission_id=outside).reason == "the script is done"
    assert Campaign.objects.get(pk=made).tags == ["spring"]


@pytest.mark.django_db(transaction=True)
def test_a_script_of_somebody_who_may_not_is_told_so_as_it_expects(real_cast, live_server):
    text = (
        "from old_client import call\n"
        "try:\n    call('job_type_rm', ae_definition_name='tiny')\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    told = script(text, live_server, real_cast.shifter)
    assert told.startswith("job_type_rm: 403: Traceback: ") and "operator" in told


# --- Real definitions -----------------------------------------------------------------------------------------------


def upload(cast: Cast, text: bytes) -> Any:
    _, secret = tokens.issue(cast.operator, "field")
    form = {"upload": SimpleUploadedFile("c.ini", text), "pcl_call": "1", "experiment": "demo", "role": "production",
            "production_stage": "mc"}  # fmt: skip
    client = Client(raise_request_exception=False)
    return client.post("/poms//ini_to_campaign", form, headers={"Authorization": f"Bearer {secret}"})


# What of a text of the field is refused, and rightly: templates that nothing filled in, parts without campaign, values that are broken.
BROKEN = ("No Campaign section", "No Campaign Stage sections", "are no list of [key, value] pairs", "refers to nothing",
          "does not run under the account of the workers", "this is not JSON", "there is no dataset")  # fmt: skip
SET_UP = re.compile(r"(LoginSetup|JobType) '([^']+)' not found!")


def prepared(cast: Cast, text: bytes) -> Any:
    """Upload a text, with the set-ups and job types that stand in other files made when they are asked for."""
    for _ in range(40):
        told = upload(cast, text)
        missing = SET_UP.match(told.json().get("message", "")) if told.json()["status"] == "400 Bad Request" else None
        if missing is None:
            break
        if missing[1] == "LoginSetup":
            LoginSetup.objects.create(experiment=cast.experiment, name=missing[2])
        else:
            JobType.objects.create(experiment=cast.experiment, name=missing[2], launch_script="fife_launch")
    return told


@pytest.mark.django_db
@pytest.mark.skipif(not REAL, reason=f"there are no real definitions at {CASES}")
def test_a_real_definition_becomes_a_campaign_or_is_refused_with_what_is_broken(cast, tmp_path, monkeypatch):
    """Of each file of the field: 200 and one of the two old shapes; what is taken has all its stages."""
    BatchSystem.objects.create(name="local", backend="local")
    launch = tmp_path / "fife_launch"
    launch.write_text("#!/bin/sh\n")
    launch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    taken, wrong = {}, []
    for path in REAL:
        text = re.sub(rb"(?m)^(experiment *= *).*$", rb"\1demo", path.read_bytes())
        answer = prepared(cast, text)
        told = answer.json()
        if answer.status_code == 200 and told["status"] == "201 Created":
            taken[path.name] = told
        elif (
            answer.status_code != 200
            or set(told) != {"status", "message"}
            or not any(w in told["message"] for w in BROKEN)
        ):
            wrong.append(f"{path.name}: {answer.status_code} {told}")
    assert not wrong, "\n".join(wrong)
    for name, told in taken.items():
        stages = Campaign.objects.get(pk=told["campaign_id"]).stages.values_list("pk", "name")
        assert sorted(map(list, stages)) == sorted(told["campaign_stage_ids"]), name
    assert "mdc2020_beam.ini" in taken and "watchdog.ini" in taken
    assert any("is launched once" in line for line in taken["mdc2020_beam.ini"]["message"])


@pytest.mark.django_db
def test_a_stage_without_input_is_launched_once(cast):
    builders.login_setup(cast)
    BatchSystem.objects.create(name="local", backend="local")
    stages = "[campaign_stage fcl]\ndataset_or_split_data=None\n[campaign_stage sim]\n[dependencies sim]\ncampaign_stage_1=fcl\n"
    told = upload(cast, builders.definition(stages=stages).encode()).json()
    assert told["status"] == "201 Created", told
    request = Request.objects.get(campaign_id=told["campaign_id"])
    deciding.approve(request, by=cast.approver, reason="fine")
    first = Campaign.objects.get(pk=told["campaign_id"]).stages.get(name="fcl")
    planning.plan(first.pk)
    assert Submission.objects.filter(batch__stage=first).count() == 1
    planning.plan(first.pk)
    assert Submission.objects.count() == 1
