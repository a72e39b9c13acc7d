"""The one place that knows what time it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

_shift: timedelta | None = None


def now() -> datetime:
    """Return the present time in UTC, or the time that a test has set."""
    real = datetime.now(UTC)
    return real + _shift if _shift is not None else real


def due(after: timedelta = timedelta()) -> CombinedExpression | Now:
    """Return the database's time plus a span, for an update: leases and dates go by its clock alone (F15)."""
    return Now() + after if after else Now()


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Move this process's clock by the given span, for tests."""
    global _shift  # noqa: PLW0603 - one clock for the process is the point of this module
    before, _shift = _shift, (_shift or timedelta()) + by
    try:
        yield
    finally:
        _shift = before
