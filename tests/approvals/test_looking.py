"""The check report against real tables, a real git repository and a real launcher (P2, P4)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from approvals import checks
from approvals.logic import customising, deciding, filing, looking
from approvals.models import Request
from core.errors import Refused
from experiments.logic import membership
from experiments.models import Membership
from integrations.probes import git
from submissions.logic import planning
from tests import builders
from tests.approvals.desk import again, dataset, filed, line, reading, seeded

pytestmark = pytest.mark.django_db


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one tag, in which there is one configuration."""
    place = tmp_path / "code with a blank"
    place.mkdir()

    def run(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(place), *who, *arguments], check=True, capture_output=True)

    run("init", "--quiet")
    (place / "fcl").mkdir()
    (place / "fcl" / "nd nue.fcl").write_text("physics: {}\n")
    run("add", ".")
    run("commit", "--quiet", "-m", "one")
    run("tag", "v1_0")
    return place


def report(request: Request) -> dict[str, str]:
    """Return the worst result of each check."""
    order = (checks.FAIL, checks.WARN, checks.NOT_CHECKED, checks.PASS)
    found: dict[str, str] = {}
    for entry in filing.check(request):
        found[entry.check] = min(entry.result, found.get(entry.check, checks.PASS), key=order.index)
    return found


def test_a_tag_is_looked_for_in_the_repository_and_the_file_at_the_tag(cast, repository):
    customising.keep_package(cast.experiment, "ndcode", by=cast.administrator, url=str(repository))
    good = builders.request(cast, repository="ndcode", release="v1_0", configuration="fcl/nd nue.fcl")
    assert {name: report(good)[name] for name in ("package", "release", "configuration")} == dict.fromkeys(
        ("package", "release", "configuration"), "pass"
    )
    filing.edit(good, by=cast.experimenter, configuration="fcl/other.fcl")
    assert report(again(good))["configuration"] == "fail"
    filing.edit(again(good), by=cast.experimenter, release="v9")
    assert report(again(good))["release"] == "fail"
    assert "no tag v9 in ndcode" in line(good, "release").text
    filing.edit(again(good), by=cast.experimenter, repository="mine")
    found = report(again(good))
    assert (found["package"], found["release"]) == ("fail", "not_checked")
    assert "choose one of: ndcode" in line(good, "package").hint


def test_a_repository_that_does_not_answer_is_not_checked(cast, tmp_path):
    customising.keep_package(cast.experiment, "gone", by=cast.administrator, url=str(tmp_path / "nothing"))
    request = builders.request(cast, repository="gone", release="v1", configuration="x.fcl")
    found = report(request)
    assert (found["release"], found["configuration"]) == ("not_checked", "not_checked")
    assert "git says" in line(request, "release").text


@pytest.mark.parametrize("tag", ["--upload-pack=touch /tmp/x", "a..b", "", "a b", "-v", "x" * 300])
def test_what_can_be_no_tag_is_not_sent_to_git(repository, tag):
    with pytest.raises(Exception, match="no tag"):
        git.has_tag(str(repository), tag)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../b"])
def test_a_path_out_of_the_repository_is_refused(repository, path):
    with pytest.raises(Exception, match="no path"):
        git.has_file(str(repository), "v1_0", path)


@pytest.mark.parametrize("url", ["ext::sh -c touch", "--upload-pack=x", "file", "", "javascript:x"])
def test_an_address_that_runs_something_is_no_package(cast, url):
    with pytest.raises(Refused):
        customising.keep_package(cast.experiment, "bad", by=cast.administrator, url=url)


