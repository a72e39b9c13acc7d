"""Forms that enter holds, limits, services and the limit of waste: what they do, and what they say of what cannot be."""

from __future__ import annotations

import pytest

from integrations.models import Service
from submissions.models import Hold, Limit, WasteLimit
from tests import builders

pytestmark = pytest.mark.django_db
LOOKED_AT = {
    "kind": "none",
    "gates": "nothing",
    "every_s": "60",
    "downs": "1",
    "ups": "2",
    "reason": "launches need it",
}


def test_an_experiment_and_a_stage_are_held(cast, client):
    client.force_login(cast.operator)
    assert "Its reference" in client.get("/e/demo/holds/new/").content.decode()
    done = client.post(
        "/e/demo/holds/new/", {"scope": "experiment", "until": "2999-01-01T00:00", "reason": "the disk is full"}
    )
    assert (done.status_code, done["Location"]) == (303, "/e/demo/holds/")
    made = Hold.objects.get(released_at=None)
    assert (made.scope, made.experiment, made.until.year, made.reason) == (
        "experiment",
        cast.experiment,
        2999,
        "the disk is full",
    )
    campaign = builders.approved_campaign(cast)
    asked = {"scope": "stage", "of": f"c{campaign.pk}/gen", "reason": "its release is bad"}
    assert client.post("/e/demo/holds/new/", asked).status_code == 303
    assert Hold.objects.get(scope="stage").stage.name == "gen"
    assert "its release is bad" in client.get("/e/demo/holds/").content.decode()


@pytest.mark.parametrize(
    ("asked", "says"),
    [({"scope": "batch", "of": "b0"}, "such as demo/b1"), ({"scope": "batch", "of": "b999999"}, "There is no demo/b999999"),
     ({"scope": "everything"}, "unknown: everything"), ({"scope": "experiment", "until": "soon"}, "no time: soon"),
     ({"scope": "experiment", "reason": ""}, "reason")],
)  # fmt: skip
def test_what_cannot_be_held_is_said_beside_the_form(cast, client, asked, says):
    client.force_login(cast.operator)
    answer = client.post("/e/demo/holds/new/", {"reason": "the disk is full", **asked})
    assert answer.status_code in (404, 422)
    assert says in answer.content.decode() and "<form" in answer.content.decode()
    assert not Hold.objects.exists()


def test_what_is_of_others_is_not_held_from_here(cast, client):
    client.force_login(cast.operator)
    theirs = Service.objects.create(experiment=cast.other, name="sam", kind="none", gates="nothing")
    answer = client.post("/e/demo/holds/new/", {"scope": "service", "of": f"other/v{theirs.pk}", "reason": "no"})
    assert answer.status_code == 422 and not Hold.objects.exists()


def test_a_limit_is_set_and_a_wrong_one_is_not(cast, client):
    client.force_login(cast.operator)
    assert (
        client.post("/e/demo/limits/new/", {"kind": "jobs", "most": "5", "reason": "the disk is slow"}).status_code
        == 303
    )
    made = Limit.objects.get()
    assert (made.kind, made.most, made.experiment) == ("jobs", 5, cast.experiment)
    assert client.post("/e/demo/limits/new/", {"kind": "jobs", "most": "many", "reason": "no"}).status_code == 422
    assert Limit.objects.count() == 1


def test_campaigns_pause_themselves_from_the_share_that_is_said(cast, client):
    client.force_login(cast.operator)
    assert "Percent of failures" in client.get("/e/demo/waste-limits/new/").content.decode()
    asked = {"share": "60", "least": "30", "reason": "it fails often"}
    assert client.post("/e/demo/waste-limits/new/", asked)["Location"] == "/e/demo/sites/"
    assert WasteLimit.objects.values_list("share", "least").get(experiment=cast.experiment) == (60, 30)


def test_a_service_is_entered_changed_and_put_away(cast, client):
    client.force_login(cast.administrator)
    asked = {**LOOKED_AT, "name": "sam", "kind": "http", "settings": "url = https://sam.example.org"}
    assert client.post("/e/demo/services/new/", asked).status_code == 303
    row = Service.objects.get(name="sam")
    assert (row.kind, row.settings) == ("http", {"url": "https://sam.example.org"})
    form = client.get(f"/e/demo/services/v{row.pk}/edit/").content.decode()
    assert "url = https://sam.example.org" in form and row.fingerprint in form
    changed = {**LOOKED_AT, "title": "SAM", "seen": row.fingerprint, "reason": "nobody looks at it any more"}
    assert client.post(f"/e/demo/services/v{row.pk}/edit/", changed).status_code == 303
    row.refresh_from_db()
    assert (row.title, row.kind, row.active) == ("SAM", "none", False)
    late = client.post(f"/e/demo/services/v{row.pk}/edit/", {**changed, "title": "Sam"})
    assert late.status_code == 409 and "was changed after you opened it" in late.content.decode()


def test_a_setting_that_is_none_is_said(cast, client):
    client.force_login(cast.administrator)
    answer = client.post("/e/demo/services/new/", {**LOOKED_AT, "name": "sam", "settings": "url"})
    assert answer.status_code == 422 and "no setting: url" in answer.content.decode()
