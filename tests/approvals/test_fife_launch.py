"""What a request's stages pass to fife_launch, against the configuration in a real git repository at its tag."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from approvals.logic import customising, fetching, filing
from approvals.models import Request
from integrations.probes import git
from tests import builders

pytestmark = pytest.mark.django_db

MAIN = "[global]\nincludes = /cvmfs/demo/cfg/base.cfg\nrelease = v1\n[stage_gen]\nsubmit.memory = 2GB\n"
BASE = "[submit]\ne = %(release)s\n[executable]\nname = run\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository; `v1` is whole, `v2` lacks what is included, `v3` cannot be read."""
    place = tmp_path / "code"
    (place / "cfg").mkdir(parents=True)

    def run(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(place), *who, *arguments], check=True, capture_output=True)

    run("init", "--quiet")
    for name in ("allowFilter", "allowAnySHA1InWant"):
        run("config", f"uploadpack.{name}", "true")
    for tag, files in (
        ("v1", {"main.cfg": MAIN, "base.cfg": BASE}), ("v2", {"main.cfg": MAIN}), ("v3", {"main.cfg": MAIN + "x\n", "base.cfg": BASE}),
    ):  # fmt: skip
        for old in (place / "cfg").iterdir():
            old.unlink()
        for name, text in files.items():
            (place / "cfg" / name).write_text(text)
        run("add", "--all", ".")
        run("commit", "--quiet", "-m", tag)
        run("tag", tag)
    return place


@pytest.fixture
def asked(cast, repository):
    """Return a function that makes a request whose one stage passes these parameters."""
    customising.keep_package(cast.experiment, "code", by=cast.administrator, url=str(repository))

    def make(parameters: str, release: str = "v1", **values: str) -> Request:
        stage = (
            f"[campaign_stage gen]\nstage_type=generator\nevents=4\njob_type=by_fife\nparam_overrides=[{parameters}]\n"
        )
        kind = "[job_type by_fife]\nlaunch_script=fife_launch -c /cvmfs/demo/cfg/main.cfg\n"
        text = builders.definition(stages=stage, extra=kind)
        given = {"repository": "code", "release": release, "configuration": "cfg/main.cfg", **values}
        return builders.request(cast, text, **given)

    return make


def lines(request: Request) -> list[tuple[str, str]]:
    filing.check(request)
    return list(
        request.checks.filter(check_name="fife_launch").order_by("position").values_list("result", "text")
    )  # fmt: skip


def test_what_the_stages_name_is_looked_for_in_the_configuration(asked):
    assert lines(asked('["--stage ", "gen"], ["-Osubmit.N=", "4"]')) == [
        ("pass", "what gen set and choose is in cfg/main.cfg")
    ]
    wrong = asked('["--stage ", "gne"], ["-Oglobal.relaese=", "v2"]')
    assert lines(wrong) == [
        ("warn", "gen: --stage gne: there is no [stage_gne]; it is passed over"),
        ("warn", "gen: -Oglobal.relaese: nothing in the configuration sets or uses global.relaese"),
    ]
    assert "did you mean gen?" in wrong.checks.filter(check_name="fife_launch").order_by("position").first().hint


def test_what_cannot_be_read_is_not_checked_and_what_fife_launch_refuses_fails(asked):
    assert [result for result, _ in lines(asked("", "v2"))] == ["not_checked"]
    assert "not in code at v2" in lines(asked("", "v2"))[0][1]
    result, text = lines(asked("", "v3"))[0]
    assert (result, text) == ("fail", "cfg/main.cfg: [stage_gen] line 6: neither a section nor key = value: x")
    assert lines(asked("", configuration=""))[0][0] == "not_checked"
    other = lines(asked('["-c ", "/cvmfs/demo/other.cfg"]'))
    assert other == [("not_checked", "gen reads /cvmfs/demo/other.cfg, not the cfg/main.cfg of the request")]


def test_a_repository_that_takes_its_time_is_not_waited_for(asked, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", -1.0)
    assert lines(asked("")) == [("not_checked", "not read: what cfg/main.cfg includes was not read within -1 s")]


def test_a_campaign_without_fife_launch_has_no_line(cast):
    assert lines(builders.request(cast)) == []


def test_a_file_is_fetched_alone_where_the_server_can_do_that(repository):
    with git.at_tag(f"file://{repository}", "v1") as content:
        assert content("cfg/base.cfg") == BASE
        assert content("cfg/nosuch.cfg") is None
        with pytest.raises(Exception, match="no path"):
            content("../x")
        with pytest.raises(Exception, match="no path"):
            content("a\0b")