def test_scripts_are_looked_for_on_the_launch_host_after_the_set_up(cast, local, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nd_submit").write_text("#!/bin/sh\n")
    (tools / "nd_submit").chmod(0o755)
    builders.login_setup(cast, setup=f"export PATH={tools}:$PATH")
    request = builders.request(cast, scripts="nd_submit\nnonesuch")
    assert report(request)["scripts"] == "fail"
    texts = {x.text for x in request.checks.filter(check_name="scripts")}
    assert "nd_submit is on the launch host" in texts
    assert "nonesuch is not on the launch host" in texts


def test_a_set_up_that_fails_says_so_and_nothing_passes(cast, local):
    builders.login_setup(cast, setup="exit 3")
    request = builders.request(cast)
    assert report(request)["scripts"] in ("not_checked", "warn")
    assert "ended with 3" in request.checks.filter(check_name="scripts", result="not_checked").first().text


def test_the_slots_of_the_batch_system_are_asked(cast, local_system_of_cast):
    request = builders.request(cast)
    found = report(request)
    assert found["resources"] == "pass"
    assert "which has 8" in line(request, "resources").text


@pytest.fixture
def local_system_of_cast(cast, local):
    local.start()
    yield local
    local.stop()


def test_files_by_name_are_a_dataset_of_their_own(cast):
    dataset(cast, "raw", "a", "b", "c")
    text = reading("requested")
    request = builders.request(cast, text, files="a\nc")
    filed_ = filing.file(request, by=cast.experimenter)
    stage = filed_.revision.stage_versions.get()
    assert stage.dataset.startswith("demo-list-")
    assert [seen.name for seen in looking.registry.catalogue(cast.experiment).files(stage.dataset)] == ["a", "c"]
    with pytest.raises(Refused) as refusal:
        builders.request(cast, text, files="a\nnonesuch")
    assert "nonesuch" in str(refusal.value)


def test_a_query_is_frozen_when_the_request_is_filed(cast):
    dataset(cast, "raw", "raw_1", "raw_2", "cal_1")
    request = filed(cast, reading("requested"), query="raw_%")
    name = request.revision.stage_versions.get().dataset
    dataset(cast, "more", "raw_3")
    assert looking.registry.catalogue(cast.experiment).count(name) == 2
    with pytest.raises(Refused):
        builders.request(cast, reading("requested"), query="nothing_like_it_%")


def test_what_is_asked_for_must_be_what_the_definition_does(cast):
    dataset(cast, "raw", "a")
    dataset(cast, "other", "b")
    with pytest.raises(Refused, match="cannot work as it is"):
        builders.request(cast, reading("raw"), dataset="other")
    with pytest.raises(Refused):
        builders.request(cast, reading("requested"), dataset="raw", files="a")


def test_the_same_work_elsewhere_is_counted_by_the_ledger(cast):
    dataset(cast, "raw", "a", "b", "c")
    dataset(cast, "more", "b", "c", "d")
    first = deciding.approve(filed(cast, reading("raw", "one")), by=cast.approver, reason="good")
    planning.plan(first.campaign.stages.get().pk)
    second = builders.request(cast, reading("more", "two"))
    assert report(second)["duplicate work"] == "warn"
    text = line(second, "duplicate work").text
    assert text.startswith(f"2 of 3 files of reco are processed with the same release and script by {first.ref}")
    other = builders.request(cast, reading("more", "two").replace("memory_mb", "software_version=v2\nmemory_mb"))
    assert report(other)["duplicate work"] == "pass", "another release is other work"


def test_the_same_work_that_waits_is_counted_by_its_files(cast):
    dataset(cast, "raw", "a", "b", "c")
    dataset(cast, "more", "c", "d")
    waiting = filed(cast, reading("raw", "one"))
    request = builders.request(cast, reading("more", "two"))
    assert report(request)["duplicate work"] == "warn"
    assert (
        f"1 of 2 files of reco is processed with the same release and script by {waiting.ref}"
        in line(request, "duplicate work").text
    )
    deciding.reject(waiting, by=cast.approver, reason="no")
    assert report(request)["duplicate work"] == "pass"


def test_the_same_events_elsewhere_are_counted(cast):
    first = filed(cast, builders.definition(campaign="one"))
    request = builders.request(cast, builders.definition(campaign="two").replace("events=4", "events=6"))
    assert report(request)["duplicate work"] == "warn"
    assert (
        f"4 of 6 events of gen are processed with the same release and script by {first.ref}"
        in line(request, "duplicate work").text
    )
    assert report(builders.request(cast, seeded(8, "three")))["duplicate work"] == "pass"


def test_names_of_outputs_that_exist_are_told(cast):
    dataset(cast, "raw", "nd_nue_1.root")
    request = builders.request(cast, outputs="nd_nue_%.root")
    assert report(request)["output names"] == "fail"
    filing.edit(request, by=cast.experimenter, outputs="nd_numu_%.root")
    assert report(again(request))["output names"] == "pass"


def test_a_requester_who_lost_the_role_is_told(cast):
    request = builders.request(cast)
    assert report(request)["requester"] == "pass"
    membership.leave(Membership.objects.get(user=cast.experimenter, role="experimenter"))
    assert report(request)["requester"] == "fail"


def test_own_fields_are_those_that_the_experiment_declares(cast):
    customising.keep_policy(cast.experiment, by=cast.administrator, keys=["generator", "tune"])
    request = builders.request(cast, details={"generator": "genie", "tunee": "G18"})
    assert report(request)["own fields"] == "warn"
    assert "tunee" in line(request, "own fields").text


def test_a_catalogue_that_does_not_answer_passes_nothing(cast, monkeypatch):
    from integrations.catalogue.local import LocalCatalogue
    from integrations.errors import Unavailable

    dataset(cast, "raw", "a")
    request = builders.request(cast, reading("raw"))

    def down(*_):
        raise Unavailable("the catalogue is down")

    monkeypatch.setattr(LocalCatalogue, "count", down)
    monkeypatch.setattr(LocalCatalogue, "files", down)
    with pytest.raises(Unavailable):
        filing.check(request)
