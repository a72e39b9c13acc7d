"""`poms reproduce`, `batch package`, `review` and `audit verify`: what is sent, what is said, and the exit code."""

from __future__ import annotations

import json
import zipfile

import pytest

RECIPE = {"seeds": {"events:0": 5}}
EQUAL = {"ref": "demo/p3", "state": "equal", "verdict": "equal: 2 outputs compared", "differences": [], "remarks": []}
RUNNING = {**EQUAL, "state": "running", "verdict": ""}
DIFFERENT = {
    **EQUAL, "state": "different", "verdict": "seed (1)", "remarks": ["1 outputs have other bytes"],
    "differences": [{"of": "seed", "what": "events:0", "was": "5", "now": "6"}],
}  # fmt: skip


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "b 12.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("recipe.json", json.dumps({"batch": "demo/b12", "recipe": RECIPE, "poms": "1"}))
    return path


def test_a_batch_is_made_again_by_reference_and_waited_for(service, poms):
    service.on("POST", "batches/demo/b12/reproduce/", service.Answer(RUNNING, 202))
    service.on("GET", "reproductions/demo/p3/", RUNNING, EQUAL)
    done = poms("reproduce", "demo/b12", "--reason", "to be sure", "--wait", "--every", "0.05")
    assert (done.code, done.out) == (0, "demo/p3 equal: equal: 2 outputs compared\n")
    assert service.asked[0].body == {"reason": "to be sure", "seed": None}
    quiet = poms("reproduce", "b12", "-e", "demo", "--reason", "x", "--seed", "9", "--quiet")
    assert (quiet.code, quiet.out) == (0, "demo/p3\n")
    assert service.asked[-1].body == {"reason": "x", "seed": 9}


def test_a_package_sends_its_recipe_and_what_differs_is_named(service, poms, package):
    service.on("POST", "batches/demo/b12/reproduce/", service.Answer(RUNNING, 202))
    service.on("GET", "reproductions/demo/p3/", DIFFERENT)
    done = poms("reproduce", str(package), "--reason", "from the archive", "--wait", "--every", "0.05")
    assert done.code == 1
    assert done.out == "demo/p3 different: seed (1)\n  seed events:0: 5 -> 6\n"
    assert service.asked[0].body == {"reason": "from the archive", "seed": None, "package": RECIPE}


def test_what_is_no_package_is_not_sent(service, poms, tmp_path):
    (tmp_path / "text").write_text("hello")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("recipe.json", "[]")
    for name in ("text", "other.zip"):
        refused = poms("reproduce", str(tmp_path / name), "--reason", "x")
        assert (refused.code, "no package of POMS" in refused.err) == (64, True)
    assert poms("reproduce", "demo/b12").code == 64, "a reason is needed, and nobody is there to be asked"
    assert service.asked == []


def test_a_package_is_written_where_one_says(service, poms, tmp_path):
    service.on("GET", "batches/demo/b12/package/", {"any": "bytes"})
    done = poms("batch", "package", "demo/b12", "-o", str(tmp_path / "b.zip"))
    assert done.code == 0
    assert json.loads((tmp_path / "b.zip").read_bytes()) == {"any": "bytes"}


def test_reviewers_list_what_waits_and_give_verdicts(service, poms):
    row = {
        "ref": "demo/c1",
        "kind": "campaign",
        "state": "succeeded",
        "stage": "",
        "title": "Z",
        "todo": "say",
        "since": "2026-12-01T00:00:00Z",
    }
    service.on("GET", "reviews/", {"results": [row], "next": None})
    assert poms("review", "list", "--quiet").out == "demo/c1\n"
    service.on("POST", "campaigns/demo/c1/verdict/", {"ref": "demo/c1", "verdict": "bad"})
    assert poms("review", "verdict", "demo/c1", "bad", "--reason", "the peak is wrong").code == 0
    assert service.asked[-1].body == {"reason": "the peak is wrong", "verdict": "bad"}
    service.on("POST", "reproductions/demo/p3/sign_off/", EQUAL)
    assert poms("reproduction", "sign-off", "demo/p3", "--refused", "--reason", "no").code == 0
    assert service.asked[-1].body == {"reason": "no", "passed": False}
    service.on("POST", "campaigns/demo/c1/watch/", {"watching": True})
    assert poms("campaign", "subscribe", "demo/c1").code == 0


def test_the_ledger_is_verified_piece_by_piece_and_what_does_not_hold_is_an_error(service, poms):
    piece = {"after": 10, "seals": 5, "rows": 50, "done": False, "findings": []}
    last = {**piece, "after": 20, "done": True}
    service.on("GET", "audit/verify/", piece, last)
    whole = poms("audit", "verify")
    assert (whole.code, whole.out) == (0, "The ledger holds: 10 seals over 100 rows.\n")
    assert [asked.query for asked in service.asked] == [{"after": "0", "seals": "5"}, {"after": "10", "seals": "5"}]
    found = {"seal": 2, "what": "altered", "row": 7, "text": "row 7 (campaign 1, new) was altered after seal 2"}
    service.on("GET", "audit/verify/", {**last, "findings": [found]})
    broken = poms("audit", "verify", "--after", "10")
    assert (broken.code, broken.out) == (1, "altered: row 7 (campaign 1, new) was altered after seal 2\n")
