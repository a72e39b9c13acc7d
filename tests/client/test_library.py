"""`poms template`, `jobtype`, `setup` and the library's verbs of `poms campaign`: what is sent, and what is said of it."""

from __future__ import annotations

import pytest

TRIAL = {"id": 3, "version": 2, "state": "running", "exit_code": None, "text": ""}


def body(service):
    return service.asked[-1].body


def test_a_campaign_is_cloned_by_a_pattern(service, poms):
    service.on("POST", "campaigns/demo/c1/clone/", service.Answer({"ref": "demo/c2"}, 201))
    assert poms("campaign", "clone", "demo/c1", "--replace", "2025=2026", "--everywhere", "-q").out == "demo/c2\n"
    assert body(service) == {"name": "", "find": "2025", "put": "2026", "everywhere": True}
    wrong = poms("campaign", "clone", "demo/c1", "--replace", "2025")
    assert (wrong.code, "--replace '2025' is not of the form KEY=VALUE" in wrong.err) == (64, True)


@pytest.mark.parametrize("verb", ["tag", "untag"])
def test_tags_are_said_one_by_one(service, poms, verb):
    service.on("POST", f"campaigns/demo/c1/{verb}/", service.Answer({"ref": "demo/c1"}))
    assert poms("campaign", verb, "demo/c1", "-t", "spring", "--tag", "mc").code == 0
    assert body(service) == {"reason": "", "tags": ["spring", "mc"]}


def test_a_list_is_narrowed_by_any_filter_of_the_api(service, poms):
    service.pages("campaigns/", [{"ref": "demo/c1", "state": "new", "name": "a"}])
    assert poms("campaign", "list", "-w", "tag=spring", "--where", "archived=1", "-q").out == "demo/c1\n"
    assert {"tag": "spring", "archived": "1"}.items() <= service.asked[-1].query.items()
    assert poms("campaign", "list", "-w", "tag").code == 64


def test_to_delete_a_reason_is_needed(service, poms):
    refused = poms("campaign", "delete", "demo/c1")
    assert (refused.code, "delete needs a reason" in refused.err) == (64, True)
    assert service.asked == []


def test_a_definition_is_applied(service, poms, tmp_path):
    answer = {"request": "demo/r7", "campaign": "demo/c2", "state": "pending_approval", "changed": True}
    service.on("POST", "campaigns/apply/", service.Answer(answer, 201), service.Answer({**answer, "changed": False}))
    file = tmp_path / "reco.yaml"
    file.write_text("campaign: {}\n")
    first = poms("campaign", "apply", str(file), "-e", "demo", "--production-stage", "mc", "-m", "for the talk", "-q")
    assert (first.code, first.out) == (0, "demo/r7\n")
    assert body(service) == {
        "experiment": "demo", "text": "campaign: {}\n", "name": "", "format": "yaml", "production_stage": "mc",
        "title": "", "note": "for the talk", "approve": False,
    }  # fmt: skip
    again = poms("campaign", "apply", str(file), "-e", "demo", "--approve")
    assert (again.code, "nothing is different" in again.err) == (0, True)
    assert body(service)["approve"] is True


def test_a_template_is_made_used_and_published(service, poms):
    service.on("POST", "campaigns/demo/c1/template/", service.Answer({"template": "demo/reco", "name": "reco"}, 201))
    made = poms("template", "of", "demo/c1", "--name", "reco", "-p", "release = v10 | the tag", "-p", "run = 7", "-q")
    assert (made.code, made.out) == (0, "demo/reco\n")
    assert body(service)["parameters"] == "release = v10 | the tag\nrun = 7"
    service.on("POST", "templates/demo/reco/use/", service.Answer({"campaign": "demo/c2"}, 201))
    assert poms("template", "use", "demo/reco", "--name", "x", "-p", "release=v11", "-q").out == "demo/c2\n"
    assert body(service) == {"experiment": "", "name": "x", "parameters": {"release": "v11"}}
    service.on("POST", "templates/demo/reco/publish/", service.Answer({"ref": "demo/reco"}))
    for verb, common in (("publish", True), ("withdraw", False)):
        assert poms("template", verb, "demo/reco", "-r", "all need it").code == 0
        assert body(service) == {"common": common, "reason": "all need it"}


def test_what_is_kept_is_edited_and_restored(service, poms):
    service.on("PATCH", "setups/demo/local/", service.Answer({"ref": "demo/local"}))
    assert (
        poms("setup", "edit", "demo/local", "--set", "host=far", "--set", "active:=false", "-r", "it moved").code == 0
    )
    assert body(service) == {"host": "far", "active": False, "reason": "it moved"}
    assert poms("setup", "edit", "demo/local", "-r", "why").code == 64
    service.on("POST", "jobtypes/demo/reco/restore/", service.Answer({"ref": "demo/reco"}))
    assert poms("jobtype", "restore", "demo/reco", "--version", "2").code == 0
    assert body(service) == {"version": 2, "reason": ""}
    rows = [{"version": 2, "at": "2026-11-22T10:00:00+00:00", "by": "operator", "reason": "better", "values": {}}]
    service.on("GET", "jobtypes/demo/reco/versions/", service.Answer({"results": rows}))
    assert "operator\tbetter" in poms("jobtype", "versions", "demo/reco").out


@pytest.mark.parametrize(("state", "exit_code", "code"), [("passed", 0, 0), ("failed", 3, 1)])
def test_a_set_up_is_tried_and_waited_for(service, poms, state, exit_code, code):
    service.on("POST", "setups/demo/local/test/", service.Answer(TRIAL, 201))
    ended = {**TRIAL, "state": state, "exit_code": exit_code, "text": "it talks\n"}
    service.on("GET", "setups/demo/local/trials/", *(service.Answer({"results": [one]}) for one in (TRIAL, ended)))
    tried = poms("setup", "test", "demo/local")
    assert (tried.code, tried.out) == (code, "it talks\n")
    assert f"demo/local, version 2: {state}, exit code {exit_code}" in tried.err
