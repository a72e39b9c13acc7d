"""The sam backend against its stand-in server over HTTP: the protocol, its calls, and what a lost answer means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath
from uuid import uuid4

import pytest

from core.clock import now
from integrations import registry
from integrations.catalogue import sam as module
from integrations.catalogue.base import Attempt, FileSeen, Frozen
from integrations.catalogue.sam import SamCatalogue
from integrations.catalogue.sam_server import SamServer, document
from integrations.conformance.catalogue import RemoteConformance
from integrations.errors import Refused, Unavailable, Unsure
from integrations.models import CatalogueLink
from tests.cast import Cast
from tests.stand_ins.sam.server import KINDS, Sam, serving


class SamBench:
    """The stand-in, as the laboratory's people and jobs use it."""

    condition = "data_tier raw"
    nonsense = "data_tier raw and"

    def __init__(self, sam: Sam) -> None:
        self.sam = sam
        self.catalogue = SamCatalogue({"url": sam.url, "group": "samdev"})

    def name(self, text: str) -> str:
        return text

    def put(self, files: Sequence[FileSeen], dataset: str = "") -> None:
        for seen in files:
            self.sam.put(
                seen.name, datasets=(dataset,) if dataset else (), size=seen.size, events=seen.events,
                metadata=dict(seen.metadata), parents=list(seen.parents), checksum=seen.checksum,
                disk=str(PurePosixPath("/pnfs/x") / PurePosixPath(seen.path).parent) if seen.path else "",
            )  # fmt: skip

    def put_on_tape(self, names: Sequence[str]) -> None:
        for name in names:
            file = self.sam.book.find(name)
            assert file is not None
            file.tape, file.disk = "enstore:/pnfs/tape", ""

    def attempt(self, offered: str, inputs: Mapping[str, str]) -> Attempt:
        self.catalogue.offer(offered, list(inputs.values()))
        return Attempt(str(uuid4()), offered, inputs, "out_%", "v1", now() - timedelta(seconds=2))

    def leave(self, attempt: Attempt, job: str, units: Sequence[str], outputs: Sequence[FileSeen]) -> None:
        self.put([seen._replace(path=f"/{job}/{seen.path}") for seen in outputs])

    def consume(self, attempt: Attempt, fates: Mapping[str, str]) -> None:
        server = SamServer(self.sam.url)
        form = {"name": f"{attempt.offered}_p", "station": "samdev", "group": "samdev", "defname": attempt.offered}
        server.act("POST", "startProject", form=form)
        project = self.sam.book.projects[f"{attempt.offered}_p"]
        project.statuses |= {self.sam.book.ids[name]: fate for name, fate in fates.items()}

    def faults(self) -> Iterable[tuple[str, object]]:
        for kind in KINDS:
            if kind != "slow":
                yield kind, self.failing(kind)

    @contextmanager
    def failing(self, kind: str) -> Iterator[None]:
        self.sam.fail("*", kind, times=10_000, seconds=0.01)
        yield
        self.sam.faults.clear()


@pytest.fixture
def sam() -> Iterator[Sam]:
    with serving() as running:
        yield running


@pytest.fixture
def bench(sam: Sam, settings) -> SamBench:
    settings.HTTP_ALLOW = ["127.0.0.1"]
    return SamBench(sam)


class TestConformance(RemoteConformance):
    """All that the protocol asks of every catalogue."""


@pytest.fixture
def catalogue(bench: SamBench) -> SamCatalogue:
    bench.put([FileSeen(f"f{n}", f"/d/f{n}", n, events=n) for n in range(5)], "ds")
    return bench.catalogue


def test_a_list_is_one_call_and_metadata_are_one_more(sam, catalogue):
    catalogue.files("ds")
    assert dict(sam.calls) == {"GET files/list": 1}
    catalogue.files("ds", ("run", "path"))
    assert dict(sam.calls) == {"GET files/list": 2, "POST files/metadata": 1}


def test_long_questions_are_posted(sam, catalogue):
    catalogue.matching([f"a_rather_long_name_of_a_file_{n}" for n in range(60)], "data_tier raw")
    assert set(sam.calls) == {"POST files/list", "POST files/count"}


def test_many_files_are_asked_about_in_pieces(sam, catalogue, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 2)
    assert len(catalogue.told([f"f{n}" for n in range(5)])) == 5
    assert sam.calls["POST files/metadata"] == 3


def test_a_snapshot_with_fewer_files_than_it_had_is_no_answer(catalogue):
    frozen = catalogue.freeze("ds")
    with pytest.raises(Unavailable, match="5 of the 6"):
        catalogue.files(replace(frozen, files=6))


