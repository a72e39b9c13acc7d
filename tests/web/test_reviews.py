"""Reviews, reproductions, watched campaigns and the ledger's page: each says what is there, to whom it concerns."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from core.models import Transition
from submissions.models import Reproduction, Verdict

pytestmark = pytest.mark.django_db


def test_a_reviewer_finds_what_waits_and_signs_from_there(world, cast, as_, text):
    mine = as_(cast.reviewer)
    page = mine.get("/reviews/")
    said = text(page)
    for thing in ("signing", "again"):
        assert world.own.ref(thing) in said
        assert world.other.ref(thing) not in said
    key = world.own.ref("again").rpartition("/")[2]
    assert f'href="/e/demo/reproductions/{key}/sign_off/"' in page.content.decode()
    answer = mine.post(f"/e/demo/reproductions/{key}/sign_off/", {"passed": "yes", "reason": "the same bytes"})
    assert answer.status_code == 303
    row = Reproduction.objects.get(pk=world.own.objects["again"].pk)
    assert (row.signed, row.signed_by) == (True, "user:reviewer")
    assert f"/reproductions/{key}/sign_off/" not in mine.get("/e/demo/reviews/").content.decode()
    assert "convinces" in text(mine.get(f"/e/demo/reproductions/{key}/"))


def test_who_reviews_nowhere_is_told_so_and_a_reader_gets_no_buttons(world, cast, as_, text):
    assert "You review in no experiment" in text(as_(cast.guest).get("/reviews/"))
    page = as_(cast.experimenter).get("/e/demo/reviews/").content.decode()
    assert world.own.ref("again") in page
    assert "sign_off/" not in page


def test_a_reproduction_names_everything_that_differs(world, cast, as_, text):
    row = world.own.objects["again"]
    Reproduction.objects.filter(pk=row.pk).update(
        **{"state": "different"}, verdict="seed (1)", remarks=["1 outputs have other bytes"],
        differences=[{"of": "seed", "what": "events:0", "was": "<5>", "now": ""}],
    )  # fmt: skip
    page = as_(cast.experimenter).get(f"/e/demo/reproductions/p{row.pk}/")
    said = text(page)
    assert "seed (1)" in said
    assert "events:0" in said
    assert "&lt;5&gt;" in said
    assert "nothing" in said
    assert "1 outputs have other bytes" in said
    batch = text(as_(cast.experimenter).get(f"/e/demo/batches/b{row.batch_id}/"))
    assert row.ref in batch


def test_a_package_is_handed_over_as_a_file(world, cast, as_):
    batch = world.own.objects["live"]
    answer = as_(cast.experimenter).get(f"/e/demo/batches/b{batch.pk}/package/")
    assert answer["Content-Disposition"] == f'attachment; filename="demo-b{batch.pk}.crate.zip"'
    assert "ro-crate-metadata.json" in zipfile.ZipFile(BytesIO(answer.content)).namelist()


def test_a_verdict_shows_on_the_campaigns_page(world, cast, as_, text):
    campaign = world.own.objects["campaign"]
    Verdict.objects.create(campaign=campaign, verdict="remarks", reason="channel 12 is noisy", by=cast.reviewer)
    said = text(as_(cast.experimenter).get(f"/e/demo/campaigns/c{campaign.pk}/"))
    assert "What reviewers say" in said
    assert "channel 12 is noisy" in said


def test_a_watched_campaign_is_on_home_until_it_is_left(world, cast, as_, text):
    campaign, mine = world.own.objects["unasked"], as_(cast.experimenter)
    assert 'id="watched"' not in mine.get("/").content.decode()
    assert mine.post(f"/e/demo/campaigns/c{campaign.pk}/watch/").status_code == 303
    page = mine.get("/").content.decode()
    assert campaign.ref in page[page.index('id="watched"') :]
    assert "Watched by 1 person" in text(mine.get(f"/e/demo/campaigns/c{campaign.pk}/"))
    assert campaign.ref not in text(as_(cast.operator).get("/"))
    mine.post(f"/e/demo/campaigns/c{campaign.pk}/unwatch/")
    assert 'id="watched"' not in mine.get("/").content.decode()


def test_a_guest_has_all_open_experiments_at_a_glance_and_no_details(world, cast, as_, text):
    page = as_(cast.guest).get("/")
    said = text(page)
    assert "Experiments at a glance" in said
    assert "running 2" in said
    assert world.own.ref("campaign") not in said
    assert "/e/other/" not in page.content.decode()


def test_the_ledger_is_verified_by_supervisors_only(world, cast, as_, text):
    assert "Nothing is sealed yet" in text(as_(cast.supervisor).get("/audit/")) or Transition.objects.exists()
    assert as_(cast.supervisor).get("/audit/", {"after": "0"}).status_code == 200
    refused = as_(cast.operator).get("/audit/")
    assert refused.status_code == 403
    assert "supervisor or administrator" in text(refused)
    assert as_(cast.supervisor).get("/audit/", {"after": "x"}).status_code == 422
