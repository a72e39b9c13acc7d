"""MetaCat and the Data Dispatcher over their wire: what is asked, what is made once, and what a broken answer is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as installation

from integrations import registry
from integrations.catalogue import server as talk
from integrations.catalogue.base import (
    CONSUMED,
    CONSUMPTION,
    DELIVERED,
    FAILED,
    LINEAGE,
    NOWHERE,
    OFFERS,
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
)
from integrations.catalogue.metacat import OVERLAP, MetaCat
from integrations.catalogue.models import CatalogueLink
from integrations.errors import OutsideError, Refused, Unavailable, Unsure
from tests.servers import metacat as real
from tests.stand_ins.data_dispatcher.server import DataDispatcherServer
from tests.stand_ins.metacat.server import TOKEN, MetaCatServer
from tests.stand_ins.serving import Reply


@pytest.fixture(autouse=True)
def outside(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loopback may be called, nobody is waited for long, and no token of another test is kept."""
    settings.HTTP_ALLOW = ["127.0.0.1"]
    monkeypatch.setenv("POMS_CREDENTIAL_METACAT", TOKEN)
    monkeypatch.setattr(talk, "SECONDS", 0.5)
    talk.TOKENS.forget()
    yield


@pytest.fixture
def server() -> Iterator[MetaCatServer]:
    """A MetaCat in memory."""
    found = MetaCatServer()
    filled(found)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def engine() -> Iterator[real.EngineServer]:
    with real.running(installation.DATABASES["default"]) as found:
        yield found


@pytest.fixture(params=["memory", pytest.param("engine", marks=[pytest.mark.live, pytest.mark.xdist_group("metacat")])])
def either(request: pytest.FixtureRequest) -> MetaCatServer:
    """A MetaCat in memory, and one with the real engine of MQL."""
    if request.param == "memory":
        found: MetaCatServer = request.getfixturevalue("server")
        return found
    engine = request.getfixturevalue("engine")
    engine.store.reset()
    filled(engine)
    return engine


@pytest.fixture
def asking(either: MetaCatServer) -> MetaCat:
    return MetaCat({"url": f"{either.url}/app", "namespace": "poms"}, "metacat")


def filled(server: MetaCatServer) -> None:
    """Declare four raw files, made 1,000 s apart."""
    server.store.create("mc:raw")
    for number in range(4):
        declared(server, "mc:raw", f"raw_{number}.root", time=1_700_000_000 + number * 1000, size=100 + number, **{
            "core.data_tier": "raw", "core.event_count": 10 * number, "core.runs": [713 + number]})  # fmt: skip
    server.store.set_now(1_700_100_000.0)


@pytest.fixture
def dispatcher() -> Iterator[DataDispatcherServer]:
    found = DataDispatcherServer()
    yield found
    found.stop()


@pytest.fixture
def catalogue(server: MetaCatServer) -> MetaCat:
    return MetaCat({"url": f"{server.url}/app", "namespace": "poms"}, "metacat")


@pytest.fixture
def handing(server: MetaCatServer, dispatcher: DataDispatcherServer) -> MetaCat:
    return MetaCat(
        {"url": f"{server.url}/app", "namespace": "poms", "data_dispatcher": f"{dispatcher.url}/data"}, "metacat"
    )


def declared(server: MetaCatServer, dataset: str, name: str, *, parents: tuple[str, ...] = (), time: float = 0,
             size: int = 1, **metadata: Any) -> str:  # fmt: skip
    """Declare a file at the server itself; return its name."""
    space, _, plain = name.rpartition(":")
    specs = [dict(zip(("namespace", "name"), parent.split(":"), strict=True)) for parent in parents]
    server.store.declare(dataset, [{"namespace": space or "mc", "name": plain, "size": size, "metadata": metadata,
                                    "parents": specs, "created_timestamp": time or None}])  # fmt: skip
    return f"{space or 'mc'}:{plain}"


def names(files: Any) -> list[str]:
    return [seen.name for seen in files]


RAW = [f"mc:raw_{number}.root" for number in range(4)]

# --- Datasets


