"""Tokens that may do less than their person: at every route, asked at the one root, and never widened."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse
from rest_framework.test import APIClient

from core.errors import NotAllowed, Refused
from experiments.logic import membership, tokens
from experiments.models import ApiToken
from experiments.narrowing import GROUPS, SCOPES, WHOLE, Narrowing, permissions_of, scopes_with
from experiments.queries import is_administrator
from experiments.roles import PERMISSIONS
from experiments.scoping import experiment_ids, held_on, holds_anywhere, may, require
from submissions.models import Command
from tests.contracts.test_access import BODIES, TABLE, _address
from tests.contracts.who import expectations
from tests.contracts.world import populate

pytestmark = pytest.mark.django_db
WITH_DEFINITION = ("requests-list", "templates-list")


@pytest.fixture
def with_scope():
    """Return a client with a token of somebody, narrowed."""

    def make(user: Any, *scopes: str, only: tuple[str, ...] = ()) -> APIClient:
        _, secret = tokens.issue(user, "narrow", narrowing=tokens.narrowed(user, scopes, only))
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return make


def everything_of(cast: Any) -> Any:
    """Let the operator hold every role in both experiments."""
    for place in (cast.experiment, cast.other):
        for role in ("operator", "approver", "reviewer", "analyser"):
            membership.join(cast.operator, role, place)
    membership.join(cast.operator, "administrator")
    return cast.operator


def test_the_root_gives_no_more_than_the_token_leaves(cast):
    user = everything_of(cast)
    both = {cast.experiment.pk, cast.other.pk}
    assert all(set(experiment_ids(user, permission)) == both for permission in PERMISSIONS)
    user.narrowed_to = Narrowing(permissions_of(["watch"]), frozenset({cast.experiment.pk}))
    for permission in PERMISSIONS:
        wanted = [cast.experiment.pk] if permission in ("view_overview", "view", "watch") else []
        assert experiment_ids(user, permission) == wanted, permission
        assert may(user, permission, cast.experiment) == bool(wanted)
        assert holds_anywhere(user, [permission]) == bool(wanted)
    assert held_on(user, cast.experiment) == {"view_overview", "view", "watch"}
    assert held_on(user, cast.other) == frozenset()
    assert not is_administrator(user)


def test_a_role_held_everywhere_is_narrowed_as_well(cast):
    user = cast.administrator
    user.narrowed_to = Narrowing(None, frozenset({cast.experiment.pk}))
    assert experiment_ids(user, "administer") == [cast.experiment.pk]
    assert held_on(user, cast.other) == frozenset()
    assert not is_administrator(user)
    user.narrowed_to = Narrowing(permissions_of(["read"]), None)
    assert not is_administrator(user)
    assert not holds_anywhere(user, ["administer"])
    user.narrowed_to = WHOLE
    assert is_administrator(user)


def test_nobody_else_is_narrowed(cast):
    everything_of(cast).narrowed_to = Narrowing(frozenset({"view"}), None)
    assert may(cast.approver, "decide_request", cast.experiment)
    assert experiment_ids(AnonymousUser(), "view") == []


def test_a_refusal_names_the_scope_or_else_the_role(cast):
    user = cast.operator
    user.narrowed_to = Narrowing(permissions_of(["read"]))
    with pytest.raises(NotAllowed, match="lacks the scope operate"):
        require(user, "operate", cast.experiment)
    with pytest.raises(NotAllowed, match="needs the role approver"):
        require(user, "decide_request", cast.experiment)


def test_every_route_that_changes_something_is_refused_to_a_token_that_reads(cast, with_scope, settings, tmp_path):
    """With all roles in both experiments, so that only the token can be in the way."""
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    world = populate(cast)
    client, asked = with_scope(everything_of(cast), "read"), 0
    for line in expectations(TABLE).values():
        if line.rule not in PERMISSIONS or line.rule in ("view", "view_overview"):
            continue
        name = line.about.partition("+")[0]
        body = BODIES.get(line.route, {"reason": "to see whether the token may"})
        if name == "made":
            url, body = reverse(line.route), {**body, "experiment": "demo", "definition": world.own.definition}
            body = {key: value for key, value in body.items() if key != "definition" or line.route in WITH_DEFINITION}
        elif name == "asked":
            url = f"{reverse(line.route)}?experiment=demo&name=raw"
        elif name == "service":
            url = reverse(line.route, kwargs={} if line.route.endswith("-list") else {"name": "local"})
        else:
            url = _address(line.route, world.own, name, missing=False)
        answer = client.generic(line.method, url, json.dumps(body), "application/json")
        assert answer.status_code == 403, (line, answer.content)
        if name == "service":  # no experiment's: who may not administer all is told so, whatever the token lacks
            assert "in the whole service" in answer.json()["detail"], (line, answer.content)
            continue
        assert "lacks the scope" in answer.json()["detail"], (line, answer.content)
        assert any(scope in answer.json()["detail"] for scope in scopes_with(line.rule))
        asked += 1
    assert asked > 90


def test_a_token_for_one_experiment_sees_nothing_of_another(cast, with_scope):
    world, selection = populate(cast), uuid4()
    Command.objects.filter(pk=world.other.objects["command"].pk).update(selection=selection)
    everywhere, client = with_scope(everything_of(cast)), with_scope(cast.operator, only=("demo",))
    for line in expectations(TABLE).values():
        if line.about == "list" and line.method == "GET":
            assert client.get(f"{reverse(line.route)}?experiment=other").json()["results"] == [], line.route
            assert '"other' not in client.get(reverse(line.route)).content.decode(), line.route
        elif line.about == "selection":
            query = f"?selection={selection}"
            assert everywhere.get(reverse(line.route) + query).json()["results"], line.route
            assert client.get(reverse(line.route) + query).json()["results"] == [], line.route
        elif line.about == "asked":
            url = f"{reverse(line.route)}?experiment=other&name=raw&dimensions=file_name+raw"
            answer = client.generic(line.method, url)
            assert answer.status_code == 422, (line, answer.content)
            assert "unknown: other" in answer.content.decode(), (line, answer.content)
        elif line.about == "service":
            continue  # batch systems are the whole service's, and belong to no experiment
        elif line.rule in PERMISSIONS and line.about.partition("+")[0] in world.other.objects:
            url = _address(line.route, world.other, line.about.partition("+")[0], missing=False)
            answer = client.generic(line.method, url, '{"reason": "x"}', "application/json")
            assert answer.status_code == 404, (line, answer.content)
    assert client.get("/api/v1/me/").json()["experiments"] == ["demo"]


def test_a_token_without_a_scope_may_all_that_its_person_may(cast, with_scope):
    pending = populate(cast).own.objects["pending"]
    answer = with_scope(cast.approver).post(f"/api/v1/requests/{pending.ref}/approve/", {"reason": "fine"})
    assert answer.status_code == 200
    assert with_scope(cast.approver, "decide").get("/api/v1/me/").json()["scopes"] == sorted(GROUPS["decide"])


def test_a_token_makes_none_that_may_do_more_than_itself(cast, with_scope):
    client = with_scope(everything_of(cast), "file", only=("demo",))
    wider = client.post("/api/v1/tokens/", {"name": "wider", "scopes": ["operate"]})
    assert wider.status_code == 403
    assert "may do more than itself" in wider.json()["detail"]
    assert client.post("/api/v1/tokens/", {"name": "wider", "experiments": ["other"]}).status_code == 422
    same = client.post("/api/v1/tokens/", {"name": "same"}).json()
    assert (same["scopes"], same["experiments"]) == (sorted(GROUPS["file"]), ["demo"])
    less = client.post("/api/v1/tokens/", {"name": "less", "scopes": ["read"]}).json()
    assert (less["scopes"], less["experiments"]) == (sorted(GROUPS["read"]), ["demo"])
    assert not ApiToken.objects.filter(name="wider").exists()


def test_a_token_with_a_scope_ends_only_itself(cast, with_scope):
    other, _ = tokens.issue(cast.operator, "another")
    client = with_scope(cast.operator, "read")
    refused = client.post(f"/api/v1/tokens/{other.pk}/revoke/")
    assert refused.status_code == 403
    own = ApiToken.objects.get(name="narrow")
    assert client.post(f"/api/v1/tokens/{own.pk}/revoke/").status_code == 200
    assert client.get("/api/v1/me/").status_code == 401


@pytest.mark.parametrize(("body", "says"), [
    ({"scopes": ["king"]}, "unknown: king"), ({"experiments": ["nowhere"]}, "unknown: nowhere"),
    ({"experiments": ["other"]}, "unknown: other"), ({"scopes": "read"}, "scopes"), ({"scopes": [7, None]}, "scopes"),
    ({"account": "nobody"}, "no service account"), ({"scopes": ["x" * 61]}, "scopes"),
])  # fmt: skip
def test_what_cannot_be_a_scope_is_named(cast, call_as, body, says):
    answer = call_as(cast.operator).post("/api/v1/tokens/", {"name": "t", **body})
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not ApiToken.objects.filter(name="t").exists()


def test_what_can_be_done_can_be_read_and_every_permission_has_a_scope():
    for name in SCOPES:
        if name != "view_overview":
            assert {"view", "view_overview"} <= permissions_of([name])
    for permission in PERMISSIONS:
        assert scopes_with(permission), permission
    with pytest.raises(KeyError):
        permissions_of(["king"])


def test_a_narrowing_is_within_itself_and_the_whole_and_nothing_less():
    some, fewer = (
        Narrowing(frozenset({"view", "watch"}), frozenset({1, 2})),
        Narrowing(frozenset({"view"}), frozenset({1})),
    )
    assert some.is_within(some)
    assert fewer.is_within(some)
    assert some.is_within(WHOLE)
    assert not some.is_within(fewer)
    assert not WHOLE.is_within(some)
    assert not Narrowing(frozenset({"view"})).is_within(fewer)


def test_names_that_are_no_scope_are_refused_before_anything_is_made(cast):
    with pytest.raises(Refused, match="unknown: king"):
        tokens.narrowed(cast.operator, ["king"])
