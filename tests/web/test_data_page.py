"""The page of data: what campaigns read, one dataset now, and what a query finds."""

from __future__ import annotations

import pytest

from integrations.errors import Unavailable
from integrations.models import Dataset, File

pytestmark = pytest.mark.django_db


@pytest.fixture
def raw(cast):
    made = Dataset.objects.create(experiment=cast.experiment, name="raw")
    made.files.set(File.objects.bulk_create(
        [File(experiment=cast.experiment, name=f"raw{n}.root", path="/nowhere", size=1000) for n in (1, 2)]))  # fmt: skip
    return made


def test_a_dataset_is_listed_and_shown_as_it_is_now(cast, client, raw):
    client.force_login(cast.experimenter)
    assert "?name=raw" in client.get("/e/demo/data/").content.decode()
    shown = client.get("/e/demo/data/?name=raw").content.decode()
    assert "No campaign reads it" in shown and "<dd>2</dd>" in shown
    assert "There is no dataset of this name" in client.get("/e/demo/data/?name=nosuch").content.decode()


def test_a_query_is_asked_of_the_catalogue(cast, client, raw):
    client.force_login(cast.experimenter)
    shown = client.get("/e/demo/data/", {"dimensions": "file_name raw1.root"}).content.decode()
    assert "The query finds 1" in shown and "raw1.root" in shown
    wrong = client.get("/e/demo/data/", {"dimensions": "((("})
    assert wrong.status_code == 422 and "It cannot be asked so" in wrong.content.decode()


def test_a_catalogue_that_does_not_answer_is_said(cast, client, monkeypatch):
    def silent(*asked):
        raise Unavailable("no answer in time")

    monkeypatch.setattr("poms_site.web.data.registry.catalogue", silent)
    client.force_login(cast.experimenter)
    answer = client.get("/e/demo/data/?name=raw")
    assert answer.status_code == 503 and "no answer in time" in answer.content.decode()
