"""Loop `retain`: partitions of the ledger made ahead of time, and answers that nobody will ask for again."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import connection

from core.clock import now
from core.models import RequestKey

MONTHS_AHEAD = 2
REQUEST_KEY_DAYS = 30


def retain() -> int:
    """Make the coming months' partitions and forget old request keys; always one pass."""
    make_partitions(now().date())
    RequestKey.objects.filter(created_at__lt=now() - timedelta(days=REQUEST_KEY_DAYS)).delete()
    return 0


def make_partitions(today: date) -> None:
    """Make the partitions of job transitions for this month and the next ones; those that exist stay."""
    month = today.replace(day=1)
    with connection.cursor() as cursor:
        for _ in range(MONTHS_AHEAD + 1):
            following = (month + timedelta(days=32)).replace(day=1)
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS core_transition_job_{month:%Y_%m} PARTITION OF core_transition_job"
                f" FOR VALUES FROM ('{month}') TO ('{following}')"
            )
            month = following
