"""The library against a real server that fails as it is told."""

from __future__ import annotations

import email.utils
import threading
import time
from types import SimpleNamespace

import poms_client.client
import pytest
from poms_client import Client, NotAllowed, NotFound, Refused, Unavailable, UsedWrongly


@pytest.fixture
def waits(monkeypatch):
    """The waits between tries, which are noted instead of waited."""
    found = []
    clock = SimpleNamespace(sleep=found.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(poms_client.client, "time", clock)
    return found


@pytest.fixture
def client(service):
    return Client(service.url, service.token, timeout=5, patience=20)


def test_the_token_and_the_version_go_with_every_request(service, client):
    service.on("GET", "me/", {"username": "anna"})
    assert client.get("me") == {"username": "anna"}
    assert service.asked[0].headers["authorization"] == f"Bearer {service.token}"
    assert service.asked[0].headers["user-agent"].startswith("poms-client/")


def test_a_netrc_file_does_not_replace_the_token(service, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    service.on("GET", "me/", {})
    client.get("me")
    assert service.asked[0].headers["authorization"] == f"Bearer {service.token}"


def test_a_get_is_repeated_until_the_service_is_back(service, client, waits):
    service.on("GET", "me/", service.problem(503, "Busy"), service.problem(502, "Gateway"), {"username": "anna"})
    assert client.get("me")["username"] == "anna"
    assert len(service.asked) == 3
    assert 0.2 <= waits[0] <= 0.3 < waits[1] <= 0.6


def test_the_wait_that_the_service_asks_for_is_kept(service, client, waits):
    later = email.utils.formatdate(time.time() + 9, usegmt=True)
    service.on(
        "GET",
        "me/",
        service.problem(503, "Busy", Retry_After="7"),
        service.problem(429, "Too many", Retry_After=later),
        {},
    )
    client.get("me")
    assert waits[0] == 7
    assert 7 < waits[1] <= 9


def test_nobody_waits_longer_than_the_patience(service, client, waits):
    service.on("GET", "me/", service.problem(503, "Maintenance", "until noon", Retry_After="3600"))
    with pytest.raises(Unavailable, match="Maintenance: until noon") as caught:
        client.get("me")
    assert caught.value.retry_after == 3600
    assert waits == []
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "say", [lambda client: client.verb("batches", "demo/b1", "relaunch", "again"), lambda client: client.get("me")]
)
def test_a_limit_of_a_minute_is_waited_for_beyond_the_patience(service, client, waits, say):
    busy = [service.problem(429, "Too many", Retry_After="61") for _ in range(3)]
    for method, path in (("POST", "batches/demo/b1/relaunch/"), ("GET", "me/")):
        service.on(method, path, *busy, {"ref": "x"})
    assert say(client) == {"ref": "x"}
    assert waits == [61] * 3


def test_a_limit_that_never_ends_or_an_hour_is_not_waited_for(service, client, waits):
    service.on("GET", "me/", *[service.problem(429, "Too many", Retry_After="61") for _ in range(9)])
    with pytest.raises(Unavailable, match="Too many"):
        client.get("me")
    assert waits == [61] * 5
    service.on("GET", "roles/", service.problem(429, "Too many", Retry_After="3600"))
    with pytest.raises(Unavailable):
        client.get("roles")
    with pytest.raises(Unavailable):
        Client(service.url, service.token, patience=0).get("me")
    assert waits == [61] * 5


def test_a_fault_of_the_service_is_not_repeated(service, client, waits):
    service.on("GET", "me/", service.problem(500, "Internal error"))
    with pytest.raises(Unavailable):
        client.get("me")
    assert waits == []


def test_a_service_that_is_started_again_is_found(service, client):
    service.on("GET", "me/", {"username": "anna"})
    service.stop()
    waiting = threading.Timer(0.6, service.start)
    told = []
    client.on_wait = lambda problem, wait: told.append(problem.summary)
    waiting.start()
    assert client.get("me")["username"] == "anna"
    assert "cannot be reached: Connection refused" in told[0]


def test_a_service_that_stays_away_is_unavailable(service):
    service.stop()
    with pytest.raises(Unavailable, match="Connection refused") as caught:
        Client(service.url, service.token, patience=0.5).get("me")
    assert caught.value.harmless


def test_a_service_that_does_not_answer_in_time_is_unavailable(service):
    service.on("GET", "me/", service.Answer({}, delay=6.0))
    with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
        Client(service.url, service.token, timeout=0.3, patience=0).get("me")


def test_creating_is_repeated_with_the_same_key(service, client, waits):
    made = {"ref": "demo/r1"}
    service.on("POST", "requests/", service.Answer(drop=True), service.problem(503, "Busy"), made)
    assert client.post("requests", {"title": "Z peak"}) == made
    assert len(service.keys()) == 3
    assert len(set(service.keys())) == 1
    client.post("requests", {"title": "Z peak"})
    assert len(set(service.keys())) == 2
    client.post("requests", {"title": "Z peak"}, key="mine")
    assert service.keys()[-1] == "mine"


def test_a_verb_whose_answer_is_lost_is_not_said_again(service, client, waits):
    service.on("POST", "campaigns/demo/c1/hold/", service.Answer(drop=True))
    with pytest.raises(Unavailable) as caught:
        client.verb("campaigns", "demo/c1", "hold", "storage full")
    assert "may have been done" in caught.value.lines[0]
    assert len(service.asked) == 1
    assert service.asked[0].body == {"reason": "storage full"}


def test_a_verb_that_was_turned_away_unseen_is_said_again(service, client, waits):
    service.on("POST", "campaigns/demo/c1/hold/", service.problem(503, "Busy"), {"state": "running"})
    assert client.verb("campaigns", "demo/c1", "hold", "storage full") == {"state": "running"}


def test_a_verb_behind_a_gateway_that_gave_up_is_not_said_again(service, client, waits):
    service.on("POST", "campaigns/demo/c1/hold/", service.problem(504, "Gateway time-out"))
    with pytest.raises(Unavailable):
        client.verb("campaigns", "demo/c1", "hold", "storage full")
    assert len(service.asked) == 1


def test_a_list_is_followed_to_its_end_with_its_filters(service, client):
    service.pages("jobs/", [{"ref": "demo/j1"}, {"ref": "demo/j2"}], [], [{"ref": "demo/j3"}])
    found = [job["ref"] for job in client.list("jobs", campaign="demo/c1", state=None)]
    assert found == ["demo/j1", "demo/j2", "demo/j3"]
    queries = [asked.query for asked in service.asked]
    assert [query.pop("cursor", None) for query in queries] == [None, "p1", "p2"]
    assert queries == [{"campaign": "demo/c1", "limit": "500"}] * 3


def test_no_page_is_asked_for_that_is_not_needed(service, client):
    service.pages("jobs/", [{"ref": "demo/j1"}, {"ref": "demo/j2"}], [{"ref": "demo/j3"}])
    assert [job["ref"] for job in client.list("jobs", limit=2)] == ["demo/j1", "demo/j2"]
    assert len(service.asked) == 1


def test_a_list_that_goes_in_circles_ends(service, client):
    service.on("GET", "jobs/", {"results": [{"ref": "demo/j1"}], "next": "again"})
    with pytest.raises(Unavailable, match="twice"):
        list(client.list("jobs"))


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Refused, 1),
        (401, NotAllowed, 3),
        (403, NotAllowed, 3),
        (404, NotFound, 4),
        (409, Refused, 1),
        (413, Refused, 1),
        (422, Refused, 1),
        (500, Unavailable, 5),
        (503, Unavailable, 5),
    ],
)
def test_every_refusal_has_its_exception(service, status, kind, code):
    errors = [{"field": "stages.gen", "message": "unknown job type 'x'", "hint": "there is gen", "line": 14}]
    service.on("POST", "requests/", service.problem(status, "The definition is wrong", "at one place", errors))
    with pytest.raises(kind) as caught:
        Client(service.url, service.token, patience=0).post("requests", {})
    assert caught.value.exit_code == code
    assert caught.value.problem["errors"] == errors
    assert caught.value.summary == "The definition is wrong: at one place"
    assert caught.value.lines[:2] == ["stages.gen (line 14): unknown job type 'x'", "hint: there is gen"]


