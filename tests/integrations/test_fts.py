"""The fts backend against its stand-in over HTTP: its page, its failures, and which addresses are asked at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from core import errors as ours
from experiments.models import Experiment
from integrations import linking, registry
from integrations.conformance.transfers import TransfersConformance
from integrations.errors import Refused, Unavailable
from integrations.models import CatalogueLink
from integrations.transfers import fts as module
from integrations.transfers.base import Failed, Waiting
from integrations.transfers.fts import Fts
from tests.stand_ins.fts.server import FtsServer, serving
from tests.stand_ins.serving import Fault, Reply

INSIDE = "http://fts.inside.example:8888/fts"


class FtsBench:
    """The stand-in, as daemons and people use it."""

    def __init__(self, server: FtsServer) -> None:
        self.server = server
        self.transfers = Fts(server.address)

    def wait(self, name: str) -> None:
        self.server.pending.append(name)

    def fail(self, name: str, message: str) -> None:
        self.server.errors[name] = message

    def finish(self, name: str) -> None:
        self.server.finish(name)


@pytest.fixture(autouse=True)
def loopback(settings) -> None:
    settings.HTTP_ALLOW = ["127.0.0.1"]


@pytest.fixture
def server() -> Iterator[FtsServer]:
    with serving() as running:
        yield running


@pytest.fixture
def bench(server) -> FtsBench:
    return FtsBench(server)


def page(text: str | bytes) -> Callable[[Reply], Reply]:
    body = text.encode() if isinstance(text, str) else text
    return lambda reply: Reply(200, body, {"Content-Type": "application/json"})


LISTS = {"errorstates": [], "pendingstates": [], "newstates": []}
BROKEN: dict[str, Fault] = {
    "500": 500, "503": 503, "404": 404, "429": 429, "302": 302, "a page of a proxy": "html", "cut": "cut", "half": "half",
    "no JSON": page("{'errorstates': []}"), "bytes": page(b"\xff\xfe\x00"), "a list": page("[]"), "null": page("null"),
    "nested without end": page("[" * 100_000), "no lists": page("{}"),
    "a list is missing": page(json.dumps({"errorstates": [], "newstates": []})),
    "no list": page(json.dumps({**LISTS, "pendingstates": {"a.root": ""}})),
    "a file without a name": page(json.dumps({**LISTS, "newstates": [{"msg": "x"}]})),
    "a number for a file": page(json.dumps({**LISTS, "errorstates": [7]})),
}  # fmt: skip


class TestConformance(TransfersConformance):
    @pytest.fixture(params=BROKEN)
    def broken(self, request, server) -> Callable[[], None]:
        return lambda: server.fail(BROKEN[request.param])


def test_a_service_that_is_slow_has_not_answered(server, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.2)
    server.fail("hang")
    with pytest.raises(Unavailable, match="did not answer"):
        Fts(server.address).status(["a.root"])


def test_a_busy_service_says_when_to_ask_again(server):
    server.fail(503)
    with pytest.raises(Unavailable) as told:
        Fts(server.address).status(["a.root"])
    assert told.value.retry_after == 77


def test_new_files_wait_and_a_failure_anywhere_weighs_more(server):
    server.new = ["a.root", "b.root"]
    with serving() as second:
        second.errors = {"a.root": "checksum differs"}
        for addresses in (f"{server.address} {second.address}/", f"{second.address}\n{server.address}"):
            said = Fts(addresses).status(["a.root", "b.root"])
            assert said == {"a.root": Failed("checksum differs"), "b.root": Waiting()}
        second.fail(500)
        with pytest.raises(Unavailable):
            Fts(f"{server.address} {second.address}").status(["b.root"])


def test_names_are_compared_without_folder_and_namespace(server):
    server.pending = ["/pnfs/drop/a.root"]
    server.errors = {"b.root": "x"}
    assert Fts(server.address).status(["mc:a.root", "mc:b.root"]) == {"mc:a.root": Waiting(), "mc:b.root": Failed("x")}


def test_a_message_is_one_line_that_can_be_kept(server):
    server.errors = {"a.root": "no\0 space\n at \ud800 /pnfs " + "x" * 900, "b.root": ""}
    said = Fts(server.address).status(["a.root", "b.root"])
    first = said["a.root"]
    assert isinstance(first, Failed)
    assert first.message.startswith("no space at /pnfs xxx")
    assert len(first.message) == module.LONGEST_MESSAGE
    assert said["b.root"] == Failed("no reason given")


@pytest.mark.parametrize(
    "address",
    [INSIDE, "http://169.254.169.254/fts", "file:///etc/passwd", "https://user:word@fts.example.org/fts", "fts"],
)
def test_other_addresses_are_not_called_unless_whoever_runs_this_names_them(settings, address):
    with pytest.raises(Refused):
        Fts(address)
    settings.FTS_SERVICES = [f"{INSIDE}/"]
    assert Fts(INSIDE).addresses == [INSIDE]
    with pytest.raises(Refused):
        Fts(f"{INSIDE} http://other.example.org/fts")


def test_a_service_inside_our_network_is_asked_if_it_is_named(server, settings):
    settings.HTTP_ALLOW = []
    with pytest.raises(Refused):
        Fts(server.address)
    settings.FTS_SERVICES = [server.address]
    assert Fts(server.address).status(["a.root"]) == {}


@pytest.mark.django_db
def test_an_experiment_has_the_services_that_its_catalogue_s_link_names(cast):
    demo: Experiment = cast.experiment
    assert registry.transfers(demo) is None
    settings = {"url": "https://metacat.example.org/app", "fts": "https://fts.example.org/a https://fts.example.org/b"}
    CatalogueLink.objects.create(experiment=demo, system="metacat", credential="one", settings=settings)
    CatalogueLink.objects.create(experiment=demo, system="filelist", name="lists", is_default=False)
    found = registry.transfers(demo)
    assert isinstance(found, Fts)
    assert found.addresses == ["https://fts.example.org/a", "https://fts.example.org/b"]
    assert registry.transfers(demo, "lists") is None
    assert registry.transfers(demo, "local") is None
    assert registry.catalogue(demo) is not None, "the catalogue itself does not mind"


@pytest.mark.django_db
@pytest.mark.parametrize("system", ["local", "filelist"])
def test_a_link_with_an_address_that_is_not_called_is_refused(cast, system):
    how = {"by": cast.administrator, "reason": "our outputs go to tape"}
    with pytest.raises(ours.Refused) as told:
        linking.link(cast.experiment, "main", system, settings={"fts": INSIDE}, **how)
    assert "only https is called" in told.value.problems[0].message
    linking.link(cast.experiment, "main", system, settings={"fts": "https://fts.example.org/fts"}, **how)
    assert isinstance(registry.transfers(cast.experiment), Fts)
