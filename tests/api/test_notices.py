"""Notices by the API and the command: one's own, and how one is told."""

from __future__ import annotations

import pytest

from integrations.models import Notice
from integrations.notices import choosing, outbox
from integrations.notices.outbox import Draft


@pytest.fixture
def some(cast):
    """Two notices of the approver, one of the operator."""
    lines = [{"ref": "demo/r1", "title": "muons", "link": "/e/demo/requests/r1/", "said": "why", "by": "experimenter"}]
    for n, who in enumerate(("approver", "approver", "operator")):
        outbox.enter([Draft(cast.people[who], cast.experiment, "decide", f"k{n}", f"r{n} waits", of="request", things=[1],
                            ref="demo/r1", link="/e/demo/requests/r1/", lines=lines, actor="user:experimenter")])  # fmt: skip
    return list(Notice.objects.order_by("pk"))


def test_ones_own_notices_newest_first(cast, some, call_as):
    caller = call_as(cast.approver)
    found = caller.get("/api/v1/notices/").json()["results"]
    assert [row["id"] for row in found] == [some[1].pk, some[0].pk]
    assert found[0]["subject"] == "r1 waits" and found[0]["count"] == 1 and found[0]["read"] is None
    assert found[0]["lines"][0]["ref"] == "demo/r1"
    page = caller.get("/api/v1/notices/", {"limit": 1}).json()
    assert [row["id"] for row in caller.get("/api/v1/notices/", {"cursor": page["next"]}).json()["results"]] == [
        some[0].pk
    ]


def test_marking_as_read_touches_only_ones_own(cast, some, call_as):
    caller = call_as(cast.approver)
    assert caller.post("/api/v1/notices/read/", {"ids": [some[0].pk, some[2].pk]}).json() == {"read": 1}
    assert [row["id"] for row in caller.get("/api/v1/notices/", {"unread": "1"}).json()["results"]] == [some[1].pk]
    assert caller.post("/api/v1/notices/read/", {}).json() == {"read": 1}
    some[2].refresh_from_db()
    assert some[2].read_at is None


@pytest.mark.parametrize(
    ("body", "field"),
    [({"kinds": {"unheard": "none"}}, "unheard"), ({"kinds": {"decide": "often"}}, "decide"), ({"digest_hour": 24}, "digest_hour"),
     ({"zone": "Nowhere/None"}, "zone"), ({"webhook": "http://example.org/"}, "webhook"), ({"colour": "red"}, "colour"),
     ({"kinds": [1]}, "kinds")],
)  # fmt: skip
def test_choices_that_cannot_be_are_refused_by_field(cast, call_as, body, field):
    answer = call_as(cast.operator).put("/api/v1/notices/choices/", {"zone": "Europe/Zurich", **body})
    assert answer.status_code == 422
    assert field in [problem["field"] for problem in answer.json()["errors"]]
    assert choosing.choices_of(cast.operator).zone == "UTC"


def test_choices_change_only_what_is_named(cast, call_as):
    caller = call_as(cast.operator)
    caller.put("/api/v1/notices/choices/", {"kinds": {"decided": "none"}, "webhook": "https://hooks.example.org/"})
    answer = caller.put("/api/v1/notices/choices/", {"digest_hour": 20}).json()
    assert (answer["kinds"]["decided"], answer["digest_hour"], answer["webhook"]) == (
        "none",
        20,
        "https://hooks.example.org/",
    )
    assert len(answer["webhook_secret"]) == 64
    assert caller.get("/api/v1/notices/choices/").json() == answer
    assert call_as(cast.approver).get("/api/v1/notices/choices/").json()["webhook_secret"] == ""


@pytest.mark.parametrize("query", [{"unread": "maybe"}, {"colour": "red"}, {"cursor": "x"}, {"limit": "0"}])
def test_a_list_that_cannot_be_is_refused(cast, call_as, query):
    assert call_as(cast.operator).get("/api/v1/notices/", query).status_code == 422


def test_a_test_is_sent_to_oneself_only(cast, call_as):
    answer = call_as(cast.operator).post("/api/v1/notices/test/", {})
    assert answer.status_code == 201 and answer.json()["kind"] == "test"
    assert [row.recipient for row in Notice.objects.all()] == [cast.operator]
