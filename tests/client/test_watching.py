"""Watching a campaign that goes through a script of states."""

from __future__ import annotations

import json
import re


def moment(state: str, done: int = 0, failed: int = 0, gates: tuple = ()) -> dict:
    return {
        "ref": "demo/c1",
        "name": "Z peak",
        "state": state,
        "progress": {
            "units": 20,
            "done": done,
            "failed": failed,
            "running": 2,
            "waiting": 18 - done - failed,
        },
        "jobs": {"processing": 2, "succeeded": done, "failed": failed},
        "stages": [
            {"ref": "demo/c1/gen", "name": "gen", "units": 20, "done": done, "running": 2, "failed": failed},
            {"ref": "demo/c1/merge", "name": "merge", "units": 0, "done": 0},
        ],
        "gates": list(gates),
    }


def event(number: int, to: str) -> dict:
    at = f"2026-01-02T03:04:{number:02d}Z"
    return {"at": at, "of": f"demo/b{number}", "from": "pending", "to": to, "verb": "launch", "actor": "loop"}


HOLD = {"gate": "hold", "text": "the storage is full \x1b[2J", "since": "2026-01-02T03:04:05Z"}
CAMPAIGN = "campaigns/demo/c1/"
HISTORY = "campaigns/demo/c1/history/"
QUICK = ("--every", "0.05")


def test_a_pipe_gets_a_line_for_each_change_and_0_at_success(service, poms):
    service.on(
        "GET",
        CAMPAIGN,
        moment("running"),
        moment("running"),
        moment("running", 7, gates=(HOLD,)),
        moment("running", 7, 1),
        moment("succeeded", 18),
    )
    old, new = event(1, "submitted"), event(2, "failed")
    service.on("GET", HISTORY, {"results": [old]}, {"results": [old]}, {"results": [new, old]})
    done = poms("campaign", "watch", "demo/c1", *QUICK)
    assert done.code == 0, done.err
    words = [line.partition("\t")[2] for line in done.out.splitlines()]
    assert words[0] == "demo/c1 running, 0 of 20 units done, 2 running, 18 waiting, jobs: 2 processing"
    assert words[1] == "demo/c1/gen 0 of 20 units done, 2 running, 18 waiting"
    assert "gate closed: hold: the storage is full \\x1b[2J" in words
    assert "gate open: hold: the storage is full \\x1b[2J" in words
    assert "2026-01-02T03:04:02Z\tdemo/b2 pending → failed (launch, loop)" in done.out
    assert words.count("demo/b2 pending → failed (launch, loop)") == 1
    assert not any("demo/b1" in line for line in words)
    assert sum(line.startswith("demo/c1 ") for line in words) == 4
    assert "\x1b" not in done.out


def test_more_events_than_a_page_are_all_told(service, poms):
    service.on("GET", CAMPAIGN, moment("running"), moment("succeeded", 18))
    events = [event(number, "submitted") for number in range(1, 8)]
    pages = [[events[6], events[5]], [events[4], events[3]], [events[2], events[1]], [events[0]]]
    service.on(
        "GET",
        HISTORY,
        {"results": [events[0]]},
        *({"results": page, "next": f"p{index}"} for index, page in enumerate(pages)),
    )
    done = poms("campaign", "watch", "demo/c1", *QUICK)
    told = [line for line in done.out.splitlines() if "launch" in line]
    assert [line.split("\t")[1].split()[0] for line in told] == [f"demo/b{number}" for number in range(2, 8)]


def test_failed_and_cancelled_are_1(service, poms):
    service.pages(HISTORY, [])
    for state in ("failed", "cancelled"):
        service.on("GET", CAMPAIGN, moment(state, 3, 1))
        done = poms("campaign", "watch", "demo/c1", *QUICK, "--quiet")
        assert (done.code, done.out) == (1, "demo/c1\n")


def test_json_is_the_campaign_at_each_change(service, poms):
    service.pages(HISTORY, [])
    steps = [moment("running"), moment("running", 5), moment("succeeded", 18)]
    service.on("GET", CAMPAIGN, steps[0], steps[0], *steps[1:])
    done = poms("campaign", "watch", "demo/c1", *QUICK, "--json")
    assert [json.loads(line) for line in done.out.splitlines()] == steps


def test_a_short_outage_is_told_and_survived(service, poms):
    service.pages(HISTORY, [])
    service.on(
        "GET",
        CAMPAIGN,
        moment("running"),
        service.problem(503, "Restarting"),
        service.problem(500, "Broken"),
        service.Answer(drop=True),
        moment("succeeded", 18),
    )
    done = poms("campaign", "watch", "demo/c1", *QUICK, POMS_RETRY_SECONDS="20")
    assert done.code == 0
    assert done.err == "poms: Restarting; trying again\npoms: the service answers again\n"


def test_a_service_that_stays_away_is_5(service, poms):
    service.pages(HISTORY, [])
    service.on("GET", CAMPAIGN, moment("running"), service.problem(503, "Down"))
    done = poms("campaign", "watch", "demo/c1", *QUICK, POMS_RETRY_SECONDS="0.3")
    assert done.code == 5
    assert "demo/c1: Down" in done.err


def test_a_campaign_that_is_not_there_is_4(service, poms):
    assert poms("campaign", "watch", "demo/c1").code == 4


def test_watching_ends_after_its_time_and_the_campaign_goes_on(service, poms):
    service.pages(HISTORY, [])
    service.on("GET", CAMPAIGN, moment("running"))
    done = poms("campaign", "watch", "demo/c1", *QUICK, "--timeout", "0.3")
    assert done.code == 1
    assert "it goes on" in done.err
    assert service.paths("POST") == []


def test_people_see_a_picture(service, poms):
    service.pages(HISTORY, [event(2, "failed"), event(1, "submitted")])
    running = moment("running", 7, 1, gates=(HOLD,))
    service.on("GET", CAMPAIGN, running, service.problem(503, "Restarting"), running, moment("succeeded", 18))
    done = poms.at_terminal("campaign", "watch", "demo/c1", *QUICK, POMS_RETRY_SECONDS="20")
    assert done.code == 0
    for shown in ("◐ running", "✔ succeeded", "█", "╳", "░", "1 failed", "no units yet", "2 processing"):
        assert shown in done.out, shown
    assert "☛ hold" in done.out
    assert "the storage is full \\x1b[2J" in done.out
    assert "✗ demo/b2 pending → failed" in re.sub(r"\x1b\[[0-9;]*m", "", done.out)
    assert "Restarting; trying again" in done.out
    letters = poms.at_terminal("campaign", "watch", "demo/c1", *QUICK, PYTHONIOENCODING="ascii").out
    assert "+ succeeded" in letters
    assert "##" in letters
