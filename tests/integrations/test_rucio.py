"""Rucio: the same tests on a stand-in and, live, on the real server; faults on the stand-in alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from django.conf import settings as installation

from integrations.catalogue import server as talk
from integrations.catalogue.base import (
    NOWHERE,
    OFFERS,
    ON_DISK,
    ON_TAPE,
    QUERIES,
    RESIDENCE,
    SNAPSHOTS,
    TRANSFERS,
    Attempt,
    FileSeen,
    Frozen,
)
from integrations.catalogue.rucio import Rucio
from integrations.errors import Refused, Unavailable, Unsure
from tests.servers import rucio as real
from tests.stand_ins.rucio.server import RucioServer
from tests.stand_ins.serving import Reply

NUMBERS = itertools.count(1)


@dataclass
class World:
    """A server, and a scope of its own for each test with three raw files: on disk and tape, on tape, and nowhere."""

    url: str
    token: str
    scope: str

    def do(self, method: str, path: str, **send: Any) -> None:
        """Make a call as the administrator."""
        headers = {"X-Rucio-Auth-Token": self.token, "X-Rucio-Account": "root"}
        answer = requests.request(method, f"{self.url}/{path}", json=send, headers=headers, timeout=30)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:300]}"

    def put(self, rse: str, *names: str, size: int = 10) -> list[str]:
        """Register files at an RSE; return their names."""
        self.do("POST", "replicas/", rse=rse, files=[
            {"scope": self.scope, "name": name, "bytes": size, "adler32": "00000001",
             "pfn": f"root://door.example.org:1094//{rse.lower()}/{self.scope}/{name}"} for name in names])  # fmt: skip
        return [f"{self.scope}:{name}" for name in names]

    def dataset(self, name: str, *files: str) -> str:
        """Make a dataset of files."""
        self.do("POST", f"dids/{self.scope}/{name}", type="DATASET")
        self.attach(name, *files)
        return f"{self.scope}:{name}"

    def attach(self, name: str, *files: str) -> None:
        """Add files to a dataset."""
        specs = [{"scope": self.scope, "name": file.partition(":")[2]} for file in files]
        if specs:
            into = {"scope": self.scope, "name": name, "dids": specs}
            self.do("POST", "dids/attachments", attachments=[into], ignore_duplicate=True)

    def meta(self, file: str, **meta: Any) -> None:
        """Write metadata of a file."""
        scope, _, name = file.partition(":")
        self.do("POST", f"dids/{scope}/{name}/meta", meta=meta, recursive=False)

    def catalogue(self, **more: str) -> Rucio:
        """Return the backend on this server and scope."""
        return Rucio({"url": self.url, "account": "root", "scope": self.scope, "disk_rses": "DISK2",
                      "output_rse": "DISK1", **more}, "rucio")  # fmt: skip


@pytest.fixture(scope="module")
def really() -> Iterator[real.RucioServer]:
    with real.running(installation.DATABASES["default"]) as server:
        yield server


@pytest.fixture(autouse=True)
def outside(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback may be called, and no token of another test is kept."""
    settings.HTTP_ALLOW = ["127.0.0.1"]
    monkeypatch.setenv("POMS_CREDENTIAL_RUCIO", f"{real.USER}:{real.PASSWORD}")
    talk.TOKENS.forget()


def prepared(url: str) -> World:
    headers = {"X-Rucio-Account": "root", "X-Rucio-Username": real.USER, "X-Rucio-Password": real.PASSWORD}
    token = requests.get(f"{url}/auth/userpass", headers=headers, timeout=30).headers["X-Rucio-Auth-Token"]
    world = World(url, token, f"t{next(NUMBERS)}")
    world.do("POST", f"accounts/root/scopes/{world.scope}")
    return world


