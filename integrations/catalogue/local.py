"""The local catalogue: files, datasets and parentage in our own tables, the files on this machine's disk."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction

from core.clock import now
from core.ledger import oldest_running
from experiments.models import Experiment
from integrations.catalogue import dimensions
from integrations.catalogue.base import (
    CONSUMED,
    CONSUMPTION,
    FATES,
    LINEAGE,
    NOWHERE,
    ON_DISK,
    ON_TAPE,
    QUERIES,
    RESIDENCE,
    SNAPSHOTS,
    TRANSFERS,
    UNCONSUMED,
    Attempt,
    FileSeen,
    Frozen,
    News,
    Offer,
    Produced,
)
from integrations.catalogue.dimensions import Constraint, DimensionError, Node, Or
from integrations.catalogue.local_query import Piece, condition, is_own
from integrations.catalogue.metadata import first_run, moment_of, runs_of
from integrations.catalogue.patterns import several
from integrations.errors import Refused, Unavailable
from integrations.models import (
    Consumption,
    Dataset,
    DatasetSnapshot,
    File,
    FileProject,
    FileRun,
    Membership,
    Parentage,
)

BY_NAME = 'f.name COLLATE "C"'  # the same order on every installation, and in other catalogues
MOST_FOUND = 100_000
MOST_LOOKED_AT = 5_000
ROWS = 20_000  # that are fetched at once
LONGEST_SECONDS = 60  # that one query may take
CANCELLED_STATEMENT = "57014"
# Sets of a million ids are compared in memory; without this, PostgreSQL would look through one for each of the other.
QUERY_MEMORY = "256MB"

# All of it in the database: a million ids are eight megabytes there, and much more on their way to Python and back.
_SNAPSHOT = f"""
WITH found AS MATERIALIZED (SELECT coalesce(array_agg(f.id ORDER BY {BY_NAME}), '{{{{}}}}') AS files FROM {{}}),
same AS (SELECT s.id FROM found, LATERAL (
             SELECT id, files FROM integrations_datasetsnapshot WHERE experiment_id = %s AND dataset = %s
             ORDER BY id DESC LIMIT 1) s
          WHERE s.files = found.files),
made AS (INSERT INTO integrations_datasetsnapshot (experiment_id, dataset, files)
         SELECT %s, %s, files FROM found WHERE NOT EXISTS (SELECT FROM same) RETURNING id)
SELECT id, (SELECT cardinality(files) FROM found) FROM (SELECT id FROM same UNION ALL SELECT id FROM made) s
"""  # noqa: S608 - constants

# What FileSeen is made of, in its order. Of a million rows, times take a second or two, and metadata far more: they
# come where they are wanted.
COLUMNS = "f.name, f.path, f.size, f.checksum, f.events"
MORE_COLUMNS = f"{COLUMNS}, f.run, coalesce(f.end_time, f.created_at)"
ALL_COLUMNS = f"{MORE_COLUMNS}, f.metadata"
PLAIN = frozenset({"path", "size", "checksum", "events"})
DATED = PLAIN | {"run", "taken_at"}
# One or more patterns of names, which were the only queries once: no blank inside, no sign of the dimension language.
_PATTERNS = re.compile(r"""\s*,*\s*[^\s,'"()=<>!]+\s*(?:,\s*[^\s,'"()=<>!]*\s*)*""")
_SPECIAL = re.compile(r"(defname|availability|is(parent|child|ancestor|descendant)of):", re.IGNORECASE)


@dataclass(frozen=True)
class _Source:
    """Where the rows of a dataset come from: what follows FROM, and what decides which of them are new."""

    rows: Piece
    new: Piece | None = None


