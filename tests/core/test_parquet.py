"""Parquet files: what is written is read again by a reader that was written from the specification."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import parquet
from tests.parquet import read

COLUMNS = [("name", "text"), ("n", "whole"), ("x", "number"), ("at", "moment")]
ROWS = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
    max_size=40,
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(ROWS, st.integers(1, 9))
def test_what_is_written_is_read_again(rows, group):
    columns, found = read(b"".join(parquet.written(COLUMNS, rows, group)))
    assert columns == [("name", 6, 0), ("n", 2, None), ("x", 5, None), ("at", 2, 10)]
    assert found == [
        [name, n, x, None if at is None else (at - EPOCH) // timedelta(microseconds=1)] for name, n, x, at in rows
    ]


def test_a_moment_is_in_utc_whatever_its_zone():
    at = datetime(2026, 12, 1, 3, 0, tzinfo=timezone(timedelta(hours=-6)))
    _, [[found]] = read(b"".join(parquet.written([("at", "moment")], [[at]])))
    assert EPOCH + timedelta(microseconds=found) == at


def test_halves_of_letters_are_replaced_and_break_nothing():
    _, [[found]] = read(b"".join(parquet.written([("t", "text")], [["a\ud800b"]])))
    assert found == "a?b"


def test_many_columns_and_no_rows_are_a_file():
    columns, rows = read(b"".join(parquet.written([(f"c{n}", "whole") for n in range(40)], [])))
    assert (len(columns), rows) == (40, [])


@pytest.mark.parametrize("number", [200_000])
def test_memory_does_not_grow_with_the_rows(number):
    tracemalloc.start()
    size = sum(map(len, parquet.written([("n", "whole"), ("t", "text")], ([n, "node"] for n in range(number)), 2_000)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 100_000
    assert most < 4_000_000