def test_a_dataset_is_counted_and_listed_by_name(asking):
    assert asking.count("mc:raw") == 4
    assert names(asking.files("mc:raw")) == RAW


def test_a_query_is_a_dataset_too(asking):
    assert asking.count("files from mc:raw where core.data_tier = raw") == 4
    assert asking.count("files from mc:raw where core.data_tier = reco") == 0
    assert names(asking.files("files from mc:raw where name = 'raw_2.root'")) == ["mc:raw_2.root"]


def test_no_dataset_is_none_and_has_no_files(asking):
    assert (asking.count("mc:nothing"), asking.freeze("mc:nothing")) == (None, None)
    assert asking.files("mc:nothing") == []
    assert asking.news("mc:nothing", "").files == []


def test_metadata_come_only_when_they_are_wanted(catalogue, server):
    plain = catalogue.files("mc:raw", ["size"])
    assert (plain[1].size, plain[1].events, plain[1].metadata) == (101, None, {})
    assert server.calls[-1].query["with_meta"] == "no"
    full = catalogue.files("mc:raw", ["events", "run"])
    assert server.calls[-1].query["with_meta"] == "yes"
    assert (full[2].events, full[2].run, full[2].metadata["core.data_tier"]) == (20, 715, "raw")
    assert full[2].taken_at == datetime.fromtimestamp(1_700_002_000, UTC)


def test_what_comes_later_is_news_and_nothing_is_left_out(asking, either):
    first = asking.news("mc:raw", "")
    assert names(first.files) == RAW
    declared(either, "mc:raw", "raw_4.root")
    second = asking.news("mc:raw", first.mark)
    assert "mc:raw_4.root" in names(second.files)
    assert "mc:raw_0.root" not in names(second.files)
    third = asking.news("mc:raw", second.mark)
    assert set(names(third.files)) <= {"mc:raw_4.root"}  # once more, since transactions take their time


def test_a_file_whose_transaction_took_long_is_still_news(asking, either):
    mark = asking.news("mc:raw", "").mark
    declared(either, "mc:raw", "late.root", time=1_700_003_000 - OVERLAP / 2)
    assert "mc:late.root" in names(asking.news("mc:raw", mark).files)


def test_an_old_file_that_is_put_into_a_dataset_is_news(asking, either):
    mark = asking.news("mc:raw", "").mark
    either.store.create("mc:other")
    old = declared(either, "mc:other", "old.root", time=1_600_000_000)
    either.store.add("mc:raw", [either.store.found([{"namespace": "mc", "name": "old.root"}])[0]])
    found = asking.news("mc:raw", mark)
    assert old in names(found.files)
    assert old not in names(asking.news("mc:raw", found.mark).files)


def test_a_strange_mark_is_refused(catalogue):
    with pytest.raises(Refused, match="no mark"):
        catalogue.news("mc:raw", "yesterday")


# --- Freezing


def test_a_frozen_copy_stays_as_it_was(asking, either):
    frozen = asking.freeze("mc:raw")
    assert frozen.files == 4
    declared(either, "mc:raw", "raw_4.root")
    either.store.retire("mc:raw_1.root")
    assert names(asking.files(frozen)) == RAW
    assert names(asking.files("mc:raw")) == [RAW[0], *RAW[2:], "mc:raw_4.root"]


def test_freezing_again_finds_the_same_copy_and_another_content_has_another(catalogue, server):
    query = "files from mc:raw where core.data_tier = raw"
    first, again = catalogue.freeze(query), catalogue.freeze("mc:raw")
    assert first.mark == again.mark
    assert server.asked("create_dataset") == 1
    declared(server, "mc:raw", "raw_4.root", **{"core.data_tier": "raw"})
    assert catalogue.freeze(query).mark != first.mark
    assert names(catalogue.files(first)) == RAW


@pytest.mark.parametrize("path", ["create_dataset", "add_files", "update_dataset"])
@pytest.mark.parametrize("how", ["cut", "hang", 500, 503])
def test_a_freeze_that_broke_off_is_taken_up_again(catalogue, server, path, how):
    server.fail(how, path)
    with pytest.raises((Unsure, Unavailable)):
        catalogue.freeze("mc:raw")
    frozen = catalogue.freeze("mc:raw")
    assert names(catalogue.files(frozen)) == RAW
    assert len([did for did in server.store.datasets if "poms_frozen" in did]) == 1


