"""Datasets and queries by the API and the command line: as the catalogue has them now, with what it does not know."""

from __future__ import annotations

import json

import pytest
from poms_client.main import main

from experiments.logic import tokens
from integrations import registry
from integrations.catalogue.base import FileSeen
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable
from poms_site.overview import dataset
from tests import builders
from tests.cast import Cast

READING = "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=None\n"


def fill(cast: Cast) -> None:
    """Put four files into a dataset, which a campaign reads; one of them has no number of events."""
    catalogue = LocalCatalogue(cast.experiment)
    files = [FileSeen(f"f{n}", __file__, 1000, events=5 if n else None) for n in range(4)]
    assert catalogue.declare(files) == {}
    catalogue.define("raw", [seen.name for seen in files])
    catalogue.define("few", ["f1", "f2"])
    builders.approved_campaign(cast, builders.definition(stages=READING))


@pytest.fixture
def ask(cast, call_as):
    fill(cast)
    client = call_as(cast.experimenter)

    def get(what: str, **query: str):
        return client.get(f"/api/v1/data/{what}", {"experiment": "demo", **query})

    return get


@pytest.mark.django_db
def test_a_dataset_is_shown_as_it_is_now(ask):
    shown = ask("show/", name="raw").json()
    assert (shown["files"], shown["bytes"], shown["events"]) == (4, 4000, None)
    assert (shown["disk"], shown["tape"], shown["nowhere"]) == (4, 0, 0)
    assert [(use["stage"], use["state"]) for use in shown["uses"]] == [("reco", "approved")]
    few = ask("show/", name="few").json()
    assert (few["events"], few["uses"], few["first"]) == (10, [], ["f1", "f2"])
    assert ask("show/", name="nosuch").status_code == 404


@pytest.mark.django_db
def test_a_very_large_dataset_is_only_counted(ask, monkeypatch):
    monkeypatch.setattr(dataset, "MOST_SEEN", 3)
    shown = ask("show/", name="raw").json()
    assert (shown["files"], shown["bytes"], shown["disk"]) == (4, None, None)
    assert "only counted" in shown["why"]


@pytest.mark.django_db
def test_what_a_catalogue_cannot_know_is_unknown(ask, monkeypatch):
    monkeypatch.setattr(LocalCatalogue, "can", frozenset())
    shown = ask("show/", name="raw").json()
    assert (shown["bytes"], shown["disk"], shown["nowhere"]) == (4000, None, None)


@pytest.mark.django_db
def test_datasets_are_listed_and_what_campaigns_read(ask):
    assert {row["name"] for row in ask("").json()["results"]} == {"raw", "few"}
    assert [row["name"] for row in ask("", name_has="FE").json()["results"]] == ["few"]
    (read,) = ask("read/").json()["results"]
    assert (read["name"], read["campaigns"], read["experiment"]) == ("raw", 1, "demo")


@pytest.mark.django_db
def test_a_query_is_counted_and_its_first_names_shown(ask):
    found = ask("query/", dimensions="defname: raw", limit="2").json()
    assert (found["files"], found["first"]) == (4, ["f0", "f1"])
    refused = ask("query/", dimensions="defname: raw and and")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "dimensions")
    assert ask("query/", dimensions="").json()["errors"][0]["field"] == "dimensions"
    assert ask("query/", dimensions="defname: raw", limit="many").status_code == 422
    assert ask("query/", dimensions="defname: raw", catalogue="nosuch").status_code == 422


@pytest.mark.django_db
def test_a_catalogue_that_does_not_answer_is_said_to(ask, monkeypatch):
    class Deaf(LocalCatalogue):
        def count(self, dataset):
            raise Unavailable("it answers 503")

        def query(self, text):
            raise Unavailable("it answers 503")

    monkeypatch.setattr(registry, "catalogue", lambda experiment, *of: Deaf(experiment))
    for answer in (ask("show/", name="raw"), ask("query/", dimensions="defname: raw")):
        assert answer.status_code == 503
        assert answer.json()["detail"] == "The catalogue cannot be asked: it answers 503. Try again in a while."


@pytest.mark.django_db(transaction=True)
def test_the_command_shows_lists_and_asks(real_cast, live_server, monkeypatch, capsys):
    fill(real_cast)
    _, secret = tokens.issue(real_cast.experimenter, "test")
    monkeypatch.setenv("POMS_URL", live_server.url)
    monkeypatch.setenv("POMS_TOKEN", secret)

    def poms(*words: str) -> tuple[int, str, str]:
        return main(["data", *words, "-e", "demo"]), *capsys.readouterr()

    code, out, _ = poms("show", "raw")
    assert (code, out.splitlines()[:3]) == (0, ["files\t4", "bytes\t4000", "events\tunknown"])
    assert "reco, which is approved" in out
    assert poms("show", "nosuch")[0] == 4
    code, out, said = poms("query", "defname: raw", "--limit", "1")
    assert (code, out) == (0, "f0\n")
    assert "4 files, 3 more than shown" in said
    assert {row["name"] for row in json.loads(poms("list", "--json")[1])} == {"raw", "few"}
    assert json.loads(poms("list", "--read", "--json")[1])[0]["campaigns"] == 1
