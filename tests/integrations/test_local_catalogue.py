"""The local catalogue: what every catalogue must do, and what it does by itself with transactions, tape and disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection, transaction

from core.clock import now, shifted
from integrations.catalogue import local as module
from integrations.catalogue.base import ON_DISK, ON_TAPE, Attempt, FileSeen, Frozen
from integrations.catalogue.dimensions import parse
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.local_query import is_own
from integrations.conformance.catalogue import CatalogueConformance
from integrations.errors import Refused, Unavailable
from integrations.models import Dataset, DatasetSnapshot, File, FileRun, Membership
from tests.cast import Cast


class LocalBench:
    """A catalogue whose files are below a folder."""

    condition = "data_tier raw"
    nonsense = "data_tier raw and"

    def __init__(self, cast: Cast, home: Path) -> None:
        self.catalogue = LocalCatalogue(cast.experiment)
        self.cast = cast
        self.home = home

    def name(self, text: str) -> str:
        return text

    def put(self, files: Sequence[FileSeen], dataset: str = "") -> None:
        placed = [seen._replace(path=str(self._touched(seen)) if seen.path else "") for seen in files]
        assert self.catalogue.declare(placed) == {}
        if dataset:
            row, _ = Dataset.objects.get_or_create(experiment=self.cast.experiment, name=dataset)
            row.files.add(*File.objects.filter(name__in=[seen.name for seen in files]))

    def _touched(self, seen: FileSeen) -> Path:
        place = self.home / seen.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * seen.size)
        return place

    def put_on_tape(self, names: Sequence[str]) -> None:
        self.catalogue.put_on_tape(names)

    def attempt(self, offered: str, inputs: Mapping[str, str]) -> Attempt:
        self.catalogue.offer(offered, list(inputs.values()))
        return Attempt(str(uuid4()), offered, inputs, "out_%", "v1", now(), str(self.home))

    def leave(self, attempt: Attempt, job: str, units: Sequence[str], outputs: Sequence[FileSeen]) -> None:
        entries = [
            {"name": seen.name, "path": str(self._touched(seen)), "size": seen.size, "parents": list(seen.parents)}
            for seen in outputs
        ]
        place = self.home / f"{attempt.uuid}.{job}.manifest.json"
        place.write_text(json.dumps({"job": job, "units": list(units), "outputs": entries}))

    def consume(self, attempt: Attempt, fates: Mapping[str, str]) -> None:
        self.catalogue.consume(attempt.offered, fates)


@pytest.fixture
def bench(cast: Cast, tmp_path: Path) -> LocalBench:
    return LocalBench(cast, tmp_path)


class TestConformance(CatalogueConformance):
    """All that the protocol asks of every catalogue."""


@pytest.fixture
def catalogue(bench: LocalBench) -> LocalCatalogue:
    runs = {"runs": [[12, 3, "physics"], [11, 1]], "start_time": "2026-05-01T00:00:00", "end_time": "nonsense"}
    bench.put([FileSeen(f"f{n}", f"/f{n}", n, metadata=runs if n == 1 else {"n.n": n}) for n in range(5)], "ds")
    return bench.catalogue


# --- Datasets that are defined by a query


def test_a_dataset_by_query_is_whatever_it_finds_now(bench, catalogue):
    catalogue.define_by_query("odd", "n.n 1,3 or run_number 12")
    assert [seen.name for seen in catalogue.files("odd")] == ["f1", "f3"]
    assert catalogue.count("odd") == 2
    frozen = catalogue.freeze("odd")
    bench.put([FileSeen("late", "/late", 1, metadata={"n.n": 3})])
    assert catalogue.count("odd") == 3
    assert [seen.name for seen in catalogue.files(frozen)] == ["f1", "f3"]
    assert catalogue.query("defname: odd minus snapshot_id " + frozen.mark) == ["late"]


def test_a_dataset_by_query_is_defined_once(catalogue):
    catalogue.define_by_query("odd", "n.n 1,3")
    catalogue.define_by_query("odd", "( n.n 1 , 3 )")
    with pytest.raises(Refused, match="of other files"):
        catalogue.define_by_query("odd", "n.n 1")
    with pytest.raises(Refused, match="of other files"):
        catalogue.define_by_query("ds", "n.n 1")
    with pytest.raises(Refused, match="no dataset nowhere"):
        catalogue.define_by_query("new", "defname: nowhere")
    assert not Dataset.objects.filter(name="new").exists(), "what cannot be asked is not kept"
    with pytest.raises(Refused, match="itself"):
        catalogue.define_by_query("me", "defname: me")


def test_a_list_takes_what_it_lacked_and_nothing_else(bench, catalogue):
    catalogue.define("mine", ["f1", "not there yet"])
    assert catalogue.count("mine") == 1
    bench.put([FileSeen("not there yet", "/y", 1)])
    catalogue.define("mine", ["f1", "not there yet"])
    assert catalogue.count("mine") == 2


# --- Snapshots


def test_the_same_files_have_the_same_mark(bench, catalogue):
    first = catalogue.freeze("ds")
    assert catalogue.freeze("ds") == first
    bench.put([FileSeen("late", "/late", 1)], "ds")
    second = catalogue.freeze("ds")
    assert (second.files, second.mark != first.mark) == (6, True)
    assert DatasetSnapshot.objects.count() == 2


@pytest.mark.parametrize("mark", ["99999999", "x", "9" * 40])
def test_a_snapshot_that_is_not_there_is_refused(catalogue, mark):
    with pytest.raises(Refused, match="no snapshot"):
        catalogue.files(Frozen("ds", mark, 5))


def test_a_snapshot_of_another_experiment_is_not_there(cast, catalogue):
    frozen = catalogue.freeze("ds")
    with pytest.raises(Refused, match="no snapshot"):
        LocalCatalogue(cast.other).files(frozen)
    assert LocalCatalogue(cast.other).query(f"snapshot_id {frozen.mark}") == []


# --- News


def names_of(news) -> set[str]:
    return {seen.name for seen in news.files}


@pytest.mark.parametrize("by_query", [False, True], ids=["list", "query"])
def test_a_file_of_a_slow_transaction_is_news_though_others_came_later(real_cast, by_query):
    catalogue = LocalCatalogue(real_cast.experiment)
    row = Dataset.objects.create(experiment=real_cast.experiment, name="ds", query="file_name f%" if by_query else "")
    written, may_commit = threading.Event(), threading.Event()

    def add(name: str) -> None:
        catalogue.declare([FileSeen(name, f"/{name}", 1)])
        if not by_query:
            row.files.add(File.objects.get(name=name))

    def slowly() -> None:
        with transaction.atomic():
            add("f_slow")
            written.set()
            assert may_commit.wait(10)
        connection.close()

    thread = threading.Thread(target=slowly)
    thread.start()
    try:
        assert written.wait(10)
        add("f_quick")
        news = catalogue.news("ds", "")
        assert names_of(news) == {"f_quick"}
    finally:
        may_commit.set()
        thread.join(10)
    news = catalogue.news("ds", news.mark)
    assert "f_slow" in names_of(news)
    # Whatever else runs on this server may hold the mark back; then it comes once more, and nothing else does.
    assert names_of(catalogue.news("ds", news.mark)) <= {"f_slow", "f_quick"}


def test_a_mark_of_another_life_of_the_database_brings_everything(catalogue):
    assert names_of(catalogue.news("ds", str(10**17))) == {f"f{n}" for n in range(5)}
    with pytest.raises(Refused, match="no mark"):
        catalogue.news("ds", "yesterday")


def test_a_file_that_is_changed_is_news_of_a_dataset_by_query(real_cast):
    catalogue = LocalCatalogue(real_cast.experiment)
    catalogue.declare([FileSeen(f"f{n}", f"/f{n}", n) for n in range(3)])
    catalogue.define_by_query("raw", "data_tier raw")
    mark = catalogue.news("raw", "").mark
    assert names_of(catalogue.news("raw", mark)) == set(), "none is raw"
    File.objects.filter(name="f1").update(metadata={"data_tier": "raw"})
    assert names_of(catalogue.news("raw", mark)) == {"f1"}


def test_of_a_query_that_looks_further_all_comes_each_time(real_cast):
    catalogue = LocalCatalogue(real_cast.experiment)
    catalogue.declare([FileSeen("in", "/in", 1), FileSeen("out", "/out", 1)])
    catalogue.define_by_query("parents", "isparentof:(file_name out)")
    mark = catalogue.news("parents", "").mark
    catalogue.declare([FileSeen("out", "/out", 1, parents=("in",))])
    assert names_of(catalogue.news("parents", mark)) == {"in"}


@pytest.mark.parametrize(
    ("query", "own"),
    [
        ("file_name a% and not (run_number 1 or a.b 2 minus version v1)", True),
        ("version v1 with availability any", True),
        ("version v1 with limit 3", False),
        ("version v1 or defname: x", False),
        ("not ischildof:(version v1)", False),
        ("version v1 minus snapshot_id 3", False),
        ("version v1 and consumed_status consumed", False),
        ("dataset_def_name x", False),
    ],
)
def test_only_what_the_file_alone_decides_can_be_followed_by_its_changes(query, own):
    assert is_own(parse(query)) is own


# --- Facts of files


def test_runs_and_times_are_read_from_the_metadata(catalogue):
    row = File.objects.get(name="f1")
    assert (row.run, row.end_time, row.start_time.isoformat()) == (11, None, "2026-05-01T00:00:00+00:00")
    assert list(FileRun.objects.order_by("run").values_list("run", "subrun", "type")) == [
        (11, 1, ""),
        (12, 3, "physics"),
    ]
    seen = catalogue.told(["f1"])["f1"]
    assert (seen.run, seen.taken_at) == (11, row.created_at)


def test_a_recall_takes_as_long_as_is_set(catalogue, settings):
    settings.LOCAL_RECALL_SECONDS = 60
    catalogue.put_on_tape(["f1"])
    catalogue.recall(["f1", "f2"])
    assert catalogue.residence(["f1", "f2"]) == {"f1": ON_TAPE, "f2": ON_DISK}
    with shifted(timedelta(seconds=50)):
        catalogue.recall(["f1"])
    with shifted(timedelta(seconds=65)):
        assert catalogue.residence(["f1"]) == {"f1": ON_DISK}, "to ask again does not begin anew"


def limits() -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('work_mem')")
        return cursor.fetchone()


def test_a_query_that_takes_too_long_is_refused(catalogue, monkeypatch):
    before = limits()
    assert catalogue.query("n.n 3") == ["f3"]
    assert limits() == before
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.001)
    with pytest.raises(Refused, match="takes longer"):
        catalogue.query(" or ".join(f"isparentof:(file_name like '%{n}%')" for n in range(200)))
    assert limits() == before


def test_a_manifest_that_cannot_be_read_is_no_answer(bench, catalogue):
    attempt = bench.attempt("offered", {"file:1": "f1"})
    (bench.home / f"{attempt.uuid}.1.manifest.json").write_text('{"job": 1')
    for ask in (catalogue.produced, catalogue.fates):
        with pytest.raises(Unavailable, match="manifest"):
            ask(attempt)


def test_what_stands_in_a_manifest_was_consumed(bench, catalogue):
    attempt = bench.attempt("offered", {"file:1": "f1", "file:2": "f2", "file:3": "f3"})
    bench.leave(attempt, "1", ["file:1", "file:2"], [FileSeen("out_1", "/out_1", 1)])
    catalogue.consume("offered", {"f2": "failed"})
    assert catalogue.fates(attempt) == {"f1": "consumed", "f2": "failed", "f3": "unconsumed"}
    with pytest.raises(Refused, match="'eaten' is not one of"):
        catalogue.consume("offered", {"f2": "eaten"})
    with pytest.raises(Refused, match="no project"):
        catalogue.consume("nothing", {})


def test_an_offer_is_a_project_and_a_dataset(catalogue):
    catalogue.offer("poms_7", ["f3", "f1"])
    assert [seen.name for seen in catalogue.files("poms_7")] == ["f1", "f3"]
    assert catalogue.query("snapshot_for_project_name poms_7 and consumed_status unconsumed") == ["f1", "f3"]
    with pytest.raises(Refused, match="of other files"):
        catalogue.offer("poms_7", ["f3"])


def test_a_file_may_be_put_into_a_list_only_once(catalogue):
    row = Dataset.objects.get(name="ds")
    row.files.add(*File.objects.all())
    assert Membership.objects.filter(dataset=row).count() == 5
