"""The input of a stage at one moment: asked of the catalogue outside any transaction, cut, and kept as slices (T4)."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

from django.db.models import F, QuerySet

from campaigns import splitting
from campaigns.models import Stage, StageVersion
from campaigns.splitting import Input, Split
from core import bulk
from core.clock import now
from experiments.models import Experiment
from integrations import registry
from integrations.catalogue.base import Catalogue, FileSeen
from integrations.catalogue.metadata import first_run, moment_of
from integrations.errors import Refused, Unavailable
from submissions.models import Slice, Snapshot, StageProgress, Unit

COLUMNS = ("snapshot_id", "number", "label", "units", "events", "inputs")
NOT_THERE_SECONDS = 300
LONGEST_KEY = 220
NAMES_A_LOOK = 10_000


class Part(NamedTuple):
    """One slice: what its inputs have in common, a line of each, and how many events they hold together."""

    label: str
    lines: Sequence[str]
    events: int


@dataclass(frozen=True)
class Frozen:
    """What a stage is to consume, cut into slices."""

    dataset: str
    split: str
    mark: str = ""
    slices: Sequence[Part] = ()
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Return how many inputs there are in all slices."""
        return sum(len(part.lines) for part in self.slices)

    @cached_property
    def digest(self) -> str:
        """Return the digest of the keys of all inputs, in their order."""
        digest = hashlib.sha256()
        for part in self.slices:
            digest.update("".join(f"{line.partition(chr(9))[0]}\n" for line in part.lines).encode())
        return digest.hexdigest()


def is_frozen(version: StageVersion) -> bool:
    """Tell whether the stage's input of its present pass is frozen already."""
    stage = version.stage
    return Snapshot.objects.filter(stage=stage, pass_number=stage.pass_number).exists()


def is_due(version: StageVersion) -> bool:
    """Tell whether the stage reads a dataset that is still to be frozen."""
    return _reads(version) and not is_frozen(version)


def _reads(version: StageVersion) -> bool:
    return version.type != "generator" and version.dataset not in ("", "from_parent")


def can_gain(version: StageVersion) -> bool:
    """Tell whether what its dataset gains can become the stage's input: it has frozen one, and not a part of it."""
    split = splitting.parse(version.split)
    in_part = version.most_files or (split.what.once and split.limit)
    return _reads(version) and split.what.holds != "values" and not in_part and is_frozen(version)


def times_frozen(version: StageVersion) -> int:
    """Return how often the stage's input of its present pass was frozen: each time after the first, what was new."""
    stage = version.stage
    return Snapshot.objects.filter(stage=stage, pass_number=stage.pass_number).count()


def fetch(version: StageVersion) -> Frozen:
    """Ask the catalogue for a stage's dataset, a few calls whatever its size, and cut it.

    A dataset that is not there (yet) is Unavailable: nothing is decided by its absence.
    """
    split = splitting.parse(version.split)
    if split.what.holds == "values":
        return _values(version, split)
    return _fetch(version, split)


def fetch_gained(version: StageVersion, *, freeze: bool = True) -> Frozen:
    """Ask for what the dataset has beyond the stage's inputs, as `fetch`; to look only, freeze nothing outside."""
    return _fetch(version, splitting.parse(version.split), beyond=version.stage, freeze=freeze)


def _fetch(version: StageVersion, split: Split, *, beyond: Stage | None = None, freeze: bool = True) -> Frozen:
    catalogue = registry.catalogue(version.revision.campaign.experiment, version.catalogue)
    with _uncollected():
        files, inputs, marks = _ask(
            catalogue, version.dataset, split, version.most_files, freeze=freeze, beyond=beyond
        )  # fmt: skip
        found = splitting.cut(split, inputs, closed=True, now=now().timestamp())
        lines = [_line(seen) for seen in files]
        slices = [
            Part(part.label, [lines[at] for at in part.members], sum(files[at].events or 0 for at in part.members))
            for part in found.slices
        ]
    return Frozen(version.dataset, str(split), ",".join(marks), slices, dict(found.left_out))


def see(
    experiment: Experiment, catalogue: str, dataset: str, split: Split, most_files: int = 0
) -> tuple[Sequence[FileSeen], Sequence[Input]]:
    """Return the files of a dataset now, and what a split goes by of each, for a preview: nothing is frozen."""
    files, inputs, _ = _ask(registry.catalogue(experiment, catalogue), dataset, split, most_files, freeze=False)
    return files, inputs


def keep(version: StageVersion, frozen: Frozen) -> Snapshot:
    """Write down what was fetched, in the caller's transaction: from here on it is the input, whatever is new."""
    stage = version.stage
    snapshot = Snapshot.objects.create(
        stage=stage, pass_number=stage.pass_number, number=times_frozen(version) + 1, dataset=frozen.dataset,
        mark=frozen.mark[:200], split=frozen.split, units=frozen.units, left_out=frozen.left_out, digest=frozen.digest,
    )  # fmt: skip
    bulk.copy_rows(
        "submissions_slice", COLUMNS,
        (
            (snapshot.pk, number, part.label, len(part.lines), part.events, "\n".join(part.lines))
            for number, part in enumerate(frozen.slices, 1)
        ),
    )  # fmt: skip
    StageProgress.objects.filter(stage=stage, pass_number=stage.pass_number).update(
        units=F("units") + frozen.units, closed=True
    )
    return snapshot


