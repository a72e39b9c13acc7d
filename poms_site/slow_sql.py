"""Statements that take long are logged, without their values: these may be about people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db.backends.signals import connection_created

log = structlog.get_logger()

LONGEST_SQL = 4000


def watch(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Run a statement and log it if it was slow, also where it failed, as it does at its time limit.

    The line bears the id of the request or of the loop's run by the log's own context.
    """
    begun = time.monotonic()
    try:
        return execute(sql, params, many, context)
    finally:
        took = (time.monotonic() - begun) * 1000
        if 0 < settings.SLOW_MS < took:
            log.warning("sql.slow", ms=round(took), sql=" ".join(str(sql).split())[:LONGEST_SQL])


def install(connection: Any, **kwargs: Any) -> None:
    """Watch a connection that was just made, once; it keeps its wrappers when it is made anew."""
    if settings.SLOW_MS > 0 and watch not in connection.execute_wrappers:
        connection.execute_wrappers.append(watch)


def begin() -> None:
    """Watch every connection that this process makes from now on: of the web, of workers and of commands."""
    connection_created.connect(install, dispatch_uid="poms.slow_sql")
