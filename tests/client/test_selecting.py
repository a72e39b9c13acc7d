"""Selections, stops and shifts on the command line: the plan first, nothing without a yes, the worst exit code."""

from __future__ import annotations

from typing import Any

import pytest

PLAN = {"verb": "kill", "noun": "job", "says": "This removes 2 jobs.", "able": 2, "chosen": 3, "missing": []}
DONE = {
    **PLAN, "selection": "5c1a", "results": [{"ref": "demo/s1", "outcome": "wanted", "command": "demo/x1", "jobs": 2}]
}  # fmt: skip


def test_a_filter_is_planned_first_and_done_with_a_yes_and_the_number_that_was_told(service: Any, poms: Any) -> None:
    service.on("POST", "jobs/kill/", service.Answer(PLAN), service.Answer(DONE))
    ran = poms(
        "job", "kill", "-e", "demo", "--campaign", "demo/c1", "-w", "node=n7", "--yes", "--reason", "it eats jobs"
    )
    assert (ran.code, "This removes 2 jobs." in ran.err, "demo/x1" in ran.out) == (0, True, True)
    plan, act = service.asked
    assert plan.query == {"plan": "1"} and act.query == {}
    assert act.body["filter"] == {"campaign": "demo/c1", "node": "n7"}
    assert (act.body["at_most"], act.body["reason"], act.body["experiment"]) == (2, "it eats jobs", "demo")
    assert "refs" not in act.body


def test_nothing_is_done_without_a_yes(service: Any, poms: Any) -> None:
    service.on("POST", "jobs/kill/", service.Answer(PLAN))
    ran = poms("job", "kill", "-e", "demo", "--state", "held", "--reason", "why")
    assert (ran.code, "--yes" in ran.err) == (64, True)
    assert [asked.query for asked in service.asked] == [{"plan": "1"}]


@pytest.mark.parametrize(("able", "code"), [(2, 2), (0, 0)])
def test_a_plan_alone_says_by_its_exit_code_whether_there_is_something(
    service: Any, poms: Any, able: int, code: int
) -> None:
    service.on("POST", "batches/retry/", service.Answer({**PLAN, "able": able}))
    assert poms("batch", "retry", "-e", "demo", "--state", "failed", "--plan").code == code
    assert len(service.asked) == 1


def test_what_refuses_makes_the_exit_code_and_a_filter_with_references_is_a_slip(service: Any, poms: Any) -> None:
    refused = {**DONE, "results": [{"ref": "demo/s2", "outcome": "refused: there is nothing to launch"}]}
    service.on("POST", "submissions/launch/", service.Answer(PLAN), service.Answer(refused))
    ran = poms("submission", "launch", "demo/s2", "--yes", "--reason", "soon")
    assert (ran.code, "nothing to launch" in ran.out) == (1, True)
    assert service.asked[-1].body["refs"] == ["demo/s2"]
    assert poms("job", "kill", "demo/j1", "--state", "held", "--yes", "--reason", "x").code == 64
    assert poms("job", "kill", "--yes", "--reason", "x").code == 64


def test_all_outcomes_of_a_command_are_read_piece_by_piece(service: Any, poms: Any) -> None:
    pieces = [{"results": [{"job": f"1.{n}", "outcome": "done"}], "next": n + 1 if n < 2 else None} for n in range(3)]
    service.on("GET", "commands/demo/x1/outcomes/", *map(service.Answer, pieces))
    ran = poms("job", "outcomes", "demo/x1")
    assert [line.split("\t") for line in ran.out.splitlines()[1:]] == [[f"1.{n}", "done"] for n in range(3)]
    assert [asked.query["offset"] for asked in service.asked] == ["0", "1", "2"]


def test_a_stop_says_what_it_meets_and_needs_a_yes(service: Any, poms: Any) -> None:
    plan = {"scope": "demo", "says": "Nothing of demo is launched.", "jobs": 4}
    made = {"ref": "demo/h3", "experiment": "demo"}
    service.on("POST", "stops/", service.Answer(plan), service.Answer(plan), service.Answer(made, 201))
    assert poms("stop", "--experiment", "demo", "--reason", "fire").code == 64
    ran = poms("stop", "--experiment", "demo", "--jobs", "kill", "--reason", "fire", "--yes")
    assert (ran.code, "Nothing of demo" in ran.err, "demo/h3" in ran.out) == (0, True, True)
    assert service.asked[-1].body == {"experiment": "demo", "jobs": "kill", "reason": "fire"}
    service.on("POST", "stops/all/go-on/", service.Answer({"ref": "all/h4"}))
    assert poms("go-on", "--all", "--reason", "out").code == 0
    assert poms("stop", "--yes", "--reason", "fire").code == 64
    assert poms("stop", "--all", "--experiment", "demo", "--yes", "--reason", "fire").code == 64


def test_files_are_uploaded_as_bytes(service: Any, poms: Any, tmp_path: Any) -> None:
    file = tmp_path / "cuts.json"
    file.write_bytes(b'{"pt": 5}')
    service.on("POST", "uploads/", service.Answer({"name": "cuts.json"}, 201))
    assert poms("file", "upload", str(file), "-e", "demo").code == 0
    assert service.asked[-1].query == {"experiment": "demo", "name": "cuts.json"}
    assert service.asked[-1].headers["content-type"] == "application/octet-stream"
    assert service.asked[-1].body == {"pt": 5}
    assert poms("file", "upload", str(tmp_path / "none"), "-e", "demo").code == 64


def test_somebody_is_put_on_the_shift_list_and_taken_off(service: Any, poms: Any) -> None:
    service.on("POST", "shifts/", service.Answer({"ref": "demo/w1"}, 201))
    times = ("--from", "2026-12-01T06:00Z", "--until", "2026-12-01T14:00Z")
    assert poms("shift", "add", "rosa", "-e", "demo", *times).code == 0
    assert service.asked[-1].body["person"] == "rosa" and service.asked[-1].body["begins"] == "2026-12-01T06:00Z"
    service.on("POST", "shifts/demo/w1/remove/", service.Answer({"removed": True}))
    assert poms("shift", "remove", "w1", "-e", "demo", "-r", "she is ill").code == 0
    assert service.asked[-1].body == {"reason": "she is ill"}