class LocalCatalogue:
    """Catalogue `local` of one experiment."""

    can = frozenset({SNAPSHOTS, QUERIES, LINEAGE, CONSUMPTION, RESIDENCE, TRANSFERS})

    def __init__(self, experiment: Experiment) -> None:
        """Serve this experiment's files only."""
        self.experiment = experiment

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return the number of files of a dataset, or None if there is none of that name."""
        row = self._dataset(dataset)
        if row is None:
            return None
        if not row.query:
            return Membership.objects.filter(dataset=row).count()
        return int(self._select("count(*)", self._source(row).rows)[0][0])

    def freeze(self, dataset: str) -> Frozen | None:
        """Keep the ids of the dataset's files; the same files as the last time have the same mark."""
        row = self._dataset(dataset)
        if row is None:
            return None
        mark, files = self._snapshot(dataset, self._source(row).rows)
        return Frozen(dataset, str(mark), files)

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the dataset's files, by name."""
        if isinstance(dataset, Frozen) and dataset.mark:
            return self._seen(self._frozen(dataset.mark), wants)
        row = self._dataset(dataset.dataset if isinstance(dataset, Frozen) else dataset)
        return [] if row is None else self._seen(self._source(row).rows, wants)

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return the files whose entry, or whose place in the list, a transaction wrote that the last answer missed.

        Ids and times are given out when a row is written, not when it is committed: a row of a slow transaction would
        come to light behind any of them. So the mark is the oldest transaction that was still running, asked before
        the files are: all rows of older ones were there to see, and younger ones are looked at again the next time.
        A mark that lies ahead is of another life of this database, before it was restored: then all comes.

        A dataset whose query looks beyond the file itself (at relatives, projects, other datasets) may gain a file
        that nobody touched; of such a one all comes every time.
        """
        if mark and not mark.isdecimal():
            raise Refused(f"{mark[:40]!r} is no mark of the local catalogue.")
        row = self._dataset(dataset)
        if row is None:
            return News((), mark)
        next_mark = oldest_running()
        source = self._source(row)
        if mark and source.new is not None and int(mark) <= next_mark:
            later = source.new.inside("({}) >= %s", after=(int(mark),))
            rows = Piece(f"{source.rows.sql} AND {later.sql}", source.rows.params + later.params)
            return News(self._seen(rows, wants), str(next_mark))
        return News(self._seen(source.rows, wants), str(next_mark))

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a dataset of those of these files that there are; refused where it has others."""
        with transaction.atomic():
            row, _ = Dataset.objects.get_or_create(experiment=self.experiment, name=dataset)
            row = Dataset.objects.select_for_update(no_key=True).get(pk=row.pk)
            wanted = set(self._ids(names).values())
            held = {found for (found,) in self._select("f.id", self._source(row).rows)}
            if held - wanted or (row.query and held != wanted):
                raise Refused(f"There is a dataset {dataset} already, of other files.")
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO integrations_dataset_files (dataset_id, file_id) SELECT %s, unnest(%s::bigint[])"
                    " ON CONFLICT DO NOTHING",
                    [row.pk, sorted(wanted - held)],
                )

    def define_by_query(self, dataset: str, query: str) -> None:
        """Make a dataset of whatever a query finds; the same again changes nothing, another query is refused."""
        tree = _parsed(query)
        with transaction.atomic():
            row, made = Dataset.objects.get_or_create(
                experiment=self.experiment, name=dataset, defaults={"query": query}
            )
            if not made and (not row.query or dimensions.parse(row.query) != tree):
                raise Refused(f"There is a dataset {dataset} already, of other files.")
            self._condition(tree)

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that there is a file of."""
        return {name for (name,) in self._select("f.name", self._named(names))}

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return all that is known of these files."""
        found = {seen.name: seen for seen in self._seen(self._named(names), ("metadata",))}
        parents: dict[str, list[str]] = {}
        for child, parent in self._links("child", "parent", names):
            parents.setdefault(child, []).append(parent)
        return {name: seen._replace(parents=tuple(parents.get(name, ()))) for name, seen in found.items()}

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return what was made from each of them."""
        found: dict[str, list[str]] = {name: [] for name in self.known(names)}
        for parent, child in self._links("parent", "child", names):
            found[parent].append(child)
        return found

    def like(self, patterns: str, limit: int) -> list[str]:
        """Return names that match one of the patterns."""
        wanted = several(patterns)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM integrations_file WHERE experiment_id = %s AND name LIKE ANY(%s)"
                " ORDER BY name LIMIT %s",
                [self.experiment.pk, wanted, limit],
            )
            return [name for (name,) in cursor.fetchall()]

    def query(self, text: str) -> list[str]:
        """Return what a query finds: one in the dimension language, or patterns of names (`raw_2026%.root, cal_%`)."""
        rows = self._found(self._condition(_parsed(text)))
        found = [name for (name,) in self._select("f.name", rows, f"ORDER BY {BY_NAME} LIMIT {MOST_FOUND + 1}")]
        if len(found) > MOST_FOUND:
            raise Refused(f"The query finds more than {MOST_FOUND} files; narrow it, or make a dataset.")
        return found

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Return those of the names of which a query holds, too."""
        rows = self._found(Piece("f.name = ANY(%s)", (list(names),)) & self._condition(_parsed(condition)))
        return {name for (name,) in self._select("f.name", rows)}

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Return which of the files are at their place on this machine, and which on the pretended tape only."""
        found = self._select("f.name, f.path, f.medium, f.recalled_at", self._named(names))
        return {name: _residence(*rest) for name, *rest in found}

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files on tape, and of the first thousands those that are not at their place on this machine."""
        row = self._dataset(dataset)
        if row is None:
            return []
        rows = self._source(row).rows
        found = self._select(
            "f.name, f.path, f.medium, f.recalled_at",
            rows,
            f"ORDER BY f.medium = 'disk', {BY_NAME} LIMIT {MOST_LOOKED_AT}",
        )
        return sorted(islice((name for name, *rest in found if _residence(*rest) != ON_DISK), limit))

    def recall(self, names: Sequence[str]) -> None:
        """Note when files were asked for; they are on disk POMS_LOCAL_RECALL_SECONDS later."""
        self._update(names, "recalled_at = now()", "medium = 'tape' AND recalled_at IS NULL")

    def put_on_tape(self, names: Sequence[str]) -> None:
        """Pretend that files are on tape only: nobody reads them before they are recalled."""
        self._update(names, "medium = 'tape', recalled_at = NULL")

    def archived(self, names: Sequence[str]) -> set[str]:
        """Return those that are on the pretended tape, recalled or not."""
        return {name for name, medium in self._select("f.name, f.medium", self._named(names)) if medium == "tape"}

    def bring(self, names: Sequence[str], to: str) -> set[str]:
        """Copy files into a folder of that name among the local files, each whole or not at all."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", to):
            raise Refused(f"{to[:40]!r} is no place: a word of letters, digits and _ . -")
        folder = Path(settings.LOCAL_FILES) / self.experiment.name / "places" / to
        found = self._select("f.name, f.path", self._named(names))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return {name for name, path in found if self._copy(path, folder / Path(name).name)}
        except OSError as error:
            raise Unavailable(f"Files cannot be brought to {to}: {error.strerror}.") from error

    def _copy(self, path: str, into: Path) -> bool:
        """Tell whether a file's bytes are there now; a copy that was begun and not ended is begun anew."""
        source = self.place(path)
        if source is None:
            return False
        if not into.is_file() or into.stat().st_size != source.stat().st_size:
            part = into.with_name(f"{into.name}.{os.getpid()}.part")
            shutil.copyfile(source, part)
            part.replace(into)
        return True

    def place(self, path: str) -> Path | None:
        """Return where a file's bytes are, if they are here and below the experiment's own folder of local files.

        A path comes from a manifest or from whoever declared the file, and is data: what lies elsewhere on this
        machine, or is another experiment's, is nobody's to read.
        """
        place, home = Path(path).resolve(), Path(settings.LOCAL_FILES, self.experiment.name).resolve()
        return place if place.is_relative_to(home) and place.is_file() else None

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files; one whose name is taken by another file is refused, the same file again is fine."""
        with transaction.atomic():
            fresh = [self._row(seen) for seen in sorted(files, key=lambda seen: seen.name)]
            File.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=10_000)
            parents = {name for seen in files for name in seen.parents}
            names = {seen.name for seen in files} | parents
            known = {name: (pk, path) for pk, name, path in self._select("f.id, f.name, f.path", self._named(names))}
            refused = {
                seen.name: f"the name is taken by {known[seen.name][1]}"
                for seen in files
                if known[seen.name][1] != seen.path
            }
            taken = [seen for seen in files if seen.name not in refused]
            links = [
                Parentage(child_id=known[seen.name][0], parent_id=known[name][0])
                for seen in taken
                for name in seen.parents
                if name in known
            ]
            Parentage.objects.bulk_create(links, ignore_conflicts=True, batch_size=10_000)
            runs = [
                FileRun(file_id=known[seen.name][0], run=run.run, subrun=run.subrun, type=run.type)
                for seen in taken
                for run in runs_of(seen.metadata)
            ]
            FileRun.objects.bulk_create(runs, ignore_conflicts=True, batch_size=10_000)
        return refused

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Make a project and a dataset for scripts that ask by name; jobs find their files in their list, too."""
        with transaction.atomic():
            mark, _ = self._snapshot(name, self._named(names))
            project, _ = FileProject.objects.get_or_create(
                experiment=self.experiment, name=name, defaults={"snapshot_id": mark}
            )
            if project.snapshot_id != mark:
                raise Refused(f"There is a project {name} already, of other files.")
            self.define_by_query(name, f"snapshot_id {mark} with availability any")
        return Offer(name)

    def consume(self, project: str, fates: Mapping[str, str]) -> None:
        """Note what became of files of a project: name -> one of FATES."""
        if wrong := sorted(set(fates.values()) - set(FATES)):
            raise Refused(f"{wrong[0]!r} is not one of {', '.join(FATES)}.")
        row = FileProject.objects.filter(experiment=self.experiment, name=project).first()
        if row is None:
            raise Refused(f"There is no project {project}.")
        rows = [Consumption(project=row, file_id=pk, status=fates[name]) for name, pk in self._ids(fates).items()]
        Consumption.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["project", "file"], update_fields=["status"]
        )

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Read the manifests that the attempt's jobs left below its place.

        A manifest is written by rename after its outputs, so each that is there is whole; an output counts
        only while the file exists with the size that the manifest names.
        """
        place = Path(attempt.place)
        return [
            entry
            for entry in _manifests(attempt)
            if entry.outputs and all(_is_located(output, place) for output in entry.outputs)
        ]

    def fates(self, attempt: Attempt) -> dict[str, str]:
        """Return what was noted of the attempt's project; what stands in a manifest was consumed."""
        project = FileProject.objects.filter(experiment=self.experiment, name=attempt.offered).first()
        if project is None:
            return {}
        rows = self._select("f.name, 'unconsumed'", self._frozen(str(project.snapshot_id)))
        found = dict(rows)
        units = [unit for entry in _manifests(attempt) for unit in entry.units if unit in attempt.inputs]
        found.update({attempt.inputs[unit]: CONSUMED for unit in units if attempt.inputs[unit] in found})
        noted = Consumption.objects.filter(project=project).exclude(status=UNCONSUMED)
        found.update(noted.values_list("file__name", "status"))
        return found

    # --- Rows

    def _ids(self, names: Collection[str]) -> dict[str, int]:
        return dict(self._select("f.name, f.id", self._named(names)))

    def _links(self, near: str, far: str, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return pairs of a file and a relative of it, by the relative's name."""
        rows = Piece(
            f"integrations_parentage l JOIN integrations_file f ON f.id = l.{near}_id"
            f" JOIN integrations_file o ON o.id = l.{far}_id WHERE f.experiment_id = %s AND f.name = ANY(%s)",
            (self.experiment.pk, list(names)),
        )
        return self._select("f.name, o.name", rows, 'ORDER BY o.name COLLATE "C"')

    def _update(self, names: Sequence[str], assignments: str, only: str = "TRUE") -> None:
        """Change files by constant assignments, where a constant condition holds."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE integrations_file SET {assignments}"  # noqa: S608 - constants
                f" WHERE experiment_id = %s AND name = ANY(%s) AND {only}",
                [self.experiment.pk, list(names)],
            )

    def _row(self, seen: FileSeen) -> File:
        return File(
            experiment=self.experiment, name=seen.name, path=seen.path, size=seen.size, checksum=seen.checksum,
            events=seen.events, metadata=dict(seen.metadata), run=first_run(seen.metadata),
            medium=File.Medium.DISK if seen.path else File.Medium.NONE,
            start_time=moment_of(seen.metadata, "start_time"), end_time=moment_of(seen.metadata, "end_time"),
        )  # fmt: skip

    def _dataset(self, name: str) -> Dataset | None:
        return Dataset.objects.filter(experiment=self.experiment, name=name).first()

    def _snapshot(self, dataset: str, rows: Piece) -> tuple[int, int]:
        """Return the last snapshot of a dataset if it has these files, else a new one, and how many they are."""
        sql = _SNAPSHOT.format(rows.sql)
        with _within_limits(), connection.cursor() as cursor:
            cursor.execute(sql, (*rows.params, self.experiment.pk, dataset, self.experiment.pk, dataset))
            mark, files = cursor.fetchone()
        return mark, files

    def _condition(self, tree: Node) -> Piece:
        try:
            return condition(tree, self.experiment.pk)
        except DimensionError as error:
            raise Refused(str(error)) from error

    def _found(self, condition: Piece) -> Piece:
        return condition.inside("integrations_file f WHERE f.experiment_id = %s AND ({})", self.experiment.pk)

    def _named(self, names: Collection[str]) -> Piece:
        return self._found(Piece("f.name = ANY(%s)", (list(names),)))

    def _source(self, row: Dataset) -> _Source:
        if not row.query:
            sql = "integrations_dataset_files m JOIN integrations_file f ON f.id = m.file_id WHERE m.dataset_id = %s"
            return _Source(Piece(sql, (row.pk,)), Piece("m.txid"))
        tree = _parsed(row.query)
        return _Source(self._found(self._condition(tree)), Piece("f.txid") if is_own(tree) else None)

    def _frozen(self, mark: str) -> Piece:
        mine = DatasetSnapshot.objects.filter(experiment=self.experiment)
        if not mark.isdecimal() or not mine.filter(pk=int(mark)).exists():
            raise Refused(f"There is no snapshot {mark[:40]} in the local catalogue.")
        return Piece(
            "(SELECT unnest(files) AS id FROM integrations_datasetsnapshot WHERE id = %s) s"
            " JOIN integrations_file f ON f.id = s.id WHERE TRUE", (int(mark),),
        )  # fmt: skip

    def _seen(self, rows: Piece, wants: Collection[str]) -> list[FileSeen]:
        if PLAIN.issuperset(wants):
            return self._select(COLUMNS, rows, f"ORDER BY {BY_NAME}", make=_plain)
        if DATED.issuperset(wants):
            return self._select(MORE_COLUMNS, rows, f"ORDER BY {BY_NAME}", make=_dated)
        return self._select(ALL_COLUMNS, rows, f"ORDER BY {BY_NAME}", make=_whole)

    def _select(self, columns: str, rows: Piece, ending: str = "", make: Callable[[Any], Any] = tuple) -> list[Any]:
        """Return the rows of a SELECT of constant columns, each as `make` makes it, from a cursor of the server."""
        found: list[Any] = []
        with _within_limits(), connection.chunked_cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {rows.sql} {ending}", rows.params)  # noqa: S608 - all constants
            while some := cursor.fetchmany(ROWS):
                found += map(make, some)
        return found


def _plain(row: tuple[Any, ...]) -> FileSeen:
    return FileSeen(*row)


def _dated(row: tuple[Any, ...]) -> FileSeen:
    name, path, size, checksum, events, run, at = row
    return FileSeen(name, path, size, checksum, events, run=run, taken_at=at)


def _whole(row: tuple[Any, ...]) -> FileSeen:
    name, path, size, checksum, events, run, at, metadata = row
    return FileSeen(name, path, size, checksum, events, json.loads(metadata), run=run, taken_at=at)


@contextmanager
def _within_limits() -> Iterator[None]:
    """Let a query take its memory and no more than its time; Refused where it would take longer."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('work_mem'), current_setting('statement_timeout')")
        before = cursor.fetchone()
        set_both = "SELECT set_config('work_mem', %s, true), set_config('statement_timeout', %s, true)"
        cursor.execute(set_both, [QUERY_MEMORY, f"{LONGEST_SECONDS}s"])
        try:
            yield
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", "") != CANCELLED_STATEMENT:
                raise Unavailable(f"The database does not answer: {error}") from error
            raise Refused(f"The query takes longer than {LONGEST_SECONDS} s; narrow it, or make a dataset.") from error
        cursor.execute(set_both, list(before))


