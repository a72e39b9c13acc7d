"""`poms submission log`, `adopt` and `give-up`, and the smaller commands beside them, against a scripted service."""

from __future__ import annotations

import json


def test_a_script_s_log_is_printed_to_its_end_with_its_escapes_shown(service, poms):
    piece = {"text": "made 4 jobs\n\x1b[31m", "total": 17, "offset": 0}
    service.on("GET", "submissions/demo/s4/log/", piece, {"text": "", "total": 17, "offset": 17})
    done = poms("submission", "log", "demo/s4", "--tail")
    assert (done.code, done.out) == (0, "made 4 jobs\n\\x1b[31m")
    assert [(asked.query["part"], asked.query["offset"]) for asked in service.asked] == [("tail", "0"), ("tail", "17")]


def test_an_unsure_submission_is_adopted_or_given_up(service, poms):
    service.on("POST", "submissions/demo/s4/adopt/", {"ref": "demo/s4", "state": "submitted"})
    service.on("POST", "submissions/demo/s4/give_up/", {"ref": "demo/s4", "state": "launch_failed"})
    assert poms("submission", "adopt", "demo/s4", "-r", "its jobs are there").code == 0
    assert poms("submission", "give-up", "demo/s4", "-r", "nothing is there").code == 0
    assert [asked.body["reason"] for asked in service.asked] == ["its jobs are there", "nothing is there"]
    refused = poms("submission", "adopt", "demo/s4")
    assert refused.code == 64 and "needs a reason" in refused.err


def test_a_definition_is_saved_on_top_of_the_revision_that_was_read(service, poms, tmp_path):
    text = tmp_path / "c.ini"
    text.write_text("[campaign]\nname=x\n")
    service.on("PUT", "campaigns/demo/c1/definition/", {"number": 4, "state": "draft"})
    done = poms("campaign", "edit", "demo/c1", str(text), "--base", "3", "-m", "more events")
    assert done.code == 0 and "revision 4" in done.out
    assert service.asked[0].body == {"text": "[campaign]\nname=x\n", "note": "more events", "base": 3}


def test_an_upload_comes_back(service, poms, tmp_path):
    service.on("GET", "uploads/content/", service.Answer("void fit() {}"))
    done = poms("file", "download", "fit.C", "-e", "demo", "-o", str(tmp_path / "back"))
    assert done.code == 0, done.err
    assert (tmp_path / "back").read_text() == "void fit() {}"
    assert service.asked[0].query == {"experiment": "demo", "name": "fit.C"}


def test_experiments_are_shown_in_numbers(service, poms):
    told = {"demo": {"title": "Demo", "states": {"running": 2}, "running": [{"name": "tiny"}]},
            "other": {"title": "Other", "states": {}, "running": []}}  # fmt: skip
    service.on("GET", "overview/", {"experiments": told})
    done = poms("experiment", "show", "demo")
    assert done.code == 0 and "2 running" in done.out and "tiny" in done.out and "other" not in done.out
    assert json.loads(poms("experiment", "show", "demo", "--json").out) == {"demo": told["demo"]}