def test_a_dataset_that_is_frozen_itself_is_its_own_mark(asking, either):
    either.store.update("mc:raw", True)
    frozen = asking.freeze("mc:raw")
    assert frozen == Frozen("mc:raw", "mc:raw", 4)
    assert names(asking.files(frozen)) == RAW
    either.store.update("mc:raw", False)
    declared(either, "mc:raw", "raw_4.root")
    with pytest.raises(Refused, match="no longer what was frozen"):
        asking.files(frozen)


def test_a_copy_that_somebody_changed_is_refused(catalogue, server):
    frozen = catalogue.freeze("mc:raw")
    extra = declared(server, "mc:raw", "raw_4.root")
    server.store.members[frozen.mark] ^= {server.store.names[extra], server.store.names[RAW[0]]}
    with pytest.raises(Refused, match="no longer what was frozen"):
        catalogue.files(frozen)


def test_without_a_namespace_nothing_is_made(server):
    reader = MetaCat({"url": f"{server.url}/app"})
    assert reader.can == {LINEAGE, QUERIES}
    assert reader.freeze("mc:raw") == Frozen("mc:raw", "", 4)
    for act in (lambda: reader.define("mc:x", RAW), lambda: reader.offer("mc:x", RAW),
                lambda: reader.declare([FileSeen("mc:x.root")])):  # fmt: skip
        with pytest.raises(Refused, match="namespace"):
            act()
    assert "mc:x" not in server.store.datasets


def test_what_it_can_is_what_is_set(catalogue, handing):
    assert catalogue.can == {LINEAGE, QUERIES, SNAPSHOTS, OFFERS}
    assert handing.can == {LINEAGE, QUERIES, SNAPSHOTS, OFFERS, CONSUMPTION}


# --- Files


def test_names_are_known_with_and_without_a_namespace(server):
    catalogue = MetaCat({"url": f"{server.url}/app", "namespace": "mc"})
    server.store.retire("mc:raw_3.root")
    asked = ["raw_0.root", "mc:raw_1.root", "raw_3.root", "no such file", "x'; drop", "poms:raw_0.root"]
    assert catalogue.known(asked) == {"raw_0.root", "mc:raw_1.root"}


def test_what_is_told_has_metadata_and_parents(asking, either):
    declared(either, "mc:raw", "reco.root", parents=("mc:raw_1.root", "mc:raw_0.root"), **{"core.event_count": 7})
    told = asking.told(["mc:reco.root", "mc:nothing"])
    assert set(told) == {"mc:reco.root"}
    assert told["mc:reco.root"].parents == ("mc:raw_0.root", "mc:raw_1.root")
    assert told["mc:reco.root"].events == 7


def test_children_are_named_and_who_has_none_has_an_empty_list(asking, either):
    declared(either, "mc:raw", "reco.root", parents=("mc:raw_1.root", "mc:raw_0.root"))
    assert asking.children([*RAW[:3], "mc:nothing"]) == {
        RAW[0]: ["mc:reco.root"],
        RAW[1]: ["mc:reco.root"],
        RAW[2]: [],
    }


def test_patterns_find_names(asking, either):
    declared(either, "mc:raw", "rawX5.root")
    assert asking.like("mc:raw_%.root", 10) == ["mc:rawX5.root", *RAW]
    assert asking.like("mc:raw_1.root, mc:%2.root", 10) == RAW[1:3]
    assert asking.like("raw_%", 10) == []  # in our own namespace there are none
    assert len(asking.like("mc:%", 2)) == 2
    with pytest.raises(Refused, match="pattern"):
        asking.like("mc:raw' or name ~ '.", 10)


