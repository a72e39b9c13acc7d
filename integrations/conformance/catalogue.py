"""What every catalogue must do, said once against the protocol; a backend's tests bring a bench and inherit it.

A bench is the other side: it puts files into the catalogue as the laboratory does, and lets its server fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from integrations.catalogue.base import (
    CONSUMED,
    CONSUMPTION,
    FAILED,
    LINEAGE,
    NOWHERE,
    OFFERS,
    ON_DISK,
    ON_TAPE,
    QUERIES,
    RESIDENCE,
    SNAPSHOTS,
    UNCONSUMED,
    Attempt,
    Catalogue,
    FileSeen,
)
from integrations.errors import OutsideError, Refused

END = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class Bench(Protocol):
    """What the tests need of a backend beside the catalogue."""

    catalogue: Catalogue
    condition: str  # in its language: of files whose data_tier is raw
    nonsense: str  # what its language cannot be

    def name(self, text: str) -> str:
        """Return a name in the form that this catalogue gives to files and datasets."""
        ...

    def put(self, files: Sequence[FileSeen], dataset: str = "") -> None:
        """Enter files that are on disk, and let a dataset grow by them."""
        ...

    def put_on_tape(self, names: Sequence[str]) -> None:
        """Leave files on tape only."""
        ...

    def attempt(self, offered: str, inputs: Mapping[str, str]) -> Attempt:
        """Return an attempt that begins now, of release v1, with outputs like out_%, whose inputs were offered."""
        ...

    def leave(self, attempt: Attempt, job: str, units: Sequence[str], outputs: Sequence[FileSeen]) -> None:
        """Let a job of the attempt end: its outputs are there, made by the release that they name."""
        ...

    def consume(self, attempt: Attempt, fates: Mapping[str, str]) -> None:
        """Let the jobs of the attempt report what became of inputs."""
        ...


class RemoteBench(Bench, Protocol):
    """A bench whose server can fail."""

    def faults(self) -> Iterable[tuple[str, AbstractContextManager[object]]]:
        """Give the faults by name; inside each, every call to the server goes wrong in that way."""
        ...


def needs(bench: Bench, capability: str) -> None:
    """Skip what a catalogue says that it cannot do."""
    if capability not in bench.catalogue.can:
        pytest.skip(f"it has no {capability}")


class CatalogueConformance:
    """The tests; a subclass has a fixture `bench`."""

    @pytest.fixture
    def raw(self, bench: Bench) -> list[FileSeen]:
        """Six raw files with runs and times, in the dataset `raw`."""
        files = [
            FileSeen(
                bench.name(f"raw_{n}"), f"/pnfs/conformance/raw_{n}", 100 + n, "adler32:0a", 10 * n,
                {"data_tier": "raw", "runs": [[700 + n, 1, "physics"]], "end_time": END.isoformat(), "Data.Set": n},
                run=700 + n, taken_at=END,
            )
            for n in range(6)
        ]  # fmt: skip
        bench.put(files, bench.name("raw"))
        return files

    # --- Datasets

    def test_a_dataset_is_counted_and_one_that_is_not_there_is_none(self, bench: Bench, raw: list[FileSeen]) -> None:
        assert bench.catalogue.count(bench.name("raw")) == 6
        assert bench.catalogue.count(bench.name("nowhere")) is None

    def test_files_come_by_name_with_what_is_wanted(self, bench: Bench, raw: list[FileSeen]) -> None:
        plain = list(bench.catalogue.files(bench.name("raw")))
        assert [seen.name for seen in plain] == sorted(seen.name for seen in raw)
        full = bench.catalogue.files(bench.name("raw"), ("path", "size", "events", "run", "taken_at", "Data.Set"))
        for seen, put in zip(full, sorted(raw, key=lambda file: file.name), strict=True):
            assert (seen.size, seen.events, seen.run, seen.taken_at) == (put.size, put.events, put.run, END)
            assert seen.path.endswith("/" + put.path.rpartition("/")[2])
            assert seen.metadata["Data.Set"] == put.metadata["Data.Set"]

    def test_of_a_dataset_that_is_not_there_nothing_comes(self, bench: Bench) -> None:
        nowhere = bench.name("nowhere")
        assert list(bench.catalogue.files(nowhere)) == []
        assert bench.catalogue.freeze(nowhere) is None
        assert list(bench.catalogue.news(nowhere, "").files) == []
        assert bench.catalogue.absent(nowhere, 3) == []

    def test_what_is_frozen_stays_as_it_was(self, bench: Bench, raw: list[FileSeen]) -> None:
        frozen = bench.catalogue.freeze(bench.name("raw"))
        assert frozen is not None
        assert (frozen.dataset, frozen.files) == (bench.name("raw"), 6)
        bench.put([FileSeen(bench.name("raw_late"), "/pnfs/conformance/raw_late", 7)], bench.name("raw"))
        assert bench.catalogue.count(bench.name("raw")) == 7
        if SNAPSHOTS not in bench.catalogue.can:
            assert not frozen.mark, "it gave a mark, but says that it cannot keep what it stands for"
            return
        assert frozen.mark
        assert [seen.name for seen in bench.catalogue.files(frozen)] == sorted(seen.name for seen in raw)

    def test_news_never_leave_out_a_file(self, bench: Bench, raw: list[FileSeen]) -> None:
        news = bench.catalogue.news(bench.name("raw"), "", ("size",))
        assert {seen.name for seen in news.files} == {seen.name for seen in raw}
        seen_so_far = {seen.name for seen in news.files}
        for n in range(3):
            fresh = [FileSeen(bench.name(f"raw_new_{n}_{i}"), f"/pnfs/conformance/new_{n}_{i}", 5) for i in range(n)]
            bench.put(fresh, bench.name("raw"))
            news = bench.catalogue.news(bench.name("raw"), news.mark, ("size",))
            seen_so_far |= {seen.name for seen in news.files}
            assert {seen.name for seen in fresh} <= {seen.name for seen in news.files}
            assert all(seen.size for seen in news.files)
        assert len(seen_so_far) == bench.catalogue.count(bench.name("raw")) == 9

    def test_to_define_the_same_again_changes_nothing(self, bench: Bench, raw: list[FileSeen]) -> None:
        mine, names = bench.name("mine"), [seen.name for seen in raw[:3]]
        bench.catalogue.define(mine, names)
        bench.catalogue.define(mine, list(reversed(names)))
        assert [seen.name for seen in bench.catalogue.files(mine)] == sorted(names)
        with pytest.raises(Refused):
            bench.catalogue.define(mine, [raw[4].name])
        assert bench.catalogue.count(mine) == 3

    # --- Files

    def test_files_are_known_and_told_of_and_others_are_not(self, bench: Bench, raw: list[FileSeen]) -> None:
        names = [raw[0].name, raw[1].name, bench.name("nothing")]
        assert bench.catalogue.known(names) == set(names[:2])
        assert bench.catalogue.known([]) == set()
        told = bench.catalogue.told(names)
        assert set(told) == set(names[:2])
        assert (told[raw[1].name].size, told[raw[1].name].run) == (101, 701)
        assert told[raw[1].name].metadata["data_tier"] == "raw"

    def test_what_is_declared_is_there_with_its_parents(self, bench: Bench, raw: list[FileSeen]) -> None:
        parents = tuple(sorted(seen.name for seen in raw[:2]))
        reco = FileSeen(bench.name("reco_0"), "/pnfs/conformance/reco_0", 9, "", 3, {"data_tier": "reco"}, parents)
        assert bench.catalogue.declare([reco]) == {}
        assert bench.catalogue.declare([reco]) == {}, "the same file again is fine"
        told = bench.catalogue.told([reco.name])[reco.name]
        assert (told.size, told.events, told.metadata["data_tier"]) == (9, 3, "reco")
        other = reco._replace(size=10, path="/pnfs/conformance/elsewhere/reco_0")
        assert set(bench.catalogue.declare([other])) == {reco.name}
        if LINEAGE in bench.catalogue.can:
            assert tuple(sorted(told.parents)) == parents

    def test_children_are_found_for_each_known_file(self, bench: Bench, raw: list[FileSeen]) -> None:
        needs(bench, LINEAGE)
        one, two, three = (seen.name for seen in raw[:3])
        made = [
            FileSeen(bench.name("reco_1"), "/pnfs/conformance/reco_1", 9, parents=(one, two)),
            FileSeen(bench.name("reco_2"), "/pnfs/conformance/reco_2", 9, parents=(two,)),
        ]
        bench.put(made)
        assert bench.catalogue.children([one, two, three, bench.name("nothing")]) == {
            one: [made[0].name], two: [made[0].name, made[1].name], three: [],
        }  # fmt: skip

    def test_names_are_found_by_patterns(self, bench: Bench, raw: list[FileSeen]) -> None:
        names = sorted(seen.name for seen in raw)
        assert sorted(bench.catalogue.like(bench.name("raw_%"), 100)) == names
        assert len(bench.catalogue.like(bench.name("raw_%"), 2)) == 2
        two = f"{bench.name('raw_1%')}, {bench.name('raw_2%')}"
        assert sorted(bench.catalogue.like(two, 100)) == names[1:3]
        assert bench.catalogue.like(bench.name("none_%"), 100) == []

    def test_queries_find_files_and_nonsense_is_refused(self, bench: Bench, raw: list[FileSeen]) -> None:
        needs(bench, QUERIES)
        reco = FileSeen(bench.name("reco_3"), "/pnfs/conformance/reco_3", 9, metadata={"data_tier": "reco"})
        bench.put([reco])
        assert sorted(bench.catalogue.query(bench.condition)) == sorted(seen.name for seen in raw)
        names = [raw[0].name, reco.name, bench.name("nothing")]
        assert bench.catalogue.matching(names, bench.condition) == {raw[0].name}
        for ask in (bench.catalogue.query, lambda text: bench.catalogue.matching(names, text)):
            with pytest.raises(Refused):
                ask(bench.nonsense)

    def test_files_on_tape_are_recalled(self, bench: Bench, raw: list[FileSeen]) -> None:
        needs(bench, RESIDENCE)
        names = [seen.name for seen in raw]
        bench.put_on_tape(names[:2])
        asked = [*names, bench.name("nothing")]
        assert bench.catalogue.residence(asked) == {name: ON_TAPE if name in names[:2] else ON_DISK for name in names}
        assert sorted(bench.catalogue.absent(bench.name("raw"), 10)) == names[:2]
        assert len(bench.catalogue.absent(bench.name("raw"), 1)) == 1
        ends = time.monotonic() + 5
        while set(bench.catalogue.residence(names).values()) != {ON_DISK}:
            assert time.monotonic() < ends, "what was recalled never came"
            bench.catalogue.recall(names)
        bench.catalogue.recall(names)

    def test_a_file_without_a_place_is_nowhere(self, bench: Bench) -> None:
        needs(bench, RESIDENCE)
        lost = FileSeen(bench.name("lost"), "", 1)
        bench.put([lost])
        assert bench.catalogue.residence([lost.name]) == {lost.name: NOWHERE}

    # --- Attempts

    def test_the_same_offer_again_finds_what_is_there(self, bench: Bench, raw: list[FileSeen]) -> None:
        names = [seen.name for seen in raw[:3]]
        first = bench.catalogue.offer(bench.name("offer_1"), names)
        assert bench.catalogue.offer(bench.name("offer_1"), names) == first
        if OFFERS in bench.catalogue.can:
            assert first.dataset
            with pytest.raises(Refused):
                bench.catalogue.offer(bench.name("offer_1"), [raw[5].name])

    def test_what_is_produced_belongs_to_units_of_the_attempt(self, bench: Bench, raw: list[FileSeen]) -> None:
        inputs = {f"file:{n}": raw[n].name for n in range(4)}
        attempt = bench.attempt(bench.name("offer_2"), inputs)
        assert bench.catalogue.produced(attempt) == []
        version = {"application": {"family": "art", "name": "reco", "version": "v1"}}
        one, two = (
            FileSeen(bench.name(f"out_{n}"), f"out_{n}", 20 + n, "", 5, version, (raw[0].name, raw[1].name))
            for n in range(2)
        )
        three = FileSeen(bench.name("out_2"), "out_2", 22, "", 5, version, (raw[2].name,))
        bench.leave(attempt, "1", ["file:0", "file:1"], [one, two])
        bench.leave(attempt, "2", ["file:2"], [three])
        found = bench.catalogue.produced(attempt)
        assert sorted((sorted(e.units), sorted(o.name for o in e.outputs)) for e in found) == [
            (["file:0", "file:1"], [one.name, two.name]),
            (["file:2"], [three.name]),
        ]
        assert {output.size for entry in found for output in entry.outputs} == {20, 21, 22}
        assert all(output.path for entry in found for output in entry.outputs)
        assert len({entry.job for entry in found}) == 2
        assert bench.catalogue.produced(attempt) == found, "the same question has the same answer"

    def test_fates_are_told_of_inputs(self, bench: Bench, raw: list[FileSeen]) -> None:
        needs(bench, CONSUMPTION)
        names = [seen.name for seen in raw[:3]]
        attempt = bench.attempt(bench.name("offer_3"), {f"file:{n}": name for n, name in enumerate(names)})
        bench.consume(attempt, {names[0]: CONSUMED, names[1]: FAILED})
        assert bench.catalogue.fates(attempt) == {names[0]: CONSUMED, names[1]: FAILED, names[2]: UNCONSUMED}
        assert bench.catalogue.fates(replace(attempt, offered=bench.name("offer_never"))) == {}


class RemoteConformance(CatalogueConformance):
    """What a catalogue on a server must do besides: however the server fails, "nothing" is never the answer."""

    def test_no_failure_of_the_server_is_an_answer(self, bench: RemoteBench, raw: list[FileSeen]) -> None:
        names = [seen.name for seen in raw]
        attempt = bench.attempt(bench.name("offer_4"), {f"file:{n}": name for n, name in enumerate(names)})
        frozen = bench.catalogue.freeze(bench.name("raw"))
        assert frozen is not None
        news = bench.catalogue.news(bench.name("raw"), "")
        catalogue, dataset = bench.catalogue, bench.name("raw")
        questions: dict[str, Callable[[], Any]] = {
            "count": lambda: catalogue.count(dataset),
            "freeze": lambda: catalogue.freeze(dataset),
            "files": lambda: catalogue.files(dataset),
            "files of a snapshot": lambda: catalogue.files(frozen),
            "files with metadata": lambda: catalogue.files(dataset, ("run", "Data.Set")),
            "news": lambda: catalogue.news(dataset, news.mark),
            "all news": lambda: catalogue.news(dataset, ""),
            "define": lambda: catalogue.define(dataset, names),
            "known": lambda: catalogue.known(names),
            "told": lambda: catalogue.told(names),
            "like": lambda: catalogue.like(bench.name("raw_%"), 10),
            "absent": lambda: catalogue.absent(dataset, 3),
            "produced": lambda: catalogue.produced(attempt),
            "offer": lambda: catalogue.offer(bench.name("offer_5"), names),
            "declare": lambda: catalogue.declare([FileSeen(bench.name("fresh"), "", 1)]),
        }
        if LINEAGE in catalogue.can:
            questions["children"] = lambda: catalogue.children(names)
        if QUERIES in catalogue.can:
            questions["query"] = lambda: catalogue.query(bench.condition)
            questions["matching"] = lambda: catalogue.matching(names, bench.condition)
        if RESIDENCE in catalogue.can:
            questions["residence"] = lambda: catalogue.residence(names)
        if CONSUMPTION in catalogue.can:
            questions["fates"] = lambda: catalogue.fates(attempt)
        wrong = []
        for fault, failing in bench.faults():
            with failing:
                for name, ask in questions.items():
                    try:
                        wrong.append(f"{fault}: {name} answered {ask()!r}")
                    except OutsideError as error:
                        if isinstance(error, Refused):
                            wrong.append(f"{fault}: {name} was refused: {error}")
        assert not wrong, "\n".join(wrong)
        assert catalogue.count(dataset) == 6, "the server answers again"
