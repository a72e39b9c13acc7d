"""COPY into the database; the only module that knows the driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg2
from django.db import connection

DRIVER = psycopg2.__name__

A_PIECE = 64 * 1024  # characters that are sent at once
# The backslash first, for the others bring one. Not str.translate: that takes ten times as long for long texts.
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\ufffd"))


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """COPY rows of plain values (None is NULL) into a table in the caller's transaction; return how many."""
    text = _Text(rows)
    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(  # the driver's own cursor below Django's
            f"COPY {table} ({', '.join(columns)}) FROM STDIN", text
        )
    return text.rows


class _Text:
    """Rows as the text of COPY, made while it is read: the server takes in the first while we write the next."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self.rows = 0
        self._rows = iter(rows)

    def read(self, _size: int = -1) -> str:
        """Return the next piece; empty at the end."""
        pieces, length = [], 0
        for row in self._rows:
            line = "\t".join(["\\N" if v is None else _escaped(str(v)) for v in row])
            pieces.append(f"{line}\n")
            self.rows += 1
            length += len(line)
            if length > A_PIECE:
                break
        return "".join(pieces)


def _escaped(text: str) -> str:
    for mark, written in _ESCAPES:
        if mark in text:
            text = text.replace(mark, written)
    return text


def temporary_table(name: str, columns: str) -> None:
    """Make an empty temporary table that is gone at the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS")
        cursor.execute(f"TRUNCATE {name}")
