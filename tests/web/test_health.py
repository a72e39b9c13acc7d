"""/healthz and /readyz: what load balancers are told, however they ask, and within a second whatever hangs."""

from __future__ import annotations

import time

import pytest
from django.db import InterfaceError, OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from poms_site import readiness

ADDRESSES = ("/healthz", "/readyz")


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_well_process_says_so_to_whoever_asks_by_whatever_name(address, settings, client, cast):
    settings.SECURE_SSL_REDIRECT = True
    settings.CONSENT_TEXT = "Accept this first."
    settings.ALLOWED_HOSTS = ["poms.example.org"]
    client.force_login(cast.experimenter)
    for asker in (client, Client()):
        answer = asker.get(address, headers={"Host": "10.0.0.7"})
        assert (answer.status_code, answer.content) == (200, b"well\n")
        assert answer["Cache-Control"] == "no-store"
        assert answer["X-Request-Id"]
        assert not answer.cookies
        assert asker.head(address).status_code == 200
        assert asker.post(address).status_code == 405


def test_the_process_is_well_without_a_database(client):
    # pytest-django lets this test ask no database at all.
    client.cookies["sessionid"] = "planted"
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db
def test_an_old_database_is_not_ready_and_a_newer_one_is(client, monkeypatch):
    before = MigrationRecorder.applied_migrations
    monkeypatch.setattr(
        MigrationRecorder, "applied_migrations", lambda self: {**before(self), ("core", "9999_newer"): None}
    )
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(
        MigrationRecorder, "applied_migrations", lambda self: {k: v for k, v in before(self).items() if k[0] != "core"}
    )
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.content.endswith(b"of the code's migrations: run manage.py migrate.\n")


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_a_database_that_refuses_is_told_without_its_words(client, monkeypatch, kind):
    def refuse(self):
        raise kind("password authentication failed for user poms")

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", refuse)
    answer = client.get("/readyz")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.content.decode() == f"{readiness.AWAY}\n"


@pytest.mark.django_db
def test_a_database_that_hangs_is_told_within_a_second_and_asked_by_one_only(client, monkeypatch):
    begun = []

    def hang():
        begun.append(1)
        time.sleep(1.5)
        return ""

    monkeypatch.setattr(readiness, "_look", hang)
    monkeypatch.setattr(readiness, "PATIENCE", 0.3)
    at = time.monotonic()
    for _ in range(3):
        answer = client.get("/readyz")
        assert (answer.status_code, answer.content.decode()) == (503, f"{readiness.SILENT}\n")
    assert time.monotonic() - at < 1.5
    assert begun == [1]
    monkeypatch.setattr(readiness, "PATIENCE", 5.0)
    assert client.get("/readyz").status_code == 200, "it answers when the database does again"
