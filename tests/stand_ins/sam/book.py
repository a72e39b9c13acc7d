"""What the stand-in for SAM holds: files, definitions, snapshots and projects, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from integrations.catalogue.metadata import RunOf, moment_of, runs_of


@dataclass
class SamFile:
    """One file; its metadata in SAM's form, without what is said elsewhere here."""

    id: int
    name: str
    size: int = 0
    events: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)
    checksum: str = ""
    tape: str = ""  # where it is, if it is there
    disk: str = ""
    virtual: bool = False
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def bad(self) -> bool:
        return self.metadata.get("content_status") == "bad"

    @property
    def located(self) -> bool:
        return bool(self.tape or self.disk)

    @property
    def runs(self) -> list[RunOf]:
        return runs_of(self.metadata)

    @property
    def start(self) -> datetime | None:
        return moment_of(self.metadata, "start_time")

    @property
    def end(self) -> datetime | None:
        return moment_of(self.metadata, "end_time")


@dataclass
class Definition:
    """A dataset definition."""

    id: int
    name: str
    dims: str
    user: str = ""
    group: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Process:
    """A consumer of a project."""

    id: int
    status: str = "active"
    given: list[int] = field(default_factory=list)


@dataclass
class Project:
    """A snapshot that is being given out; `statuses` of those files that were touched."""

    id: int
    name: str
    definition: str
    snapshot: int
    statuses: dict[int, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True)
class Mass:
    """Very many files that are only made up when one of them is asked for; `first` is the id of the first."""

    prefix: str
    count: int
    first: int

    def name(self, number: int) -> str:
        return f"{self.prefix}_{number:07d}.root"

    def number(self, name: str) -> int | None:
        """Return which of them has a name."""
        digits = name.removeprefix(f"{self.prefix}_").removesuffix(".root")
        found = int(digits) if len(digits) == 7 and digits.isdecimal() else -1
        return found if 0 <= found < self.count and self.name(found) == name else None

    def file(self, number: int) -> SamFile:
        return SamFile(
            self.first + number, self.name(number), 1_000_000 + number, 100,
            {"runs": [[1000 + number // 100, number % 100, "physics"]], "data_tier": "raw",
             "end_time": f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T00:00:00+00:00"},
            disk=f"/pnfs/mass/{number // 1000}",
        )  # fmt: skip

    def rows(self, begin: int, end: int, *, info: bool) -> bytes:
        """Return lines of names, or of names, ids, sizes and events."""
        if not info:
            return "".join(f"{self.name(n)}\n" for n in range(begin, end)).encode()
        return "".join(f"{self.name(n)}\t{self.first + n}\t{1_000_000 + n}\t100\n" for n in range(begin, end)).encode()


class Book:
    """All that the stand-in knows."""

    def __init__(self) -> None:
        self.files: dict[int, SamFile] = {}
        self.ids: dict[str, int] = {}
        self.definitions: dict[str, Definition] = {}
        self.snapshots: dict[int, list[int]] = {}
        self.projects: dict[str, Project] = {}
        self.masses: dict[str, Mass] = {}  # by the definition that is all of one
        self.frozen_masses: dict[int, Mass] = {}
        self.children: dict[str, set[int]] = {}
        self.last = 100

    def number(self) -> int:
        """Return the next id, of whatever kind."""
        self.last += 1
        return self.last

    def add(self, file: SamFile) -> SamFile:
        """Enter a file."""
        self.files[file.id] = file
        self.ids[file.name] = file.id
        for parent in file.parents:
            self.children.setdefault(parent, set()).add(file.id)
        return file

    def find(self, name: str) -> SamFile | None:
        """Return the file of a name, made up where it is one of very many."""
        if name in self.ids:
            return self.files[self.ids[name]]
        for mass in self.masses.values():
            if (number := mass.number(name)) is not None:
                return mass.file(number)
        return None

    def get(self, key: int) -> SamFile | None:
        """Return the file of an id."""
        if key in self.files:
            return self.files[key]
        for mass in self.masses.values():
            if mass.first <= key < mass.first + mass.count:
                return mass.file(key - mass.first)
        return None
