"""A batch is made again by real jobs: equal where nothing changed, and what changed is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from campaigns.models import Campaign
from core.errors import Conflict, Refused
from core.models import Transition
from integrations.models import File
from submissions.logic import made_of, reproducing
from submissions.models import Batch, Output, Reproduction, Submission, Unit
from tests import builders

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("local_system")]

DIMUON = Path(__file__).resolve().parents[2] / "examples" / "dimuon"
LOOPS = ("plan", "launch", "observe", "settle", "recover", "reproduce")
# Its events follow from its seed, as those of a generator do.
SEEDED = """#!/usr/bin/env python3
import json, os, sys
plan = json.load(open("jobs.json"))
plan["jobs"] = [dict(entry) for entry in plan["jobs"]]
jobs = []
for entry in plan["jobs"]:
    unit = entry["units"][0]
    name = plan["campaign"] + "-" + plan["stage"] + "-" + unit["key"].replace(":", "_") + ".txt"
    text = 'echo "$SEED $MORE" > "$NAME"'
    jobs.append({
        "argv": ["/bin/sh", "-c", text],
        "env": {"NAME": name, "SEED": str(unit.get("seed") or unit["key"]), "MORE": open("MORE_PATH").read(),
                "PATH": os.environ["PATH"]},
        "memory_mb": 200, "wall_s": 60, "index": entry["index"], "units": [u["key"] for u in entry["units"]],
        "inputs": [{"name": u["file"], "path": u["path"]} for u in entry["units"] if "file" in u],
        "output_dir": plan["output_dir"], "output_patterns": plan["output_patterns"],
    })
import subprocess
cluster = {"uuid": plan["uuid"], "owner": plan["experiment"], "jobs": jobs}
sys.exit(subprocess.run(
    [os.environ["POMS_PYTHON"], "-S", "-E", "-s", "-B", os.environ["POMS_LOCAL_SUBMIT"], "submit", "--spool",
     os.environ["POMS_LOCAL_SPOOL"]], input=json.dumps(cluster).encode()).returncode)
"""


@pytest.fixture
def more(tmp_path) -> Path:
    """A file whose text the jobs put out beside their seed: a release that can be changed behind everybody's back."""
    path = tmp_path / "more"
    path.write_text("r1")
    return path


@pytest.fixture
def campaign(real_cast, drive, tmp_path, more) -> Campaign:
    """A finished campaign of one generator and a stage that it feeds."""
    script = tmp_path / "seeded"
    script.write_text(SEEDED.replace("MORE_PATH", str(more)))
    script.chmod(0o755)
    text = builders.definition().replace(json.dumps(str(builders.TINY_SUBMIT)), str(script))
    made = builders.approved_campaign(real_cast, text)
    drive(lambda: ended(made), names=LOOPS)
    assert made.state == "succeeded"
    return made


def ended(campaign: Campaign) -> bool:
    campaign.refresh_from_db()
    return campaign.state in ("succeeded", "failed")


def batch_of(campaign: Campaign, stage: str, number: int = 1) -> Batch:
    rows = Batch.objects.select_related("experiment", "stage__campaign__experiment", "version__revision")
    return rows.get(stage__campaign=campaign, stage__name=stage, number=number)


def reproduced(drive, cast, batch: Batch, **how) -> Reproduction:
    row = reproducing.reproduce(batch, by=cast.operator, reason="to be sure", **how)
    drive(lambda: Reproduction.objects.get(pk=row.pk).state != "running", names=LOOPS)
    row.refresh_from_db()
    return row


def named(row: Reproduction) -> list[tuple[str, str]]:
    return [(entry["of"], entry["what"]) for entry in row.differences]


def test_what_nothing_has_changed_comes_out_equal_and_is_nobodys_result(real_cast, drive, campaign):
    batch = batch_of(campaign, "gen", 2)
    before = File.objects.count()
    row = reproduced(drive, real_cast, batch)
    assert (row.state, row.differences, row.verdict) == ("equal", [], "equal: 2 outputs compared")
    campaign.refresh_from_db()
    assert campaign.state == "succeeded"
    again = Batch.objects.get(stage__campaign=row.campaign)
    assert (again.number, again.pass_number, again.n_units) == (batch.number, batch.pass_number, batch.n_units)
    assert Unit.objects.filter(stage=batch.stage).count() == 4, "the stage itself has no inputs more"
    assert File.objects.count() == before, "nothing of it is declared"
    assert not Unit.objects.filter(output__stage=again.stage).exists(), "it feeds nothing"
    rooms = set(Output.objects.filter(stage=again.stage).values_list("room", flat=True))
    assert rooms == {f"c{row.campaign_id}"}
    first, second = (Submission.objects.filter(batch=b).order_by("pk").first() for b in (batch, again))
    assert first.environment["POMS4_TEST_LAUNCH"] == second.environment["POMS4_TEST_LAUNCH"] == "False"
    steps = Transition.objects.filter(kind="reproduction", thing_id=row.pk).order_by("id")
    assert list(steps.values_list("source", "target", "actor")) == [
        ("", "running", "user:operator"), ("running", "equal", "loop:reproduce"),
    ]  # fmt: skip
    told = Transition.objects.filter(kind="batch", thing_id=batch.pk, verb="reproduce").order_by("id")
    assert [row.ref in reason for reason in told.values_list("reason", flat=True)] == [True, True]


def test_another_seed_is_named_and_so_are_the_bytes_that_come_of_it(real_cast, drive, campaign):
    row = reproduced(drive, real_cast, batch_of(campaign, "gen"), seed=8)
    assert row.state == "different"
    kinds = [of for of, _ in named(row)]
    assert kinds == ["seed", "seed", "bytes", "bytes"]
    assert row.verdict == "seed (2), bytes (2)"
    seed = row.differences[0]
    assert (seed["what"], seed["was"]) == ("events:0", str(batch_of(campaign, "gen").units.get(key="events:0").seed))