def test_an_unchanged_dataset_takes_no_new_snapshot(sam, catalogue):
    mark = catalogue.news("ds", "").mark
    before = sam.calls["POST definitions/name/*/snapshot"]
    assert (catalogue.news("ds", mark).files, catalogue.news("ds", mark).mark) == ((), mark)
    assert sam.calls["POST definitions/name/*/snapshot"] == before


def test_a_file_that_joins_a_definition_long_after_it_was_declared_is_news(sam, bench):
    old = sam.put("old", metadata={"data_tier": "reco"}, disk="/d")
    bench.catalogue.server.act("POST", "definitions/create", form={"defname": "raws", "dims": "data_tier raw"})
    mark = bench.catalogue.news("raws", "").mark
    old.metadata["data_tier"] = "raw"
    assert [seen.name for seen in bench.catalogue.news("raws", mark).files] == ["old"]


def test_an_offer_whose_answer_was_lost_is_found(sam, catalogue):
    sam.fail("POST definitions/create", "drop")
    catalogue.offer("poms_1", ["f1", "f2"])
    assert catalogue.count("poms_1") == 2
    assert sam.calls["POST definitions/create"] == 1


def test_an_offer_that_never_arrived_is_unsure_and_can_be_made_again(sam, catalogue):
    sam.fail("POST definitions/create", "refuse")
    with pytest.raises(Unsure):
        catalogue.offer("poms_1", ["f1"])
    catalogue.offer("poms_1", ["f1"])
    assert catalogue.count("poms_1") == 1


def test_an_offer_that_takes_too_long_is_found(sam, catalogue, monkeypatch):
    monkeypatch.setattr("integrations.catalogue.sam_server.LONG", 0.3)
    sam.fail("POST definitions/create", "hang", seconds=1)
    catalogue.offer("poms_1", ["f1"])
    assert catalogue.count("poms_1") == 1


def test_a_definition_says_the_same_however_it_is_written(sam, catalogue):
    catalogue.define("mine", ["f1", "f2"])
    sam.book.definitions["mine"].dims = "( file_name  'f1' , f2 )"
    catalogue.define("mine", ["f2", "f1"])
    sam.book.definitions["mine"].dims = "file_name f1"
    with pytest.raises(Refused, match="of other files"):
        catalogue.define("mine", ["f2", "f1"])


def test_a_busy_server_says_when_to_come_again(sam, catalogue):
    sam.fail("*", "busy")
    with pytest.raises(Unavailable) as caught:
        catalogue.count("ds")
    assert caught.value.retry_after == 7


def test_a_refusal_is_told_in_the_servers_words(catalogue):
    with pytest.raises(Refused, match="Unknown dimension 'color'"):
        catalogue.query("color red")
    with pytest.raises(Refused, match="'nowhere' not found"):
        catalogue.query("defname: nowhere")


@pytest.mark.parametrize("name", ["a%", "a'\"b", "naïve"])
def test_names_that_no_query_can_hold_are_refused_and_never_something_else(catalogue, name):
    with pytest.raises(Refused):
        catalogue.define("odd", [name])
    assert catalogue.known([name]) == set()


def test_writes_say_who_we_are(sam, bench, monkeypatch):
    sam.token = "s3cret"
    bench.put([FileSeen("f1", "/f1", 1)])
    with pytest.raises(Refused, match="authentication"):
        bench.catalogue.define("mine", ["f1"])
    mine = SamCatalogue({"url": sam.url, "group": "samdev"}, "sam-bot")
    with pytest.raises(Unavailable, match="POMS_CREDENTIAL_SAM_BOT"):
        mine.define("mine", ["f1"])
    monkeypatch.setenv("POMS_CREDENTIAL_SAM_BOT", "s3cret")
    mine.define("mine", ["f1"])
    assert mine.count("mine") == 1


def test_a_certificate_that_cannot_be_read_is_waited_for(sam, bench):
    mine = SamCatalogue({"url": sam.url, "group": "samdev", "certificate": "/nowhere/cert.pem"})
    with pytest.raises(Unavailable, match=r"cert\.pem") as caught:
        mine.count("ds")
    assert caught.value.retry_after == 300


