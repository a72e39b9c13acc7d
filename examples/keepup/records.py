"""Files of records: a line of JSON on what is in them, one for each event, and a checksum of both at the end."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class DamagedFileError(Exception):
    """A file of records is cut off, or is not what its checksum says."""


def write(path: Path, about: Record, events: Iterable[Record]) -> str:
    """Write a file and return its checksum; nobody ever sees half of it under its name."""
    lines = [json.dumps(record, sort_keys=True, separators=(",", ":")) for record in (about, *events)]
    text = "".join(f"{line}\n" for line in lines)
    checksum = checksum_of(text)
    replace(path, f"{text}{checksum}\n")
    return checksum


def checksum_of(text: str) -> str:
    """Return the checksum that stands at the end of a file whose records are this text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def replace(path: Path, text: str) -> None:
    """Put text under a name in one step."""
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read(path: Path) -> tuple[Record, list[Record]]:
    """Return what a file says of itself, and its events; raises DamagedFileError."""
    text = path.read_text(encoding="utf-8", errors="replace")
    body, _, checksum = text.removesuffix("\n").rpartition("\n")
    if checksum_of(f"{body}\n") != checksum:
        raise DamagedFileError(f"{path.name} is damaged: its records do not have the checksum at its end")
    about, *events = map(json.loads, body.splitlines())
    return about, events
