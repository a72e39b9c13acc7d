"""System checks: the driver, the database server, and queue settings under which nothing runs twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection

from submissions.fairness import depth_of

OLDEST_POSTGRESQL = 150000


@register(Tags.database)
def database_serves(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The server answers, is PostgreSQL and is new enough."""
    if not databases or "default" not in databases:
        return []
    trouble = explain_database()
    return [Error(trouble[0], hint=trouble[1], id="poms.E003")] if trouble else []


def explain_database() -> tuple[str, str] | None:
    """Return what is wrong with the configured server and what to do, or None if all is well."""
    hint = "Set DATABASE_URL to postgres://user:password@host:5432/name, or leave it unset for the embedded server."
    if not settings.DATABASE_URL:
        return "No database is configured.", f"{hint} `make run` and `make demo` start the embedded one."
    scheme = settings.DATABASE_URL.partition(":")[0]
    if scheme not in ("postgres", "postgresql", "pgsql", "psql"):
        return f"DATABASE_URL names a {scheme} server; POMS runs on PostgreSQL only.", hint
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0])
    except (DatabaseError, ImproperlyConfigured) as error:
        return f"The PostgreSQL server does not answer: {str(error).strip()}", hint
    if version < OLDEST_POSTGRESQL:
        return (
            f"The server is PostgreSQL {version // 10000}; POMS needs {OLDEST_POSTGRESQL // 10000} or newer.",
            "Upgrade the server, or name another one in DATABASE_URL.",
        )
    return None


@register()
def driver_is_psycopg2(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django prefers psycopg 3 where both are installed; core.bulk speaks psycopg2."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: PLC0415 - loads the driver

    if is_psycopg3:
        return [
            Error(
                "The database driver is psycopg 3.",
                hint="Uninstall psycopg; POMS uses psycopg2.",
                id="poms.E001",
            )
        ]
    return []


@register()
def queue_is_safe(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The rules of ecosystem.md section 2: no bell rings twice, no dead task is tried for ever."""
    q = settings.Q_CLUSTER
    after_timeout = (q["timeout"] + 3) / q["guard_cycle"]
    rules = [
        (
            q["queue_limit"] == q["workers"],
            "queue_limit must equal workers (tasks wait in memory under a lock)",
        ),
        (
            q["retry"] > q["timeout"] * (q["queue_limit"] / q["workers"] + 1),
            "retry must exceed timeout x (queue_limit / workers + 1), or a task runs twice",
        ),
        (
            after_timeout == int(after_timeout),
            "guard_cycle must divide timeout + 3, or a hung task is never ended",
        ),
        (
            q["bulk"] == 1 and q["orm"] == "default",
            "bulk must be 1 and orm 'default' (bells ring in our transactions)",
        ),
        (
            q["max_attempts"] == 1 and q["ack_failures"],
            "max_attempts must be 1 with ack_failures: our rows decide",
        ),
        (not q["catch_up"], "catch_up must be off"),
        (q["timeout"] > settings.STATEMENT_SECONDS, "POMS_STATEMENT_SECONDS must be below the task timeout"),
    ]
    return [Error(f"Q_CLUSTER: {text}.", id="poms.E002") for holds, text in rules if not holds]


@register()
def line_can_be_read(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What the order of waiting work goes by can be read."""
    found: list[CheckMessage] = []
    try:
        depth_of(settings.QUEUE_DEPTH, 1)
    except ValueError as error:
        found.append(Error(f"POMS_QUEUE_DEPTH: {error}.", hint="0 is no limit.", id="poms.E004"))
    if not 0 <= settings.QUEUE_AGEING <= 1000:
        found.append(Error("POMS_QUEUE_AGEING is not between 0 and 1000 points an hour.", id="poms.E005"))
    return found