def test_a_child_of_two_parents_is_one_file(asking, either):
    declared(either, "mc:raw", "ab.reco", parents=(RAW[0], RAW[1]), time=1_700_004_000)
    children = "children(files from mc:raw)"
    assert (asking.count(children), names(asking.files(children)), asking.query(children)) == (
        1, ["mc:ab.reco"], ["mc:ab.reco"]
    )  # fmt: skip
    first = asking.news(children, "")
    declared(either, "mc:raw", "c.reco", parents=(RAW[2],))
    second = asking.news(children, first.mark)
    declared(either, "mc:raw", "d.reco", parents=(RAW[3], RAW[2]))
    assert (names(first.files), names(second.files)) == (["mc:ab.reco"], ["mc:ab.reco", "mc:c.reco"])
    assert "mc:d.reco" in names(asking.news(children, second.mark).files)
    assert "mc:ab.reco" not in names(asking.news(children, second.mark).files)


def test_queries_and_conditions_are_answered(asking):
    assert asking.query("files from mc:raw where core.event_count = 20") == ["mc:raw_2.root"]
    assert asking.matching(["mc:raw_1.root", "mc:raw_2.root"], "core.event_count = 20") == {"mc:raw_2.root"}


@pytest.mark.parametrize("text", ["", "  ", "files form mc:raw", "datasets matching mc:%"])
def test_a_query_that_makes_no_sense_is_refused(asking, text):
    with pytest.raises(Refused):
        asking.query(text)


def test_the_words_of_the_server_reach_the_person(catalogue):
    with pytest.raises(Refused, match="MQLSyntaxError: No terminal matches"):
        catalogue.query("files form mc:raw")


def test_where_files_are_it_does_not_say(catalogue):
    for ask in (lambda: catalogue.residence(RAW), lambda: catalogue.absent("mc:raw", 3), lambda: catalogue.recall(RAW)):
        with pytest.raises(Refused):
            ask()
    assert catalogue.place("/etc/passwd") is None


# --- Declaring


def test_files_are_declared_with_their_parents(asking, either):
    seen = FileSeen("reco_0.root", size=5, checksum="adler32:00ab12cd", events=3, parents=("mc:raw_0.root",),
                    metadata={"core.data_tier": "reco"})  # fmt: skip
    assert asking.declare([seen]) == {}
    told = asking.told(["reco_0.root"])["reco_0.root"]
    assert (told.size, told.checksum, told.events, told.parents) == (5, "adler32:00ab12cd", 3, ("mc:raw_0.root",))
    assert asking.children(["mc:raw_0.root"]) == {"mc:raw_0.root": ["poms:reco_0.root"]}
    assert asking.count("poms_outputs") == 1


def test_declaring_again_changes_nothing(catalogue, server):
    seen = FileSeen("reco_0.root", size=5, checksum="adler32:00ab12cd", parents=("mc:raw_0.root",))
    assert [catalogue.declare([seen]), catalogue.declare([seen])] == [{}, {}]
    assert server.asked("declare_files") == 1


def test_another_file_of_the_name_is_refused_and_the_rest_declared(asking, either):
    asking.declare([FileSeen("a.root", size=5, checksum="adler32:01"), FileSeen("gone.root")])
    either.store.retire("poms:gone.root")
    refused = asking.declare([FileSeen("a.root", size=6), FileSeen("b.root"), FileSeen("gone.root"),
                                 FileSeen("bad name"), FileSeen("c.root", parents=("mc:nothing.root",)),
                                 FileSeen("d.root", metadata={"nodot": 1})])  # fmt: skip
    assert set(refused) == {"a.root", "gone.root", "bad name", "c.root", "d.root"}
    assert "5 bytes" in refused["a.root"]
    assert "mc:nothing.root" in refused["c.root"]
    assert "category" in refused["d.root"]
    assert asking.known(["b.root", "c.root", "d.root"]) == {"b.root"}


def test_a_declaration_that_broke_off_is_found_done(catalogue, server):
    catalogue.declare([FileSeen("first.root")])
    server.fail("hang", "declare_files")
    with pytest.raises(Unsure):
        catalogue.declare([FileSeen("a.root", size=5)])
    assert catalogue.declare([FileSeen("a.root", size=5), FileSeen("b.root", size=5)]) == {}
    assert catalogue.known(["a.root", "b.root"]) == {"a.root", "b.root"}


