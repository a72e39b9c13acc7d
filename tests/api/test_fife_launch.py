"""Configurations of fife_launch through the API and the real command."""

from __future__ import annotations

import json

import pytest
from rest_framework.test import APIClient

from campaigns.logic import editing
from campaigns.models import Campaign
from tests import builders
from tests.api.test_command_line import poms

TEXT = """[global]
includes = /cvmfs/demo/base.cfg
release = v1
[submit]
e = %(release)s
[executable]
name = run
[stage_gen]
submit.memory = 2GB
"""
KIND = '[job_type by_fife]\nlaunch_script=fife_launch\nparameters=[["-c ", "main.cfg"]]\n'
STAGES = (
    "[campaign_stage gen]\nstage_type=generator\nevents=4\njob_type=by_fife\n"
    'param_overrides=[["--stage ", "%(stage)s"], ["-Osubmit.memroy=", "3GB"]]\n'
    "[campaign_stage own]\nstage_type=generator\nevents=4\n"
)  # fmt: skip


def proposed(cast) -> Campaign:
    """Make a campaign one of whose stages is started by fife_launch, which is not on this host."""
    builders.login_setup(cast)
    campaign = editing.create(cast.experiment, name="tiny", owner=cast.experimenter, reason="to have one")
    editing.propose(campaign, builders.definition(stages=STAGES, extra=KIND), author=cast.experimenter)
    return campaign


@pytest.fixture
def ask(cast):
    def post(who="experimenter", **values):
        client = APIClient()
        client.force_authenticate(cast.people[who])
        body = {"experiment": "demo", "text": TEXT, "includes": {"base.cfg": "[job_setup]\n"}, **values}
        return client.post("/api/v1/campaigns/fife/", body, format="json")

    return post


@pytest.mark.django_db
def test_a_configuration_is_shown_and_what_it_lacks_is_said(ask):
    found = ask().json()
    assert (found["errors"], found["warnings"], found["settings"], found["checked"]) == ([], [], [], [])
    assert found["stages"] == [{
        "stage": "gen", "problems": [],
        "overrides": [{"section": "submit", "key": "memory", "written": "2GB", "value": "2GB", "unset": [],
                       "from": "stage_gen: the configuration line 9"}],
    }]  # fmt: skip
    lost = ask(includes={}).json()
    assert lost["missing"] == ["/cvmfs/demo/base.cfg"]
    assert [(entry["where"], entry["line"]) for entry in lost["errors"]] == [("[global] includes", 2)]


@pytest.mark.django_db
def test_a_stage_and_overrides_give_every_value_in_force(ask):
    found = ask(stages=["gen"], overrides=["global.release=v2", "globl.x=1", "nonsense"]).json()
    values = {(row["section"], row["key"]): (row["value"], row["from"]) for row in found["settings"]}
    assert values["submit", "e"] == ("v2", "the configuration line 5")
    assert values["global", "release"] == ("v2", "-O")
    assert [(entry["where"], entry["hint"]) for entry in found["unfit"]] == [
        ("-Ononsense", "write -Osection.key=value"), ("-Oglobl.x", "did you mean global?"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_campaign_is_held_against_the_configuration(cast, ask):
    campaign = proposed(cast)
    told = {stage["stage"]: stage for stage in ask(campaign=campaign.ref).json()["checked"]}
    assert [(entry["where"], entry["hint"]) for entry in told["gen"]["unfit"]] == [
        ("-Osubmit.memroy", "did you mean memory?")
    ]
    assert (told["own"]["launched"], told["own"]["unfit"]) == (False, [])
    for ref in ("demo/c999999", "demo", "demo/x1", "demo/c", "demo/c" + "9" * 30, "nowhere/c1"):
        assert ask(campaign=ref).status_code == 404, ref
    assert ask("stranger").status_code == 422


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"text": "x" * 300_000}, "text"), ({"includes": {"a": "x" * 300_000}}, "includes.a"), ({"includes": []}, "includes"),
        ({"stages": "gen"}, "stages"), ({"overrides": ["x"] * 101}, "overrides"), ({"text": "a\0"}, "text"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_refused(ask, values, field):
    answer = ask(**values)
    assert answer.status_code == 422, answer.content
    assert [entry["field"] for entry in answer.json()["errors"]] == [field]


@pytest.mark.django_db(transaction=True)
def test_the_command_shows_and_checks(real_cast, live_server, tmp_path):
    campaign = proposed(real_cast)
    main, base = tmp_path / "main.cfg", tmp_path / "base.cfg"
    main.write_text(TEXT)
    base.write_bytes(b"# \xe9t\xe9\n[job_setup]\n")

    def run(*words):
        return poms(live_server, real_cast.experimenter, "campaign", "fife", str(main), *words)

    plain = run("-e", "demo", "--include", str(base))
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout == "stage\tset\tto\tsaid in\ngen\tsubmit.memory\t2GB\tstage_gen: main.cfg line 9\n"
    lost = run("-e", "demo")
    assert lost.returncode == 1
    assert "the included /cvmfs/demo/base.cfg is not here" in lost.stderr
    renamed = tmp_path / "mine"
    renamed.write_bytes(base.read_bytes())
    assert run("-e", "demo", "--include", f"base.cfg={renamed}").returncode == 0
    over = run("-e", "demo", "--include", str(base), "--stage", "gen", "-O", "submit.N=4", "-Oglobal.release=v2")
    assert over.returncode == 0, over.stderr
    assert "submit\tN\t4\t-O\n" in over.stdout
    checked = run("--campaign", campaign.ref, "--include", str(base))
    assert checked.returncode == 2
    assert "gen: -Osubmit.memroy: nothing in the configuration sets or uses submit.memroy (did you mean memory?)" in (
        checked.stderr
    )
    assert "own is not started by fife_launch" in checked.stderr
    told = json.loads(run("-e", "demo", "--include", str(base), "--json").stdout)
    assert [stage["stage"] for stage in told["stages"]] == ["gen"]
    assert run("-e", "demo", "--include", str(tmp_path / "no")).returncode == 64
