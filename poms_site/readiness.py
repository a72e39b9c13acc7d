"""Whether this process can serve: its database answers within a second and has every table that the code needs."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

PATIENCE = 0.9  # seconds: what asks us gives up after one

SILENT = "The database does not answer within a second."
AWAY = "The database does not answer."

# One thread, whose connection may hang without anybody hanging with it: a cut line is noticed by nobody for long.
_asker = ThreadPoolExecutor(1, thread_name_prefix="readiness")
_lock = threading.Lock()
_asked: Future[str] | None = None


def unready() -> str:
    """Return in a sentence why this process cannot serve, empty if it can; within a second, whatever hangs.

    Whoever asks while somebody else's question is on its way gets the same answer, so that asking costs the database
    no more than one connection however many do.
    """
    global _asked  # noqa: PLW0603 - one question at a time for the whole process
    with _lock:
        if _asked is None or _asked.done():
            _asked = _asker.submit(_look)
        asked = _asked
    try:
        return asked.result(timeout=PATIENCE)
    except TimeoutError:
        return SILENT


def _look() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '900ms'")
        missing = _needed() - set(MigrationRecorder(connection).applied_migrations())
    except Error:  # what exactly is in the database's own log; strangers are told no more
        return AWAY
    finally:
        connection.close()
    if missing:
        return f"The database lacks {len(missing)} of the code's migrations: run manage.py migrate."
    return ""


@cache
def _needed() -> frozenset[tuple[str, str]]:
    """Return the migrations that this code comes with; a database may have newer ones (a rolling upgrade)."""
    return frozenset(MigrationLoader(None).disk_migrations)
