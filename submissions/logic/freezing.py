"""The input of a stage at one moment: asked of the catalogue outside any transaction, cut, and kept as slices (T4)."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from operator import attrgetter, eq
from typing import Any, NamedTuple

from django.db import connection
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
LONGEST_NAME = 220 - len("file:")  # that a key has room for
NAMES_A_LOOK = 10_000
UNSAID = "\\N"  # in a line, where the catalogue says no number


class Part(NamedTuple):
    """One slice: what its inputs have in common, how many they are, a line of each, and their keys and events."""

    label: str
    units: int
    inputs: str  # the lines
    keys: str  # each with the end of its line
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
        return sum(part.units for part in self.slices)

    @cached_property
    def digest(self) -> str:
        """Return the digest of the keys of all inputs, in their order."""
        digest = hashlib.sha256()
        for part in self.slices:
            digest.update(part.keys.encode())
        return digest.hexdigest()


def is_frozen(version: StageVersion) -> bool:
    """Tell whether the stage's input of its present pass is frozen already."""
    stage = version.stage
    return Snapshot.objects.filter(stage=stage, pass_number=stage.pass_number).exists()


def is_due(version: StageVersion) -> bool:
    """Tell whether the stage reads a dataset that is still to be frozen."""
    return reads_dataset(version) and not is_frozen(version)


def reads_dataset(version: StageVersion) -> bool:
    """Tell whether the stage reads a dataset, rather than events of its own or what other stages give."""
    return version.type != "generator" and version.dataset not in ("", "from_parent")


def can_gain(version: StageVersion) -> bool:
    """Tell whether what its dataset gains can become the stage's input: it has frozen one, and not a part of it."""
    split = splitting.parse(version.split)
    in_part = version.most_files or (split.what.once and split.limit)
    return reads_dataset(version) and split.what.holds != "values" and not in_part and is_frozen(version)


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
        cut = splitting.cut(split, inputs, closed=True, now=now().timestamp())
        slices = [_part(piece, files) for piece in cut.slices]
        del files, inputs  # before the collector sees them
    return Frozen(version.dataset, str(split), ",".join(marks), slices, dict(cut.left_out))


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
            (snapshot.pk, number, part.label, part.units, part.events, part.inputs)
            for number, part in enumerate(frozen.slices, 1)
        ),
    )  # fmt: skip
    StageProgress.objects.filter(stage=stage, pass_number=stage.pass_number).update(
        units=F("units") + frozen.units, closed=True
    )
    return snapshot


def keep_again(stage: Stage) -> int:
    """Give the present pass of a stage the frozen input that the pass before it had, slice by slice; return its size.

    Nothing outside is asked: the new pass is of the same files, whatever the dataset has gained or lost since.
    """
    units = 0
    for old in Snapshot.objects.filter(stage=stage, pass_number=stage.pass_number - 1).order_by("number"):
        kept = Snapshot.objects.create(
            stage=stage, pass_number=stage.pass_number, number=old.number, dataset=old.dataset, mark=old.mark,
            split=old.split, units=old.units, left_out=old.left_out, digest=old.digest,
        )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO submissions_slice (snapshot_id, number, label, units, events, inputs)"
                " SELECT %s, number, label, units, events, inputs FROM submissions_slice WHERE snapshot_id = %s",
                [kept.pk, old.pk],
            )
        units += old.units
    StageProgress.objects.get_or_create(stage=stage, pass_number=stage.pass_number)
    StageProgress.objects.filter(stage=stage, pass_number=stage.pass_number).update(
        units=F("units") + units, closed=True
    )
    return units


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
    parts = [Part(word, 1, f"value:{word}\t\t{UNSAID}\t{UNSAID}", f"value:{word}\n", 0) for word in words]
    return Frozen(version.dataset, str(split), "", parts)


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
    found: Sequence[FileSeen] = ()
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
        if len(names) == 1 and not _has_twins(map(attrgetter("name"), got)):
            found = got  # as nearly always: a million files need no second list
            break
        for seen in got:  # a file of several datasets counts for the first
            if files.setdefault(seen.name, seen) is seen:
                of_dataset[seen.name] = name
        found = list(files.values())
    if beyond:
        there = _inputs_among(beyond, [seen.name for seen in found])
        found = [seen for seen in found if seen.name not in there]
    found = found[: most_files or None]
    return found, _inputs(split, found, of_dataset), marks


def _has_twins(names: Iterable[str]) -> bool:
    """Tell whether a name comes twice; catalogues give them in order, and then sorting is quicker than a set."""
    ordered = sorted(names)
    return any(map(eq, ordered, islice(ordered, 1, None)))


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


def _part(piece: splitting.Slice, files: Sequence[FileSeen]) -> Part:
    """Return a slice with its files; by columns, for there may be millions of files in all."""
    names, paths, sizes, _, numbers, *_ = zip(*map(files.__getitem__, piece.members), strict=True)
    if _breaks(names) or max(map(len, names)) > LONGEST_NAME:
        name = next(name for name in names if _breaks([name]) or len(name) > LONGEST_NAME)
        raise Refused(f"a file of the dataset has a name that cannot be used: {name[:80]!r}")
    if _breaks(paths):
        paths = tuple("" if _breaks([path]) else path for path in paths)
    lines = [
        f"file:{name}\t{path}\t{UNSAID if events is None else events}\t{size or 0}"
        for name, path, events, size in zip(names, paths, numbers, sizes, strict=True)
    ]
    keys = "".join([f"file:{name}\n" for name in names])
    return Part(piece.label, len(names), "\n".join(lines), keys, sum(filter(None, numbers)))


def _breaks(words: Sequence[str]) -> bool:
    """Tell whether one of the words has what ends a field or a line; such is no name of a file."""
    text = "".join(words)
    return "\t" in text or "\n" in text


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
