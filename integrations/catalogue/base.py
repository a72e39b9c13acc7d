"""What every catalogue must offer: datasets and their files, what became of them, and what an attempt has produced."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

# What catalogues can do beyond naming datasets and files; each says which of these it can.
SNAPSHOTS = "snapshots"  # it freezes a dataset itself, and gives exactly those files later
QUERIES = "queries"  # it has a language of its own for questions about files
LINEAGE = "lineage"  # it knows which file was made from which
CONSUMPTION = "consumption"  # it follows which input was given to a job and used up
RESIDENCE = "residence"  # it knows what is on disk and what on tape only
TRANSFERS = "transfers"  # it brings files to a place that one names
OFFERS = "offers"  # jobs get their inputs from it by the name of a dataset or project

# Where a file is. A name that the catalogue does not know has no entry at all.
ON_DISK, ON_TAPE, NOWHERE = "disk", "tape", "none"

# What became of an input that was given to the jobs of an attempt, in SAM's words (protocols 1.6).
CONSUMED, FAILED, SKIPPED, DELIVERED, TRANSFERRED, UNCONSUMED, CANCELLED, UNKNOWN = FATES = (
    "consumed", "failed", "skipped", "delivered", "transferred", "unconsumed", "cancelled", "unknown",
)  # fmt: skip


NOTHING: Mapping[str, Any] = MappingProxyType({})


class FileSeen(NamedTuple):
    """One file as a catalogue knows it; a tuple, for there are millions of them at a time."""

    name: str
    path: str = ""
    size: int = 0
    checksum: str = ""
    events: int | None = None
    metadata: Mapping[str, Any] = NOTHING
    parents: Sequence[str] = ()
    run: int | None = None  # the first, where it has several
    taken_at: datetime | None = None  # when its data end; of one without data, when it was entered

    @classmethod
    def of_columns(
        cls, names: Sequence[str], sizes: Iterable[int], events: Iterable[int | None]
    ) -> list[FileSeen]:  # fmt: skip
        """Return files of which no more is known than what a list says."""
        same = map(repeat, (NOTHING, (), None, None))
        rows = zip(names, repeat(""), sizes, repeat(""), events, *same)
        return list(map(partial(tuple.__new__, cls), rows))  # as _make does, but a million of them at once


@dataclass(frozen=True)
class Frozen:
    """A dataset as it was at one moment; `mark` is the catalogue's own name for that, empty where it has none."""

    dataset: str
    mark: str
    files: int


@dataclass(frozen=True)
class News:
    """What a dataset has gained since a mark, and the mark from which to ask the next time."""

    files: Sequence[FileSeen]
    mark: str


@dataclass(frozen=True)
class Attempt:
    """One attempt at a slice, as far as a catalogue needs to know it."""

    uuid: str
    offered: str  # under which name its inputs are offered to its jobs
    inputs: Mapping[str, str]  # unit's key -> name of the file
    patterns: str  # of the names of its outputs: SQL LIKE, separated by commas
    version: str  # the release that its jobs run
    since: datetime  # when it was intended; its outputs are later
    place: str = ""  # the folder into which local jobs write


@dataclass(frozen=True)
class Offer:
    """How jobs come by their inputs: the name for the script, and what stands in its environment."""

    dataset: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Produced:
    """What one job left: the units that it worked on and the outputs, already located."""

    job: str
    units: Sequence[str]
    outputs: Sequence[FileSeen]


class Catalogue(Protocol):
    """A catalogue of one experiment.

    Every call is about many files at once, and raises only integrations.errors.OutsideError: an unanswered question
    is never "nothing" and never "one". Acts may be repeated: the same again changes nothing.
    """

    can: frozenset[str]

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return how many files a dataset has now, or None if there is no such dataset."""
        ...

    def freeze(self, dataset: str) -> Frozen | None:
        """Freeze a dataset as it is now, or return None if there is no such dataset."""
        ...

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the files of a dataset now, or of a frozen one, by name; none of a dataset that does not exist.

        `wants` names what else is needed of each beside its name: "path", "size", "events", "run", "taken_at", or a
        key of its metadata. What else comes for the same calls is there too.
        """
        ...

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return what a dataset has gained since a mark of the last answer, all of it for an empty mark.

        A file may come twice, since clocks differ; none is left out that the dataset had when it was asked.
        """
        ...

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a dataset of these files; the same again changes nothing."""
        ...

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that the catalogue has a file of."""
        ...

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return everything that is known of these files, with metadata and parents; unknown names are left out."""
        ...

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return for each known file the names of those made from it."""
        ...

    def like(self, patterns: str, limit: int) -> list[str]:
        """Return names of files that match one of the SQL LIKE patterns, separated by commas; at most `limit`."""
        ...

    def query(self, text: str) -> list[str]:
        """Return the names of files that a query in the catalogue's language finds; Refused if it cannot be read."""
        ...

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Return those of the names of which a condition in the catalogue's language holds; Refused as above."""
        ...

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Return where each known file can be read from: "disk", "tape" (only), or "none"."""
        ...

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of a dataset that cannot be read at once: on tape only, or gone; at most `limit`."""
        ...

    def recall(self, names: Sequence[str]) -> None:
        """Ask for files that are on tape only to be brought to disk; where they are is asked by `residence`."""
        ...

    def archived(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that have a copy on tape, whether or not there is one on disk."""
        ...

    def bring(self, names: Sequence[str], to: str) -> set[str]:
        """Ask for a copy of files at a place, and return those that are there; the same again asks for nothing new.

        Refused by a catalogue that does not say TRANSFERS.
        """
        ...

    def place(self, path: str) -> Path | None:
        """Return where the bytes of a file are on this machine, or None where they cannot be read from here."""
        ...

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files with their parentage; return name -> why for those that are refused."""
        ...

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Let jobs have these files under a name of ours that no other attempt has; the same again finds it there."""
        ...

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Return what the jobs of an attempt left; only files that are really there, and units of the attempt."""
        ...

    def fates(self, attempt: Attempt) -> dict[str, str]:
        """Return what became of each input that was given to jobs: name -> one of FATES; none where it does not say."""
        ...
