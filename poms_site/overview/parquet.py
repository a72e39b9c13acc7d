"""Writes rows as a Parquet file, a group at a time; the only module that knows the library."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

GROUP = 20_000  # rows that are in memory at once
KINDS = {"text": pa.string(), "whole": pa.int64(), "number": pa.float64(), "moment": pa.timestamp("us", tz="UTC")}


def written(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], group: int = GROUP) -> Iterator[bytes]:
    """Yield a Parquet file in pieces; `columns` are pairs of a name and one of KINDS, None is an empty value."""
    schema = pa.schema([(name, KINDS[kind]) for name, kind in columns])
    sink, left = io.BytesIO(), iter(rows)
    with ParquetWriter(pa.PythonFile(_Onward(sink), mode="w"), schema) as writer:
        while chunk := list(islice(left, group)):
            values = [
                pa.array([_plain(row[number], kind) for row in chunk], KINDS[kind])
                for number, (_, kind) in enumerate(columns)
            ]
            writer.write_table(pa.Table.from_arrays(values, schema=schema))
            yield _taken(sink)
    yield _taken(sink)


class _Onward(io.RawIOBase):
    """A file that only goes on: what was written is taken from it meanwhile."""

    def __init__(self, sink: io.BytesIO) -> None:
        self.sink = sink
        self.place = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def write(self, piece: Any) -> int:
        self.place += len(piece)
        return self.sink.write(piece)


def _plain(value: Any, kind: str) -> Any:
    """Return a value as the library takes it; halves of letters, which no file can hold, are replaced."""
    return str(value).encode(errors="replace").decode() if kind == "text" and value is not None else value


def _taken(sink: io.BytesIO) -> bytes:
    piece = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return piece