def with_storage(url: str) -> World:
    world = prepared(url)
    both = {"read": 1, "write": 1, "delete": 1}
    for name, kind in (("DISK1", "DISK"), ("DISK2", "DISK"), ("TAPE1", "TAPE")):
        known = requests.get(f"{url}/rses/{name}", headers={"X-Rucio-Auth-Token": world.token}, timeout=30)
        if known.status_code == 200:
            continue
        world.do("POST", f"rses/{name}", rse_type=kind, deterministic=False)
        world.do("POST", f"rses/{name}/protocols/root", hostname="door.example.org", port=1094, prefix=f"/{name.lower()}/",
                 impl="rucio.rse.protocols.posix.Default", domains={"wan": both, "lan": both})  # fmt: skip
        world.do("POST", f"accountlimits/local/root/{name}", bytes=10**15)
    return world


@pytest.fixture
def server() -> Iterator[RucioServer]:
    found = RucioServer()
    yield found
    found.stop()


@pytest.fixture(params=["stand-in", pytest.param("real", marks=[pytest.mark.live, pytest.mark.xdist_group("rucio")])])
def world(request: pytest.FixtureRequest) -> World:
    """The world on the stand-in, and on the real server."""
    name = "server" if request.param == "stand-in" else "really"
    return with_storage(request.getfixturevalue(name).url)


@pytest.fixture
def raw(world: World) -> list[str]:
    """The three raw files, in the dataset `raw`."""
    files = world.put("TAPE1", "raw_0", "raw_1", "raw_2")
    world.put("DISK1", "raw_0")
    world.dataset("raw", *files)
    return files


def names(files: Any) -> list[str]:
    return [seen.name for seen in files]


# --- Datasets


def test_a_dataset_is_counted_and_listed(world, raw):
    catalogue = world.catalogue()
    assert (catalogue.count("raw"), catalogue.count(f"{world.scope}:raw")) == (3, 3)
    files = catalogue.files("raw")
    assert names(files) == raw
    assert (files[0].size, files[0].checksum, files[0].path) == (10, "adler32:00000001", "")


def test_no_dataset_is_none_and_a_file_is_no_dataset(world, raw):
    catalogue = world.catalogue()
    assert (catalogue.count("nothing"), catalogue.freeze("nothing"), catalogue.files("nothing")) == (None, None, [])
    with pytest.raises(Refused, match="a file, not a dataset"):
        catalogue.count("raw_0")


def test_a_dataset_without_files_has_none(world):
    world.dataset("empty")
    assert (world.catalogue().count("empty"), world.catalogue().files("empty")) == (0, [])


def test_what_is_wanted_comes_along(world, raw):
    world.meta(raw[1], run_number=713, events=50, stage="reco")
    first, second, _ = world.catalogue().files("raw", ["path", "run", "stage"])
    assert first.path.endswith(f"/disk1/{world.scope}/raw_0")
    assert second.path.endswith(f"/tape1/{world.scope}/raw_1")
    assert (second.run, second.events, second.metadata["stage"]) == (713, 50, "reco")
    assert abs((second.taken_at - datetime.now(UTC)).total_seconds()) < 3600


def test_a_frozen_copy_stays_as_it_was_and_is_made_once(world, raw):
    catalogue = world.catalogue()
    frozen = catalogue.freeze("raw")
    assert catalogue.freeze("raw") == frozen
    world.attach("raw", *world.put("DISK1", "raw_3"))
    assert names(catalogue.files(frozen)) == raw
    assert names(catalogue.files("raw")) == [*raw, f"{world.scope}:raw_3"]
    assert catalogue.freeze("raw").mark != frozen.mark


def test_a_closed_dataset_is_its_own_mark(world, raw):
    world.do("PUT", f"dids/{world.scope}/raw/status", open=False)
    catalogue = world.catalogue()
    frozen = catalogue.freeze("raw")
    assert frozen == Frozen("raw", f"{world.scope}:raw", 3)
    assert names(catalogue.files(frozen)) == raw
    with pytest.raises(Refused, match="no longer"):
        catalogue.files(Frozen("raw", frozen.mark, 4))


def test_a_dataset_that_has_changed_is_news(world, raw):
    catalogue = world.catalogue()
    first = catalogue.news("raw", "")
    assert names(first.files) == raw
    assert catalogue.news("raw", first.mark).files == []
    world.attach("raw", *world.put("DISK1", "raw_3"))
    assert f"{world.scope}:raw_3" in names(catalogue.news("raw", first.mark).files)


