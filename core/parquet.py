"""Writes Parquet files of flat tables, a group of rows at a time. Pure: the format is small and stable.

Every column may be empty in a row. Values are plain, pages are compressed by gzip, which every reader knows; the
footer is Thrift's compact protocol (https://parquet.apache.org/docs/file-format, decision 34).
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

MAGIC = b"PAR1"
GROUP = 20_000  # rows that are in memory at once
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN, _RLE, _GZIP, _OPTIONAL = 0, 3, 2, 1


class Kind(NamedTuple):
    """How values of a column are stored: Parquet's physical type, what it stands for (or None), and its bytes."""

    type: int
    meaning: int | None
    write: Callable[[Any], bytes]


def _text(value: Any) -> bytes:
    raw = str(value).encode(errors="replace")
    return struct.pack("<I", len(raw)) + raw


def _moment(value: datetime) -> bytes:
    since = value.astimezone(UTC) - _EPOCH
    return struct.pack("<q", (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


KINDS = {
    "text": Kind(6, 0, _text),  # BYTE_ARRAY, UTF8
    "whole": Kind(2, None, lambda value: struct.pack("<q", value)),  # INT64
    "number": Kind(5, None, lambda value: struct.pack("<d", value)),  # DOUBLE
    "moment": Kind(2, 10, _moment),  # INT64, TIMESTAMP_MICROS: in UTC
}


def written(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], group: int = GROUP) -> Iterator[bytes]:
    """Yield a Parquet file in pieces; `columns` are pairs of a name and one of KINDS, None is an empty value."""
    yield MAGIC
    place, total, groups = len(MAGIC), 0, []
    for chunk in _chunks(rows, group):
        chunks, size = [], 0
        for number, (name, kind) in enumerate(columns):
            page, plain = _page(KINDS[kind], [row[number] for row in chunk])
            chunks.append(_column_chunk(name, KINDS[kind], len(chunk), (place, plain, len(page))))
            size += plain
            place += len(page)
            yield page
        groups.append(_struct((1, _list(12, chunks)), (2, _i64(size)), (3, _i64(len(chunk)))))
        total += len(chunk)
    schema = [_struct((4, _binary(b"row")), (5, _i32(len(columns))))]
    schema += [_element(name, KINDS[kind]) for name, kind in columns]
    footer = _struct(
        (1, _i32(1)), (2, _list(12, schema)), (3, _i64(total)), (4, _list(12, groups)), (6, _binary(b"POMS"))
    )
    yield footer + struct.pack("<I", len(footer)) + MAGIC


def _chunks(rows: Iterable[Sequence[Any]], size: int) -> Iterator[list[Sequence[Any]]]:
    found: list[Sequence[Any]] = []
    for row in rows:
        found.append(row)
        if len(found) == size:
            yield found
            found = []
    if found:
        yield found


def _page(kind: Kind, values: Sequence[Any]) -> tuple[bytes, int]:
    """Return one column of a group of rows as a page with its header, and how large it is uncompressed."""
    levels = b"".join(
        _varint(len(list(run)) << 1) + bytes([there]) for there, run in groupby(value is not None for value in values)
    )
    plain = struct.pack("<I", len(levels)) + levels
    plain += b"".join(kind.write(value) for value in values if value is not None)
    packed = gzip.compress(plain, compresslevel=6, mtime=0)
    about = _struct((1, _i32(len(values))), (2, _i32(_PLAIN)), (3, _i32(_RLE)), (4, _i32(_RLE)))
    header = _struct((1, _i32(0)), (2, _i32(len(plain))), (3, _i32(len(packed))), (5, (12, about)))
    return header + packed, len(header) + len(plain)


def _column_chunk(name: str, kind: Kind, rows: int, sizes: tuple[int, int, int]) -> bytes:
    """Say where a page stands in the file, and how large it is: plain and packed."""
    place, plain, packed = sizes
    about = _struct(
        (1, _i32(kind.type)), (2, _list(5, [_zigzag(_PLAIN), _zigzag(_RLE)])), (3, _list(8, [_counted(name.encode())])),
        (4, _i32(_GZIP)), (5, _i64(rows)), (6, _i64(plain)), (7, _i64(packed)), (9, _i64(place)),
    )  # fmt: skip
    return _struct((2, _i64(place)), (3, (12, about)))


def _element(name: str, kind: Kind) -> bytes:
    fields = [(1, _i32(kind.type)), (3, _i32(_OPTIONAL)), (4, _binary(name.encode()))]
    if kind.meaning is not None:
        fields += [(6, _i32(kind.meaning)), (10, (12, _LOGICAL[kind.meaning]))]
    return _struct(*fields)


# --- Thrift's compact protocol: a field is its type and its bytes -------------------------------------------------

Field = tuple[int, bytes]


def _struct(*fields: tuple[int, Field]) -> bytes:
    found, before = b"", 0
    for number, (type_, raw) in fields:
        found += bytes([(number - before) << 4 | type_]) + raw
        before = number
    return found + b"\0"


def _list(type_: int, items: Sequence[bytes]) -> Field:
    head = bytes([len(items) << 4 | type_]) if len(items) < 15 else bytes([0xF0 | type_]) + _varint(len(items))
    return 9, head + b"".join(items)


def _i32(value: int) -> Field:
    return 5, _zigzag(value)


def _i64(value: int) -> Field:
    return 6, _zigzag(value)


def _binary(raw: bytes) -> Field:
    return 8, _counted(raw)


def _counted(raw: bytes) -> bytes:
    return _varint(len(raw)) + raw


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 ^ value >> 63)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


# The same meanings in the words of newer readers: a string; microseconds since the epoch in UTC.
_EMPTY = _struct()
_MICROS = _struct((1, (1, b"")), (2, (12, _struct((2, (12, _EMPTY))))))
_LOGICAL = {0: _struct((1, (12, _EMPTY))), 10: _struct((8, (12, _MICROS)))}
