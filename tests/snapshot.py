"""Rows that many tests begin with: made once by the code that makes them, put back into each test's transaction."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.apps import apps
from django.db import connection

T = TypeVar("T")


@dataclass
class Snapshot:
    """What `make` returned, and the rows that it made, as PostgreSQL writes them out."""

    made: Any
    rows: dict[str, str]
    beneath: str


_kept: dict[str, Snapshot] = {}


def begin_with(name: str, make: Callable[[], T]) -> T:
    """Return what `make` returns, with its rows in the database; after the first time without doing it again.

    The caller's test is in a transaction that is rolled back. What lies beneath (permissions, content types) gets
    other keys when a test with real commits has emptied the tables: then it is made anew.
    """
    beneath = _beneath()
    kept = _kept.get(name)
    if kept is None or kept.beneath != beneath:
        before = _written()
        made = make()
        rows = {table: _added(before.get(table, ""), text) for table, text in _written().items()}
        kept = _kept[name] = Snapshot(copy.deepcopy(made), {t: text for t, text in rows.items() if text}, beneath)
        return made
    with connection.cursor() as cursor:
        # As they were written out: no trigger makes anything of them a second time.
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, text in kept.rows.items():
            cursor.copy_expert(f'COPY "{table}" ({_columns(table)}) FROM STDIN', io.StringIO(text))
        cursor.execute("SET LOCAL session_replication_role = origin")
    found: T = copy.deepcopy(kept.made)
    return found


def _tables() -> list[str]:
    names = {model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.managed}
    return sorted(names & set(connection.introspection.table_names()) | {"core_transition"})


@cache
def _columns(table: str) -> str:
    """Return the columns that can be written: what the database works out for itself cannot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            [table],
        )
        return str(cursor.fetchone()[0])


def _written() -> dict[str, str]:
    found = {}
    with connection.cursor() as cursor:
        for table in _tables():
            sink = io.StringIO()
            cursor.copy_expert(f'COPY (SELECT {_columns(table)} FROM "{table}") TO STDOUT', sink)
            found[table] = sink.getvalue()
    return found


def _added(before: str, after: str) -> str:
    """Return the lines that came; what lay beneath must be as it was, for only what came is put back."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert new[: len(old)] == old, "what is made changes rows that were there before"
    return "".join(new[len(old) :])


def _beneath() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), min(id), max(id), (SELECT max(id) FROM django_content_type) FROM auth_permission"
        )
        return str(cursor.fetchone())