def test_a_dataset_is_made_once_and_gets_what_it_lacks(world, raw):
    catalogue = world.catalogue()
    for _ in range(2):
        catalogue.define("mine", raw[:2])
    assert catalogue.count("mine") == 2
    catalogue.define("mine", raw)
    assert names(catalogue.files("mine")) == raw
    with pytest.raises(Refused, match="not found"):
        catalogue.define("mine", ["nothing"])


def test_a_closed_dataset_is_not_added_to(world, raw):
    world.do("PUT", f"dids/{world.scope}/raw/status", open=False)
    catalogue = world.catalogue()
    catalogue.define("raw", raw[:2])
    with pytest.raises(Refused, match="with other files"):
        catalogue.define("raw", world.put("DISK1", "raw_3"))


# --- Files


def test_files_are_known_and_told(world, raw):
    world.meta(raw[0], parents=["other:a"])
    catalogue = world.catalogue()
    assert catalogue.known(["raw_0", raw[1], "nothing", "raw", "no name", "x:y:z"]) == {"raw_0", raw[1]}
    told = catalogue.told(["raw_0", "nothing"])
    assert set(told) == {"raw_0"}
    assert (told["raw_0"].name, told["raw_0"].parents) == (raw[0], ("other:a",))


def test_where_files_are_follows_from_their_replicas(world, raw):
    catalogue = world.catalogue()
    (gone,) = world.put("DISK2", "gone")
    assert catalogue.residence([gone]) == {gone: ON_DISK}
    world.do("PUT", "replicas/", rse="DISK2", files=[{"scope": world.scope, "name": "gone", "state": "U"}])
    places = {"raw_0": ON_DISK, "raw_1": ON_TAPE, gone: NOWHERE}
    assert catalogue.residence(["raw_0", "raw_1", "nothing", gone]) == places
    assert catalogue.absent("raw", 10) == raw[1:]
    assert catalogue.absent("raw", 1) == raw[1:2]
    world.put("DISK1", "raw_1", "raw_2")
    assert catalogue.absent("raw", 10) == []


def test_patterns_find_names(world, raw):
    world.put("DISK1", "rawX7", "other")
    catalogue = world.catalogue()
    assert catalogue.like("raw__", 10) == sorted([*raw, f"{world.scope}:rawX7"])
    assert catalogue.like(f"{world.scope}:%_1, oth%", 10) == sorted([raw[1], f"{world.scope}:other"])
    assert len(catalogue.like("%", 2)) == 2
    with pytest.raises(Refused):
        catalogue.like("raw'%", 1)


def test_filters_of_metadata_are_queries(world, raw):
    for number, name in enumerate(raw):
        world.meta(name, run_number=713 + number, datatype="RAW")
    catalogue = world.catalogue()
    assert catalogue.query("name=raw_*, run_number>=714") == raw[1:]
    assert catalogue.query(f"{world.scope}: run_number=713; run_number=715") == [raw[0], raw[2]]
    assert catalogue.query("datatype=MC") == []
    assert catalogue.matching(["raw_0", "raw_2", "nothing"], "run_number<=713") == {"raw_0"}
    for text in ("", "raw", "name=", "name=x'),os.abort((", "=x"):
        with pytest.raises(Refused):
            catalogue.query(text)


def test_what_it_cannot_do_it_says(world):
    catalogue = world.catalogue()
    assert catalogue.can == {QUERIES, RESIDENCE, OFFERS, SNAPSHOTS, TRANSFERS}
    with pytest.raises(Refused):
        catalogue.children(["raw_0"])
    assert catalogue.place("/etc/passwd") is None
    with pytest.raises(Refused, match="disk_rses"):
        world.catalogue(disk_rses="").recall(["raw_0"])


# --- Rules


