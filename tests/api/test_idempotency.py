"""An Idempotency-Key makes a creating request safe to send again (F1, contract 4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from approvals.models import Request
from campaigns.models import JobType
from core.models import RequestKey
from experiments.models import ApiToken
from tests import builders

URL = "/api/v1/requests/"


def body(**values):
    return {
        "experiment": "demo", "title": "tiny", "production_stage": "mc", "definition": builders.definition(), **values,
    }  # fmt: skip


@pytest.fixture
def client(cast, call_as):
    builders.login_setup(cast)
    return call_as(cast.experimenter)


def test_the_same_key_gets_the_first_answer_again(client):
    first = client.post(URL, body(), headers={"Idempotency-Key": "k1"})
    again = client.post(URL, body(), headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert Request.objects.count() == 1


def test_another_body_under_the_same_key_is_refused(client):
    client.post(URL, body(), headers={"Idempotency-Key": "k1"})
    answer = client.post(URL, body(title="another"), headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]
    assert Request.objects.count() == 1


def test_another_route_under_the_same_key_is_refused(cast, call_as):
    client = call_as(cast.operator)
    made = {"experiment": "demo", "name": "one"}
    first = client.post("/api/v1/setups/", made, headers={"Idempotency-Key": "k1"})
    other = client.post("/api/v1/jobtypes/", {**made, "launch_script": "x"}, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, other.status_code) == (201, 422)
    assert not JobType.objects.exists()


def test_keys_of_two_people_have_nothing_to_do_with_each_other(client, cast, call_as):
    client.post(URL, body(), headers={"Idempotency-Key": "k1"})
    other = call_as(cast.operator).post(URL, body(title="another"), headers={"Idempotency-Key": "k1"})
    assert other.status_code == 201
    assert Request.objects.count() == 2


def test_without_a_key_every_request_creates(client):
    assert [client.post(URL, body()).status_code for _ in range(2)] == [201, 201]
    assert Request.objects.count() == 2


def test_a_refused_request_keeps_no_key_so_it_can_be_sent_corrected(client):
    wrong = client.post(URL, body(production_stage="nobody's"), headers={"Idempotency-Key": "k1"})
    right = client.post(URL, body(), headers={"Idempotency-Key": "k1"})
    assert (wrong.status_code, right.status_code) == (422, 201)
    assert RequestKey.objects.count() == 1


@pytest.mark.parametrize("key", ["x" * 201, "a\0b", "schlüssel"])
def test_a_key_that_cannot_be_kept_is_refused(client, key):
    answer = client.post(URL, body(), headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not Request.objects.exists()


def test_no_key_keeps_the_secret_of_a_token(client, cast):
    made = [
        client.post("/api/v1/tokens/", {"name": "mine"}, headers={"Idempotency-Key": "k1"}).json() for _ in range(2)
    ]
    assert made[0]["token"] != made[1]["token"]
    assert not RequestKey.objects.exists()
    assert ApiToken.objects.filter(name="mine").count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_ledger")
def test_twenty_at_once_with_the_same_key_make_one_request(real_cast, call_as):
    builders.login_setup(real_cast)
    client = call_as(real_cast.experimenter)
    together = Barrier(20)

    def send(_: int):
        try:
            together.wait(30)
            return client.post(URL, body(), headers={"Idempotency-Key": "k1"})
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["ref"] for answer in answers}) == 1
    assert Request.objects.count() == 1
