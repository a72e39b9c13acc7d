"""Which catalogue an experiment has: what its link says, by the settings of that kind."""

from __future__ import annotations

import pytest

from core import errors as ours
from integrations import registry
from integrations.catalogue.filelist import FileLists
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.metacat import MetaCat
from integrations.catalogue.rucio import Rucio
from integrations.errors import Refused
from integrations.models import CatalogueLink

pytestmark = pytest.mark.django_db
GOOD = {
    "metacat": ({"url": "https://metacat.example.org/app"}, MetaCat),
    "rucio": ({"url": "https://rucio.example.org", "account": "poms"}, Rucio),
    "filelist": ({}, FileLists),
}


def link(cast, system, settings=None, **more):
    fields = {"name": system, "settings": settings or {}, "credential": "one", **more}
    return CatalogueLink.objects.create(experiment=cast.experiment, system=system, **fields)


@pytest.mark.parametrize("system", GOOD)
def test_a_link_makes_its_catalogue(cast, system):
    settings, kind = GOOD[system]
    link(cast, system, settings)
    assert type(registry.catalogue(cast.experiment)) is kind
    assert type(registry.catalogue(cast.experiment, system)) is kind


def test_without_a_link_or_beside_one_there_is_the_local_one(cast):
    assert type(registry.catalogue(cast.experiment)) is LocalCatalogue
    link(cast, "metacat", GOOD["metacat"][0])
    link(cast, "filelist", is_default=False)
    assert type(registry.catalogue(cast.experiment, "filelist")) is FileLists
    assert type(registry.catalogue(cast.experiment, "local")) is LocalCatalogue


def test_a_list_is_read_from_the_folder_of_its_own_experiment(cast, settings, tmp_path):
    settings.FILE_LISTS = tmp_path
    link(cast, "filelist")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "raw.txt").write_text("a.root\n")
    assert registry.catalogue(cast.experiment).count("raw.txt") == 1


@pytest.mark.parametrize("system", ["metacat", "rucio", "filelist"])
def test_wrong_settings_are_refused_when_it_is_used_and_a_wrong_name_too(cast, system):
    link(cast, system, {"nonsense": "x"})
    with pytest.raises(Refused, match="nonsense is not one of its settings"):
        registry.catalogue(cast.experiment)
    with pytest.raises(ours.Refused, match="no catalogue other"):
        registry.catalogue(cast.experiment, "other")