def test_files_are_recalled_by_one_rule(world, raw):
    catalogue = world.catalogue()
    for _ in range(2):
        catalogue.recall(raw[1:])
    (dataset,) = [f"{world.scope}:{name}" for name in made(world, "poms_recall_*")]
    (rule,) = catalogue.rules(dataset)
    assert (rule.expression, rule.state, rule.replicating, rule.ok) == ("DISK2", "REPLICATING", 2, 0)
    assert catalogue.residence(raw[1:2]) == {raw[1]: ON_TAPE}  # asked for is not there


def test_a_rule_of_what_is_there_is_ok(world, raw):
    catalogue = world.catalogue()
    number = catalogue.keep("raw", "TAPE1")
    assert catalogue.keep("raw", "TAPE1") == number
    assert [(rule.id, rule.state) for rule in catalogue.rules("raw")] == [(number, "OK")]
    with pytest.raises(Refused, match="RSE"):
        catalogue.keep("raw", "NO_SUCH_RSE")


def made(world: World, pattern: str) -> list[str]:
    query = {"type": "dataset", "filters": repr([{"name": pattern}])}
    answer = requests.get(f"{world.url}/dids/{world.scope}/dids/search", params=query, timeout=30,
                          headers={"X-Rucio-Auth-Token": world.token})  # fmt: skip
    return [line.strip('"') for line in answer.text.splitlines()]


# --- Outputs


def test_an_output_with_a_url_is_registered_with_its_parents(world, raw):
    catalogue = world.catalogue(output_rule="DISK1")
    seen = FileSeen(
        "reco_0", f"root://door.example.org:1094//disk1/{world.scope}/reco_0", 5, "adler32:00ab12cd", parents=(raw[0],)
    )
    for _ in range(2):
        assert catalogue.declare([seen]) == {}
    told = catalogue.told(["reco_0"])["reco_0"]
    assert (told.size, told.checksum, told.parents) == (5, "adler32:00ab12cd", (raw[0],))
    assert names(catalogue.files("poms_outputs")) == [f"{world.scope}:reco_0"]
    assert [rule.state for rule in catalogue.rules("poms_outputs")] == ["OK"]


def test_another_file_of_the_name_and_one_that_nobody_could_find_are_refused(world, raw):
    refused = world.catalogue().declare([FileSeen(raw[0], size=11), FileSeen(raw[1], size=10, checksum="adler32:0000000f"),
                                         FileSeen(raw[2], size=10), FileSeen("local", "/tmp/local", 1)])  # fmt: skip
    assert set(refused) == {raw[0], raw[1], "local"}
    assert "10 bytes" in refused[raw[0]]
    assert "URL" in refused["local"]


def attempt(raw: list[str], **more: Any) -> Attempt:
    return Attempt(**{
        "uuid": "6a1c", "offered": "poms_6a1c", "inputs": {f"file:{name}": name for name in raw}, "patterns": "%.reco",
        "version": "v1", "since": datetime.now(UTC), **more,
    })  # fmt: skip


def test_inputs_are_offered_and_outputs_found_beside_them(world, raw):
    catalogue = world.catalogue()
    offer = catalogue.offer("poms_6a1c", raw[:2])
    assert catalogue.offer("poms_6a1c", raw[:2]) == offer
    assert (offer.dataset, catalogue.count(offer.dataset)) == (f"{world.scope}:poms_6a1c", 2)
    assert catalogue.produced(attempt(raw)) == []
    made = world.put("DISK1", "a.reco", "b.reco", "c.reco", "a.log", "old.reco", "gone.reco", size=7)
    world.do("PUT", "replicas/", rse="DISK1", files=[{"scope": world.scope, "name": "gone.reco", "state": "U"}])
    world.attach("poms_6a1c.out", *made)
    world.meta(made[0], parents=[raw[0]], version="v1")
    world.meta(made[1], parents=["raw_1", "raw_2"])
    world.meta(made[2], parents=["raw_2"])
    world.meta(made[4], parents=[raw[0]], version="v0")
    world.meta(made[5], parents=[raw[0]])
    assert [(entry.units, names(entry.outputs)) for entry in catalogue.produced(attempt(raw))] == [
        ([f"file:{raw[0]}"], [made[0]]), ([f"file:{raw[1]}", f"file:{raw[2]}"], [made[1], made[2]])
    ]  # fmt: skip
    assert catalogue.fates(attempt(raw)) == {}


