"""Parquet files: what is written is read again, and memory does not grow with the rows."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from poms_site.overview import parquet

COLUMNS = [("name", "text"), ("n", "whole"), ("x", "number"), ("at", "moment")]
AT = datetime(2026, 12, 1, 3, 0, 0, 5, UTC)


def read(columns: list[tuple[str, str]], rows: Any, group: int = 2) -> list[tuple[Any, ...]]:
    table = pa.parquet.read_table(io.BytesIO(b"".join(parquet.written(columns, rows, group))))
    assert table.column_names == [name for name, _ in columns]
    return [tuple(row.values()) for row in table.to_pylist()]


def test_what_is_written_is_read_again_whatever_the_groups():
    rows = [("a", 1, 1.5, AT), (None, None, None, None), ("é", -(2**63), 0.0, AT), ("", 2**63 - 1, None, AT)] * 3
    for group in (1, 2, 5, 100):
        assert read(COLUMNS, rows, group) == rows


def test_a_moment_is_in_utc_whatever_its_zone():
    [(found,)] = read([("at", "moment")], [[AT.astimezone(timezone(timedelta(hours=-6)))]])
    assert (found, found.utcoffset()) == (AT, timedelta(0))


def test_halves_of_letters_are_replaced_and_break_nothing():
    assert read([("t", "text")], [["a\ud800b"]]) == [("a?b",)]


def test_no_rows_are_a_file():
    assert read(COLUMNS, []) == []


@pytest.mark.parametrize("number", [200_000])
def test_a_file_comes_in_pieces_and_memory_does_not_grow_with_the_rows(number):
    before = pa.total_allocated_bytes()
    most, pieces = 0, 0
    for piece in parquet.written([("n", "whole"), ("t", "text")], ([n, f"node{n}"] for n in range(number)), 2_000):
        most, pieces = max(most, pa.total_allocated_bytes() - before), pieces + bool(piece)
    assert pieces > 90
    assert most < 8_000_000
