"""Slow statements are logged with what they belong to and without their values; quick ones are not."""

from __future__ import annotations

import threading

import pytest
import structlog
from django.db import OperationalError, connection, transaction

from poms_site import slow_sql

pytestmark = pytest.mark.django_db


@pytest.fixture
def slow(settings):
    """Log from 20 ms on, and return what was logged."""
    settings.SLOW_MS = 20
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lambda: [line for line in lines if line["event"] == "sql.slow"]


def run(sql: str, *values) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_a_slow_statement_is_logged_once_without_its_values(slow):
    run("SELECT 1")
    with structlog.contextvars.bound_contextvars(request_id="q1"):
        run("SELECT pg_sleep(0.05),\n   %s", "ada@example.org")
    (line,) = slow()
    assert line["sql"] == "SELECT pg_sleep(0.05), %s"
    assert line["ms"] >= 50
    assert (line["log_level"], line["request_id"]) == ("warning", "q1")
    assert "ada" not in str(line)


def test_one_that_fails_after_long_is_logged_too(slow):
    with pytest.raises(OperationalError), transaction.atomic():
        run("SET LOCAL statement_timeout = 50")
        run("SELECT pg_sleep(5)")
    assert [line["sql"] for line in slow()] == ["SELECT pg_sleep(5)"]


def test_nothing_is_logged_where_that_is_turned_off(slow, settings):
    settings.SLOW_MS = 0
    run("SELECT pg_sleep(0.05)")
    assert slow() == []


def test_each_connection_of_each_thread_is_watched_once_also_when_it_is_made_anew(slow):
    found = []

    def elsewhere():
        for _ in range(2):
            run("SELECT 1")
            found.append(connection.execute_wrappers.count(slow_sql.watch))
            connection.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [1, 1]
