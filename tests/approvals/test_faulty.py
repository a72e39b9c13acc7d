"""Faulty requests: every one is stopped before an approver could approve it, with a clear line; none is stored half."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rest_framework.test import APIClient

from approvals.logic import customising
from approvals.models import CheckLine, Request
from campaigns.models import Campaign, Revision
from core.models import Transition
from experiments.logic import membership
from experiments.models import Membership
from tests import builders
from tests.approvals.desk import dataset, reading

pytestmark = pytest.mark.django_db
HTML = '<img src=x onerror="alert(1)"><script>alert(1)</script>'


@dataclass(frozen=True)
class Fault:
    """What is wrong: the body's fields, where it is stopped (made, sent or filed), and what must be said."""

    fields: dict[str, Any]
    stopped: str  # sent: too large to be read; made: refused when made; filed: kept as a draft, refused when filed
    says: str
    before: Callable[[Any], Any] = lambda cast: None


CYCLE = (
    "[campaign_stage a]\ndataset_or_split_data=from_parent\n[campaign_stage b]\ndataset_or_split_data=from_parent\n"
    "[dependencies a]\ncampaign_stage_1=b\n[dependencies b]\ncampaign_stage_1=a\n"
)


def _leave(cast: Any) -> None:
    membership.leave(Membership.objects.get(user=cast.experimenter, role="experimenter"))


def shell(text: str) -> str:
    return builders.definition().replace("launch_script=", f"launch_script={text} ")


FAULTS = {
    "no such dataset": Fault({"definition": reading("nowhere")}, "made", "there is no dataset nowhere"),
    "empty dataset": Fault({"definition": reading("empty")}, "made", "the dataset empty is empty"),
    "unknown file": Fault({"definition": reading("requested"), "files": ["raw_1", "gone"]}, "made", "nothing of gone"),
    "two ways of input": Fault(
        {"definition": reading("requested"), "dataset": "raw", "query": "raw_%"}, "made", "in 2 ways what to process"
    ),
    "another dataset": Fault({"definition": reading("raw"), "dataset": "more"}, "made", "but stages read raw"),
    "query of nothing": Fault({"definition": reading("requested"), "query": "zzz%"}, "made", "what to process"),
    "query that cannot be read": Fault({"definition": reading("requested"), "query": "file_name %("}, "made", "Parse error"),
    "stages in a cycle": Fault({"definition": builders.definition(stages=CYCLE)}, "made", "feed each other in a circle"),
    "unknown job type": Fault(
        {"definition": builders.definition().replace("job_type=tiny", "job_type=tinny")}, "made", "did you mean tiny?"
    ),
    "reference to nothing": Fault(
        {"definition": builders.definition().replace("seed=7", 'seed=7\nparam_overrides=[["--a ", "%(nothing)s"]]')},
        "made", "%(nothing)s refers to nothing",
    ),
    "another experiment's text": Fault(
        {"definition": builders.definition().replace("experiment=demo", "experiment=other")}, "made", "the text is for other"
    ),
    "no definition": Fault({"definition": "please process my files"}, "made", "definition"),
    "negative priority": Fault({"priority": -1}, "made", "priority"),
    "priority beyond": Fault({"priority": 101}, "made", "priority"),
    "nobody decides": Fault({"production_stage": "calibration"}, "made", "nobody decides on calibration here"),
    "endless free text": Fault({"free_text": "x" * 10_000_000}, "sent", "Too large"),
    "long free text": Fault({"free_text": "x" * 8001}, "made", "free_text"),
    "a NUL character": Fault({"special": "a\0b"}, "made", "special"),
    "HTML in every field": Fault(
        dict.fromkeys(("title", "production_stage", "dataset", "release", "special", "free_text", "outputs"), HTML),
        "made", "production_stage",
    ),
    "memory of nonsense": Fault({"memory_mb": 0}, "made", "memory_mb"),
    "wrong tag": Fault({"repository": "code", "release": "v9"}, "filed", "there is no tag v9 in code"),
    "no such configuration": Fault(
        {"repository": "code", "release": "v1", "configuration": "no.fcl"}, "filed", "v1 has no file no.fcl"
    ),
    "a package of one's own": Fault({"repository": "mine", "release": "v1"}, "filed", "mine is not named as production"),
    "a tag that is an option": Fault({"repository": "code", "release": "--upload-pack=id"}, "kept", "can be no tag"),
    "another release": Fault(
        {"definition": builders.definition().replace("seed=7", "seed=7\nsoftware_version=v1"), "release": "v2"}, "made",
        "the release asked for is v2, but stages use v1",
    ),
    "shell in a script": Fault({"definition": shell("; rm -rf ~ &&")}, "filed", "which no shell reads"),
    "names that are taken": Fault({"outputs": "raw_%"}, "filed", "files of these names exist already"),
    "missing script": Fault({"scripts": ["nonesuch_submit"]}, "filed", "nonesuch_submit is not on the launch host"),
    "a role that was lost": Fault({}, "lost", "or you may not see it", _leave),
}  # fmt: skip


@pytest.fixture
def ready(cast, local, tmp_path, settings):
    builders.login_setup(cast)
    dataset(cast, "raw", "raw_1", "raw_2")
    dataset(cast, "more", "raw_2")
    dataset(cast, "empty")
    place = tmp_path / "code"
    for arguments in (["init", "-q", str(place)], ["-C", str(place), "commit", "-q", "--allow-empty", "-m", "x"],
                      ["-C", str(place), "tag", "v1"]):  # fmt: skip
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], check=True)
    customising.keep_package(cast.experiment, "code", by=cast.administrator, url=str(place))
    client = APIClient()
    client.force_authenticate(cast.experimenter)
    return client


def rows():
    return [model.objects.count() for model in (Request, Campaign, Revision, CheckLine, Transition)]


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_request_is_stopped_before_any_approval(cast, ready, name):
    fault = FAULTS[name]
    body = {
        "experiment": "demo",
        "title": "tiny",
        "production_stage": "mc",
        "definition": builders.definition(),
        **fault.fields,
    }
    before = rows()
    made = ready.post("/api/v1/requests/", body, format="json")
    if fault.stopped in ("made", "sent"):
        assert made.status_code == (413 if fault.stopped == "sent" else 422)
        assert made.headers["Content-Type"] == "application/problem+json"
        assert fault.says in made.content.decode()
        assert rows() == before, "something of it was kept"
        return
    assert made.status_code == 201, made.content
    fault.before(cast)
    request = Request.objects.get()
    kept = [model.objects.count() for model in (Campaign, Revision)]
    filed = ready.post(f"/api/v1/requests/{request.ref}/file/", {}, format="json")
    lines = {(line.result, f"{line.text} {line.hint}") for line in request.checks.all()}
    if fault.stopped == "kept":  # nobody could be asked: it is no pass, and the approver reads why
        assert any(result == "not_checked" and fault.says in text for result, text in lines)
        return
    assert filed.status_code == (404 if fault.stopped == "lost" else 422)
    request.refresh_from_db()
    assert request.state == "draft"
    if fault.stopped == "lost":
        assert fault.says in filed.content.decode()
    if fault.stopped == "filed":
        assert fault.says in filed.content.decode()
        assert any(result == "fail" and fault.says in text for result, text in lines)
        assert all(text.strip() for _, text in lines)
    assert [model.objects.count() for model in (Campaign, Revision)] == kept == [0, 0]


def test_there_are_enough_of_them():
    assert len(FAULTS) >= 20