def _parsed(text: str) -> Node:
    """Read a query; raises Refused."""
    if _PATTERNS.fullmatch(text) and not _SPECIAL.match(text.strip()):
        patterns = [part.strip() for part in text.split(",") if part.strip(" %")]
        if not patterns:
            raise Refused("This query finds everything; give it a part of a name, such as raw_2026%.root.")
        return Or(tuple(Constraint("file_name", "like", (pattern,)) for pattern in patterns))
    try:
        return dimensions.parse(text)
    except DimensionError as error:
        raise Refused(str(error)) from error


def _residence(path: str, medium: str, recalled_at: Any) -> str:
    if medium == File.Medium.TAPE:
        due = recalled_at and recalled_at + timedelta(seconds=settings.LOCAL_RECALL_SECONDS)
        return ON_DISK if due and due <= now() else ON_TAPE
    return ON_DISK if medium == File.Medium.DISK and Path(path).is_file() else NOWHERE


def _manifests(attempt: Attempt) -> Iterator[Produced]:
    if not attempt.place:
        return
    for path in sorted(Path(attempt.place).glob(f"{attempt.uuid}.*.manifest.json")):
        try:
            manifest = json.loads(path.read_text())
            outputs = [_output(entry) for entry in manifest["outputs"]]
            units = [str(unit) for unit in manifest["units"]]
            job = str(manifest["job"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the manifest {path.name} cannot be read: {error!r}") from error
        yield Produced(job, units, outputs)


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
