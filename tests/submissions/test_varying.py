"""A batch launched once with other parameters, the commands of a launch shown, and a pass over the same input."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack

import pytest

from approvals.logic import trying
from campaigns.models import Stage
from core.errors import Conflict, Refused
from integrations.models import BatchSystem, Dataset, File
from submissions.logic import freezing, launching, planning, recovering, reprocessing, showing, varying
from submissions.models import Batch, Slice, Snapshot, StageProgress, Submission, Unit
from tests import builders

pytestmark = pytest.mark.django_db
READS = (
    "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=nfiles(2)\nparam_overrides="
    '[["--in ", "%(dataset)s"], ["-Ox=", "1"]]\n'
)


@pytest.fixture
def stage(cast) -> Stage:
    BatchSystem.objects.create(name="local", backend="local")
    return builders.approved_campaign(cast).stages.get(name="gen")


@pytest.fixture
def reading(cast) -> Stage:
    raw = Dataset.objects.create(experiment=cast.experiment, name="raw")
    files = [File(experiment=cast.experiment, name=f"raw{n}.dat", path=f"/data/raw{n}.dat", size=1) for n in range(5)]
    raw.files.set(File.objects.bulk_create(files))
    return builders.approved_campaign(cast, builders.definition(stages=READS)).stages.get(name="reco")


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Batch, Submission, Unit, Slice, Snapshot))


def test_a_waiting_batch_is_launched_once_with_other_parameters(cast, stage):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    old = batch.submissions.get()
    made = varying.launch_with(
        batch, [("--tune ", "G18"), ("-Oseed=", "%(stage)s")], actor="user:operator", reason="a try"
    )
    assert made.command == [*old.command, "--tune", "G18", "-Oseed=gen"]
    assert made.jobs_file["overrides"] == [["--tune ", "G18"], ["-Oseed=", "%(stage)s"]]
    assert list(made.units.values_list("unit_id", flat=True)) == list(old.units.values_list("unit_id", flat=True))
    assert Submission.objects.get(pk=old.pk).state == "removed"
    assert (made.kind, made.round, made.state) == ("first", 0, "pending")
    assert Batch.objects.get(pk=batch.pk).state == "pending"
    again = varying.launch_with(batch, [("--tune ", "G24")], actor="user:operator", reason="another")
    assert again.jobs_file["overrides"] == [["--tune ", "G24"], ["-Oseed=", "%(stage)s"]]


def test_a_failed_batch_is_launched_with_them_and_its_next_recovery_without(cast, stage):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    Batch.objects.filter(pk=batch.pk).update(**{"state": "failed"})
    Submission.objects.filter(batch=batch).update(**{"state": "failed"})
    batch.refresh_from_db()
    made = varying.launch_with(batch, [("--tune ", "G18")], actor="user:operator", reason="a try")
    assert (made.kind, made.command[-2:]) == ("relaunch", ["--tune", "G18"])
    Batch.objects.filter(pk=batch.pk).update(**{"state": "failed"})
    Submission.objects.filter(batch=batch).update(**{"state": "failed"})
    batch.refresh_from_db()
    after = recovering.relaunch(batch, actor="user:operator", reason="as usual")
    assert "--tune" not in after.command and after.jobs_file["overrides"] == []


@pytest.mark.parametrize("state", ["launching", "submitted", "running"])
def test_what_is_being_launched_or_runs_is_left_alone(cast, stage, state):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    Submission.objects.filter(batch=batch).update(**{"state": state})
    with pytest.raises(Conflict, match="nothing was changed"):
        varying.launch_with(batch, [("--tune ", "G18")], actor="user:operator", reason="a try")
    assert batch.submissions.count() == 1


def test_a_launch_claimed_meanwhile_is_not_doubled(cast, stage):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    with ExitStack() as turn:
        assert batch.submissions.get().pk in {row.pk for row in launching._claim_pending(turn)}
    with pytest.raises(Conflict):
        varying.launch_with(batch, [("--tune ", "G18")], actor="user:operator", reason="a try")


@pytest.mark.parametrize(
    "given, says",
    [
        ("[[", "is not JSON"),
        ("[]", "1 to 200"),
        ('[["a"]]', "1 to 200"),
        ('[["a", 1]]', "1 to 200"),
        ("{}", "1 to 200"),
    ],
)
def test_parameters_that_cannot_be_read_are_refused(given, says):
    with pytest.raises(Refused, match=says):
        varying.pairs_of(given)


def test_a_word_that_stands_for_nothing_is_refused(cast, stage):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    with pytest.raises(Refused, match=r"%\(tune\)s stands for nothing"):
        varying.launch_with(batch, [("--tune ", "%(tune)s")], actor="user:operator", reason="a try")
    assert batch.submissions.get().state == "pending"


def test_the_commands_of_a_stage_are_shown_and_nothing_is_taken(cast, reading):
    before = counts()
    shown = showing.of_stage(reading)
    assert "no input waits" in shown.about and shown.inputs == 0
    assert counts() == before
    frozen = freezing.fetch(reading.versions.get())
    StageProgress.objects.create(stage=reading)
    freezing.keep(reading.versions.get(), frozen)
    before = counts()
    shown = showing.of_stage(reading)
    assert counts() == before and Slice.objects.filter(taken_at=None).count() == 3
    planning.plan(reading.pk)
    row = Submission.objects.order_by("pk").first()
    same = [word.replace(row.offered, "D") for word in row.command]
    differs = [word for word in shown.argv if word.startswith("poms_demo")]
    assert len(differs) == 1 and [word.replace(differs[0], "D") for word in shown.argv] == same
    assert (shown.inputs, shown.jobs) == (2, 2)
    known = dict(row.environment)
    own = {name for name, value in known.items() if str(row.uuid) in value}
    assert {name: shown.environment[name] for name in set(known) - own} == {
        name: known[name] for name in set(known) - own
    }
    assert showing.of_stage(reading).argv == row.command  # from now on it is the one that waits, to the letter


def test_a_failed_batch_shows_its_relaunch_and_launches_exactly_that(cast, stage):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    Batch.objects.filter(pk=batch.pk).update(**{"state": "failed"})
    Submission.objects.filter(batch=batch).update(**{"state": "failed"})
    batch.refresh_from_db()
    before = counts()
    shown = showing.of_batch(batch)
    assert counts() == before and shown.inputs == 2
    assert recovering.relaunch(batch, actor="user:operator", reason="as shown").command == shown.argv
    assert shown.environment["POMS_ROUND"] == "1"


def test_no_secret_is_shown(cast, stage, settings):
    settings.PUBLIC_URL = "https://poms.example.org"
    planning.plan(stage.pk)
    row = Submission.objects.order_by("pk").first()
    row.environment |= {"BEARER_TOKEN_FILE": "/tmp/bt_u1", "DOOR_PASSWORD": "hidden1", "API_KEY": "hidden2"}
    row.save()
    shown = showing.of_submission(row)
    text = json.dumps(shown.environment)
    assert shown.environment["POMS_REPORT_TOKEN"] == showing.LEFT_OUT
    assert shown.environment["BEARER_TOKEN_FILE"] == "/tmp/bt_u1"
    assert "hidden" not in text and "POMS4_CAMPAIGN_NAME" in text and "POMS_LOCAL_SPOOL" in text


def test_a_pass_on_the_same_input_has_the_same_slices_whatever_the_dataset_has_now(cast, reading):
    planning.plan(reading.pk)
    first = list(Slice.objects.order_by("number").values_list("label", "inputs"))
    Batch.objects.update(**{"state": "completed"})
    Submission.objects.update(**{"state": "completed"})
    Stage.objects.filter(pk=reading.pk).update(completed_at="2026-01-01T00:00:00Z", succeeded=True)
    raw = Dataset.objects.get(name="raw")
    raw.files.add(File.objects.create(experiment=cast.experiment, name="raw9.dat", path="/data/raw9.dat"))
    reprocessing.process_again(
        reading.campaign, "reco", actor="user:operator", reason="better constants", same_input=True
    )
    planning.plan(reading.pk)
    second = Slice.objects.filter(snapshot__pass_number=2).order_by("number")
    assert list(second.values_list("label", "inputs")) == first
    assert Snapshot.objects.get(pass_number=2).digest == Snapshot.objects.get(pass_number=1).digest
    assert Unit.objects.filter(pass_number=2).count() == 5
    assert StageProgress.objects.get(stage=reading, pass_number=2).units == 5
    assert not Unit.objects.filter(file_name="raw9.dat").exists()


def test_a_stage_without_a_dataset_has_no_input_to_keep(cast, stage):
    planning.plan(stage.pk)
    Batch.objects.update(**{"state": "completed"})
    Stage.objects.update(completed_at="2026-01-01T00:00:00Z", succeeded=True)
    with pytest.raises(Refused, match="reads a dataset"):
        reprocessing.process_again(stage.campaign, "gen", actor="user:operator", reason="again", same_input=True)
    assert Stage.objects.get(pk=stage.pk).pass_number == 1


def test_a_test_run_has_its_own_parameters_in_what_recovers_it_too_and_a_recovery_lays_its_own_over(cast):
    given = '[["-Oa=", "stage"], ["-Ob=", "stage"]]'
    text = builders.definition(
        stages="[campaign_stage gen]\nstage_type=generator\nevents=2\nevents_per_job=1\ncs_split_type=nevents(1)\n"
        f'param_overrides={given}\ntest_param_overrides=[["-Ob=", "test"]]\n'
    )
    run = trying.test(builders.request(cast, text), by=cast.operator, size=1)
    planning.plan(run.campaign.stages.get().pk)
    first = Submission.objects.get(campaign=run.campaign)
    assert first.command[1:] == ["-Oa=stage", "-Ob=test"]  # each in its first place (poms 5)
    assert first.environment["POMS4_TEST_LAUNCH"]
    Batch.objects.filter(pk=first.batch_id).update(**{"state": "failed"})
    Submission.objects.filter(pk=first.pk).update(**{"state": "failed"})
    batch = Batch.objects.get(pk=first.batch_id)
    again = recovering.relaunch(batch, actor="user:operator", reason="the disk is back")
    assert (again.command, again.environment["POMS4_TEST_LAUNCH"]) == (
        first.command, first.environment["POMS4_TEST_LAUNCH"]
    )  # fmt: skip
    other = varying.launch_with(batch, [("-Ob=", "recovery")], actor="user:operator", reason="a try")
    assert other.command[1:] == ["-Oa=stage", "-Ob=recovery"]


def test_api_and_pages_show_launch_and_register(cast, stage, client):
    planning.plan(stage.pk)
    batch = Batch.objects.order_by("pk").first()
    row = batch.submissions.get()
    client.force_login(cast.operator)
    campaign = stage.campaign.ref
    for address in (f"stages/{campaign}/gen", f"batches/{batch.ref}", f"submissions/{row.ref}"):
        shown = client.get(f"/api/v1/{address}/commands/").json()
        assert (shown["argv"], shown["command"]) == (row.command, shlex.join(row.command)), address
    key = f"c{stage.campaign_id}"
    for page in (
        f"campaigns/{key}/commands/?stage=gen",
        f"batches/b{batch.pk}/commands/",
        f"submissions/s{row.pk}/commands/",
    ):
        answer = client.get(f"/e/demo/{page}")
        assert answer.status_code == 200 and row.command[0] in answer.content.decode(), page
    assert client.get(f"/e/demo/campaigns/{key}/commands/?stage=nosuch").status_code == 404
    bad = client.post(
        f"/api/v1/batches/{batch.ref}/launch_with/", {"parameters": [["a"]], "reason": "x"}, "application/json"
    )
    assert bad.status_code == 422 and "key, value" in bad.content.decode()
    said = {"command": "jobsub_submit x", "jobs": ["12@far"], "reason": "by hand"}
    made = client.post(
        f"/api/v1/stages/{campaign}/gen/register/", said, "application/json", headers={"Idempotency-Key": "k"}
    )
    again = client.post(
        f"/api/v1/stages/{campaign}/gen/register/", said, "application/json", headers={"Idempotency-Key": "k"}
    )
    assert (made.status_code, again.json()) == (201, made.json())
    assert Submission.objects.filter(kind="outside").count() == 1
    page = client.get(f"/e/demo/campaigns/{key}/").content.decode()
    assert "Launched outside POMS" in page and made.json()["submission"] in page
    listed = client.get("/e/demo/submissions/?kind=outside").content.decode()
    assert made.json()["submission"] in listed and row.ref + "<" not in listed
