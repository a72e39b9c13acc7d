"""Lists of files as datasets: `filelist:<name>` is a text file in the experiment's folder of lists.

One file a line: a name, a path or a URL, then its size and its number of events if they are known. Columns are
separated by tabs, or by blanks where there is no tab. Empty lines and what begins with `#` are for people. A relative
name is looked for beside its list. Whoever may write into the folder on this machine decides what is in its lists; POMS
adds lists of its own, and changes none.

A list knows no metadata, no parents, no tape. What jobs left is read from their manifests.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings as installation

from experiments.models import Experiment
from integrations.catalogue import declared, patterns
from integrations.catalogue.base import NOWHERE, ON_DISK, Attempt, FileSeen, Frozen, News, Offer, Produced
from integrations.catalogue.declared import Setting
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.unable import Unable
from integrations.errors import Refused, Unavailable

PREFIX = "filelist:"
OFFERED = "offered"  # folder of the lists that attempts were offered
MOST_BYTES = 64 * 1024 * 1024  # of one list
MOST_LISTS = 1_000  # that are looked through for a name
MOST_SAID = 10  # complaints about one list
SETTINGS: Mapping[str, Setting] = {}
CREDENTIAL = "none: lists are files of this machine"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_COUNT = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Entry:
    """One line of a list."""

    line: int
    name: str
    size: int = 0
    events: int | None = None


def parse(text: str) -> list[Entry]:
    """Return the files of a list in its order; Refused names the lines that are wrong or say a file again."""
    found: dict[str, Entry] = {}
    wrong: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        name, *counts = (part.strip() for part in (plain.split("\t") if "\t" in plain else plain.split()))
        if not name.isprintable():
            wrong.append(f"line {number}: a name has a character that cannot be printed")
        elif len(counts) > 2 or not all(_COUNT.fullmatch(count) for count in counts):
            wrong.append(
                f"line {number}: after the name come a size and a number of events, not {' '.join(counts)[:60]}"
            )
        elif name in found:
            wrong.append(f"lines {found[name].line} and {number}: {name} stands there twice")
        else:
            size, events = [*map(int, counts), None, None][:2]
            found[name] = Entry(number, name, size or 0, events)
    if wrong:
        more = f"; and {len(wrong) - MOST_SAID} more" if len(wrong) > MOST_SAID else ""
        raise Refused("; ".join(wrong[:MOST_SAID]) + more)
    return list(found.values())


class FileLists(Unable):
    """The lists of one experiment."""

    # It gives no old state of a list back, only says that it has changed; of URLs it does not know where they are.
    called = "A list of files"

    def __init__(self, experiment: Experiment, settings: Mapping[str, Any] | None = None) -> None:
        """Serve the lists of this experiment only."""
        declared.read("file list", SETTINGS, settings or {})
        self.experiment = experiment
        self.folder = Path(installation.FILE_LISTS) / experiment.name

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return the number of files of a list, or None if there is no list of this name."""
        found = self._read(dataset)
        return None if found is None else len(found[1])

    def freeze(self, dataset: str) -> Frozen | None:
        """Return the list with its digest: nothing is copied, but a change is noticed."""
        found = self._read(dataset)
        return None if found is None else Frozen(dataset, found[0], len(found[1]))

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the files of a list, by name; a frozen list that has changed since is Refused."""
        name = dataset if isinstance(dataset, str) else dataset.dataset
        found = self._read(name)
        if isinstance(dataset, Frozen) and (found is None or found[0] != dataset.mark):
            how = "is gone" if found is None else "has changed"
            raise Refused(f"The list {name} {how} since it was frozen; put it back as it was, or name another list.")
        return found[1] if found else []

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return the whole list if it has changed since the mark, its digest, and nothing if not."""
        found = self._read(dataset)
        if found is None:
            return News([], "")
        return News([] if found[0] == mark else found[1], found[0])

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Write a list with these names; one that is there with other names is Refused, for it is somebody's."""
        self._write(dataset, names)

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that stand in a list of the experiment."""
        return set(self.told(names))

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return what the lists say of these files; the first list, by name, that has one counts."""
        wanted = set(names)
        found: dict[str, FileSeen] = {}
        for seen in self._all():
            if seen.name in wanted:
                found.setdefault(seen.name, seen)
        return found

    def like(self, wanted: str, limit: int) -> list[str]:
        """Return names that match one of the patterns."""
        matches = patterns.matcher(wanted)
        if not patterns.several(wanted):
            return []
        return sorted({seen.name for seen in self._all() if matches(seen.name)})[:limit]

    def query(self, text: str) -> list[str]:
        """Refuse: lists have no language."""
        raise Refused("Lists of files have no queries; write a list, and name it as the dataset.")

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Refuse, as above."""
        raise Refused("Lists of files have no conditions: they know of a file its name, size and number of events.")

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Return which of the files are at their path on this machine; of URLs, nothing is said."""
        return {
            name: ON_DISK if is_there else NOWHERE
            for name, seen in self.told(names).items()
            if (is_there := _is_there(seen)) is not None
        }

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of a list that are not at their path on this machine; URLs are not looked at."""
        missing = (seen.name for seen in self.files(dataset) if _is_there(seen) is False)
        return [name for name, _ in zip(missing, range(limit), strict=False)]

    def place(self, path: str) -> Path | None:
        """Return where a file's bytes are, if they lie beside its list or are an output; nothing else is read."""
        place, home = Path(path).resolve(), self.folder.resolve()
        beside = place if place.is_relative_to(home) and place.is_file() else None
        return beside or LocalCatalogue(self.experiment).place(path)

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter nothing, and refuse what nobody could find again.

        The ledger keeps the outputs of an accepted result, with their paths and the units that they were made from, and
        hands them to the next stage. A list would add nothing to that; so all that is asked here is that each file is
        where it says.
        """
        return {seen.name: why for seen in files if (why := _unfindable(seen))}

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Write the list of an attempt; jobs that can read this machine's disk find it by POMS_FILE_LIST."""
        dataset = f"{OFFERED}/{name}"
        self._write(dataset, names)
        return Offer(f"{PREFIX}{dataset}", {"POMS_FILE_LIST": str(self.folder / dataset)})

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Return what the manifests in the attempt's folder name, as the local catalogue does."""
        return LocalCatalogue(self.experiment).produced(attempt)

    # --- Lists on the disk

    def _read(self, dataset: str) -> tuple[str, list[FileSeen]] | None:
        """Return digest and files of a list, or None if there is none of this name."""
        parts = _parts(dataset)
        try:
            data = _bytes_of(self.folder, parts)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Refused(f"The list {dataset} is a link, or lies behind one; links are not followed.") from error
            raise Unavailable(f"The list {dataset} cannot be read: {error.strerror}.", 300) from error
        try:
            entries = parse(data.decode())
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise Refused(f"The list {dataset} is not UTF-8 in line {line}.") from error
        except Refused as error:
            raise Refused(f"The list {dataset} cannot be used: {error}.") from error
        beside = self.folder.joinpath(*parts[:-1])
        files = [self._seen(entry, beside, dataset) for entry in entries]
        return hashlib.sha256(data).hexdigest(), sorted(files, key=lambda seen: seen.name)

    def _seen(self, entry: Entry, beside: Path, dataset: str) -> FileSeen:
        if _URL.fullmatch(entry.name) or entry.name.startswith("/"):
            return FileSeen(entry.name, entry.name, entry.size, events=entry.events)
        if ".." in PurePosixPath(entry.name).parts:
            raise Refused(f"The list {dataset} names a file outside its folder in line {entry.line}: {entry.name}.")
        return FileSeen(entry.name, str(beside / entry.name), entry.size, events=entry.events)

    def _all(self) -> Iterator[FileSeen]:
        """Yield the files of all lists; what is no list, and what was offered to attempts, is passed over."""
        names = []
        for folder, below, files in os.walk(self.folder):
            below[:] = sorted(name for name in below if name != OFFERED or Path(folder) != self.folder)
            names += [(Path(folder) / name).relative_to(self.folder).as_posix() for name in sorted(files)]
            if len(names) > MOST_LISTS:
                raise Refused(f"{self.experiment.name} has more than {MOST_LISTS} lists; move old ones away.")
        for name in names:
            with suppress(Refused):  # what is no list is complained about by whoever names it
                yield from (self._read(name) or ("", []))[1]

    def _write(self, dataset: str, names: Sequence[str]) -> None:
        """Write a list whole or not at all; the same again changes nothing."""
        parts = _parts(dataset)
        text = "".join(f"{name}\n" for name in names)
        if [entry.name for entry in parse(text)] != list(names):
            raise Refused("These names cannot stand in a list: one is empty, or begins with #, or has a blank in it.")
        target = self.folder.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(self.folder.resolve()):
                raise Refused(f"The list {dataset} lies behind a link; links are not followed.")
            with tempfile.NamedTemporaryFile(
                "w", dir=target.parent, prefix=".", suffix=".part", encoding="utf-8"
            ) as new:
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
                os.fchmod(new.fileno(), 0o644)
                with suppress(FileExistsError):
                    os.link(new.name, target)  # fails where there is one: nothing is ever written over
        except OSError as error:
            raise Unavailable(f"The list {dataset} cannot be written: {error.strerror}.", 300) from error
        found = self._read(dataset)
        if found is None or {seen.name for seen in found[1]} != set(names):
            raise Refused(f"There is a list {dataset} already, with other files.")


