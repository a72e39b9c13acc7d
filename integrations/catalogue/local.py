"""The local catalogue: files, datasets and parentage in our own tables, the files on this machine's disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from experiments.models import Experiment
from integrations.catalogue.base import FileSeen, Produced
from integrations.errors import Refused, Unavailable
from integrations.models import Dataset, File, Parentage

MOST_FOUND = 100_000
MOST_LOOKED_AT = 5_000


class LocalCatalogue:
    """Catalogue `local` of one experiment."""

    def __init__(self, experiment: Experiment) -> None:
        """Serve this experiment's files only."""
        self.experiment = experiment

    def count(self, dataset: str) -> int | None:
        """Return the number of files of a dataset, or None if there is none of that name."""
        found = Dataset.objects.filter(experiment=self.experiment, name=dataset).first()
        return None if found is None else found.files.count()

    def files(self, dataset: str) -> Sequence[FileSeen]:
        """Return the dataset's files, by name."""
        rows = File.objects.filter(datasets__experiment=self.experiment, datasets__name=dataset).order_by("name")
        return [
            FileSeen(row.name, row.path, row.size, row.checksum, row.events, row.metadata)
            for row in rows.iterator(5_000)
        ]

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that there is a file of."""
        rows = File.objects.filter(experiment=self.experiment, name__in=list(names))
        return set(rows.values_list("name", flat=True))

    def like(self, patterns: str, limit: int) -> list[str]:
        """Return names that match one of the patterns."""
        wanted = [part.strip() for part in patterns.split(",") if part.strip()]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM integrations_file WHERE experiment_id = %s AND name LIKE ANY(%s)"
                " ORDER BY name LIMIT %s",
                [self.experiment.pk, wanted, limit],
            )
            return [name for (name,) in cursor.fetchall()]

    def query(self, text: str) -> list[str]:
        """Return what a query finds: here, patterns of names, separated by commas (`raw_2026%.root, cal_%`)."""
        if not [part for part in text.split(",") if part.strip(" %")]:
            raise Refused("the local catalogue's queries are patterns of names, such as raw_2026%.root")
        found = self.like(text, MOST_FOUND + 1)
        if len(found) > MOST_FOUND:
            raise Refused(f"the query finds more than {MOST_FOUND} files; narrow it, or make a dataset")
        return found

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a dataset of these files, or add to it what it lacks."""
        with transaction.atomic():
            row, _ = Dataset.objects.get_or_create(experiment=self.experiment, name=dataset)
            row.files.add(*File.objects.filter(experiment=self.experiment, name__in=list(names)))

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of the first thousands that are not at their place on this machine."""
        rows = File.objects.filter(datasets__experiment=self.experiment, datasets__name=dataset).order_by("name")
        found = (name for name, path in rows.values_list("name", "path")[:MOST_LOOKED_AT] if not Path(path).is_file())
        return list(islice(found, limit))

    def produced(self, place: str, uuid: str) -> list[Produced]:
        """Read the manifests that the submission's jobs left below `place`.

        A manifest is written by rename after its outputs, so each that is there is whole; an output counts
        only while the file exists with the size that the manifest names.
        """
        found = []
        for path in sorted(Path(place).glob(f"{uuid}.*.manifest.json")):
            try:
                manifest = json.loads(path.read_text())
                outputs = [_output(entry) for entry in manifest["outputs"]]
                units = [str(unit) for unit in manifest["units"]]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Unavailable(f"the manifest {path.name} cannot be read: {error!r}") from error
            if outputs and all(_is_located(output, Path(place)) for output in outputs):
                found.append(Produced(str(manifest["job"]), units, outputs))
        return found

    def place(self, path: str) -> Path | None:
        """Return where a file's bytes are, if they are here and below the folder of the local files.

        A path comes from a manifest, which is data: what lies elsewhere on this machine is nobody's to read.
        """
        place, home = Path(path).resolve(), Path(settings.LOCAL_FILES).resolve()
        return place if place.is_relative_to(home) and place.is_file() else None

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files; one whose name is taken by another file is refused, the same file again is fine."""
        with transaction.atomic():
            fresh = [
                File(experiment=self.experiment, name=seen.name, path=seen.path, size=seen.size,
                     checksum=seen.checksum, events=seen.events, metadata=seen.metadata)
                for seen in sorted(files, key=lambda seen: seen.name)
            ]  # fmt: skip
            File.objects.bulk_create(fresh, ignore_conflicts=True)
            parents = {name for seen in files for name in seen.parents}
            names = {seen.name for seen in files} | parents
            known = {row.name: row for row in File.objects.filter(experiment=self.experiment, name__in=names)}
            refused = {
                seen.name: f"the name is taken by {known[seen.name].path}"
                for seen in files
                if known[seen.name].path != seen.path
            }
            links = [
                Parentage(child=known[seen.name], parent=known[name])
                for seen in files
                if seen.name not in refused
                for name in seen.parents
                if name in known
            ]
            Parentage.objects.bulk_create(links, ignore_conflicts=True)
        return refused


def _output(entry: dict[str, Any]) -> FileSeen:
    return FileSeen(
        name=str(entry["name"]), path=str(entry["path"]), size=int(entry["size"]),
        checksum=str(entry.get("checksum") or ""), events=entry.get("events"),
        metadata=dict(entry.get("metadata") or {}), parents=tuple(entry.get("parents") or ()),
    )  # fmt: skip


def _is_located(output: FileSeen, place: Path) -> bool:
    """Tell whether the file is there with its size, and below the submission's own folder: manifests are data."""
    path = Path(output.path)
    try:
        return path.resolve().is_relative_to(place.resolve()) and path.stat().st_size == output.size
    except OSError:
        return False
