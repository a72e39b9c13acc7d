"""`poms request`, `poms template` and `poms queue`: what is sent, and what is said of it."""

from __future__ import annotations

import base64

import pytest

DRAFT = {"ref": "demo/r1", "state": "draft", "title": "Z", "revision": "f00d"}


def body(service):
    return service.asked[-1].body


def test_a_request_begins_with_a_template(service, poms):
    service.on("POST", "requests/", service.Answer(DRAFT, 201))
    made = poms("request", "new", "-e", "demo", "--template", "reco", "--title", "Z", "--set", "dataset=run7",
                "--set", "events=1000", "--set", "files=a, b", "--set", "details=tune=G18,generator=genie",
                "--set", "keep_up=yes", "--quiet")  # fmt: skip
    assert (made.code, made.out) == (0, "demo/r1\n")
    assert body(service) == {
        "experiment": "demo", "template": "reco", "title": "Z", "dataset": "run7", "events": 1000, "files": ["a", "b"],
        "details": {"tune": "G18", "generator": "genie"}, "keep_up": True,
    }  # fmt: skip


def test_a_list_of_files_comes_from_a_file(service, poms, tmp_path):
    names = tmp_path / "my names.txt"
    names.write_text("a.root\n\n b.root \n")
    service.on("POST", "requests/demo/r1/clone/", service.Answer({**DRAFT, "ref": "demo/r2"}, 201))
    assert poms("request", "clone", "demo/r1", "--set", f"files=@{names}", "--quiet").out == "demo/r2\n"
    assert body(service) == {"files": ["a.root", "b.root"]}
    gone = poms("request", "clone", "demo/r1", "--set", "files=@/nowhere/at/all")
    assert (gone.code, "cannot be read" in gone.err) == (64, True)


@pytest.mark.parametrize("given", ["keep_up=perhaps", "details=nonsense", "events=many", "colour=red"])
def test_what_cannot_be_read_is_not_sent(service, poms, given):
    refused = poms("request", "new", "-e", "demo", "--template", "reco", "--title", "Z", "--set", given)
    assert refused.code == 64
    assert service.asked == []


def test_a_request_without_definition_and_template_is_not_sent(service, poms):
    refused = poms("request", "new", "-e", "demo", "--title", "Z")
    assert refused.code == 64
    assert "--template" in refused.err


def test_decisions_name_the_revision_that_was_just_read(service, poms):
    service.on("GET", "requests/demo/r1/", DRAFT)
    for word, reason in (("approve", ""), ("return", "no"), ("reject", "no")):
        service.on("POST", f"requests/demo/r1/{word}/", {**DRAFT, "state": word})
        said = poms("request", word, "demo/r1", *(("--reason", reason) if reason else ()))
        assert said.code == 0
        assert body(service) == {"reason": reason, "revision": "f00d"}
    assert poms("request", "return", "demo/r1").code == 64, "a reason is needed, and nobody is there to be asked"


def test_requests_are_joined_as_they_were_read(service, poms):
    service.on("GET", "requests/demo/r1/", DRAFT)
    service.on("GET", "requests/demo/r2/", {**DRAFT, "ref": "demo/r2", "revision": "beef"})
    service.on("POST", "requests/demo/r1/merge/", service.Answer({**DRAFT, "ref": "demo/r3"}, 201))
    assert poms("request", "merge", "demo/r1", "demo/r2", "--reason", "the same", "--quiet").out == "demo/r3\n"
    assert body(service) == {"reason": "the same", "with": ["demo/r2"], "revision": "f00d", "revisions": ["beef"]}
    assert poms("request", "merge", "demo/r1", "--reason", "x").code == 64


