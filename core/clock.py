"""The one place that knows what time it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import connection

_shift: timedelta | None = None


def now() -> datetime:
    """Return the present time in UTC, or the time that a test has set."""
    real = datetime.now(UTC)
    return real + _shift if _shift is not None else real


def database_now() -> datetime:
    """Return the database's wall clock: what leases and orders between hosts go by (reliability F15)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Move this process's clock by the given span, for tests."""
    global _shift  # noqa: PLW0603 - one clock for the process is the point of this module
    before, _shift = _shift, (_shift or timedelta()) + by
    try:
        yield
    finally:
        _shift = before
