"""Files that are declared: what is entered, what is refused, and that nothing is said twice."""

from __future__ import annotations

import json

import pytest

from integrations.errors import Refused, Unavailable
from integrations.models import File, FileRun
from poms_site.api import declaring

pytestmark = pytest.mark.django_db
URL = "/api/v1/files/declare/"
RAW = {
    "name": "raw_7_1.dat", "path": "/data/raw_7_1.dat", "size": 12, "checksum": "sha256:ab", "events": 3,
    "metadata": {"data_tier": "raw", "runs": [[7, 1, "physics"]]}, "parents": [],
}  # fmt: skip


@pytest.fixture
def client(cast, call_as):
    return call_as(cast.operator)


def body(*files: dict, **more: object) -> dict:
    return {"experiment": "demo", "files": list(files), **more}


def test_a_declared_file_is_in_the_catalogue_with_its_runs_and_parents(client):
    reco = {**RAW, "name": "reco_7_1.dat", "path": "/data/reco_7_1.dat", "parents": [RAW["name"]]}
    answer = client.post(URL, body(RAW, reco))
    assert (answer.status_code, answer.json()) == (200, {"declared": [RAW["name"], reco["name"]], "refused": []})
    row = File.objects.get(name=RAW["name"])
    assert (row.path, row.size, row.events, row.run) == (RAW["path"], 12, 3, 7)
    assert [(run.run, run.subrun) for run in FileRun.objects.filter(file=row)] == [(7, 1)]
    assert client.get("/api/v1/files/?name=reco_7_1.dat").json()["results"][0]["parents"] == [RAW["name"]]


def test_the_same_again_changes_nothing_and_another_file_of_the_name_is_refused(client):
    assert client.post(URL, body(RAW)).json() == client.post(URL, body(RAW)).json()
    answer = client.post(
        URL, body({**RAW, "path": "/elsewhere/raw_7_1.dat"}, {**RAW, "name": "b", "path": "/b"})
    ).json()
    assert answer["declared"] == ["b"]
    assert [entry["name"] for entry in answer["refused"]] == [RAW["name"]]
    assert "/data/raw_7_1.dat" in answer["refused"][0]["why"]
    assert File.objects.get(name=RAW["name"]).path == RAW["path"]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a/b"}, {"name": "a\tb"}, {"name": "x" * 201}, {"path": "raw_7_1.dat"}, {"path": ""}, {"size": -1},
        {"size": 2**63}, {"events": -1}, {"checksum": "x" * 81}, {"metadata": []}, {"metadata": {"a": ["\0"]}},
        {"metadata": {"a\0": 1}}, {"parents": "raw"}, {"tier": "raw"},
    ],
)  # fmt: skip
def test_what_cannot_be_a_file_is_refused_whole(client, changes):
    answer = client.post(URL, body({**RAW, "name": "good"}, {**RAW, **changes}))
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["field"].startswith("files")
    assert not File.objects.exists()


def test_a_number_that_is_none_is_refused(client):
    text = json.dumps(body(RAW)).replace('"raw"', "1e999")
    assert client.generic("POST", URL, text, "application/json").status_code == 422
    assert not File.objects.exists()


def test_at_least_one_and_at_most_a_thousand_files_come_at_once(client):
    many = [{**RAW, "name": f"raw_{n}", "path": f"/data/raw_{n}"} for n in range(declaring.MOST_DECLARED)]
    assert client.post(URL, body()).status_code == 422
    assert client.post(URL, body(*many, RAW)).status_code == 422
    assert len(client.post(URL, body(*many)).json()["declared"]) == declaring.MOST_DECLARED


@pytest.mark.parametrize(("error", "status"), [(Unavailable("it is down"), 503), (Refused("read only"), 422)])
def test_what_an_outside_catalogue_says_is_told(client, monkeypatch, error, status):
    class Away:
        def declare(self, files):
            raise error

    monkeypatch.setattr(declaring.registry, "catalogue", lambda experiment, name: Away())
    answer = client.post(URL, body(RAW))
    assert answer.status_code == status
    assert str(error) in answer.content.decode()


def test_times_that_no_zone_can_hold_are_no_times(client):
    far = {**RAW["metadata"], "start_time": "0001-01-01T00:00:00+14:00", "end_time": "9999-12-31T23:59:59-12:00"}
    assert client.post(URL, body({**RAW, "metadata": far})).status_code == 200
    assert client.get("/api/v1/files/").status_code == 200
    assert File.objects.get().start_time is None
