"""System checks: the driver, the database server, and queue settings under which nothing runs twice."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection

from experiments.claims import BadMapping, rules_of, step_ups_of
from integrations.people import openid
from integrations.people.ferry import roles_of
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
def people_can_sign_in(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """There is a way in, and what is configured of it can be read."""
    found: list[CheckMessage] = []
    if not (settings.LOCAL_PASSWORDS or openid.is_set_up()):
        found.append(Warning(
            "Nobody can sign in: there is neither a provider of sign-in nor are passwords allowed.",
            hint="Set POMS_OIDC_ISSUER and POMS_OIDC_CLIENT_ID, or POMS_LOCAL_PASSWORDS=1.", id="poms.W004",
        ))  # fmt: skip
    if openid.is_set_up() and not settings.OIDC_RP_CLIENT_SECRET:
        found.append(Error("POMS_OIDC_CLIENT_SECRET is empty.", hint="POMS_OIDC_CLIENT_SECRET_FILE may name a file.",
                           id="poms.E005"))  # fmt: skip
    if settings.OIDC_RP_SIGN_ALGO not in openid.ALGORITHMS:
        known = ", ".join(openid.ALGORITHMS)
        found.append(Error(f"POMS_OIDC_ALGORITHM: {settings.OIDC_RP_SIGN_ALGO} is not one of {known}.", id="poms.E006"))
    readers: tuple[tuple[str, Callable[[], object]], ...] = (
        ("POMS_OIDC_ROLES", lambda: rules_of(settings.OIDC_ROLES)),
        ("POMS_OIDC_STEP_UP", lambda: step_ups_of(settings.OIDC_STEP_UP)),
        ("POMS_FERRY_ROLES", lambda: roles_of(settings.FERRY_ROLES)),
    )
    for name, read in readers:
        try:
            read()
        except BadMapping as error:
            found += [Error(f"{name}: {line}", id="poms.E007") for line in error.wrong]
    for network in settings.TRUSTED_PROXIES:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            found.append(Error(f"POMS_TRUSTED_PROXIES: {network!r} is no address or network.", id="poms.E008"))
    return found


@register()
def line_can_be_read(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What the order of waiting work goes by can be read."""
    found: list[CheckMessage] = []
    try:
        depth_of(settings.QUEUE_DEPTH, 1)
    except ValueError as error:
        found.append(Error(f"POMS_QUEUE_DEPTH: {error}.", hint="0 is no limit.", id="poms.E009"))
    if not 0 <= settings.QUEUE_AGEING <= 1000:
        found.append(Error("POMS_QUEUE_AGEING is not between 0 and 1000 points an hour.", id="poms.E010"))
    return found