def test_a_package_with_another_seed_runs_with_it_and_is_named_as_altered(real_cast, drive, campaign):
    batch = batch_of(campaign, "gen")
    package = json.loads(json.dumps(made_of.recipe_of(batch).document()))
    assert reproduced(drive, real_cast, batch, package=package).state == "equal"
    package["seeds"]["events:1"] += 1
    row = reproduced(drive, real_cast, batch, package=package)
    assert row.state == "different"
    assert [of for of, _ in named(row)] == ["package: seed", "bytes"]
    package["command"][0] = "rm"
    row = reproduced(drive, real_cast, batch, package=package)
    assert "command" in row.verdict, "what a package says of the command is compared, and never run"


def test_what_a_stage_was_fed_is_its_input_again(real_cast, drive, campaign):
    row = reproduced(drive, real_cast, batch_of(campaign, "sum"))
    assert (row.state, row.outputs, row.differences) == ("equal", 1, [])


def test_a_release_that_changed_behind_everybodys_back_shows_in_the_bytes(real_cast, drive, campaign, more):
    more.write_text("r2")
    row = reproduced(drive, real_cast, batch_of(campaign, "gen"))
    assert [of for of, _ in named(row)] == ["bytes", "bytes"]


def test_an_input_that_is_another_file_now_is_named(real_cast, drive, campaign):
    name = batch_of(campaign, "sum").units.first().file_name
    File.objects.filter(name=name).update(checksum="adler32:00000000")
    row = reproduced(drive, real_cast, batch_of(campaign, "sum"))
    assert named(row) == [("input", f"file:{name}")]


def test_one_that_nothing_comes_out_of_has_failed(real_cast, drive, campaign, more):
    more.unlink()  # now the launch script fails
    row = reproduced(drive, real_cast, batch_of(campaign, "gen"))
    assert row.state == "failed"
    assert "it was never launched" in row.verdict


def test_what_cannot_be_made_again_is_refused(real_cast, drive, campaign):
    batch = batch_of(campaign, "gen")
    with pytest.raises(Refused, match="needs a reason"):
        reproducing.reproduce(batch, by=real_cast.operator, reason=" ")
    with pytest.raises(Refused, match="Nothing was started"):
        reproducing.reproduce(batch, by=real_cast.operator, reason="x", package={"seeds": 1})
    with pytest.raises(Refused, match="Nothing was started"):
        reproducing.reproduce(batch_of(campaign, "sum"), by=real_cast.operator, reason="x", seed=3)
    reproducing.reproduce(batch, by=real_cast.operator, reason="x")
    with pytest.raises(Conflict, match="being reproduced already"):
        reproducing.reproduce(batch, by=real_cast.operator, reason="x")
    Batch.objects.filter(pk=batch.pk).update(**{"state": "pending"})
    with pytest.raises(Conflict, match="wait for its end"):
        reproducing.reproduce(batch_of(campaign, "gen"), by=real_cast.operator, reason="x")
    assert Reproduction.objects.count() == 1


def test_a_signature_stands_until_another_word(real_cast, drive, campaign):
    row = reproduced(drive, real_cast, batch_of(campaign, "gen"))
    reproducing.sign(row, passed=True, actor="user:reviewer", reason="same bytes")
    reproducing.sign(row, passed=False, actor="user:reviewer", reason="the wrong batch")
    row.refresh_from_db()
    assert (row.signed, row.signed_why) == (False, "the wrong batch")
    words = Transition.objects.filter(kind="reproduction", thing_id=row.pk).order_by("id")
    assert list(words.values_list("verb", "reason"))[-2:] == [
        ("sign_off", "same bytes"), ("refuse", "the wrong batch"),
    ]  # fmt: skip
    with pytest.raises(Refused, match="needs a reason"):
        reproducing.sign(row, passed=True, actor="user:reviewer", reason="")


def test_a_batch_of_the_dimuon_example_is_reproduced_to_equal_checksums(real_cast, drive):
    text = (DIMUON / "dimuon.ini").read_text()
    for before, after in (
        ("events=20000", "events=40"), ("nevents(5000)", "nevents(20)"), ("events_per_job=1000", "events_per_job=10"),
        ('["--crash-once ", "7"]', '["--crash-once ", "1"]'), ('"--hungry ", "12"', '"--hungry ", "99"'),
        ('"--corrupt-once ", "3"', '"--corrupt-once ", "99"'),
    ):  # fmt: skip
        assert before in text
        text = text.replace(before, after)
    builders.login_setup(
        real_cast, setup=f'PATH="{DIMUON}:$PATH"; POMS_PYTHON="{sys.executable}"; export PATH POMS_PYTHON\n'
    )
    campaign = builders.approved_campaign(real_cast, text)
    drive(lambda: ended(campaign) or Batch.objects.filter(stage__name="reco", state="completed").count() >= 1,
          seconds=300, names=LOOPS)  # fmt: skip
    gen, reco = batch_of(campaign, "gen"), batch_of(campaign, "reco")
    assert gen.submissions.count() == 2, "one of its jobs crashed, and was recovered"
    for batch in (gen, reco):
        row = reproduced(drive, real_cast, batch)
        assert (row.state, row.differences) == ("equal", []), row.verdict
        assert "the same content, by the checksum that their jobs declare" in row.remarks[0], "ROOT writes the time"
    row = reproduced(drive, real_cast, gen, seed=54321)
    assert {of for of, _ in named(row)} == {"seed", "content"}
