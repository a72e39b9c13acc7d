"""System checks: a server that cannot serve and a queue that would run things twice are refused in sentences."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import Tags, run_checks
from django.db import connection

from poms_site import checks


def manage(tmp_path: Any, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py in a process of its own, as a person would, against a server."""
    return subprocess.run(
        [sys.executable, "manage.py", *words], cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60,
        env={**os.environ, "DATABASE_URL": url, "POMS_STATE": str(tmp_path), "DJANGO_SETTINGS_MODULE": "poms_site.settings"},
    )  # fmt: skip


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def test_a_server_that_does_not_answer_is_named(tmp_path):
    ended = manage(tmp_path, f"postgres://poms:secret@127.0.0.1:{closed_port()}/poms", "check", "--database", "default")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "The PostgreSQL server does not answer" in said
    assert "127.0.0.1" in said
    assert "leave it unset for the embedded server" in said
    assert "Traceback" not in said
    assert "secret" not in said


@pytest.mark.parametrize("url", ["mysql://u:secret@127.0.0.1/poms", "sqlite:///poms.db"])
def test_a_server_that_is_not_postgresql_is_refused(tmp_path, url):
    ended = manage(tmp_path, url, "check", "--database", "default")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert f"DATABASE_URL names a {url.partition(':')[0]} server; POMS runs on PostgreSQL only." in said
    assert "Traceback" not in said
    assert "secret" not in said


@pytest.mark.parametrize("url", ["nonsense", "postgres://"])
def test_an_address_that_is_none_is_refused_without_a_traceback(tmp_path, url):
    ended = manage(tmp_path, url, "check", "--database", "default")
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "Traceback" not in said, said
    assert "DATABASE_URL" in said


@pytest.mark.django_db
def test_a_server_that_is_too_old_is_refused(monkeypatch):
    assert checks.explain_database() is None
    monkeypatch.setattr(checks, "OLDEST_POSTGRESQL", 990000)
    text, hint = checks.explain_database()
    assert "POMS needs 99 or newer" in text
    assert f"is PostgreSQL {connection.pg_version // 10000};" in text
    assert "Upgrade" in hint
    assert [found.id for found in run_checks(tags=[Tags.database], databases=["default"])] == ["poms.E003"]


def test_no_server_at_all_is_said(settings):
    settings.DATABASE_URL = ""
    assert checks.explain_database()[0] == "No database is configured."


def test_our_own_settings_pass():
    assert [found for found in run_checks() if found.id.startswith("poms.")] == []


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"queue_limit": 5, "retry": 5000}, "queue_limit must equal workers"),
        ({"retry": 234}, "retry must exceed timeout"),
        ({"guard_cycle": 7}, "guard_cycle must divide timeout + 3"),
        ({"bulk": 10}, "bulk must be 1"),
        ({"orm": "other"}, "orm 'default'"),
        ({"max_attempts": 0}, "max_attempts must be 1"),
        ({"ack_failures": False}, "ack_failures"),
        ({"catch_up": True}, "catch_up must be off"),
        ({"timeout": 57, "retry": 600}, "POMS_STATEMENT_SECONDS must be below the task timeout"),
    ],
)
def test_a_queue_that_is_not_safe_is_refused(settings, wrong, text):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, **wrong}
    found = [message for message in run_checks() if message.id == "poms.E002"]
    assert len(found) == 1
    assert text in found[0].msg
    assert found[0].is_serious()


def test_statements_that_outlive_their_task_are_refused(settings):
    settings.STATEMENT_SECONDS = settings.Q_CLUSTER["timeout"]
    assert [message.id for message in run_checks()] == ["poms.E002"]
