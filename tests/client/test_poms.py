"""The real command: its forms, its exit codes, and what it says when something is not done."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest
from poms_client.main import main

CAMPAIGN = {
    "ref": "demo/c1",
    "name": "Z peak",
    "state": "running",
    "owner": "anna",
    "rank": 40,
    "progress": {"units": 12041, "done": 14, "failed": 1, "running": 3, "waiting": 12023},
    "jobs": {"idle": 3, "processing": 3, "succeeded": 14, "failed": 1},
    "started": "2026-01-02T03:04:05Z",
    "gates": [{"gate": "hold", "text": "the storage is full", "since": "2026-01-02T03:04:05Z"}],
}
HOLD = "campaigns/demo/c1/hold/"


def test_a_list_has_its_three_forms_for_programs(service, poms):
    second = {**CAMPAIGN, "ref": "demo/c2", "name": "tab\there \x1b[31m"}
    service.pages("campaigns/", [CAMPAIGN], [second])

    plain = poms("campaign", "list", "--experiment", "demo", "--state", "running")
    head, *rows = [line.split("\t") for line in plain.out.splitlines()]
    assert head[:4] == ["ref", "state", "name", "progress"]
    assert rows[0][:4] == ["demo/c1", "running", "Z peak", "14/12041"]
    assert rows[1][2] == "tab here \\x1b[31m"
    assert "2026-01-02T03:04:05Z" in rows[0]
    assert "\x1b" not in plain.out
    assert service.asked[0].query == {"experiment": "demo", "state": "running", "limit": "500"}
    assert service.asked[1].query["cursor"] == "p1"

    assert poms("campaign", "list", "--json").json == [CAMPAIGN, second]
    assert poms("campaign", "list", "--quiet").out == "demo/c1\ndemo/c2\n"


def test_an_empty_list_says_what_would_be_there(service, poms):
    service.pages("campaigns/", [])
    plain = poms("campaign", "list")
    assert (plain.code, plain.out) == (0, "")
    assert "poms request create" in plain.err
    assert poms("campaign", "list", "--json").json == []


def test_people_see_marks_words_colours_and_units(service, poms):
    service.pages("campaigns/", [CAMPAIGN])
    shown = poms.at_terminal("campaign", "list").out
    assert "◐ running" in shown
    assert "\x1b[34m" in shown
    assert "14 of 12\u202f041 · 1 failed" in shown
    assert " d " in shown and " ago" in shown

    narrow = poms.at_terminal("campaign", "list", COLUMNS="60", PYTHONIOENCODING="ascii").out
    assert "14 of 12 041 - 1 failed" in narrow
    assert "~ running" in narrow
    assert "a wider terminal also shows owner, started" in narrow

    grey = poms.at_terminal("campaign", "list", NO_COLOR="1").out
    assert "◐ running" in grey
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", grey)


def test_show_gives_every_field(service, poms):
    service.on("GET", "campaigns/demo/c1/", CAMPAIGN)
    plain = dict(line.split("\t") for line in poms("campaign", "show", "c1", "-e", "demo").out.splitlines())
    assert plain["progress.units"] == "12041"
    assert plain["gates.0.text"] == "the storage is full"
    assert poms("campaign", "show", "demo/c1", "--json").json == CAMPAIGN
    people = poms.at_terminal("campaign", "show", "demo/c1").out
    assert "12\u202f023 waiting" in people
    assert "the storage is full" in people


def test_several_objects_are_done_one_by_one_and_the_worst_code_remains(service, poms):
    service.on("POST", HOLD, CAMPAIGN)
    errors = [{"field": "state", "message": "it has failed", "hint": "relaunch it first"}]
    service.on("POST", "campaigns/demo/c2/hold/", service.problem(409, "Refused", "It cannot be held", errors))
    service.on("POST", "campaigns/demo/c4/hold/", service.problem(403, "Not allowed", "production is missing"))
    done = poms("campaign", "hold", "demo/c2", "demo/c3", "demo/c4", "demo/c1", "--reason", "full", NO_PROXY="*")
    assert done.code == 4
    assert done.out == "demo/c1\thold\trunning\n"
    assert "demo/c2: Refused: It cannot be held\n  state: it has failed\n  hint: relaunch it first\n" in done.err
    assert "demo/c3: Not found" in done.err
    assert "demo/c4: Not allowed: production is missing" in done.err
    assert service.asked[-1].body == {"reason": "full"}


def test_a_service_that_is_down_is_5_and_named(service, poms):
    service.stop()
    done = poms("campaign", "list")
    assert done.code == 5
    assert f"{service.url} cannot be reached: Connection refused" in done.err
    assert done.out == ""


@pytest.fixture
def known(service, monkeypatch):
    """Settings and no terminal, for running it inside the test."""
    monkeypatch.setenv("POMS_URL", service.url)
    monkeypatch.setenv("POMS_TOKEN", service.token)
    monkeypatch.setenv("POMS_RETRY_SECONDS", "0")
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["campain", "list"], "is campaign meant?"),
        (["campaign", "list", "--colour"], "--colour"),
        (["campaign", "list", "--limit", "many"], "--limit"),
        (["campaign", "list", "--json", "--quiet"], "exclude each other"),
        (["campaign", "show"], "Missing argument"),
        (["campaign", "show", "demo/r1"], "is a request, not a campaign"),
        (["campaign", "hold", "demo/c1"], '--reason "…"'),
        (["campaign"], "prioritise"),
        ([], "campaign"),
        (["request", "create", "-e", "demo", "--title", "x", "--set", "prority=3"], "Is priority meant?"),
        (["request", "create", "-e", "demo", "--title", "x", "--set", "priority=many"], "priority is a number"),
        (
            ["request", "create", "-e", "demo", "--title", "x", "-d", "not there.ini"],
            "not there.ini cannot be read",
        ),
        (["request", "create", "-e", "demo", "-d", "x.ini"], "needs a title"),
    ],
)
def test_wrong_use_is_64_and_nothing_is_sent(service, known, capsys, arguments, said):
    assert main(arguments) == 64
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert service.asked == []


def test_wrong_use_of_the_process_is_64_too(service, poms):
    done = poms("campaign", "list", "--colour")
    assert (done.code, done.out) == (64, "")
    assert "No such option" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("status", "code"), [(422, 1), (403, 3), (404, 4), (503, 5)])
def test_each_kind_of_failure_has_its_exit_code(service, known, capsys, status, code):
    service.on("POST", "jobs/demo/j1/kill/", service.problem(status, "No", "because \x1b[2J"))
    assert main(["job", "kill", "demo/j1", "--reason", "stuck", "--json"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert "No: because \\x1b[2J" in told.err


def test_without_settings_it_says_how_to_log_in(poms):
    done = poms("campaign", "list", POMS_URL=None, POMS_TOKEN=None)
    assert done.code == 64
    assert "poms login" in done.err


def test_a_request_goes_from_file_to_approval(service, poms, tmp_path):
    definition = tmp_path / "my dimuon.ini"
    definition.write_text("[campaign]\nname = dimuon %(x)s\n", encoding="utf-8")
    draft = {"ref": "demo/r1", "state": "draft", "title": "Z → μμ"}
    service.on("POST", "requests/", service.Answer(drop=True), service.Answer(draft, 201))
    made = poms(
        *("request", "create", "--experiment", "demo", "--definition", str(definition), "--title", "Z → μμ"),
        *("--production-stage", "mc", "--set", "priority=60", "--set", "hours_per_file=0.5", "--quiet"),
        POMS_RETRY_SECONDS="10",
    )
    assert (made.code, made.out) == (0, "demo/r1\n")
    assert service.asked[0].body == {
        "experiment": "demo",
        "title": "Z → μμ",
        "production_stage": "mc",
        "definition": definition.read_text(encoding="utf-8"),
        "priority": 60,
        "hours_per_file": 0.5,
    }
    assert len(service.keys()) == 2
    assert len(set(service.keys())) == 1

    lines = [{"check": "release", "result": "fail", "text": "no tag v9", "hint": "choose v8"}]
    service.on("POST", "requests/demo/r1/check/", {"lines": lines, "verdict": "fail"})
    checked = poms("request", "check", "demo/r1")
    assert checked.code == 1
    assert "demo/r1\tfail\trelease\tno tag v9\tchoose v8" in checked.out
    assert "✗ fail" in poms.at_terminal("request", "check", "demo/r1").out

    service.on("POST", "requests/demo/r1/file/", {**draft, "state": "pending_approval"})
    assert poms("request", "file", "demo/r1").out == "demo/r1\tfile\tpending_approval\n"
    service.on("GET", "requests/demo/r1/", {**draft, "state": "pending_approval", "revision": "f00d"})
    service.on("POST", "requests/demo/r1/approve/", {**draft, "state": "approved"})
    assert poms("request", "approve", "demo/r1", "--json").json["state"] == "approved"
    assert service.asked[-1].body["revision"] == "f00d", "what was looked at is what is approved"
    assert poms("request", "approve", "demo/r1", "--revision", "beef", "--quiet").code == 0
    assert service.asked[-1].body["revision"] == "beef"


def test_a_file_that_is_no_definition_is_not_sent(service, poms, tmp_path):
    binary = tmp_path / "histogram.root"
    binary.write_bytes(b"root\xff\xfe")
    large = tmp_path / "large.ini"
    with large.open("wb") as file:
        file.truncate(50_000_000)
    for path, said in ((binary, "is not text"), (large, "larger than 8 MiB")):
        done = poms("request", "create", "-e", "demo", "-t", "x", "-d", str(path))
        assert done.code == 64
        assert said in done.err
    assert service.asked == []


def test_a_draft_is_changed_under_its_tag(service, poms):
    service.on("GET", "requests/demo/r1/", service.Answer({"ref": "demo/r1"}, headers={"ETag": '"7"'}))
    service.on("PATCH", "requests/demo/r1/", {"ref": "demo/r1", "state": "draft"})
    assert poms("request", "edit", "demo/r1", "-d", "-", stdin="[campaign]\n").code == 0
    assert service.asked[-1].body == {"definition": "[campaign]\n"}
    assert service.asked[-1].headers["if-match"] == '"7"'


def test_a_reason_is_asked_for_at_a_terminal_with_what_will_happen(service, poms):
    service.on("GET", "campaigns/demo/c1/", CAMPAIGN)
    service.on("POST", "campaigns/demo/c1/cancel/", {**CAMPAIGN, "state": "cancelled"})
    done = poms.at_terminal("campaign", "cancel", "demo/c1", typed="wrong release\n")
    assert done.code == 0
    assert "6 unfinished jobs" in done.out
    assert "▬ cancelled" in done.out
    assert service.asked[-1].body == {"reason": "wrong release"}

    service.asked.clear()
    silent = poms.at_terminal("campaign", "cancel", "demo/c1", typed="\n")
    assert silent.code == 64
    assert "nothing was done" in silent.out
    assert service.paths("POST") == []


def test_prioritise_sends_the_rank(service, poms):
    service.on("POST", "campaigns/demo/c1/prioritise/", CAMPAIGN)
    assert poms("campaign", "prioritise", "demo/c1", "--rank", "3", "-r", "conference").code == 0
    assert service.asked[-1].body == {"reason": "conference", "rank": 3}


def test_the_text_of_a_campaign_is_copied_as_it_is(service, poms):
    text = "[campaign]\nname = Zürich\n\n[stage gen]\nscript = x %(y)s"
    service.on("GET", "campaigns/demo/c1/text/", text)
    assert poms("campaign", "text", "demo/c1").out == text


def log_pieces(*pieces: str) -> list[dict]:
    total = sum(len(piece.encode()) for piece in pieces)
    offsets = [sum(len(piece.encode()) for piece in pieces[:index]) for index in range(len(pieces) + 1)]
    return [{"text": t, "total": total, "offset": o} for t, o in zip((*pieces, ""), offsets, strict=True)]


def test_a_log_is_read_to_its_end_and_its_escapes_are_not_obeyed(service, poms):
    evil = "ok \x1b]0;owned\x07\x1b[2J Zürich\n"
    service.on("GET", "jobs/demo/j1/log/", *log_pieces(evil, "second\n"))
    done = poms("job", "log", "demo/j1", "--err")
    assert done.out == "ok \\x1b]0;owned\\x07\\x1b[2J Zürich\nsecond\n"
    assert [asked.query["stream"] for asked in service.asked] == ["err"] * 3
    assert [int(asked.query["offset"]) for asked in service.asked] == [
        0,
        len(evil.encode()),
        len(evil.encode()) + 7,
    ]

    service.on("GET", "jobs/demo/j1/log/", *log_pieces(evil))
    assert "\x1b" not in poms.at_terminal("job", "log", "demo/j1").out
    service.on("GET", "jobs/demo/j1/log/", *log_pieces(evil))
    assert poms("job", "log", "demo/j1", "--raw").out == evil
    assert poms.at_terminal("job", "log", "demo/j1", "--raw").code == 64


def test_a_log_is_followed_until_the_job_has_ended(service, poms):
    job = {"ref": "demo/j1", "state": "processing"}
    service.on("GET", "jobs/demo/j1/", job, job, {**job, "state": "succeeded"})
    first, second, end = log_pieces("one\n", "two\n")
    nothing = {**second, "text": ""}
    service.on("GET", "jobs/demo/j1/log/", first, nothing, second, nothing, end)
    done = poms("job", "log", "demo/j1", "--follow", "--every", "0.05")
    assert (done.code, done.out) == (0, "one\ntwo\n")
    assert service.paths("GET").count("jobs/demo/j1/") == 3


def test_login_keeps_the_token_for_its_owner_only(service, poms):
    service.on("GET", "me/", {"username": "anna", "name": "Anna", "roles": [], "experiments": ["demo"]})
    done = poms("login", "--url", service.url, stdin=f"{service.token}\n", POMS_URL=None, POMS_TOKEN=None)
    assert done.code == 0
    assert "as anna" in done.err
    assert service.token not in done.out + done.err
    file = Path(poms.env["HOME"]) / ".config" / "poms" / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert poms("whoami", "--quiet", POMS_URL=None, POMS_TOKEN=None).out == "anna\n"


def test_login_at_a_terminal_does_not_show_what_is_typed(service, poms):
    service.on("GET", "me/", {"username": "anna"})
    done = poms.at_terminal(
        "login", typed=f"{service.url}\n{service.token}\n", late=True, POMS_URL=None, POMS_TOKEN=None
    )
    assert done.code == 0, done.out
    assert service.token not in done.out


def test_a_token_that_is_not_known_is_not_kept(service, poms):
    done = poms("login", "--url", service.url, stdin="poms_wrong\n", POMS_URL=None, POMS_TOKEN=None)
    assert done.code == 3
    assert not (Path(poms.env["HOME"]) / ".config" / "poms" / "config.toml").exists()


def test_the_secret_of_a_new_token_is_all_that_stdout_gets(service, poms):
    service.on("POST", "tokens/", {"id": 7, "name": "ci", "secret": "poms_secret"})
    done = poms("token", "create", "ci", "--days", "5")
    assert done.out == "poms_secret\n"
    assert service.asked[-1].body == {"name": "ci", "days": 5}
    service.on("POST", "tokens/7/revoke/", {"id": 7, "name": "ci"})
    assert poms("token", "revoke", "7").code == 0


def test_a_setup_is_created_from_fields_of_text_and_json(service, poms, tmp_path):
    service.on("POST", "setups/", {"ref": "demo/local"})
    fields = tmp_path / "set up.json"
    fields.write_text(json.dumps({"host": "localhost"}))
    done = poms(
        *("setup", "create", "-e", "demo", "--name", "local", "--file", str(fields)),
        *("--set", "account=me", "--set", "slots:=4"),
    )
    assert done.out == "demo/local\tcreate\t\n"
    expected = {"host": "localhost", "account": "me", "slots": 4, "experiment": "demo", "name": "local"}
    assert service.asked[-1].body == expected


def test_the_ledger_is_read_to_its_end(service, poms):
    event = {
        "at": "2026-01-02T03:04:05Z",
        "of": "demo/b1",
        "from": "pending",
        "to": "submitted",
        "actor": "loop",
    }
    service.on(
        "GET",
        "events/",
        {"results": [event], "after": "e1"},
        {"results": [{**event, "to": "running"}], "after": "e2"},
        {"results": [], "after": "e2"},
    )
    done = poms("audit", "events", "--experiment", "demo", "--json")
    assert [json.loads(line)["to"] for line in done.out.splitlines()] == ["submitted", "running"]
    assert "--after e2" in done.err
    assert [asked.query.get("after") for asked in service.asked] == [None, "e1", "e2"]


def test_files_are_listed_by_campaign(service, poms):
    service.pages("files/", [{"name": "a.root", "size": 1234, "events": 50}])
    done = poms("file", "list", "--campaign", "c1", "--experiment", "demo")
    assert done.out.splitlines()[1].split("\t")[:3] == ["a.root", "1234", "50"]
    assert service.asked[0].query["campaign"] == "demo/c1"


def test_a_reader_that_leaves_is_no_error_message(service, poms):
    jobs = [{"ref": f"demo/j{number}", "state": "idle"} for number in range(20_000)]
    service.pages("jobs/", jobs)
    process = poms.start("job", "list")
    assert process.stdout.readline().startswith("ref\t")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(60)


def test_an_interrupt_ends_quietly(service, poms):
    service.on("GET", "me/", service.Answer({}, delay=5))
    process = poms.start("whoami")
    while not service.asked and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_completion_for_the_shells_is_there(poms):
    words = poms("campaign", _POMS_COMPLETE="complete_bash", COMP_WORDS="poms camp", COMP_CWORD="1")
    assert words.out.split() == ["campaign"]
    verbs = poms("campaign", _POMS_COMPLETE="complete_bash", COMP_WORDS="poms campaign w", COMP_CWORD="2")
    assert verbs.out.split() == ["watch"]


def test_it_needs_nothing_of_the_server(poms):
    process = poms.start("campaign", "list", PYTHONVERBOSE="1")
    _, err = process.communicate(timeout=60)
    imported = set(re.findall(r"^import '?([a-z_]+)", err, re.MULTILINE))
    assert "poms_client" in imported
    assert not imported & {"django", "rest_framework", "core", "experiments", "campaigns", "poms_site"}


def test_sites_are_listed_with_their_last_job(service, poms):
    service.pages("sites/", [{"experiment": "demo", "name": "local", "running": 1}])
    done = poms("site", "list", "--experiment", "demo", "--nodes")
    assert done.out.splitlines()[1].split("\t")[:2] == ["demo", "local"]
    assert service.asked[0].query["by"] == "node"


def test_notices_are_listed_and_marked_as_read(service, poms):
    service.pages(
        "notices/", [{"id": 7, "at": "2026-11-22T09:00:00Z", "subject": "r1 waits\x1b[31m", "actor": "user:a"}]
    )
    done = poms("notice", "list", "--unread")
    assert done.out.splitlines()[1].split("\t")[0] == "7"
    assert "\x1b" not in done.out
    assert service.asked[0].query["unread"] == "1"
    service.on("POST", "notices/read/", {"read": 1})
    assert "1 marked as read" in poms("notice", "read", "7").err
    assert service.asked[-1].body == {"ids": [7]}
    poms("notice", "read", "--all")
    assert service.asked[-1].body == {}
    for wrong in ((), ("7", "--all")):
        asked = len(service.asked)
        assert poms("notice", "read", *wrong).code == 64
        assert len(service.asked) == asked


def test_choices_of_notices_are_shown_and_set(service, poms):
    answer = {
        "kinds": {"decided": "digest", "watched": "none"},
        "digest_hour": 8,
        "zone": "Europe/Zurich",
        "webhook": "",
    }
    service.on("GET", "notices/choices/", answer)
    service.on("PUT", "notices/choices/", answer)
    assert poms("notice", "choices", "--quiet").out.splitlines() == ["decided=digest", "watched=none"]
    poms("notice", "set", "decided=digest", "--hour", "8", "--zone", "Europe/Zurich", "--webhook", "")
    assert service.asked[-1].body == {
        "kinds": {"decided": "digest"},
        "digest_hour": 8,
        "zone": "Europe/Zurich",
        "webhook": "",
    }
    for wrong in ((), ("decided",), ("--hour", "24")):
        asked = len(service.asked)
        assert poms("notice", "set", *wrong).code == 64
        assert len(service.asked) == asked


def test_setting_choices_is_repeated_while_the_service_is_unavailable(service, poms):
    service.on("PUT", "notices/choices/", service.problem(503, "Not available"), {"kinds": {}})
    assert poms("notice", "set", "watched=none", POMS_RETRY_SECONDS="10").code == 0
    assert len(service.asked) == 2
