"""Locks: advisory ones that belong to a session, and the claim of due rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection, models

M = TypeVar("M", bound=models.Model)


@contextmanager
def session_locks(names: Sequence[str]) -> Iterator[set[str]]:
    """Hold those of the named advisory locks that are free now; give the names that were got.

    They belong to the database session and so end with the process, however it ends (design 6.2). Workers
    must therefore reach PostgreSQL directly or through a session pool.
    """
    if not names:
        yield set()
        return
    ordered = sorted(set(names))
    with connection.cursor() as cursor:
        cursor.execute("SELECT n, pg_try_advisory_lock(hashtextextended(n, 0)) FROM unnest(%s::text[]) n", [ordered])
        got = {name for name, free in cursor.fetchall() if free}
    try:
        yield got
    finally:
        if got and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_unlock(hashtextextended(n, 0)) FROM unnest(%s::text[]) n",
                    [sorted(got)],
                )


@contextmanager
def session_lock(name: str) -> Iterator[bool]:
    """Hold one advisory lock if it is free now; give whether it was got."""
    with session_locks([name]) as got:
        yield name in got


def transaction_lock(name: str) -> None:
    """Wait for a named advisory lock, and hold it until the caller's transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def claim(rows: models.QuerySet[M], limit: int) -> list[M]:
    """Lock up to `limit` rows that nobody else holds, inside the caller's transaction."""
    of: dict[str, Any] = {"skip_locked": True, "of": ("self",), "no_key": True}
    return list(rows.select_for_update(**of)[:limit])