def test_only_this_attempts_outputs_count(sam, bench):
    bench.put([FileSeen(f"in_{n}", f"/in_{n}", 1) for n in range(3)])
    attempt = bench.attempt("poms_2", {"u0": "in_0", "u1": "in_1"})
    v1, v2 = ({"application": {"version": version}} for version in ("v1", "v2"))
    bench.put([
        FileSeen("out_good", "/o", 1, metadata=v1 | {"process_id": 77}, parents=("in_0",)),
        FileSeen("out_both", "/o", 1, metadata=v1 | {"process_id": 77}, parents=("in_0", "in_1")),
        FileSeen("out_of_another_release", "/o", 1, metadata=v2, parents=("in_0",)),
        FileSeen("out_of_another_input", "/o", 1, metadata=v1, parents=("in_2",)),
        FileSeen("out_without_a_place", "", 1, metadata=v1, parents=("in_1",)),
        FileSeen("log_good", "/o", 1, metadata=v1, parents=("in_0",)),
    ])  # fmt: skip
    sam.put("out_early", disk="/o", metadata=v1, parents=["in_0"], created=now() - timedelta(hours=1))
    (found,) = bench.catalogue.produced(attempt)
    assert (found.job, list(found.units)) == ("of:u0", ["u0", "u1"])
    assert sorted(output.name for output in found.outputs) == ["out_both", "out_good"]
    other = replace(attempt, patterns="file_name like out_good or file_name like log_%", version="")
    assert sorted(o.name for e in bench.catalogue.produced(other) for o in e.outputs) == ["log_good", "out_good"]


def test_what_one_process_made_of_several_inputs_is_several_results(sam, bench):
    bench.put([FileSeen(f"in_{n}", f"/in_{n}", 1) for n in range(3)])
    attempt = bench.attempt("poms_3", {"u0": "in_0", "u1": "in_1", "u2": "in_2"})
    v1 = {"application": {"version": "v1"}, "process_id": 77}
    bench.put([FileSeen(f"out_{n}", "/o", 1, metadata=v1, parents=(f"in_{n}",)) for n in range(3)])
    made = bench.catalogue.produced(attempt)
    assert [(list(entry.units), [seen.name for seen in entry.outputs]) for entry in made] == [
        (["u0"], ["out_0"]), (["u1"], ["out_1"]), (["u2"], ["out_2"]),
    ]  # fmt: skip
    assert len({entry.job for entry in made}) == 3


def test_a_recall_takes_what_is_there_and_waits_for_no_tape(sam, bench):
    bench.put([FileSeen(f"t{n}", "", 1) for n in range(3)])
    bench.put_on_tape(["t0", "t1", "t2"])
    for _ in range(3):
        bench.catalogue.recall(["t0", "t1", "t2"])
    assert sam.calls["POST stations/*/projects/name/*/processes/*/getNextFile"] == 5
    bench.catalogue.recall(["t0", "t1", "t2"])
    (project,) = sam.book.projects.values()
    assert project.ended
    assert len(project.processes) == 1
    bench.catalogue.recall(["t0", "t1", "t2"])
    assert len(sam.book.projects) == 1


def test_a_declaration_with_an_unknown_parent_is_refused(catalogue):
    refused = catalogue.declare([FileSeen("new", "/d/new", 1, parents=("nobody",)), FileSeen("other", "/d/other", 1)])
    assert list(refused) == ["new"]
    assert "nobody" in refused["new"]
    assert catalogue.known(["new", "other"]) == {"other"}


def test_many_files_are_listed_by_one_call(sam, bench):
    sam.fill("mass", 200_000)
    frozen = bench.catalogue.freeze("mass")
    assert frozen == Frozen("mass", frozen.mark, 200_000)
    before = sum(sam.calls.values())
    files = bench.catalogue.files(frozen, ("size", "events"))
    assert sum(sam.calls.values()) - before == 1
    assert (files[0].name, files[-1].size) == ("mass_0000000.root", 1_199_999)
    assert bench.catalogue.told(["mass_0000007.root"])["mass_0000007.root"].run == 1000


def test_a_link_makes_the_catalogue_of_an_experiment(cast: Cast, sam, settings):
    settings.HTTP_ALLOW = ["127.0.0.1"]
    CatalogueLink.objects.create(experiment=cast.experiment, system="sam", settings={"url": sam.url, "group": "samdev"})
    sam.put("f1", datasets=("ds",), disk="/d")
    assert registry.catalogue(cast.experiment).count("ds") == 1


def test_the_stand_in_can_be_told_to_fail_from_another_process(sam, catalogue):
    control = SamServer(sam.url.removesuffix("/api"))
    control.act(
        "POST", "control/faults", send={"endpoint": "GET definitions/name/*/files/count", "kind": "html", "skip": 1}
    )
    assert catalogue.count("ds") == 5
    with pytest.raises(Unavailable, match="is not SAM"):
        catalogue.count("ds")
    assert catalogue.count("ds") == 5
    calls = document(control.ask("GET", "control/calls"), dict)["calls"]
    assert calls == {"GET definitions/name/*/files/count": 3}


def test_settings_that_are_missing_or_unknown_are_named(settings):
    with pytest.raises(Refused, match=r"turl is not one of its settings; url is missing.*group is missing"):
        SamCatalogue({"turl": "https://sam.example.org"})