def test_a_request_is_split_confirmed_tried_and_prioritised(service, poms):
    service.on("GET", "requests/demo/r1/", DRAFT)
    parts = [{**DRAFT, "ref": "demo/r4"}, {**DRAFT, "ref": "demo/r5"}]
    service.on("POST", "requests/demo/r1/split/", service.Answer({"parts": parts}, 201))
    assert (
        poms("request", "split", "demo/r1", "--first", "3", "--reason", "urgent", "--quiet").out == "demo/r4\ndemo/r5\n"
    )
    assert body(service) == {"reason": "urgent", "first": 3, "revision": "f00d"}
    service.on("POST", "requests/demo/r1/confirm/", DRAFT)
    assert poms("request", "confirm", "demo/r1", "--tick", "in blue").code == 0
    assert body(service) == {"reason": "", "revision": "f00d", "ticked": ["in blue"]}
    assert poms("request", "confirm", "demo/r1", "--all").code == 0
    assert body(service) == {"reason": "", "revision": "f00d"}
    service.on("POST", "requests/demo/r1/test/", service.Answer({"campaign": "demo/c9"}, 202))
    assert poms("request", "test", "demo/r1", "--size", "3", "--own-account").code == 0
    assert body(service) == {"reason": "", "size": 3, "own_account": True}
    service.on("POST", "requests/demo/r1/prioritise/", DRAFT)
    assert poms("request", "priority", "demo/r1", "--to", "70", "--reason", "conference").code == 0
    assert body(service) == {"reason": "conference", "priority": 70}
    assert poms("request", "priority", "demo/r1", "--to", "101", "--reason", "x").code == 64


def test_people_talk_about_a_request(service, poms, tmp_path):
    service.on("POST", "requests/demo/r1/comment/", service.Answer({"id": 1}, 201))
    assert poms("request", "comment", "demo/r1", "agreed, @ann").code == 0
    assert body(service) == {"text": "agreed, @ann"}
    minutes = tmp_path / "minutes.txt"
    minutes.write_bytes(b"\x00agreed")
    service.on("POST", "requests/demo/r1/attach/", service.Answer({"name": "minutes.txt"}, 201))
    assert poms("request", "attach", "demo/r1", str(minutes)).code == 0
    assert base64.b64decode(body(service)["content"]) == b"\x00agreed"
    service.on("POST", "requests/demo/r1/detach/", {"name": "minutes.txt", "attached": False})
    assert poms("request", "detach", "demo/r1", "minutes.txt", "--reason", "it names people").code == 0
    assert body(service) == {"name": "minutes.txt", "reason": "it names people"}
    service.on("GET", "requests/demo/r1/", {"ref": "demo/r1", "revision": "abc"})
    service.on("POST", "requests/demo/r1/untick/", {"ref": "demo/r1", "state": "pending_approval"})
    assert poms("request", "untick", "demo/r1", "--tick", "keep the seeds", "--reason", "no").code == 0
    assert body(service) == {"ticked": ["keep the seeds"], "revision": "abc", "reason": "no"}
    service.on(
        "GET", "requests/demo/r1/comments/", {"results": [{"at": "2026-01-02T03:04:05Z", "by": "ann", "text": "yes"}]}
    )
    assert "ann\tyes" in poms("request", "comments", "demo/r1").out


def test_templates_and_cost_are_shown(service, poms):
    service.pages(
        "templates/",
        [{"ref": "demo/reco", "title": "Reconstruct", "production_stage": "reco", "counts_on": ["dataset"]}],
    )
    assert "demo/reco\tReconstruct" in poms("template", "list", "-e", "demo").out
    service.on("GET", "requests/demo/r1/cost/", {"jobs": 9, "core_hours": 1.5, "stages": []})
    assert poms("request", "cost", "demo/r1", "--json").json["jobs"] == 9


def test_the_queue_is_shown_and_changed(service, poms):
    row = {"ref": "demo/c1", "name": "x", "state": "running", "rank": 50, "points": 50.0}
    service.pages("queue/", [row])
    assert "demo/c1" in poms("queue", "show", "-e", "demo").out
    service.on("POST", "queue/order/", {"results": [row], "changed": ["demo/c1"]})
    poms("queue", "order", "-e", "demo", "demo/c2", "demo/c1", "--reason", "for the conference")
    assert body(service)["reason"] == "for the conference"
    assert poms("queue", "order", "-e", "demo", "--reason", "x").code == 64
    service.on("POST", "campaigns/demo/c1/boost/", {**row, "boosted_until": "2026-01-02T03:04:05Z"})
    assert poms("campaign", "boost", "demo/c1", "--hours", "4", "--reason", "urgent").code == 0
    assert body(service) == {"reason": "urgent", "hours": 4}