def test_outputs_of_jobs_without_input_files_name_their_units(world):
    catalogue = world.catalogue()
    catalogue.offer("poms_6a1c", [])
    (made,) = world.put("DISK1", "gen.reco")
    world.attach("poms_6a1c.out", made)
    world.meta(made, parents=["events:1"])
    (entry,) = catalogue.produced(attempt([], inputs={"events:1": "", "events:101": ""}))
    assert (entry.units, names(entry.outputs)) == (["events:1"], [made])


def test_an_output_that_does_not_say_what_it_was_made_from_is_not_lost_silently(world, raw):
    catalogue = world.catalogue()
    catalogue.offer("poms_6a1c", raw)
    world.attach("poms_6a1c.out", *world.put("DISK1", "a.reco"))
    with pytest.raises(Refused, match="does not say in its metadata parents"):
        catalogue.produced(attempt(raw))
    with pytest.raises(Refused, match="has no dataset"):
        catalogue.produced(attempt(raw, offered="never"))


def test_a_wrong_password_waits_for_an_administrator(world, monkeypatch):
    monkeypatch.setenv("POMS_CREDENTIAL_RUCIO", "poms:wrong")
    with pytest.raises(Unavailable) as raised:
        world.catalogue().count("raw")
    assert raised.value.retry_after == 300
    assert "wrong" not in str(raised.value).replace("rong credentials", "")


# --- What goes wrong, on the stand-in