def _parts(dataset: str) -> list[str]:
    """Return the folders and the name of a list, none of which leads up, out, or to something hidden."""
    name = dataset.removeprefix(PREFIX)
    parts = name.split("/")
    if not name.isprintable() or any(part in ("", "..") or part.startswith(".") for part in parts):
        raise Refused(
            f"{dataset[:200]!r} cannot be the name of a list: {PREFIX}folder/name, below the folder of lists."
        )
    return parts


def _bytes_of(folder: Path, parts: Sequence[str]) -> bytes:
    """Return the bytes of a file below a folder, following no link on the way, however names change meanwhile."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # A pipe without a writer would hold us up for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for part in parts:
        above = at
        try:
            at = os.open(part, flags, dir_fd=above)
        finally:
            os.close(above)
    try:
        about = os.fstat(at)
        if not stat.S_ISREG(about.st_mode):
            raise Refused(f"{parts[-1]} is no file.")
        if about.st_size > MOST_BYTES:
            raise Refused(f"{parts[-1]} has {about.st_size} bytes; a list has at most {MOST_BYTES}.")
        with open(at, "rb", closefd=False) as file:
            return file.read(MOST_BYTES)
    finally:
        os.close(at)


def _is_there(seen: FileSeen) -> bool | None:
    """Tell whether a file is at its path on this machine; None for one that is elsewhere."""
    path = seen.path.removeprefix("file://") if seen.path.startswith("file:///") else seen.path
    if not path.startswith("/"):
        return None
    return Path(path).is_file()


def _unfindable(seen: FileSeen) -> str:
    if not seen.path:
        return "it has no path, and a list of files keeps none for it"
    is_there = _is_there(seen)
    if is_there is False:
        return f"it is not at {seen.path}"
    if is_there and seen.size != Path(seen.path.removeprefix("file://")).stat().st_size:
        return f"{seen.path} has not {seen.size} bytes"
    return ""
