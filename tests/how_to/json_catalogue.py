"""Catalogue `json`: one file of JSON that names datasets, and what is known of each file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.models import Experiment
from integrations.catalogue import declared, patterns
from integrations.catalogue.base import LINEAGE, Attempt, FileSeen, Frozen, News, Offer, Produced
from integrations.catalogue.declared import Setting
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.metadata import first_run, moment_of
from integrations.catalogue.unable import Unable
from integrations.errors import Refused, Unavailable

SETTINGS: Mapping[str, Setting] = {
    "file": Setting("path of the JSON file, in a folder that the workers may write", obligatory=True),
}


class JsonCatalogue(Unable):
    """The files of one experiment: {"files": {name: facts}, "datasets": {name: [names]}}."""

    called = "A catalogue of JSON"
    can = frozenset({LINEAGE})

    def __init__(self, experiment: Experiment, settings: Mapping[str, Any]) -> None:
        """Read the settings; Refused says what is wrong with them."""
        self.experiment = experiment
        self.file = Path(declared.read("json", SETTINGS, settings)["file"])

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return the number of names, or None if there is no such dataset."""
        names = self._read()["datasets"].get(dataset)
        return None if names is None else len(names)

    def freeze(self, dataset: str) -> Frozen | None:
        """Return the number alone: without a mark POMS keeps the names itself."""
        number = self.count(dataset)
        return None if number is None else Frozen(dataset, "", number)

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the files of a dataset, by name, with all that is known."""
        book = self._read()
        names = book["datasets"].get(dataset if isinstance(dataset, str) else dataset.dataset, [])
        return [_seen(name, book["files"][name]) for name in sorted(names)]

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return the whole dataset each time: a file may come twice, but none is left out."""
        return News(self.files(dataset), "")

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Write a dataset; one that is there with other files is somebody's, and Refused."""
        with self._change() as book:
            if sorted(book["datasets"].setdefault(dataset, sorted(names))) != sorted(names):
                raise Refused(f"There is a dataset {dataset} already, with other files.")

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that it has."""
        return set(names) & set(self._read()["files"])

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return what it knows of each of the names that it has."""
        files = self._read()["files"]
        return {name: _seen(name, files[name]) for name in names if name in files}

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the files that name one of these as a parent."""
        files = self._read()["files"]
        return {
            name: [child for child in sorted(files) if name in files[child]["parents"]]
            for name in names
            if name in files
        }

    def like(self, wanted: str, limit: int) -> list[str]:
        """Return names that match one of the patterns."""
        matches = patterns.matcher(wanted)
        return [name for name in sorted(self._read()["files"]) if matches(name)][:limit]

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of a dataset that are not at their path on this machine."""
        return [seen.name for seen in self.files(dataset) if not Path(seen.path).is_file()][:limit]

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files; one whose name is taken by another is refused, the same again is fine."""
        refused = {}
        with self._change() as book:
            for seen in files:
                facts = {
                    "path": seen.path, "size": seen.size, "checksum": seen.checksum, "events": seen.events,
                    "metadata": dict(seen.metadata), "parents": sorted(seen.parents),
                }  # fmt: skip
                if book["files"].setdefault(seen.name, facts) != facts:
                    refused[seen.name] = "another file has this name"
        return refused

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Make a dataset of the attempt's files; its jobs read it in the same JSON file."""
        self.define(name, names)
        return Offer(name, {"POMS_JSON_CATALOGUE": str(self.file)})

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Return what the manifests in the attempt's folder name, as the local catalogue does."""
        return LocalCatalogue(self.experiment).produced(attempt)

    # --- The file

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.file.read_text(encoding="utf-8")))
        except OSError as error:
            raise Unavailable(f"The catalogue {self.file} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise Unavailable(f"The catalogue {self.file} is no JSON: {error}.") from error

    @contextmanager
    def _change(self) -> Iterator[dict[str, Any]]:
        """Give what is there to be changed, one worker at a time, and write it whole or not at all."""
        try:
            with self.file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                book = self._read()
                yield book
                new = self.file.with_suffix(".new")
                new.write_text(json.dumps(book), encoding="utf-8")
                os.replace(new, self.file)
        except OSError as error:
            raise Unavailable(f"The catalogue {self.file} cannot be written: {error.strerror}.") from error


def _seen(name: str, facts: Mapping[str, Any]) -> FileSeen:
    told = facts["metadata"]
    return FileSeen(
        name, facts["path"], facts["size"], facts["checksum"], facts["events"], told, tuple(facts["parents"]),
        first_run(told), moment_of(told, "end_time"),
    )  # fmt: skip