def test_who_was_quicker_is_compared(catalogue, server):
    catalogue.declare([FileSeen("first.root")])

    def quicker(reply: Reply) -> Reply:
        return Reply(409, b"The following files already exist:\n  poms:a.root", {"Content-Type": "text/plain"})

    server.fail(quicker, "declare_files")
    assert catalogue.declare([FileSeen("a.root", size=5)]) == {}


def test_a_dataset_is_made_once_and_gets_what_it_lacks(asking, either):
    asking.define("mine", RAW[:2])
    asking.define("mine", RAW[:2])
    assert asking.count("mine") == 2
    asking.define("mine", RAW[2:])
    assert names(asking.files("mine")) == RAW
    with pytest.raises(Refused, match="does not know mc:nothing"):
        asking.define("mine", ["mc:nothing"])


# --- Attempts


def attempt(**more: Any) -> Attempt:
    return Attempt(**{
        "uuid": "6a1c", "offered": "poms_6a1c", "inputs": {f"file:{name}": name for name in RAW[:3]}, "patterns": "%.reco",
        "version": "v1", "since": datetime.fromtimestamp(1_700_050_000, UTC), **more,
    })  # fmt: skip


def test_children_of_the_inputs_are_what_an_attempt_produced(asking, either):
    declared(either, "mc:raw", "old.reco", parents=(RAW[0],), time=1_700_049_000)
    declared(either, "mc:raw", "a.reco", parents=(RAW[0],), **{"core.application.version": "v1"})
    declared(either, "mc:raw", "a.log", parents=(RAW[0],))
    declared(either, "mc:raw", "b.reco", parents=(RAW[1],), **{"core.application.version": "v0"})
    declared(either, "mc:raw", "elsewhere.reco", parents=(RAW[3],))
    either.store.retire(declared(either, "mc:raw", "retired.reco", parents=(RAW[2],)))
    made = asking.produced(attempt())
    assert [(entry.units, names(entry.outputs)) for entry in made] == [(["file:mc:raw_0.root"], ["mc:a.reco"])]
    assert made[0].outputs[0].parents == ("mc:raw_0.root",)
    assert asking.declare(made[0].outputs) == {}


def test_outputs_that_share_an_input_are_one_result(asking, either):
    declared(either, "mc:raw", "ab.reco", parents=(RAW[0], RAW[1], "mc:raw_3.root"))
    declared(either, "mc:raw", "b2.reco", parents=(RAW[1],))
    declared(either, "mc:raw", "c.reco", parents=(RAW[2],))
    made = asking.produced(attempt())
    assert [(len(entry.units), names(entry.outputs)) for entry in made] == [
        (2, ["mc:ab.reco", "mc:b2.reco"]), (1, ["mc:c.reco"])
    ]  # fmt: skip
    assert len({entry.job for entry in made}) == 2


def test_jobs_without_input_files_are_found_by_what_they_write(either):
    keys = {"attempt_key": "poms.uuid", "units_key": "poms.units"}
    catalogue = MetaCat({"url": f"{either.url}/app", "namespace": "poms", **keys}, "metacat")
    generated = attempt(inputs={"events:1": "", "events:101": ""}, patterns="", version="")
    declared(either, "mc:raw", "gen.root", **{"poms.uuid": "6a1c", "poms.units": ["events:1", "events:999"]})
    declared(either, "mc:raw", "other.root", **{"poms.uuid": "7b2d", "poms.units": ["events:101"]})
    assert [(entry.units, names(entry.outputs)) for entry in catalogue.produced(generated)] == [
        (["events:1"], ["mc:gen.root"])
    ]


def test_jobs_without_input_files_are_not_taken_for_failed(catalogue):
    with pytest.raises(Refused, match="attempt_key"):
        catalogue.produced(attempt(inputs={"events:1": ""}))


def test_without_a_dispatcher_a_dataset_is_offered(asking, either):
    offer = asking.offer("poms_6a1c", RAW[:2])
    assert (offer.dataset, offer.environment) == ("poms:poms_6a1c", {})
    assert asking.offer("poms_6a1c", RAW[:2]) == offer
    assert asking.count("poms_6a1c") == 2
    assert asking.fates(attempt()) == {}


