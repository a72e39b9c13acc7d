"""Catalogues in the admin: linked, changed and put away by administrators; what could not work is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from core.models import Transition
from experiments.models import Experiment
from integrations import registry
from integrations.catalogue.sam import SamCatalogue
from integrations.models import CatalogueLink
from tests.admin.test_scoping import grant
from tests.cast import Cast

pytestmark = pytest.mark.django_db
PLACE = "/admin/integrations/cataloguelink/"
SAM = "url = https://sam.example.org:8483/sam/demo/api\r\ngroup=demo\r\n\r\n"


def body(experiment: Experiment, **values: Any) -> dict[str, Any]:
    """Return what the form sends for a new link."""
    return {
        "experiment": experiment.pk, "name": "main", "system": "sam", "settings": SAM, "credential": "",
        "is_default": "on", "reason": "our data are there", **values,
    }  # fmt: skip


def test_an_experiment_is_linked_to_its_catalogue(cast: Cast, as_: Any) -> None:
    assert as_("administrator").post(f"{PLACE}add/", body(cast.experiment, credential="sam-demo")).status_code == 302
    link = CatalogueLink.objects.get()
    assert link.settings == {"url": "https://sam.example.org:8483/sam/demo/api", "group": "demo"}
    assert isinstance(registry.catalogue(cast.experiment), SamCatalogue)
    step = Transition.objects.get(kind="catalogue")
    assert (step.verb, step.target, step.actor, step.reason) == (
        "create", "active", "user:administrator", "our data are there",
    )  # fmt: skip
    shown = as_("operator").get(f"{PLACE}{link.pk}/change/").content.decode()
    assert "group = demo" in shown
    assert "our data are there" in as_("operator").get(f"{PLACE}{link.pk}/history/").content.decode()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": "group = demo"}, "url is missing: base of the API"),
        ({"settings": f"{SAM}\r\nport = 8483"}, "port is not one of its settings"),
        ({"settings": "https://sam.example.org"}, "Line 1 is no setting"),
        ({"settings": f"{SAM}\r\ngroup = other"}, "Line 5 sets group again"),
        ({"system": "rucio", "settings": "url = https://r\naccount = poms"}, "needs a credential"),
        ({"system": "metacat", "settings": "url = https://m\nsign_in = magic"}, "sign_in is magic, not one of token"),
        ({"system": "local"}, "url is not one of its settings"),
        ({"system": "tape-library"}, "not one of the available choices"),
        ({"reason": ""}, "This field is required"),
        ({"name": "old"}, "has a catalogue old already"),
    ],
)
def test_a_link_that_could_not_work_is_refused_in_words(
    cast: Cast, as_: Any, values: dict[str, str], said: str
) -> None:
    CatalogueLink.objects.create(experiment=cast.experiment, name="old", system="local", is_default=False)
    answer = as_("administrator").post(f"{PLACE}add/", body(cast.experiment, **values))
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert CatalogueLink.objects.count() == 1
    assert not Transition.objects.filter(kind="catalogue").exists()


def test_another_default_takes_the_place_of_the_first(cast: Cast, as_: Any) -> None:
    CatalogueLink.objects.create(experiment=cast.experiment, name="old", system="local")
    CatalogueLink.objects.create(experiment=cast.other, name="theirs", system="local")
    as_("administrator").post(f"{PLACE}add/", body(cast.experiment))
    links = dict(CatalogueLink.objects.values_list("name", "is_default"))
    assert links == {"old": False, "main": True, "theirs": True}
    reasons = dict(Transition.objects.filter(kind="catalogue").values_list("verb", "reason"))
    assert reasons == {"create": "our data are there", "edit": "main is the default now"}


def changed(link: CatalogueLink, **values: Any) -> dict[str, Any]:
    """Return what the form sends for a link that exists."""
    return {
        "settings": SAM, "credential": "", "is_default": "on", "active": "on", "seen": link.fingerprint,
        "reason": "it has moved", **values,
    }  # fmt: skip


def test_an_edit_is_kept_and_one_that_came_between_is_noticed(cast: Cast, as_: Any) -> None:
    as_("administrator").post(f"{PLACE}add/", body(cast.experiment))
    link = CatalogueLink.objects.get()
    place, moved = f"{PLACE}{link.pk}/change/", SAM.replace("8483", "9443")
    assert as_("operator").post(place, changed(link, settings=moved)).status_code == 403
    same = as_("administrator").post(place, changed(link))
    assert "Nothing is different" in same.content.decode()
    assert as_("administrator").post(place, changed(link, settings=moved)).status_code == 302
    late = as_("administrator").post(place, changed(link, active=""))
    assert "was changed after you opened it" in late.content.decode()
    link.refresh_from_db()
    assert link.active
    assert link.settings["url"] == "https://sam.example.org:9443/sam/demo/api"
    reason = Transition.objects.get(kind="catalogue", verb="edit").reason
    assert "+url = https://sam.example.org:9443/sam/demo/api" in reason
    assert as_("administrator").post(place, changed(link, settings=moved, active="")).status_code == 302
    assert registry.catalogue(cast.experiment).can != SamCatalogue.can


def test_where_a_secret_goes_is_not_for_the_administrator_of_one_experiment(cast: Cast, as_: Any) -> None:
    name = "shifter"
    grant(cast.shifter, cast.experiment)
    assert as_(name).post(f"{PLACE}add/", body(cast.experiment, credential="sam-other")).status_code == 403
    by_file = f"{SAM}certificate = /etc/other.pem"
    assert as_(name).post(f"{PLACE}add/", body(cast.experiment, settings=by_file)).status_code == 403
    assert not CatalogueLink.objects.exists()
    assert as_(name).post(f"{PLACE}add/", body(cast.experiment)).status_code == 302
    link = CatalogueLink.objects.get()
    assert as_(name).post(f"{PLACE}{link.pk}/change/", changed(link, credential="sam-other")).status_code == 403
    CatalogueLink.objects.update(credential="sam-other")
    link.refresh_from_db()
    elsewhere = changed(link, settings=SAM.replace("sam.example.org", "mine.example.org"))
    assert as_(name).post(f"{PLACE}{link.pk}/change/", elsewhere).status_code == 403
    assert "sam.example.org" in CatalogueLink.objects.get().settings["url"]
