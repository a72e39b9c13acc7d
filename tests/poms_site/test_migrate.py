"""`manage.py migrate` gives a lock up within two seconds, says what to do, and leaves things as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

pytestmark = pytest.mark.django_db
# Undoing this one drops a table, for which nobody may be reading it.
BEFORE, ITS_TABLE = ("core", "0008_failed_in_a_row"), "core_rate"


@contextmanager
def somebody_reads(table: str) -> Iterator[None]:
    """Let another session read a table, and not end its transaction while the block lasts."""
    reading, over = threading.Event(), threading.Event()

    def read() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            reading.set()
            over.wait(60)
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert reading.wait(30)
        yield
    finally:
        over.set()
        reader.join()


def asked(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return str(cursor.fetchone()[0])


def test_a_lock_that_is_not_had_ends_it_soon_with_what_to_do_and_nothing_changed() -> None:
    before = asked("SHOW lock_timeout")
    with somebody_reads(ITS_TABLE):
        began = time.monotonic()
        with (
            pytest.raises(CommandError, match=r"A lock was not had within 2 s.*Run `manage\.py migrate` again"),
            transaction.atomic(),
        ):
            call_command("migrate", *BEFORE, verbosity=0)
        assert 1.9 < time.monotonic() - began < 20
    assert asked(f"SELECT to_regclass('{ITS_TABLE}')") == ITS_TABLE
    assert asked("SELECT count(*) FROM django_migrations WHERE app = 'core' AND name = '0009_rates'") == "1"
    assert asked("SHOW lock_timeout") == before


def test_where_nobody_holds_a_lock_it_does_its_work() -> None:
    with transaction.atomic():
        call_command("migrate", *BEFORE, verbosity=0)
        assert asked(f"SELECT to_regclass('{ITS_TABLE}')") == "None"
        transaction.set_rollback(True)
    assert asked(f"SELECT to_regclass('{ITS_TABLE}')") == ITS_TABLE