def test_a_project_is_made_once(handing, dispatcher):
    offer = handing.offer("poms_6a1c", RAW[:3])
    assert offer.dataset == "1"
    assert offer.environment["POMS_DATA_DISPATCHER_PROJECT_ID"] == "1"
    assert offer.environment["POMS_DATA_DISPATCHER_PROJECT_VIRTUAL"] == "False"
    assert handing.offer("poms_6a1c", RAW[:3]) == offer
    assert handing.offer("poms_7b2d", RAW[:3]).dataset == "2"
    assert len(dispatcher.projects) == 2


@pytest.mark.parametrize("how", ["cut", "hang", "half"])
def test_a_project_that_was_made_before_the_answer_broke_off_is_found(handing, dispatcher, how):
    dispatcher.fail(how, "create_project")
    with pytest.raises(Unsure):
        handing.offer("poms_6a1c", RAW[:3])
    assert handing.offer("poms_6a1c", RAW[:3]).dataset == "1"
    assert dispatcher.asked("create_project") == 1


def test_a_project_that_got_no_files_is_cancelled_and_made_anew(handing, dispatcher):
    dispatcher.forgetful = 1
    with pytest.raises(Unsure):
        handing.offer("poms_6a1c", RAW[:3])
    assert handing.offer("poms_6a1c", RAW[:3]).dataset == "2"
    assert dispatcher.projects[1]["state"] == "cancelled"


def test_states_of_handles_are_fates(handing, dispatcher):
    handing.offer("poms_6a1c", RAW)
    for name, state in (("raw_1.root", "reserved"), ("raw_2.root", "done"), ("raw_3.root", "failed")):
        dispatcher.work(1, name, state)
    assert handing.fates(attempt()) == dict(zip(RAW, (UNCONSUMED, DELIVERED, CONSUMED, FAILED), strict=True))


def test_a_state_that_nobody_knows_is_no_fate(handing, dispatcher):
    handing.offer("poms_6a1c", RAW)
    dispatcher.work(1, "raw_1.root", "on the moon")
    with pytest.raises(Unavailable):
        handing.fates(attempt())


# --- What goes wrong


QUESTIONS = {
    "count": lambda c: c.count("mc:raw"),
    "count of a query": lambda c: c.count("files from mc:raw"),
    "freeze": lambda c: c.freeze("mc:raw"),
    "files": lambda c: c.files("mc:raw"),
    "news": lambda c: c.news("mc:raw", ""),
    "known": lambda c: c.known(RAW),
    "told": lambda c: c.told(RAW),
    "children": lambda c: c.children(RAW),
    "like": lambda c: c.like("mc:raw%", 3),
    "query": lambda c: c.query("files from mc:raw"),
    "matching": lambda c: c.matching(RAW, "core.data_tier = raw"),
    "produced": lambda c: c.produced(attempt()),
    "fates": lambda c: c.fates(attempt()),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("how", [500, 502, 503, 429, "html", "cut", "half"])
def test_a_question_that_is_not_answered_is_never_nothing(handing, server, dispatcher, question, how):
    for stand_in in (server, dispatcher):
        stand_in.fail(how)
    with pytest.raises(Unavailable) as raised:
        QUESTIONS[question](handing)
    if how in (429, 503):
        assert raised.value.retry_after == 77


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"7", b"\x1e{}\n", b'\x1e{"fid": 1}\n', b"\x1e\n", b"{", b'{"count": "4"}',
                                  b'{"count": -1}', b'{"count": true}', b'{"file_count": null}'])  # fmt: skip
@pytest.mark.parametrize("question", ["count", "count of a query", "files", "query", "freeze"])
def test_an_answer_that_makes_no_sense_is_unavailable(handing, server, body, question):
    for _ in range(9):
        server.fail(lambda reply: Reply(200, body, reply.headers), "/data/")
    with pytest.raises(Unavailable):
        QUESTIONS[question](handing)


