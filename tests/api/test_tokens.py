"""API tokens: shown once, kept as a hash, one's own, ended by date, by hand, or with the account."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from core.clock import now, shifted
from experiments.logic import tokens
from experiments.models import ApiToken

URL = "/api/v1/tokens/"
ME = "/api/v1/me/"

pytestmark = pytest.mark.django_db


def with_token(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_token_is_made_and_signs_in(cast, call_as):
    answer = call_as(cast.operator).post(URL, {"name": "laptop", "days": 7})
    assert answer.status_code == 201
    made = answer.json()
    assert made["token"].startswith("poms_")
    assert made["token"].startswith(made["prefix"])
    end = ApiToken.objects.get(pk=made["id"]).expires_at
    assert abs(end - now() - timedelta(days=7)) < timedelta(minutes=1)
    me = with_token(made["token"]).get(ME).json()
    assert me["username"] == "operator"
    assert me["roles"] == [{"experiment": "demo", "role": "operator"}]
    assert me["experiments"] == ["demo"]


def test_the_secret_is_shown_once_and_kept_nowhere(cast, call_as):
    client = call_as(cast.operator)
    secret = client.post(URL, {"name": "laptop"}).json()["token"]
    listed = client.get(URL)
    assert secret not in listed.content.decode()
    assert {"token", "digest"}.isdisjoint(listed.json()["results"][0])
    for token in ApiToken.objects.all():
        assert not any(secret in str(value) for value in vars(token).values())
    assert len(secret) > 40
    assert ApiToken.objects.get(name="laptop").digest == tokens.digest(secret)


def test_everybody_sees_their_own_tokens_only(cast, call_as):
    clients = {who: call_as(cast.people[who]) for who in ("operator", "administrator", "stranger")}
    for client in clients.values():
        assert len(client.get(URL).json()["results"]) == 1
    own = ApiToken.objects.get(user=cast.operator)
    for who in ("administrator", "stranger"):
        assert clients[who].post(f"{URL}{own.pk}/revoke/").status_code == 404
    own.refresh_from_db()
    assert own.revoked_at is None


def test_a_revoked_token_ends_at_once_and_stays_ended(cast, call_as):
    client = call_as(cast.operator)
    made = client.post(URL, {"name": "lost"}).json()
    lost = with_token(made["token"])
    assert lost.get(ME).status_code == 200
    first = client.post(f"{URL}{made['id']}/revoke/").json()["revoked"]
    assert first
    assert lost.get(ME).status_code == 401
    assert client.post(f"{URL}{made['id']}/revoke/").json()["revoked"] == first
    assert client.get(ME).status_code == 200


def test_a_token_may_revoke_itself(cast, call_as):
    client = call_as(cast.operator)
    own = ApiToken.objects.get(user=cast.operator)
    assert client.post(f"{URL}{own.pk}/revoke/").status_code == 200
    assert client.get(ME).status_code == 401


def test_a_token_ends_on_its_day(cast):
    _, secret = tokens.issue(cast.operator, "short", days=2)
    with shifted(timedelta(days=2, seconds=-30)):
        assert tokens.holder(secret) == cast.operator
    with shifted(timedelta(days=2, seconds=1)):
        assert tokens.holder(secret) is None


def test_a_token_ends_with_the_account(cast):
    _, secret = tokens.issue(cast.operator, "t")
    cast.operator.is_active = False
    cast.operator.save()
    assert tokens.holder(secret) is None
    assert with_token(secret).get(ME).status_code == 401


def test_who_leaves_the_experiment_keeps_the_token_but_not_the_view(cast, call_as):
    from experiments.logic import membership
    from experiments.models import Membership

    client = call_as(cast.operator)
    membership.leave(Membership.objects.get(user=cast.operator))
    assert client.get(ME).json()["roles"] == []
    assert client.get("/api/v1/experiments/").json()["results"] == []


def test_use_is_noted_but_not_at_every_request(cast):
    token, secret = tokens.issue(cast.operator, "t")

    def used():
        return ApiToken.objects.values_list("used_at", flat=True).get(pk=token.pk)

    assert used() is None
    tokens.holder(secret)
    first = used()
    assert abs(first - now()) < timedelta(minutes=1)
    tokens.holder(secret)
    assert used() == first
    with shifted(timedelta(minutes=2)):
        tokens.holder(secret)
    assert used() > first


def test_two_tokens_are_never_the_same(cast):
    assert len({tokens.issue(cast.operator, "t")[1] for _ in range(50)}) == 50


def test_part_of_a_token_or_its_hash_is_none(cast):
    token, secret = tokens.issue(cast.operator, "t")
    for wrong in (secret[:-1], secret + "x", secret.upper(), token.digest, token.prefix, ""):
        assert tokens.holder(wrong) is None
