"""The feed of events: every transition once, to those who may see it, none skipped because it came late."""

from __future__ import annotations

import time
from threading import Event, Thread

import pytest
from django.db import connection, transaction

from campaigns.logic import editing
from core import transitions
from tests import builders

URL = "/api/v1/events/"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_ledger")]


def write(experiment_id: int, reason: str, things: int = 1) -> None:
    transitions.record(
        [(n, "new") for n in range(1, things + 1)], "campaign", "old", experiment_id=experiment_id, actor="user:a",
        reason=reason, verb="age",
    )  # fmt: skip


def follow(client, after: str, wanted: int, seconds: float = 180, **query) -> tuple[list[dict], str]:
    """Poll as a client does until so many events have come.

    The feed stops at the oldest open transaction of the whole server, and other tests beside this one have long ones.
    """
    found, deadline = [], time.monotonic() + seconds
    while len(found) < wanted:
        answer = client.get(URL, {"after": after, **query}).json()
        found, after = found + answer["results"], answer["after"]
        assert time.monotonic() < deadline, f"{len(found)} of {wanted} events came"
        if not answer["results"]:
            time.sleep(0.02)
    return found, after


def test_every_transition_comes_once_in_order(real_cast, call_as):
    client = call_as(real_cast.operator)
    assert client.get(URL).json() == {"results": [], "after": "0-0"}
    for n in range(3):
        write(real_cast.experiment.pk, f"n{n}", 2)
    found, after = follow(client, "0-0", 6)
    assert [step["reason"] for step in found] == ["n0", "n0", "n1", "n1", "n2", "n2"]
    assert set(found[0]) == {"at", "of", "kind", "from", "to", "verb", "actor", "reason"}
    assert client.get(URL, {"after": after}).json() == {"results": [], "after": after}
    write(real_cast.experiment.pk, "n3")
    more, _ = follow(client, after, 1)
    assert [step["reason"] for step in more] == ["n3"]


def test_a_transaction_that_commits_late_is_not_skipped(real_cast, call_as):
    client, number = call_as(real_cast.operator), real_cast.experiment.pk
    write(number, "before")
    _, after = follow(client, "0-0", 1)
    begun, go = Event(), Event()

    def late() -> None:
        try:
            with transaction.atomic():
                write(number, "late")
                begun.set()
                assert go.wait(30)
        finally:
            connection.close()

    other = Thread(target=late)
    other.start()
    try:
        assert begun.wait(30)
        write(number, "early")  # committed first, but its transaction is the younger one
        for _ in range(3):
            answer = client.get(URL, {"after": after}).json()
            assert answer == {"results": [], "after": after}, "a reader would step over what is still to be committed"
    finally:
        go.set()
        other.join(30)
    found, _ = follow(client, after, 2)
    assert [step["reason"] for step in found] == ["late", "early"]


def test_a_transaction_that_is_rolled_back_holds_nobody_up(real_cast, call_as):
    client = call_as(real_cast.operator)
    with pytest.raises(RuntimeError), transaction.atomic():
        write(real_cast.experiment.pk, "never")
        raise RuntimeError
    write(real_cast.experiment.pk, "after it")
    found, _ = follow(client, "0-0", 1)
    assert [step["reason"] for step in found] == ["after it"]


def test_a_page_may_end_inside_a_transaction(real_cast, call_as):
    client = call_as(real_cast.operator)
    with transaction.atomic():
        write(real_cast.experiment.pk, "many", 700)
    found, _ = follow(client, "0-0", 700)
    assert len({step["of"] for step in found}) == 700
    first = client.get(URL).json()
    assert len(first["results"]) == 500


def test_everybody_sees_the_events_of_what_they_may_look_into(real_cast, call_as):
    write(real_cast.experiment.pk, "demo's")
    write(real_cast.other.pk, "other's")
    supervisor = call_as(real_cast.supervisor)
    assert [s["reason"] for s in follow(supervisor, "0-0", 2)[0]] == ["demo's", "other's"]
    for who, reasons in {
        "operator": ["demo's"], "reviewer": ["demo's"], "stranger": ["other's"], "administrator": ["demo's", "other's"],
        "guest": [], "service_provider": [], "nobody": [],
    }.items():  # fmt: skip
        found = call_as(real_cast.people[who]).get(URL).json()["results"]
        assert [step["reason"] for step in found] == reasons, who
    for experiment, reasons in {"demo": ["demo's"], "other": ["other's"], "nowhere": []}.items():
        found = supervisor.get(URL, {"experiment": experiment}).json()["results"]
        assert [step["reason"] for step in found] == reasons
    assert call_as(real_cast.stranger).get(URL, {"experiment": "demo"}).json()["results"] == []


def test_a_history_tells_the_same_as_the_feed(real_cast, call_as):
    builders.login_setup(real_cast)
    campaign = editing.create(real_cast.experiment, name="one", owner=real_cast.operator, reason="to have one")
    transitions.move(campaign, "approved", expect="new", actor="user:a", reason="because")
    client = call_as(real_cast.operator)
    found, _ = follow(client, "0-0", 2)
    history = client.get(f"/api/v1/campaigns/{campaign.ref}/history/").json()["results"]
    told = [(s["from"], s["to"], s["verb"], s["actor"], s["reason"]) for s in found]
    assert told == [
        ("", "new", "create", "user:operator", "to have one"),
        ("new", "approved", "approve", "user:a", "because"),
    ]
    assert sorted((s["from"], s["to"], s["verb"], s["actor"], s["reason"]) for s in history) == sorted(told)
