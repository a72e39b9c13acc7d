"""The page "How to add a catalogue", followed once: the catalogue of a JSON file does all that every catalogue must."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from core import errors as ours
from core.clock import now
from integrations import linking, registry
from integrations.catalogue.base import Attempt, FileSeen
from integrations.conformance.catalogue import CatalogueConformance
from integrations.errors import Refused, Unavailable
from tests.cast import Cast
from tests.how_to.json_catalogue import JsonCatalogue

pytestmark = pytest.mark.django_db
ROW = {
    "json": lambda link: JsonCatalogue(link.experiment, link.settings),
}


class JsonBench:
    """The laboratory: it writes into the same file, and jobs leave manifests as they do for the local catalogue."""

    condition = nonsense = ""

    def __init__(self, cast: Cast, home: Path) -> None:
        self.home = home
        self.file = home / "files.json"
        self.file.write_text('{"files": {}, "datasets": {}}')
        self.catalogue = JsonCatalogue(cast.experiment, {"file": str(self.file)})

    def name(self, text: str) -> str:
        return text

    def put(self, files: Sequence[FileSeen], dataset: str = "") -> None:
        placed = [seen._replace(path=str(self._touched(seen)) if seen.path else "") for seen in files]
        assert self.catalogue.declare(placed) == {}
        if dataset:
            book = json.loads(self.file.read_text())
            book["datasets"].setdefault(dataset, []).extend(seen.name for seen in files)
            self.file.write_text(json.dumps(book))

    def put_on_tape(self, names: Sequence[str]) -> None:
        raise AssertionError("it says that it knows no residence, so nobody asks for this")

    def attempt(self, offered: str, inputs: Mapping[str, str]) -> Attempt:
        self.catalogue.offer(offered, list(inputs.values()))
        return Attempt(str(uuid4()), offered, inputs, "out_%", "v1", now(), str(self.home))

    def leave(self, attempt: Attempt, job: str, units: Sequence[str], outputs: Sequence[FileSeen]) -> None:
        entries = [{"name": seen.name, "path": str(self._touched(seen)), "size": seen.size, "parents": list(seen.parents)}
                   for seen in outputs]  # fmt: skip
        manifest = self.home / f"{attempt.uuid}.{job}.manifest.json"
        manifest.write_text(json.dumps({"job": job, "units": list(units), "outputs": entries}))

    def consume(self, attempt: Attempt, fates: Mapping[str, str]) -> None:
        raise AssertionError("it says that it follows no consumption, so nobody asks for this")

    def _touched(self, seen: FileSeen) -> Path:
        place = self.home / seen.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * seen.size)
        return place


class TestJson(CatalogueConformance):
    """All that the protocol asks of every catalogue."""

    @pytest.fixture
    def bench(self, cast: Cast, tmp_path: Path) -> JsonBench:
        return JsonBench(cast, tmp_path)


@pytest.fixture
def known(monkeypatch) -> None:
    """The row of the registry, which is all that the rest of POMS needs."""
    monkeypatch.setitem(registry.CATALOGUES, "json", ROW["json"])


def test_an_experiment_is_linked_to_it_by_its_row_alone(cast, known, tmp_path):
    book = tmp_path / "files.json"
    book.write_text('{"files": {}, "datasets": {"raw": []}}')
    linking.link(cast.experiment, "ours", "json", settings={"file": str(book)}, credential="",
                 by=cast.administrator, reason="we keep a file")  # fmt: skip
    found = registry.catalogue(cast.experiment)
    assert isinstance(found, JsonCatalogue)
    assert (found.count("raw"), found.count("other")) == (0, None)


def test_an_administrator_can_choose_it(cast, known, client):
    client.force_login(cast.administrator)
    page = client.get("/admin/integrations/cataloguelink/add/").content.decode()
    assert '<option value="json">json</option>' in page


def test_wrong_settings_are_refused_where_they_are_entered(cast, known):
    with pytest.raises(ours.Refused) as raised:
        linking.link(
            cast.experiment, "ours", "json", settings={"path": "/x"}, credential="", by=cast.administrator, reason="x"
        )
    assert "path is not one of its settings; file is missing" in raised.value.problems[0].message


def test_what_could_not_be_asked_is_no_answer(cast, tmp_path):
    catalogue = JsonCatalogue(cast.experiment, {"file": str(tmp_path / "files.json")})
    for text in (None, "{"):
        if text is not None:
            catalogue.file.write_text(text)
        for ask in (
            lambda: catalogue.count("raw"),
            lambda: catalogue.known(["a"]),
            lambda: catalogue.define("raw", []),
        ):
            with pytest.raises(Unavailable):
                ask()


def test_what_it_cannot_do_is_refused_in_a_sentence(cast, tmp_path):
    catalogue = JsonCatalogue(cast.experiment, {"file": str(tmp_path / "files.json")})
    for ask in (lambda: catalogue.query("x"), lambda: catalogue.residence(["x"]), lambda: catalogue.recall(["x"]),
                lambda: catalogue.bring(["x"], "there"), lambda: catalogue.matching(["x"], "y")):  # fmt: skip
        with pytest.raises(Refused, match=r"^A catalogue of JSON "):
            ask()
