"""A campaign is begun by page: looked at first, kept as a draft, and what it would do is shown."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from campaigns.models import Campaign, Revision
from tests import builders

pytestmark = pytest.mark.django_db
URL = "/e/demo/campaigns/new/"
TEXT = builders.definition(campaign="begun")


@pytest.fixture(autouse=True)
def setup(cast) -> None:
    builders.login_setup(cast)


def test_what_a_text_would_be_is_shown_before_it_is_kept(cast, as_, text):
    page = as_(cast.experimenter)
    assert "name=" in page.get(URL).content.decode()
    looked = page.post(URL, {"text": TEXT.replace("job_type=tiny", "job_type=nosuch"), "format": "ini"})
    assert "A new campaign, begun" in text(looked)
    assert "not ready to run" in text(looked)
    assert "there is no job type nosuch" in text(looked)
    assert not Campaign.objects.exists()
    kept = page.post(URL, {"text": TEXT, "format": "ini", "keep": "1", "note": "as the group wants it"})
    revision = Revision.objects.get()
    assert kept["Location"] == f"/e/demo/campaigns/c{revision.campaign_id}/editor/"
    assert (revision.source, revision.note, revision.state) == (TEXT, "as the group wants it", "draft")
    again = page.post(URL, {"text": TEXT.replace("events=4", "events=6"), "format": "ini"})
    assert "The next revision of begun" in text(again)
    assert "+events=6" in again.content.decode()


def test_a_file_is_read_instead_of_the_text(cast, as_):
    page = as_(cast.experimenter)
    given = {"text": "nonsense", "format": "yaml", "keep": "1", "name": "mine"}
    assert page.post(URL, {**given, "file": SimpleUploadedFile("a.ini", TEXT.encode())}).status_code == 303
    assert Campaign.objects.get().name == "mine"
    for bad in (b"\xff\xfe", b"a\0b", b"x" * 262_145):
        refused = page.post(URL, {**given, "file": SimpleUploadedFile("a.ini", bad)})
        assert refused.status_code == 422
        assert ">nonsense</textarea>" in refused.content.decode(), "what was typed stays"
    assert Campaign.objects.count() == 1


def test_what_is_no_definition_is_refused(cast, as_, text):
    refused = as_(cast.experimenter).post(URL, {"text": "no section\n", "format": "ini", "keep": "1"})
    assert refused.status_code == 422
    assert "line 1" in text(refused)
    assert not Campaign.objects.exists()


def test_a_plan_says_what_a_revision_would_do(cast, as_, text):
    page = as_(cast.experimenter)
    page.post(URL, {"text": TEXT, "format": "ini", "keep": "1"})
    campaign = Campaign.objects.get()
    shown = text(page.get(f"/e/demo/campaigns/c{campaign.pk}/plan/"))
    assert "4 inputs, 2 batches of ranges of events: the first 2, 2, the last 2" in shown
    assert "tiny_submit" in shown
    assert "POMS4_CAMPAIGN_STAGE_NAME=gen" in shown
    assert "stage gen added" in shown or "Nothing is different" in shown
    assert page.get(f"/e/demo/campaigns/c{campaign.pk}/plan/", {"revision": "9"}).status_code == 404
    broken = TEXT.replace("job_type=tiny", "job_type=nosuch")
    page.post(URL, {"text": broken, "format": "ini", "keep": "1"})
    assert "It cannot run." in text(page.get(f"/e/demo/campaigns/c{campaign.pk}/plan/"))
    assert "It cannot run." not in text(page.get(f"/e/demo/campaigns/c{campaign.pk}/plan/", {"revision": "1"}))