def waiting(version: StageVersion) -> QuerySet[Slice]:
    """Return the slices of the stage's frozen input that no batch has, in no order; each has a long text."""
    stage = version.stage
    return Slice.objects.filter(snapshot__stage=stage, snapshot__pass_number=stage.pass_number, taken_at=None)


def untaken(version: StageVersion, limit: int, *, ready: bool = False) -> list[Slice]:
    """Return the first slices of the stage's frozen input that no batch has; if `ready`, only launchable ones."""
    rows = waiting(version)
    if ready and splitting.parse(version.split).what.staged:
        rows = rows.exclude(on_disk_at=None)
    return list(rows.order_by("snapshot_id", "number")[:limit])


def traits_of(split: Split, seen: FileSeen) -> dict[str, Any]:
    """Return what a split goes by of one file, as it is kept with the unit: run, taken_at, value."""
    if split.what.groups == "run":
        return {"run": seen.run}
    if split.what.groups == "taken_at":
        return {"taken_at": seen.taken_at.timestamp() if seen.taken_at else None}
    if split.what.groups == "value":
        value = seen.metadata.get(split.key)
        return {"value": None if value is None else str(value)}
    return {}


def input_of(split: Split, rank: int, unit: Unit) -> Input:
    """Return what a split goes by of a unit that is there already: what was kept with it, or with the output it is."""
    traits = unit.traits or {}
    if unit.output is not None and split.what.groups and not traits:
        output = unit.output
        told = output.metadata
        seen = FileSeen(
            output.name, metadata=told, run=first_run(told), taken_at=moment_of(told, "end_time") or output.result.at
        )
        traits = traits_of(split, seen)
    return Input(rank, events=unit.events, size=unit.size, **traits)


def _values(version: StageVersion, split: Split) -> Frozen:
    try:
        words = splitting.values(version.dataset)
    except ValueError as error:
        raise Refused(str(error)) from error
    words = words[: version.most_files or None]
    return Frozen(version.dataset, str(split), "", [Part(word, [f"value:{word}\t\t\\N\t\\N"], 0) for word in words])


def _ask(
    catalogue: Catalogue, dataset: str, split: Split, most_files: int, *, freeze: bool = True,
    beyond: Stage | None = None,
) -> tuple[Sequence[FileSeen], Sequence[Input], list[str]]:  # fmt: skip
    """Return the files that a stage's dataset names, each once, what the split goes by of each, and the marks.

    Of those that are inputs of the stage `beyond` already, none.
    """
    names = splitting.datasets(dataset) if split.what.holds == "datasets" else [dataset]
    files: dict[str, FileSeen] = {}
    of_dataset: dict[str, str] = {}
    marks = []
    for name in names:
        frozen = catalogue.freeze(name) if freeze else None
        number = frozen.files if frozen else catalogue.count(name) if not freeze else None
        if number is None:
            raise Unavailable(f"there is no dataset {name} yet", NOT_THERE_SECONDS)
        got = catalogue.files(frozen or name, split.wants)
        if frozen and len(got) < frozen.files:
            raise Unavailable(f"the catalogue gave {len(got)} of the {frozen.files} files of {name}")
        marks += [frozen.mark] if frozen and frozen.mark else []
        if len(names) == 1:
            files = dict(zip(map(attrgetter("name"), got), got, strict=True))
            continue
        for seen in got:  # a file of several datasets counts for the first
            if files.setdefault(seen.name, seen) is seen:
                of_dataset[seen.name] = name
    found = list(files.values())
    if beyond:
        there = _inputs_among(beyond, files)
        found = [seen for seen in found if seen.name not in there]
    found = found[: most_files or None]
    return found, _inputs(split, found, of_dataset), marks


def _inputs_among(stage: Stage, names: Iterable[str]) -> set[str]:
    """Return those of the names that are inputs of a stage's pass: in a slice, or come another way."""
    there: set[str] = set()
    slices = Slice.objects.filter(snapshot__stage=stage, snapshot__pass_number=stage.pass_number)
    for inputs in slices.values_list("inputs", flat=True).iterator(chunk_size=200):
        there.update(line.partition("\t")[0].removeprefix("file:") for line in inputs.split("\n"))
    rest = [f"file:{name}" for name in names if name not in there]
    units = Unit.objects.filter(stage=stage, pass_number=stage.pass_number)
    for first in range(0, len(rest), NAMES_A_LOOK):
        known = units.filter(key__in=rest[first : first + NAMES_A_LOOK])
        there.update(known.values_list("file_name", flat=True))
    return there


def _inputs(split: Split, files: Sequence[FileSeen], of_dataset: Mapping[str, str]) -> Sequence[Input]:
    if not split.what.groups and split.weighs == "file":
        return [Input(0)] * len(files)  # nothing about any single one matters
    return [
        Input(
            rank, events=seen.events, size=seen.size, dataset=of_dataset.get(seen.name, ""), **traits_of(split, seen)
        )
        for rank, seen in enumerate(files)
    ]  # fmt: skip


def _line(seen: FileSeen) -> str:
    """Return an input as a line; what would break lines or fields is no name of a file."""
    if "\t" in seen.name or "\n" in seen.name or len(seen.name) > LONGEST_KEY - len("file:"):
        raise Refused(f"a file of the dataset has a name that cannot be used: {seen.name[:80]!r}")
    path = seen.path if "\t" not in seen.path and "\n" not in seen.path else ""
    events = "\\N" if seen.events is None else seen.events
    return f"file:{seen.name}\t{path}\t{events}\t{seen.size or 0}"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let no garbage collector look through a million files again and again while they are made."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