def test_a_list_that_was_cut_between_two_records_is_noticed(catalogue, server):
    def cut(reply: Reply) -> Reply:
        return Reply(200, reply.body[: reply.body.rindex(b"\x1e")], reply.headers) if b"\x1e" in reply.body else reply

    server.fail(cut, "query", times=2)
    with pytest.raises(Unavailable, match="3 of 4 files"):
        catalogue.files("mc:raw")


def test_a_page_that_says_404_is_not_that_there_is_no_dataset(catalogue, server):
    server.fail(lambda reply: Reply(404, b"<h1>no such application</h1>", {"Content-Type": "text/html"}), "dataset")
    with pytest.raises(Unavailable):
        catalogue.count("mc:raw")


@pytest.mark.parametrize(
    ("status", "body"), [(302, b""), (302, b" <html>"), (403, b" <html>Sign in</html>"), (404, b"<p>")]
)
def test_a_page_of_whoever_stands_before_the_server_is_no_refusal(catalogue, server, status, body):
    server.fail(lambda reply: Reply(status, body, {"Location": "https://sso.example.org"}), "query")
    with pytest.raises(Unavailable, match="is not MetaCat"):
        catalogue.query("files from mc:raw")


def test_a_record_that_was_cut_says_so(catalogue, server):
    server.fail(
        lambda reply: Reply(200, reply.body[:-1], reply.headers) if b"\x1e" in reply.body else reply, "query", times=2
    )
    with pytest.raises(Unavailable, match="breaks off"):
        catalogue.files("mc:raw")


def test_nobody_there_is_unavailable():
    with pytest.raises(Unavailable):
        MetaCat({"url": "http://127.0.0.1:9/app"}).count("mc:raw")


def test_a_slow_server_is_unavailable_for_questions_and_unsure_for_acts(catalogue, server):
    server.fail("hang", "dataset")
    with pytest.raises(Unavailable):
        catalogue.count("mc:raw")
    server.fail("hang", "add_files")
    with pytest.raises(Unsure):
        catalogue.define("mine", RAW)


def test_a_permission_that_is_denied_is_refused_with_the_words_of_the_server(catalogue):
    with pytest.raises(Refused, match="Namespace not found"):
        catalogue.define("theirs:mine", RAW)


# --- Signing in


def signing_in(server: MetaCatServer, kind: str) -> MetaCat:
    return MetaCat({"url": f"{server.url}/app", "namespace": "poms", "sign_in": kind, "auth_url": f"{server.url}/auth",
                    "username": "poms"}, "metacat")  # fmt: skip


@pytest.mark.parametrize(("kind", "secret"), [("scitoken", "a scitoken"), ("password", "poms:s3cret")])
def test_the_credential_is_exchanged_once(server, monkeypatch, kind, secret):
    monkeypatch.setenv("POMS_CREDENTIAL_METACAT", secret)
    signing_in(server, kind).define("mine", RAW)
    signing_in(server, kind).define("mine", RAW)
    assert server.signed_in == 1


def test_a_token_that_ends_is_renewed_before_and_one_that_is_not_accepted_at_once(server, monkeypatch):
    monkeypatch.setenv("POMS_CREDENTIAL_METACAT", "a scitoken")
    server.token_seconds = 30
    signing_in(server, "scitoken").define("mine", RAW)
    assert server.signed_in > 1
    server.token_seconds = 3600
    signing_in(server, "scitoken").count("mc:raw")
    server.tokens.clear()
    signing_in(server, "scitoken").define("yours", RAW)


def test_a_credential_that_is_not_accepted_waits_for_an_administrator(server, monkeypatch):
    monkeypatch.setenv("POMS_CREDENTIAL_METACAT", "wrong")
    for kind in ("token", "scitoken", "password"):
        with pytest.raises(Unavailable) as raised:
            signing_in(server, kind).define("mine", RAW)
        assert raised.value.retry_after == 300
        assert "wrong" not in str(raised.value)


