"""Reads Parquet files of flat tables, written from the specification and not from our writer: what a reader must find.

Thrift's compact protocol comes as dictionaries by the number of the field.
"""

from __future__ import annotations

import gzip
import struct
from typing import Any


class Thrift:
    """Reads structures from bytes."""

    def __init__(self, raw: bytes, place: int = 0) -> None:
        self.raw, self.place = raw, place

    def byte(self) -> int:
        self.place += 1
        return self.raw[self.place - 1]

    def varint(self) -> int:
        found = shift = 0
        while True:
            octet = self.byte()
            found |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return found

    def whole(self) -> int:
        raw = self.varint()
        return raw >> 1 ^ -(raw & 1)

    def value(self, kind: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            return self.whole()
        if kind == 8:
            size = self.varint()
            self.place += size
            return self.raw[self.place - size : self.place]
        if kind == 9:
            head = self.byte()
            size = self.varint() if head >> 4 == 15 else head >> 4
            return [self.value(head & 15) for _ in range(size)]
        assert kind == 12, f"no kind that is used here: {kind}"
        return self.struct()

    def struct(self) -> dict[int, Any]:
        found, number = {}, 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.whole()
            found[number] = self.value(head & 15)
        return found


def read(raw: bytes) -> tuple[list[tuple[str, int, Any]], list[list[Any]]]:
    """Return the columns (name, physical type, what it stands for) and the rows of a file."""
    assert raw[:4] == raw[-4:] == b"PAR1"
    size = struct.unpack("<I", raw[-8:-4])[0]
    footer = Thrift(raw[-8 - size : -8]).struct()
    root, *elements = footer[2]
    assert root[5] == len(elements)
    assert all(element[3] == 1 for element in elements)  # each may be empty
    rows: list[list[Any]] = []
    for group in footer[4]:
        columns = [_column(raw, chunk[3], element) for chunk, element in zip(group[1], elements, strict=True)]
        assert all(len(column) == group[3] for column in columns)
        rows += [list(row) for row in zip(*columns, strict=True)]
    assert len(rows) == footer[3]
    return [(e[4].decode(), e[1], e.get(6)) for e in elements], rows


def _column(raw: bytes, about: dict[int, Any], element: dict[int, Any]) -> list[Any]:
    assert about[3] == [element[4]] and about[4] == 2 and about[1] == element[1]
    reader = Thrift(raw, about[9])
    header = reader.struct()
    assert header[1] == 0 and header[5][2] == 0 and header[5][3] == 3
    page = gzip.decompress(raw[reader.place : reader.place + header[3]])
    assert len(page) == header[2]
    assert about[7] == reader.place - about[9] + header[3]
    there, place = _levels(page, header[5][1])
    return _values(page, place, about[1], there)


def _levels(page: bytes, number: int) -> tuple[list[bool], int]:
    """Read runs and bit-packed groups of one bit a value."""
    size = struct.unpack("<I", page[:4])[0]
    reader, found = Thrift(page, 4), []
    while reader.place < 4 + size:
        head = reader.varint()
        if head & 1:
            for _ in range(head >> 1):
                octet = reader.byte()
                found += [bool(octet >> bit & 1) for bit in range(8)]
        else:
            found += [bool(reader.byte())] * (head >> 1)
    return found[:number], 4 + size


def _values(page: bytes, place: int, kind: int, there: list[bool]) -> list[Any]:
    found: list[Any] = []
    for one in there:
        if not one:
            found.append(None)
            continue
        value, place = _plain(page, place, kind)
        found.append(value)
    assert place == len(page)
    return found


def _plain(page: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind == 6:
        size = struct.unpack("<I", page[place : place + 4])[0]
        return page[place + 4 : place + 4 + size].decode(), place + 4 + size
    return struct.unpack("<q" if kind == 2 else "<d", page[place : place + 8])[0], place + 8
