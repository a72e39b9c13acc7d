"""The package of a batch: an RO-Crate in which every reference leads somewhere, the same bytes each time, no secret."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from campaigns.models import Campaign
from core.clock import now
from core.errors import Conflict
from poms_site.overview import package
from submissions.models import Batch, Submission
from submissions.recipe import Recipe
from tests import builders, jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(cast, settings, tmp_path) -> Campaign:
    """A campaign whose jobs have ended, with a secret in the environment of its launches."""
    settings.LOCAL_FILES = tmp_path
    made = builders.approved_campaign(cast)
    jobs.run(made, endings=("txt",), checksum="sha256:ab")
    for row in Submission.objects.all():
        row.environment["EXPERIMENT_TOKEN"] = "not for everybody"
        row.command = [*row.command, "--password=hunter2hunter2"]
        row.launched_at = now()
        row.save()
    return made


def batch_of(campaign: Campaign, stage: str, number: int = 1) -> Batch:
    rows = Batch.objects.select_related("experiment", "stage__campaign__experiment", "version__revision")
    return rows.get(stage__campaign=campaign, stage__name=stage, number=number)


def opened(batch: Batch) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(package.package_of(batch))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def references(value: Any) -> Iterator[str]:
    """Yield every @id that stands alone: what leads to an entity."""
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_same_batch_gives_the_same_bytes_and_another_gives_others(campaign):
    first, second = batch_of(campaign, "gen"), batch_of(campaign, "gen", 2)
    assert package.package_of(first) == package.package_of(first)
    assert package.package_of(first) != package.package_of(second)
    assert package.name_of(first) == f"demo-b{first.pk}.crate.zip"


@pytest.mark.parametrize("stage", ["gen", "sum"])
def test_it_is_a_crate_in_which_every_reference_leads_somewhere(campaign, stage):
    files = opened(batch_of(campaign, stage))
    assert set(files) == {*package.SAID_OF, package.METADATA}
    crate = json.loads(files[package.METADATA])
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    graph = {entry["@id"]: entry for entry in crate["@graph"]}
    assert len(graph) == len(crate["@graph"]), "each entity once"
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert (descriptor["about"], descriptor["conformsTo"]) == ({"@id": "./"}, {"@id": "https://w3id.org/ro/crate/1.1"})
    assert root["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    assert all(root[name] for name in ("name", "description", "datePublished", "license", "hasPart", "mentions"))
    known = {*graph, "https://w3id.org/ro/crate/1.1", "http://schema.org/CompletedActionStatus"}
    assert set(references(crate["@graph"])) <= known
    actions = [entry for entry in graph.values() if entry["@type"] == "CreateAction"]
    outputs = json.loads(files["outputs.json"])
    assert len(actions) == 1
    assert len(actions[0]["result"]) == len(outputs) > 0
    assert len(actions[0]["object"]) == len(json.loads(files["inputs.json"])["units"]) > 0
    assert all(graph[made["@id"]]["sha256"] == "ab" for made in actions[0]["result"])


def test_its_parts_say_how_the_batch_was_made(campaign):
    batch = batch_of(campaign, "gen")
    files = opened(batch)
    assert files["definition.ini"] == batch.version.revision.text
    said = json.loads(files["recipe.json"])
    recipe = Recipe.of(said["recipe"])
    assert (said["batch"], recipe.definition) == (batch.ref, batch.version.revision.digest)
    assert recipe.seeds == {unit.key: unit.seed for unit in batch.units.all()}
    assert all(made.checksum == "sha256:ab" for made in recipe.outputs.values())
    steps = json.loads(files["ledger.json"])["steps"]
    assert {step["kind"] for step in steps} == {"batch", "submission"}
    assert [step["txid"] for step in steps] == sorted(step["txid"] for step in steps)
    (attempt,) = json.loads(files["attempts.json"])
    assert (attempt["uuid"], attempt["kind"]) == (str(batch.submissions.get().uuid), "first")
    assert json.loads(files["stage.json"])["memory_mb"] == 200


def test_inputs_from_other_stages_are_there_with_size_and_checksum(campaign):
    units = json.loads(opened(batch_of(campaign, "sum"))["inputs.json"])["units"]
    assert len(units) == 4
    assert all((unit["size"], unit["checksum"]) == (11, "sha256:ab") for unit in units)


def test_secrets_are_covered_everywhere(campaign):
    for text in opened(batch_of(campaign, "gen")).values():
        assert "not for everybody" not in text
        assert "hunter2" not in text


def test_a_batch_that_was_never_launched_has_none(campaign):
    Submission.objects.update(launched_at=None)
    with pytest.raises(Conflict, match="never launched"):
        package.package_of(batch_of(campaign, "gen"))
