"""What every catalogue must offer: datasets, files, and what a submission has produced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class FileSeen:
    """One file as a catalogue knows it."""

    name: str
    path: str
    size: int = 0
    checksum: str = ""
    events: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    parents: Sequence[str] = ()


@dataclass(frozen=True)
class Produced:
    """What one job left: the units that it worked on and the outputs, already located."""

    job: str
    units: Sequence[str]
    outputs: Sequence[FileSeen]


class Catalogue(Protocol):
    """A catalogue of one experiment. Every call raises only integrations.errors.OutsideError."""

    def count(self, dataset: str) -> int | None:
        """Return how many files a dataset has now, or None if there is no such dataset."""
        ...

    def files(self, dataset: str) -> Sequence[FileSeen]:
        """Return the files of a dataset now."""
        ...

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that the catalogue has a file of."""
        ...

    def like(self, patterns: str, limit: int) -> list[str]:
        """Return names of files that match one of the SQL LIKE patterns, separated by commas; at most `limit`."""
        ...

    def query(self, text: str) -> list[str]:
        """Return the names of files that a query in the catalogue's language finds; Refused if it cannot be read."""
        ...

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a dataset of these files; the same again changes nothing."""
        ...

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of a dataset that cannot be read at once: on tape only, or gone; at most `limit`."""
        ...

    def produced(self, place: str, uuid: str) -> list[Produced]:
        """Return what the jobs of a submission left and where it lies; only files that are really there."""
        ...

    def place(self, path: str) -> Path | None:
        """Return where the bytes of a file are on this machine, or None where they cannot be read from here."""
        ...

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files with their parentage; return name -> why for those that are refused."""
        ...
