"""Dimension queries as SQL against the same over Python sets: two programs that must always find the same files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings

from integrations.catalogue.dimensions import DimensionError, Node, parse, write
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.local_query import MOST_DATASETS
from integrations.errors import Refused
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
from tests.cast import Cast
from tests.integrations.asking import constraints, far_trees, trees
from tests.stand_ins.sam.book import Book, Definition, Project, SamFile
from tests.stand_ins.sam.evaluating import Evaluation

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TIERS, VERSIONS = ("raw", "reco", None), ("v1", "v2", "v10", None)


def library() -> Book:
    """Return 24 files of three generations, with gaps in what is known of them, datasets, snapshots and projects."""
    book = Book()
    for n in range(24):
        generation = n // 8
        metadata: dict[str, object] = {"user": ("ann", "bob")[n % 2]}
        if tier := TIERS[generation]:
            metadata["data_tier"] = tier
        if version := VERSIONS[n % 4]:
            metadata["application"] = {"family": "art", "name": ("gen", "reco")[n % 2], "version": version}
        if n % 3:
            metadata["runs"] = [[100 + n // 4, n % 4, ("physics", "cosmic")[n % 2]], [110 + n % 3, 0, "physics"]]
        if n % 5:
            metadata["end_time"] = (BEGIN + timedelta(hours=13 * n)).isoformat()
            metadata["start_time"] = (BEGIN + timedelta(hours=13 * n - 2)).strftime("%Y-%m-%dT%H:%M:%S")
        if n % 7 == 3:
            metadata["content_status"] = "bad"
        metadata |= {} if n % 4 == 1 else {"Dataset.Tag": ("t1", "t2", 7, 7.5, True, None)[n % 6]}
        name = f"{('raw', 'reco', 'ntuple')[generation]}_{n:02d}.root"
        parents = [f"raw_{n - 8:02d}.root", f"raw_{(n - 7) % 8:02d}.root"] if generation == 1 else []
        parents = [f"reco_{n - 8:02d}.root"] if generation == 2 else parents
        place = "" if n % 6 == 5 else f"/data/{name}"
        book.add(SamFile(
            100 + n, name, 1000 * n, n * 10 if n % 4 else None, metadata, parents,
            tape=place if n % 2 else "", disk=place if not n % 2 else "", virtual=n % 6 == 5 and n > 10,
            created=BEGIN + timedelta(days=n), updated=BEGIN + timedelta(days=2 * n),
        ))  # fmt: skip
    for key, dims in {
        "early": "file_name raw_00.root,raw_01.root,raw_02.root,reco_11.root",
        "of_early": "ischildof:(defname: early)",
        "big": "file_size > 5000 and defname: late with stride 2",
        "late": "create_date >= 2026-01-10 or dataset_def_name early",
        "bad": "data_tier raw with availability bad",
    }.items():
        book.definitions[key] = Definition(book.number(), key, dims)
    book.snapshots = {7: [100, 103, 108, 111], 8: list(range(104, 120, 2))}
    book.projects["p_one"] = Project(1, "p_one", "early", 7, {100: "consumed", 103: "failed"})
    book.projects["p_two"] = Project(2, "p_two", "late", 8, {104: "completed", 108: "consumed", 110: "skipped"})
    return book


def write_down(book: Book, cast: Cast) -> None:
    """Enter all of a book into the local catalogue, under the same numbers; what comes later gets others."""
    experiment = cast.experiment
    with connection.cursor() as cursor:
        for table in ("file", "datasetsnapshot", "fileproject"):
            cursor.execute(
                "SELECT setval(s, greatest(nextval(s), 1000)) FROM pg_get_serial_sequence(%s, 'id') s",
                [f"integrations_{table}"],
            )
    for file in book.files.values():
        medium = "virtual" if file.virtual else "tape" if file.tape else "disk" if file.disk else "none"
        File.objects.create(
            id=file.id, experiment=experiment, name=file.name, path=file.disk or file.tape, size=file.size,
            events=file.events, metadata=file.metadata, medium=medium, created_at=file.created, updated_at=file.updated,
            run=min((run.run for run in file.runs), default=None), start_time=file.start, end_time=file.end,
        )  # fmt: skip
        FileRun.objects.bulk_create(FileRun(file_id=file.id, **run._asdict()) for run in file.runs)
        Parentage.objects.bulk_create(Parentage(child_id=file.id, parent_id=book.ids[name]) for name in file.parents)
    for definition in book.definitions.values():
        if definition.name == "early":  # the one that is a list here
            row = Dataset.objects.create(experiment=experiment, name=definition.name)
            names = ["raw_00.root", "raw_01.root", "raw_02.root", "reco_11.root"]
            Membership.objects.bulk_create(Membership(dataset=row, file_id=book.ids[name]) for name in names)
        else:
            Dataset.objects.create(experiment=experiment, name=definition.name, query=definition.dims)
    for key, files in book.snapshots.items():
        DatasetSnapshot.objects.create(id=key, experiment=experiment, dataset="early", files=files)
    for project in book.projects.values():
        row = FileProject.objects.create(
            id=project.id, experiment=experiment, name=project.name, snapshot_id=project.snapshot
        )
        Consumption.objects.bulk_create(
            Consumption(project=row, file_id=key, status=status) for key, status in project.statuses.items()
        )


VALUES = {
    "file_name": ["raw_00.root", "reco_%", "%0_.root", "%%.root", "ntuple_17.root", "nothing"],
    "full_path": ["/data/raw_00.root", "/data/%", ""],
    "file_id": ["100", "105", "110", "117"],
    "file_size": ["0", "5000", "11000", "20000.5"],
    "event_count": ["10", "100", "150", "-1"],
    "data_tier": ["raw", "reco", "r%"],
    "version": ["v1", "v2", "v%", "v10"],
    "family": ["art"],
    "application": ["gen", "reco"],
    "create_user": ["ann", "bob"],
    "run_number": ["100", "101.1", "103", "104.2", "111"],
    "run_type": ["physics", "cos%"],
    "start_time": ["2026-01-03", "2026-01-05T09:00:00", "05-Jan-2026"],
    "end_time": ["2026-01-02", "2026-01-06T01:00:00+00:00", "2026-01-10"],
    "create_date": ["2026-01-05", "12-Jan-2026", "2026-01-10T00:00:00-0500"],
    "update_date": ["2026-01-21", "2026-02-05"],
    "Dataset.Tag": ["t1", "t%", "7", "7.5", "7.50", "true", "10"],
    "snapshot_id": ["7", "8", "9"],
    "snapshot_for_project_name": ["p_one", "p_%", "none"],
    "snapshot_for_project_id": ["1", "2"],
    "dataset_def_name": ["early", "%", "none"],
    "project_name": ["p_one", "p_two", "p_%"],
    "project_id": ["1", "2"],
    "consumed_status": ["consumed", "co%", "unconsumed", "failed"],
}
TEXTS = frozenset(VALUES) - {
    "file_id", "file_size", "event_count", "run_number", "start_time", "end_time", "create_date", "update_date",
    "snapshot_id", "snapshot_for_project_id", "project_id",
}  # fmt: skip
LEAVES = constraints(VALUES, TEXTS)
DATASETS = ["early", "of_early", "big", "late", "bad"]


@dataclass(repr=False)
class Pair:
    """Both catalogues."""

    book: Book
    local: LocalCatalogue

    def agree(self, tree: Node) -> None:
        """Fail unless both find the same, of the tree as it is written."""
        query = write(tree)
        keys = Evaluation(self.book).keys(tree, ("default",))
        assert (query, self.local.query(query)) == (query, sorted(self.book.files[key].name for key in keys))


@pytest.fixture
def pair(cast: Cast) -> Pair:
    book = library()
    write_down(book, cast)
    # Files of another experiment, which no query may find, in the datasets of this one or not.
    File.objects.create(experiment=cast.other, name="raw_00.root", path="/x", metadata={"data_tier": "raw"})
    return Pair(book, LocalCatalogue(cast.experiment))


at_random = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=int(os.environ.get("POMS_EXAMPLES", "60")),
)


@at_random
@given(tree=LEAVES)
def test_every_constraint_finds_the_same(pair, tree):
    pair.agree(tree)


@at_random
@given(tree=trees(LEAVES, DATASETS))
def test_every_query_finds_the_same(pair, tree):
    pair.agree(tree)


@at_random
@given(tree=far_trees(LEAVES))
def test_ancestors_and_descendants_are_the_same(pair, tree):
    pair.agree(tree)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("data_tier raw", 7),
        ("not data_tier raw", 12),
        ("data_tier raw with availability any", 8),
        ("defname: early", 3),
        ("defname: of_early", 3),
        ("isancestorof:(file_name ntuple_16.root)", 3),
        ("isdescendantof:(file_name raw_01.root)", 3),
        ("ischildof:(ischildof:(file_name raw_01.root))", 1),
        ("snapshot_for_project_name p_one minus (project_name p_one and consumed_status co%) with availability any", 3),
        ("project_name p_two and consumed_status failed", 0),
        ("run_number 101.1", 1),
        ("run_number 101", 3),
        ("create_date 2026-01-05", 1),
        ("(file_name raw_% with limit 4) and file_size > 1000", 2),
        ("raw_0%, ntuple_2%", 10),
        ("%_00.root", 1),
    ],
)
def test_queries_find_what_they_should(pair, query, count):
    assert len(pair.local.query(query)) == count


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("data_tier", "expected a value|"),
        ("color red", "does not know color.*file_name"),
        ("file_size big", "file_size is a number"),
        ("file_size like 1%", "is a number"),
        ("run_number abc", "123.4"),
        ("create_date 2026-02-30", "create_date is a time"),
        ("end_time like 2026%", "is a time"),
        ("defname: nowhere", "no dataset nowhere"),
        ("version v1 and", "Parse error at line 1, column 15"),
        ("%", "finds everything"),
        (" , ", "finds everything|Parse error"),
        (" or ".join(["version v1"] * 1_001), "1000 parts"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(pair, query, why):
    if query == "data_tier":  # one word is a pattern of names, as ever
        assert pair.local.query(query) == []
        return
    with pytest.raises(Refused, match=why):
        pair.local.query(query)


def test_datasets_that_go_in_a_circle_are_refused(pair, cast):
    for name, query in {"a": "defname: b or version v1", "b": "not defname: c", "c": "isparentof:(defname: a)"}.items():
        Dataset.objects.create(experiment=cast.experiment, name=name, query=query)
    with pytest.raises(Refused, match="a is defined by itself: a → b → c → a"):
        pair.local.query("defname: a")
    with pytest.raises(Refused, match="itself"):
        pair.local.count("c")


def test_datasets_that_double_in_each_other_are_refused_quickly(pair, cast):
    Dataset.objects.create(experiment=cast.experiment, name="d0", query="version v1")
    for n in range(1, 40):
        query = f"defname: d{n - 1} or defname: d{n - 1}"
        Dataset.objects.create(experiment=cast.experiment, name=f"d{n}", query=query)
    with pytest.raises(Refused, match="parts"):
        pair.local.query("defname: d39")


def test_a_pattern_of_too_many_datasets_is_refused(pair, cast):
    Dataset.objects.bulk_create(
        Dataset(experiment=cast.experiment, name=f"many{n}", query="version v1") for n in range(MOST_DATASETS + 1)
    )
    with pytest.raises(Refused, match="more than"):
        pair.local.query("dataset_def_name many%")


@pytest.mark.parametrize("value", ["'; DROP TABLE integrations_file; --", "%s", "%(a)s", "{}", "{0}", "\\", "a\\%"])
def test_values_are_never_part_of_the_statement(pair, value):
    quoted = f'"{value}"'
    for name in ("file_name", "Dataset.Tag", "data_tier", "project_name", "dataset_def_name"):
        assert pair.local.query(f"{name} {quoted}") == []
    with pytest.raises((Refused, DimensionError)):
        pair.local.query(f"defname: {quoted}")
    assert File.objects.count() == 25


def test_names_of_parameters_are_never_part_of_the_statement(pair):
    assert parse("a.b-c+d x")
    assert pair.local.query("a.b-c+d x") == []


def test_a_condition_is_asked_of_some_names_only(pair):
    assert pair.local.matching(["raw_00.root", "reco_08.root", "nothing"], "data_tier raw") == {"raw_00.root"}
    assert pair.local.matching(["raw_00.root", "reco_08.root"], "reco_%") == {"reco_08.root"}