@pytest.fixture
def failing(server: RucioServer, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose server is told to fail, with nobody waiting for long."""
    world = with_storage(server.url)
    files = world.put("TAPE1", "raw_0", "raw_1", "raw_2")
    world.dataset("raw", *files)
    monkeypatch.setattr(talk, "SECONDS", 0.5)
    return world


QUESTIONS = {
    "count": lambda c: c.count("raw"),
    "freeze": lambda c: c.freeze("raw"),
    "files": lambda c: c.files("raw"),
    "news": lambda c: c.news("raw", ""),
    "known": lambda c: c.known(["raw_0"]),
    "told": lambda c: c.told(["raw_0"]),
    "residence": lambda c: c.residence(["raw_0"]),
    "absent": lambda c: c.absent("raw", 3),
    "like": lambda c: c.like("raw%", 3),
    "query": lambda c: c.query("name=raw*"),
    "matching": lambda c: c.matching(["raw_0"], "name=raw*"),
    "produced": lambda c: c.produced(attempt([])),
    "rules": lambda c: c.rules("raw"),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("how", [500, 502, 503, 429, "html", "cut", "half"])
def test_a_question_that_is_not_answered_is_never_nothing(failing, server, question, how):
    catalogue = failing.catalogue()
    catalogue.count("raw")  # signed in
    if question == "rules":
        catalogue.keep("raw", "TAPE1")
    server.fail(how)
    with pytest.raises(Unavailable):
        QUESTIONS[question](catalogue)


@pytest.mark.parametrize(
    "body", [b"7", b"null", b"[]\n", b"{}\n", b'{"scope": "t"}\n', b"{", b'{"scope": "t", "name": "x"}']
)
@pytest.mark.parametrize("question", ["files", "known", "residence"])
def test_an_answer_that_makes_no_sense_is_unavailable(failing, server, body, question):
    catalogue = failing.catalogue()
    catalogue.count("raw")
    server.fail(lambda reply: Reply(200, body, reply.headers), "files" if question == "files" else "bulkmeta")
    with pytest.raises(Unavailable):
        QUESTIONS[question](catalogue)


def test_a_list_that_was_cut_between_two_lines_is_noticed(failing, server):
    catalogue = failing.catalogue()
    server.fail(lambda reply: Reply(200, reply.body[: reply.body.rindex(b"{")], reply.headers), "files")
    with pytest.raises(Unavailable, match="2 of 3 files"):
        catalogue.files("raw")


def test_a_copy_that_somebody_changed_is_refused(failing, server):
    catalogue = failing.catalogue()
    frozen = catalogue.freeze("raw")
    failing.put("DISK1", "raw_9")
    files = server.content[failing.scope, frozen.mark.partition(":")[2]]
    files[0] = (failing.scope, "raw_9")
    with pytest.raises(Refused, match="no longer what was frozen"):
        catalogue.files(frozen)
    files.append((failing.scope, "raw_0"))  # now it has all of them, and one more
    with pytest.raises(Refused, match="with other files"):
        catalogue.freeze("raw")


def test_a_dataset_that_is_whole_on_disk_is_not_looked_into(failing, server):
    catalogue = failing.catalogue()
    assert len(catalogue.absent("raw", 3)) == 3
    failing.put("DISK2", "raw_0", "raw_1", "raw_2")
    before = server.asked("files"), server.asked("bulkmeta")
    assert catalogue.absent("raw", 3) == []
    assert (server.asked("files"), server.asked("bulkmeta")) == before


@pytest.mark.parametrize("how", ["cut", "hang", 500])
@pytest.mark.parametrize("path", ["attachments", "rules", "poms_recall"])
def test_a_recall_that_broke_off_is_taken_up_again(failing, server, how, path):
    catalogue = failing.catalogue()
    catalogue.count("raw")
    server.fail(how, path)
    with pytest.raises((Unsure, Unavailable)):
        catalogue.recall(["raw_0", "raw_1"])
    catalogue.recall(["raw_0", "raw_1"])
    assert len(server.rules) == 1
    assert len(made(failing, "poms_recall_*")) == 1


def test_a_404_that_is_not_of_rucio_is_not_that_there_is_no_dataset(failing, server):
    server.fail(lambda reply: Reply(404, b"not here", {"Content-Type": "text/plain"}), "dids")
    with pytest.raises(Unavailable):
        failing.catalogue().count("raw")


def test_a_token_is_kept_until_shortly_before_it_ends_and_renewed_when_it_is_not_accepted(failing, server):
    before = server.signed_in
    failing.catalogue().count("raw")
    failing.catalogue().count("raw")
    assert server.signed_in == before + 1
    server.tokens.clear()
    assert failing.catalogue().count("raw") == 3
    talk.TOKENS.forget()
    server.token_seconds = 30
    failing.catalogue().count("raw")
    failing.catalogue().count("raw")
    assert server.signed_in == before + 4


def test_what_an_account_may_not_do_is_no_question_of_its_token(failing, server):
    catalogue = failing.catalogue()
    catalogue.count("raw")
    before = server.signed_in
    said = b'{"ExceptionClass": "AccessDenied", "ExceptionMessage": "Account root can not add it"}'
    server.fail(lambda reply: Reply(401, said, {"ExceptionClass": "AccessDenied"}), "rules")
    with pytest.raises(Refused, match="can not add it"):
        catalogue.keep("raw", "TAPE1")
    assert server.signed_in == before


def test_a_token_of_somebody_elses_making_is_sent_as_it_is(failing, server, monkeypatch):
    monkeypatch.setenv("POMS_CREDENTIAL_RUCIO", next(iter(server.tokens)))
    before = server.signed_in
    assert failing.catalogue(sign_in="bearer").count("raw") == 3
    assert server.signed_in == before


def test_nobody_there_is_unavailable():
    with pytest.raises(Unavailable):
        Rucio({"url": "http://127.0.0.1:9", "account": "root"}, "rucio").count("x:y")


@pytest.mark.parametrize("settings_", [
    {}, {"url": "https://x"}, {"url": "https://x", "account": "a", "sign_in": "magic"},
    {"url": "https://x", "account": "a", "recall_lifetime": "long"}, {"url": "https://x", "account": "a", "password": "p"},
])  # fmt: skip
def test_settings_that_are_wrong_are_refused(settings_):
    with pytest.raises(Refused, match=r"settings|whole number"):
        Rucio(settings_, "rucio")


def test_without_a_credential_nothing_is_asked():
    with pytest.raises(Refused, match="credential"):
        Rucio({"url": "https://x", "account": "a"})
