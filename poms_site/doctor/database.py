"""The database of an installation: it answers, its tables are as the code wants them and ours, its clock is as ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from core.clock import now
from poms_site.checks import explain_database
from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding, few
from poms_site.overview import words

MOST_SKEW = timedelta(seconds=2)
_FOREIGN = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1
"""


def answers() -> Iterator[Finding]:
    """See that the server answers and is new enough."""
    if trouble := explain_database():
        yield Finding("database", BROKEN, *trouble)
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_database()")
        version, name = cursor.fetchone()
    yield Finding("database", WELL, f"PostgreSQL {version.split()[0]} answers for the database {name}.")


def tables() -> Iterator[Finding]:
    """See that every migration is applied, and that the tables are ours: partitions are made each month."""
    executor = MigrationExecutor(connection)
    missing = [str(step) for step, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        yield Finding(
            "tables", BROKEN, f"{words.count(len(missing), 'migration')} not applied: {few(missing)}.",
            "Run `manage.py migrate` with the code that runs here.",
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN)
        foreign = [name for (name,) in cursor.fetchall()]
    if foreign:
        yield Finding(
            "tables", BROKEN, f"{words.count(len(foreign), 'table')} owned by another role: {few(foreign)}.",
            "Let the role of DATABASE_URL own them (ALTER TABLE … OWNER TO …), or the next month gets no partitions.",
        )  # fmt: skip
    if not missing and not foreign:
        yield Finding("tables", WELL, "Every migration is applied, and the tables are our own.")


def clocks() -> Iterator[Finding]:
    """Compare this host's clock with the database's, by which leases and dates go."""
    asked = now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        there = cursor.fetchone()[0]
    yield compare_clocks(asked, there, now())


def compare_clocks(asked: datetime, there: datetime, answered: datetime) -> Finding:
    """Judge the database's time by when it was asked for and when the answer came."""
    apart = max(asked - there, there - answered, timedelta())
    if apart <= MOST_SKEW:
        return Finding("clocks", WELL, "The clocks of this host and of the database agree.")
    way = "ahead of" if there < asked else "behind"
    return Finding(
        "clocks", WARNING, f"The clock of this host is {apart.total_seconds():.1f} s {way} the database's.",
        "Synchronise both hosts by NTP (chrony).",
    )  # fmt: skip