def test_a_page_of_a_web_server_is_still_a_refusal(service, client):
    page = service.Answer("<html>Too Large</html>", 413, {"Content-Type": "text/html"})
    service.on("POST", "requests/", page)
    with pytest.raises(Refused, match="413") as caught:
        client.post("requests", {})
    assert "<html>" not in str(caught.value)


def test_something_else_than_poms_is_recognised(service, client):
    service.on("GET", "me/", service.Answer("<html>Welcome</html>", 200, {"Content-Type": "text/html"}))
    with pytest.raises(Unavailable, match="does not answer as POMS does"):
        client.get("me")


def test_a_redirect_is_not_followed_with_the_token(service, client):
    service.on("POST", "requests/", service.Answer({}, 302, {"Location": "https://elsewhere.example.org/"}))
    with pytest.raises(UsedWrongly, match=r"elsewhere\.example\.org"):
        client.post("requests", {})
    assert len(service.asked) == 1


def test_a_tag_makes_a_change_conditional(service, client):
    service.on("GET", "requests/demo/r1/", service.Answer({"ref": "demo/r1"}, headers={"ETag": '"abc"'}))
    service.on("PATCH", "requests/demo/r1/", {"ref": "demo/r1"})
    _, tag = client.show_with_tag("requests", "demo/r1")
    client.patch("requests/demo/r1", {"title": "new"}, if_match=tag)
    assert service.asked[-1].headers["if-match"] == '"abc"'


def test_a_log_is_paged_by_bytes(service, client):
    text = "Zürich läuft\n"
    service.on(
        "GET",
        "jobs/demo/j1/log/",
        {"text": text, "total": 40, "offset": 0},
        {"text": "\ufffd rest", "total": 40, "offset": 15},
        {"text": "", "total": 40, "offset": 40},
    )
    first, offset = client.log("demo/j1")
    assert (first, offset) == (text, len(text.encode()))
    # What a broken character stood for is not known: the rest of the log was asked for and came.
    _, offset = client.log("demo/j1", "out", offset)
    assert offset == 40
    assert client.log("demo/j1", "out", offset) == ("", 40)
    assert [asked.query["offset"] for asked in service.asked] == ["0", "15", "40"]


@pytest.mark.parametrize("ref", ["demo/../c1", "demo//c1", "", "demo/."])
def test_a_reference_cannot_lead_elsewhere(service, client, ref):
    with pytest.raises(UsedWrongly):
        client.show("campaigns", ref)
    assert service.asked == []


def test_signs_in_a_reference_stay_in_their_part(service, client):
    service.on("GET", "stages/demo/c1/a b?c/", {"ref": "demo/c1/a b?c"})
    assert client.show("stages", "demo/c1/a b?c")["ref"] == "demo/c1/a b?c"


@pytest.mark.parametrize("url", ["poms.example.org", "ftp://poms.example.org", "http://", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsedWrongly):
        Client(url, "token")


def test_the_path_of_the_api_may_stand_in_the_address(service):
    service.on("GET", "me/", {})
    Client(service.url + "/api/v1/", service.token).get("me")
    assert service.asked[0].path == "/api/v1/me/"
