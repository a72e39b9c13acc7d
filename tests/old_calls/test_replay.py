"""The requests of the old wrapper and client, as they are on the wire (protocols 5.2 and 6), and what they get.

Written as data: method, path, form, and the answer, byte for byte where the reference gives it. {…} is filled in from
the experiment that the test has made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils.http import urlencode

from campaigns.models import Campaign, JobType, LoginSetup, Stage
from core.clock import now
from experiments.logic import tokens
from integrations.models import BatchSystem
from submissions.logic import holding, planning
from submissions.models import Batch, Command, Hold, Report, Submission
from tests import builders
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@dataclass
class Field:
    """An experiment with a running campaign, and a client that sends what the old ones sent."""

    cast: Cast
    stage: Stage
    own: Submission

    @property
    def ids(self) -> dict[str, str]:
        campaign = self.stage.campaign
        return {
            "stage": str(self.stage.pk), "campaign": str(campaign.pk), "own": str(self.own.pk), "name": campaign.name,
            "uuid": str(self.own.uuid),
        }  # fmt: skip

    def send(self, method: str, path: str, form: Mapping[str, Any] | None = None, who: str = "operator") -> Any:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        _, secret = tokens.issue(self.cast.people[who], "field")
        headers = {"Authorization": f"Bearer {secret}", "Accept": "*/*", "User-Agent": "python-requests/2.31.0"}
        filled = path.format(**self.ids)
        if method == "GET":
            return client.get(filled, headers=headers)
        data = {
            name: value.format(**self.ids) if isinstance(value, str) else value for name, value in (form or {}).items()
        }
        if any(isinstance(value, SimpleUploadedFile) for value in data.values()):
            return client.post(filled, data, headers=headers)
        body = urlencode(data, doseq=True)
        return client.post(filled, body, content_type="application/x-www-form-urlencoded", headers=headers)


@pytest.fixture
def field(cast: Cast, settings: Any, tmp_path: Any) -> Field:
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    BatchSystem.objects.create(name="local", backend="local")
    stage = builders.approved_campaign(cast).stages.select_related("campaign").get(name="gen")
    planning.plan(stage.pk)
    return Field(cast, stage, Submission.objects.order_by("pk")[0])


COMMAND = 'jobsub_submit -G demo -e SAM_PROJECT=demo_p1 --resource-provides=usage_model=OPPORTUNISTIC,DEDICATED "a b"'

# method · path · form · status · answer: text, a pattern, or JSON
CALLS: list[tuple[str, str, dict[str, Any] | None, int, Any]] = [
    # The wrapper (5.2 a): first the command of what it is about to submit, then the job.
    ("GET", f"/poms/get_submission_id_for?{urlencode({'campaign': 'STAGE', 'command_executed': COMMAND})}&submission_id=OWN",
     None, 200, re.compile(r"Task=OWN")),
    ("GET", f"/poms/get_submission_id_for?{urlencode({'campaign_stage_id': 'STAGE', 'command_executed': COMMAND})}"
     "&user=operator&experiment=demo&input_dataset=raw", None, 200, re.compile(r"Task=\d+")),
    ("GET", "/poms/update_submission?submission_id={own}&jobsub_job_id=12345@jobsub01.fnal.gov&status=New", None, 200,
     "Ok."),
    ("GET", "/poms/update_submission?submission_id=999999999&jobsub_job_id=1@x&status=New", None, 200, "Unknown."),
    # The new hook (5.2 b) posts the same, and the client too: every base ends in a slash, and it adds one.
    ("POST", "/poms//update_submission", {"submission_id": "{own}", "status": "Running", "pct_complete": "40",
     "experiment": "demo", "role": "production"}, 200, "Ok."),
    ("POST", "/poms/update_submission", {"submission_id": "{uuid}", "status": "Running", "project": "p1"}, 200, "Ok."),
    ("POST", "/poms//get_task_id_for", {"campaign": "{stage}", "command_executed": "fake test job"}, 200,
     re.compile(r"Task=\d+")),
    ("POST", "/poms/update_submission", {"submission_id": "{own}", "status": "Odd"}, 422,
     re.compile(r"Traceback: Nothing was changed\.\nstatus: unknown: Odd \(one of New, .*\)\n")),
    # Names and numbers.
    ("POST", "/poms//get_campaign_id", {"campaign_name": "{name}", "experiment": "demo"}, 200, re.compile(r"\d+")),
    ("POST", "/poms//get_campaign_name", {"campaign_id": "{campaign}"}, 200, '"tiny"'),
    ("POST", "/poms//get_campaign_stage_id", {"campaign_name": "{name}", "campaign_stage_name": "gen"}, 200,
     re.compile("STAGE")),
    ("POST", "/poms//get_campaign_stage_name", {"campaign_stage_id": "{stage}"}, 200, '"gen"'),
    ("POST", "/poms/get_campaign_id", {"campaign_name": "nosuch", "experiment": "demo"}, 404,
     re.compile("Traceback: There is no campaign nosuch, or you may not see it.")),
    ("GET", "/poms/experiment_list", None, 200, '["demo"]'),
    ("GET", "/poms/running_submissions?campaign_id_list={campaign}", None, 200, re.compile(r'\{"\d+": 2\}')),
    ("POST", "/poms//link_tags", {"campaign_id": "{campaign}", "tag_name": "spring", "experiment": "demo"}, 200, None),
    ("POST", "/poms/mark_campaign_hold/demo/production", {"ids2HR": "{stage}", "is_hold": "Hold"}, 303, None),
    ("POST", "/poms/register_poms_campaign", {"campaign_name": "{name}", "user": "operator", "experiment": "demo",
     "version": "v1", "dataset": "raw", "campaign_definition": "tiny"}, 200, re.compile(r"Campaign=STAGE")),
    ("POST", "/poms/kill_jobs/demo/production", {"campaign_stage_id": "{stage}", "act": "kill"}, 200,
     re.compile(r"This would kill demo/s\d+, demo/s\d+\. Send confirm=yes to have it done\.\n")),
    # What has gone, and what never was.
    ("POST", "/poms/reset_campaign_split", {"campaign_stage_id": "{stage}"}, 410, re.compile("process-again")),
    ("POST", "/poms/modify_job_type_recoveries", {"job_type_id": "1", "recoveries": "[]"}, 410, re.compile("definition")),
    ("POST", "/poms/nosuch", {}, 404, re.compile("There is no call nosuch")),
    # A page's form, with experiment and role in the address.
    ("GET", "/poms/campaign_deps_ini/demo/production?name={name}&full=1", None, 200, re.compile(r"^\[campaign\]\nexperiment=demo")),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1][:45]} {call[3]}")
def test_an_old_request_gets_its_old_answer(field, call):
    method, path, form, status, expected = call
    path = path.replace("STAGE", field.ids["stage"]).replace("OWN", field.ids["own"])
    answer = field.send(method, path, form)
    body = answer.content.decode()
    assert answer.status_code == status, body
    if isinstance(expected, str):
        assert body == expected
    elif expected is not None:
        pattern = expected.pattern.replace("STAGE", field.ids["stage"]).replace("OWN", field.ids["own"])
        found = re.search if status >= 400 or pattern.startswith("^") else re.fullmatch
        assert found(pattern, body), body


def test_a_wrapper_registers_a_launch_and_names_its_job(field):
    first = field.send("POST", "/poms/get_submission_id_for",
                       {"campaign_stage_id": "{stage}", "command_executed": COMMAND, "input_dataset": "raw"})  # fmt: skip
    assert first["Content-Type"].startswith("text/plain")
    number = first.content.decode().removeprefix("Task=")
    row = Submission.objects.get(pk=number)
    assert (row.kind, row.batch.stage_id, row.told["command"]) == ("outside", field.stage.pk, COMMAND)
    assert row.told["project"] == "demo_p1"
    told = field.send("GET", f"/poms/update_submission?submission_id={number}&jobsub_job_id=77@far&status=New")
    assert told.content == b"Ok."
    assert Submission.objects.get(pk=number).job_ids == ["77.0@far"]
    shown = field.send("POST", "/poms/submission_details", {"submission_id": number, "fmt": "json"}).json()
    assert shown["submission"]["jobsub_job_id"] == "77@far"
    assert shown["submission"]["command_executed"] == COMMAND  # commas and brackets too (protocols 5.2 b)
    assert shown["submission"]["project"] == "demo_p1" and shown["dataset"] == "raw"
    assert [step["status"] for step in shown["history"]] == ["New", "Idle"]
    assert [step["status_id"] for step in shown["history"]] == [1000, 3000]
    assert shown["statusmap"]["8000"] == "Located" and shown["recoverymap"]["process_status"][0] == 2


def test_a_finished_job_does_not_run_again_whatever_comes_late(field):
    made = field.send("POST", "/poms/get_submission_id_for", {"campaign_stage_id": "{stage}", "command_executed": "x"})
    number = made.content.decode().removeprefix("Task=")
    field.send("POST", "/poms/update_submission", {"submission_id": number, "jobsub_job_id": "77@far", "status": "New"})
    for status in ("Running", "Completed", "Running"):
        said = {"submission_id": number, "jobsub_job_id": "77@far", "status": status, "pct_complete": "100"}
        assert field.send("POST", "/poms/update_submission", said).content == b"Ok."
    states = list(Report.objects.order_by("pk").values_list("external_id", "state_code"))
    assert [name for name, _ in states] == ["77.0@far"] * 3
    assert Submission.objects.get(pk=number).state == "submitted"  # its jobs decide, by the one merge


def test_an_agent_tells_of_many_and_one_bad_entry_stops_no_other(field):
    second = Submission.objects.order_by("pk")[1]
    updates = {
        field.ids["own"]: {"submission_id": field.own.pk, "status": "Nonsense"},
        str(second.pk): {"submission_id": second.pk, "project": "p2", "status": None, "pct_complete": 50},
        "999999999": {"status": "Running"},
    }
    answer = field.send(
        "POST",
        "/poms/update_submissions",
        {"submission_updates": json.dumps(updates).replace("{", "{{").replace("}", "}}")},
    )
    assert answer.status_code == 200
    assert answer.json()[str(second.pk)] == "Ok." and answer.json()["999999999"] == "Unknown."
    assert "unknown: Nonsense" in answer.json()[field.ids["own"]]
    assert Submission.objects.get(pk=second.pk).told["project"] == "p2"


def test_a_launch_is_named_so_that_the_old_client_reads_its_number(field):
    answer = field.send("POST", "/poms//launch_jobs", {"campaign_stage_id": "{stage}", "experiment": "demo"})
    assert answer.status_code == 303 and answer.content == b""
    place = answer["Location"]
    assert int(place[place.rfind("_") + 1 :]) == field.own.pk  # as poms_client does
    asked = parse_qs(urlsplit(place).query)
    assert urlsplit(place).path == "/poms/list_launch_file/demo/production"
    assert (asked["campaign_stage_id"], asked["submission_id"]) == ([field.ids["stage"]], [field.ids["own"]])
    by_campaign = field.send("POST", "/poms/launch_campaign", {"campaign_id": "{campaign}"})
    assert by_campaign["Location"] == place


def test_a_stage_with_nothing_left_says_so_in_the_old_words(field):
    Submission.objects.update(**{"state": "submitted"})
    answer = field.send("POST", "/poms/launch_jobs", {"campaign_stage_id": "{stage}"})
    assert answer.status_code == 422
    assert answer.content.decode() == "Traceback: No more splits in this campaign.\n"


def test_a_held_launch_answers_423_and_is_listed(field):
    holding.hold("stage", field.stage, actor="user:shifter", reason="the disk is full")
    answer = field.send("POST", "/poms/launch_jobs", {"campaign_stage_id": "{stage}"})
    assert answer.status_code == 423 and "the disk is full" in answer.content.decode()
    listed = field.send("GET", "/poms/held_launches/demo/production").json()
    assert [entry["submission_id"] for entry in listed] == list(
        Submission.objects.order_by("pk").values_list("pk", flat=True)
    )
    released = field.send(
        "POST", "/poms/mark_campaign_hold", {"ids2HR": "{stage}", "is_hold": "Release"}, who="shifter"
    )
    assert released["Location"] == "/poms/show_campaign_stages/demo/production"
    assert not Hold.objects.filter(released_at=None).exists()


def test_a_launch_with_other_parameters_is_one_of_its_batch(field):
    answer = field.send("POST", "/poms/launch_jobs",
                        {"campaign_stage_id": "{stage}", "param_overrides": "[['--tune ', 'G18']]"})  # fmt: skip
    row = Submission.objects.get(pk=int(answer["Location"].rpartition("_")[2]))
    assert row.command[-2:] == ["--tune", "G18"] and row.batch_id == field.own.batch_id


def test_what_the_client_lists_has_the_old_keys(field):
    campaigns = field.send("POST", "/poms//show_campaigns", {"fmt": "json", "format": "json"}).json()["campaigns"]
    assert [(row["name"], row["active"], row["creator"]) for row in campaigns] == [("tiny", True, "experimenter")]
    stages = field.send("POST", "/poms/show_campaign_stages", {"fmt": "json", "campaign_name": "{name}"}).json()
    assert [row["name"] for row in stages["campaign_stages"]] == ["gen", "sum"]
    listed = field.send("POST", "/poms/campaign_list_json").json()
    assert {"campaign_stage_id": field.stage.pk, "name": "gen", "experiment": "demo"} in listed
    Submission.objects.filter(pk=field.own.pk).update(**{"state": "running", "job_ids": ["5.0@sched1"]})
    asked = {"fmt": "json", "campaign_name": "{name}", "stage_name": "gen", "experiment": "demo"}
    rows = field.send("POST", "/poms/campaign_stage_submissions", asked).json()["submissions"]
    assert rows[0] == {
        "submission_id": field.own.pk, "jobsub_job_id": "5.0@sched1", "created": f"{field.own.created_at:%Y-%m-%dT%H:%M:%S}",
        "creator": "experimenter", "status": "Running", "jobsub_cluster": "5.0", "jobsub_schedd": "sched1",
        "campaign_stage_name": "gen", "available_output": 0, "output_dims": None, "handler": "POMS",
    }  # fmt: skip
    assert (rows[1]["jobsub_job_id"], rows[1]["jobsub_cluster"], rows[1]["jobsub_schedd"]) == (
        None,
        "unknown.0",
        "unknown.un.known",
    )


def upload(text: str) -> dict[str, Any]:
    return {"upload": SimpleUploadedFile("new.ini", text.encode()), "pcl_call": "1", "experiment": "demo",
            "role": "production", "production_stage": "mc"}  # fmt: skip


def test_an_uploaded_definition_becomes_a_campaign_that_waits_for_approval(field):
    answer = field.send("POST", "/poms//ini_to_campaign", upload(builders.definition(campaign="fresh")))
    told = answer.json()
    campaign = Campaign.objects.get(name="fresh")
    assert answer.status_code == 200 and told["status"] == "201 Created"
    assert told["campaign_id"] == campaign.pk
    assert told["campaign_stage_ids"] == [[stage.pk, stage.name] for stage in campaign.stages.order_by("pk")]
    assert "waits for an approver" in told["message"][0]


@pytest.mark.parametrize(
    "text, says",
    [("[campaign_stage gen]\nevents=1\n", "No Campaign section in the file"),
     ("[campaign]\nname=x\n", "No Campaign Stage sections in the file"),
     ("[campaign]\nname=x\n[campaign_stage gen]\nlogin_setup=far\n", "LoginSetup 'far' not found! Campaign is incomplete!"),
     ("[campaign]\nname=x\n[campaign_stage gen]\nlogin_setup=local\njob_type=odd\n",
      "JobType 'odd' not found! Campaign is incomplete!")],
)  # fmt: skip
def test_a_bad_upload_is_refused_in_the_old_words(field, text, says):
    answer = field.send("POST", "/poms/ini_to_campaign", upload(text))
    assert answer.status_code == 200
    assert answer.json() == {"status": "400 Bad Request", "message": says}


def test_parameters_of_a_stage_are_merged_and_wait_for_approval(field):
    said = {"campaign_stage": "{stage}", "param_overrides": "[['--tune ', 'G18'], ['-Ox=', '1']]"}
    answer = field.send("POST", "/poms/update_stage_param_overrides", said, who="experimenter")
    assert (answer.status_code, answer.content) == (200, b"Success")
    newest = field.stage.campaign.revisions.order_by("-number").first()
    assert 'param_overrides=[["--tune ", "G18"], ["-Ox=", "1"]]' in newest.source
    assert newest.state == "proposed" and Campaign.objects.get(pk=field.stage.campaign_id).revision_id != newest.pk
    fewer = {"campaign_stage": "['tiny', 'gen']", "param_overrides": "[['--tune ', '']]"}
    field.send("POST", "/poms/update_stage_param_overrides", fewer, who="experimenter")
    again = field.stage.campaign.revisions.order_by("-number").first()
    assert 'param_overrides=[["-Ox=", "1"]]' in again.source
    changed = field.send("POST", "/poms/update_campaign_stage", {"campaign_stage": "{stage}", "completion_pct": "90"},
                         who="experimenter")  # fmt: skip
    assert changed.content == b"Success"
    cursor = field.send("POST", "/poms/update_campaign_stage", {"campaign_stage": "{stage}", "cs_last_split": "3"})
    assert cursor.status_code == 422 and "kept by POMS itself" in cursor.content.decode()


def test_job_types_and_set_ups_are_made_changed_and_put_aside(field):
    made = field.send("POST", "/poms/job_type_edit", {
        "pcl_call": "1", "action": "add", "experiment": "demo", "ae_definition_name": "sim",
        "ae_launch_script": "fife_launch -c x.cfg ", "ae_definition_parameters": '[["-Ox=", "1"]]',
        "ae_output_file_patterns": "%.root",
    })  # fmt: skip
    assert made.json() == {"message": "Ok."}
    row = JobType.objects.get(name="sim")
    assert (row.launch_script, row.parameters) == ("fife_launch -c x.cfg", [["-Ox=", "1"]])
    edit = {
        "pcl_call": "1",
        "action": "edit",
        "experiment": "demo",
        "ae_launch_name": "local",
        "ae_launch_account": "demopro",
    }
    assert field.send("POST", "/poms/launch_template_edit", edit).status_code == 200
    assert LoginSetup.objects.get(name="local").account == "demopro"
    assert (
        field.send("POST", "/poms/job_type_rm", {"experiment": "demo", "ae_definition_name": "sim"}).status_code == 200
    )
    assert not JobType.objects.get(name="sim").active
    assert field.send("POST", "/poms/login_setup_edit", edit, who="shifter").status_code == 403
    text = field.send("GET", "/poms/campaign_deps_ini/demo/production?job_type=sim").content.decode()
    assert "[job_type sim]" in text and 'parameters=[["-Ox=", "1"]]' in text


def test_jobs_are_killed_when_it_is_confirmed_and_not_before(field):
    Submission.objects.filter(pk=field.own.pk).update(**{"state": "running"})
    asked = {"submission_id": "{own}", "act": "kill"}
    assert "would kill" in field.send("POST", "/poms/kill_jobs", asked).content.decode()
    assert not Command.objects.exists()
    assert field.send("POST", "/poms/kill_jobs", {**asked, "confirm": "yes"}, who="shifter").status_code == 403
    done = field.send("POST", "/poms/kill_jobs", {**asked, "confirm": "yes", "reason": "the disk is full"})
    assert done.content.decode() == f"{field.own.ref}: kill is asked for\n"
    assert Command.objects.get().reason == "the disk is full"
    held = field.send(
        "POST", "/poms/kill_jobs", {"campaign_id": "{campaign}", "act": "hold", "confirm": "yes"}, who="shifter"
    )
    assert held.status_code == 200 and Command.objects.filter(verb="hold").count() == 2


def test_a_recovery_is_launched_by_its_old_number(field):
    Submission.objects.filter(pk=field.own.pk).update(**{"state": "failed", "launched_at": now()})
    Batch.objects.filter(pk=field.own.batch_id).update(**{"state": "failed"})
    answer = field.send("POST", "/poms/launch_recovery_for", {"submission_id": "{own}", "recovery_type": "3"})
    assert answer.status_code == 303, answer.content
    made = Submission.objects.get(pk=int(answer["Location"].rpartition("_")[2]))
    assert made.batch_id == field.own.batch_id and made.pk != field.own.pk
    again = field.send("POST", "/poms/launch_recovery_for", {"submission_id": "{own}", "recovery_type": "77"})
    assert again.status_code == 422


def test_files_of_an_analysis_are_uploaded_listed_fetched_and_removed(field):
    def send(method: str, path: str, form: dict[str, Any] | None = None) -> Any:
        return field.send(method, path, form, who="analyser")

    made = send(
        "POST", "/poms//upload_file", {"filename": SimpleUploadedFile("fit.C", b"void fit() {}"), "experiment": "demo"}
    )
    assert (made.status_code, made["Location"]) == (303, "/poms/file_uploads/demo/analysis/analyser")
    listed = send("GET", "/poms/file_uploads/demo/analysis/analyser?fmt=json").json()
    [[name, size, at]] = listed["file_stat_list"]
    assert (name, size) == ("fit.C", 13)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", at)
    assert send("GET", "/poms/download_file/demo/analysis?filename=fit.C").content == b"void fit() {}"
    assert send("GET", "/poms/file_uploads/demo/analysis/operator?fmt=json").status_code == 404
    gone = send(
        "POST", "/poms/remove_uploaded_files/demo/analysis", {"filename": "fit.C", "action": "delete", "redirect": "0"}
    )
    assert (gone.status_code, gone.content) == (200, b"Ok.")
    assert send("GET", "/poms/file_uploads/demo/analysis/analyser").json() == {"file_stat_list": []}
    assert send("POST", "/poms/remove_uploaded_files/demo/analysis", {"filename": "fit.C"}).status_code == 404


@pytest.mark.parametrize(
    ("name", "content"),
    [("vt_demo_Analysis_ann", b"x"), ("x509up_voms_demo_Analysis_ann", b"x"),
     ("notes.txt", b"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n")],
)  # fmt: skip
def test_a_credential_is_not_kept(field, name, content):
    answer = field.send(
        "POST", "/poms/upload_file/demo/analysis", {"filename": SimpleUploadedFile(name, content)}, who="analyser"
    )
    assert answer.status_code == 422
    assert "POMS keeps no credentials" in answer.content.decode()
    assert field.send("GET", "/poms/file_uploads/demo/analysis", who="analyser").json() == {"file_stat_list": []}
