"""What the ledger and its answers are kept for: partitions made ahead of time, and dropped when nothing needs them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db import OperationalError, connection, transaction

from core import rates, transitions
from core.clock import now
from core.ledger import JOBS, PARTITION
from core.models import RequestKey, Seal

MONTHS_AHEAD = 2
REQUEST_KEY_DAYS = 30
ACTOR = "loop:retain"


def retain() -> None:
    """Make the coming months' partitions; forget old request keys, and who did how much a minute ago."""
    make_partitions(now().date())
    rates.forget()
    RequestKey.objects.filter(created_at__lt=now() - timedelta(days=REQUEST_KEY_DAYS)).delete()


def make_partitions(today: date) -> None:
    """Make the partitions of job transitions for this month and the next ones; those that exist stay."""
    month = today.replace(day=1)
    for _ in range(MONTHS_AHEAD + 1):
        make_partition(JOBS, month)
        month = following(month)


def make_partition(table: str, month: date) -> None:
    """Make the partition of a month, unless it is there; months are those of UTC."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {table}_{month:%Y_%m} PARTITION OF {table}"
            f" FOR VALUES FROM ('{month} 00:00+00') TO ('{following(month)} 00:00+00')"
        )


def following(month: date) -> date:
    """Return the first day of the month after one."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def partitions_before(table: str, moment: datetime) -> list[date]:
    """Return the months of a table's partitions that ended before a moment, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$' ORDER BY 1",
            [table],
        )
        months = [date(int(name[-7:-3]), int(name[-2:]), 1) for (name,) in cursor.fetchall()]
    return [month for month in months if datetime(*following(month).timetuple()[:3], tzinfo=UTC) <= moment]


def is_sealed(month: date) -> bool:
    """Tell whether every step in a month's partition is under a seal that holds without the partition."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT min(txid), max(txid) FROM {JOBS}_{month:%Y_%m}")  # noqa: S608 - a date
        first, last = cursor.fetchone()
    if first is None:
        return True
    over = Seal.objects.filter(to_txid__gt=first, from_txid__lte=last)
    return Seal.objects.filter(to_txid__gt=last).exists() and not over.filter(parts=None).exists()


def drop_ledger_partition(month: date, reason: str) -> bool:
    """Drop a month of jobs' steps; the ledger says so, and the seals keep its digests. False while it is in use."""
    with transaction.atomic():
        transitions.record(
            [(month.year * 100 + month.month, "kept")], PARTITION, "dropped", experiment_id=None, actor=ACTOR,
            reason=reason, verb="retain",
        )  # fmt: skip
        return drop_partition(JOBS, month)


def drop_partition(table: str, month: date) -> bool:
    """Drop the partition of a month in the caller's transaction, without making its readers and writers wait."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '3s'")
            cursor.execute(f"DROP TABLE {table}_{month:%Y_%m}")
    except OperationalError:  # somebody reads it for longer: the next pass tries again
        transaction.set_rollback(True)
        return False
    return True