@pytest.mark.parametrize("settings_", [
    {}, {"url": ""}, {"url": "https://x", "urll": "y"}, {"url": "https://x", "sign_in": "magic"},
    {"url": "https://x", "sign_in": "scitoken"}, {"url": "https://x", "version_key": "x' or 1=1"},
    {"url": ["https://x"]}, {"url": "https://x", "data_dispatcher": "https://y", "idle_timeout": "soon"},
])  # fmt: skip
def test_settings_that_are_wrong_are_refused(settings_):
    with pytest.raises(Refused):
        MetaCat(settings_)


def test_only_the_three_errors_leave(catalogue, server):
    for question in QUESTIONS.values():
        server.fail(lambda reply: Reply(204, b"", {}), "/data/", times=3)
        try:
            question(catalogue)
        except OutsideError:
            continue


# --- Beside a catalogue of places --------------------------------------------------------------------------------------


class Places:
    """What a Rucio beside it says: where the names are that it knows."""

    can = frozenset({RESIDENCE, TRANSFERS})

    def __init__(self, **where: str) -> None:
        self.where = {f"mc:{name}.root": place for name, place in where.items()}
        self.asked: list[str] = []

    def residence(self, names: list[str]) -> dict[str, str]:
        return {name: self.where[name] for name in names if name in self.where}

    def archived(self, names: list[str]) -> set[str]:
        return {name for name in names if self.where.get(name) == ON_TAPE}

    def recall(self, names: list[str]) -> None:
        self.asked += names

    def bring(self, names: list[str], to: str) -> set[str]:
        return {name for name in names if self.where.get(name) == ON_DISK}


def test_where_files_are_is_asked_of_the_catalogue_of_places(server):
    places = Places(raw_0=ON_DISK, raw_1=ON_TAPE)
    catalogue = MetaCat({"url": f"{server.url}/app", "namespace": "poms"}, "metacat", places)
    names = [f"mc:raw_{n}.root" for n in range(3)]
    assert {RESIDENCE, TRANSFERS} <= catalogue.can
    assert catalogue.residence([*names, "mc:never"]) == dict(zip(names, (ON_DISK, ON_TAPE, NOWHERE), strict=True))
    assert catalogue.absent("mc:raw", 2) == names[1:3]
    assert catalogue.archived(names) == {names[1]}
    assert catalogue.bring(names, "FAR_DISK") == {names[0]}
    catalogue.recall(names[1:2])
    assert places.asked == names[1:2]
    alone = MetaCat({"url": f"{server.url}/app"})
    assert not {RESIDENCE, TRANSFERS} & alone.can
    with pytest.raises(Refused, match="places"):
        alone.residence(names)


def test_an_output_counts_once_it_is_somewhere(server):
    where: dict[str, str] = {}
    places = Places()
    places.where = where
    catalogue = MetaCat({"url": f"{server.url}/app", "namespace": "poms"}, "metacat", places)
    server.store.create("mc:reco")
    made = declared(server, "mc:reco", "reco_0.root", parents=("mc:raw_0.root",), time=1_700_050_000)
    attempt = Attempt(
        "u", "o", {"file:mc:raw_0.root": "mc:raw_0.root"}, "%", "", datetime.fromtimestamp(1_700_040_000, UTC)
    )
    assert catalogue.produced(attempt) == []
    where[made] = ON_TAPE
    assert [seen.name for entry in catalogue.produced(attempt) for seen in entry.outputs] == [made]


def test_places_are_another_catalogue_of_the_experiment(cast, settings):
    def link(name: str, system: str, **said: str) -> CatalogueLink:
        return CatalogueLink.objects.create(
            experiment=cast.experiment, name=name, system=system, settings=said, is_default=False
        )

    link("main", "metacat", url="https://metacat.example.org/app", places="where")
    with pytest.raises(Refused, match="has no such catalogue"):
        registry.catalogue(cast.experiment, "main")
    where = link("where", "metacat", url="https://other.example.org/app")
    with pytest.raises(Refused, match="cannot ask another metacat"):
        registry.catalogue(cast.experiment, "main")
    CatalogueLink.objects.filter(pk=where.pk).update(system="local", settings={})
    assert {RESIDENCE, TRANSFERS} <= registry.catalogue(cast.experiment, "main").can
