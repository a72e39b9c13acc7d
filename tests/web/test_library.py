"""The library's pages: templates filled in, set-ups tried, versions restored; revisions compared and restored."""

from __future__ import annotations

import re
import time

import pytest

from approvals.logic import customising
from campaigns.logic import drafting, editing
from campaigns.models import Campaign, JobType, SetupTrial
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def setup(cast, settings, tmp_path):
    settings.LOCAL_LAUNCHES = tmp_path / "launches"
    return builders.login_setup(cast, setup="echo it talks")


def template(cast):
    text = builders.definition(campaign="reco-{{run}}")
    values = {"title": "Reconstruct", "definition": text, "parameters": "run | which <one>"}
    return customising.keep_template(cast.experiment, "reco", by=cast.operator, reason="needed", **values)


def test_a_template_is_filled_in_and_what_was_typed_stays_where_it_is_refused(cast, as_, text):
    template(cast)
    page = as_(cast.experimenter)
    assert "which &lt;one&gt;" in page.get("/e/demo/templates/reco/").content.decode()
    refused = page.post("/e/demo/templates/reco/use/", {"name": "mine", "p-run": "", "p-rum": "1"})
    assert refused.status_code == 422
    assert 'value="mine"' in refused.content.decode()
    assert "which &lt;one&gt;" in text(refused)
    made = page.post("/e/demo/templates/reco/use/", {"name": "", "p-run": "7"})
    campaign = Campaign.objects.get(name="reco-7")
    assert (made.status_code, made["Location"]) == (303, f"/e/demo/campaigns/c{campaign.pk}/")


def test_a_common_template_is_shown_in_every_library_without_its_edits(cast, as_, text):
    row = customising.publish(template(cast), True, by=cast.administrator, reason="all need it")
    page = as_(cast.stranger)
    assert "Reconstruct" in text(page.get("/e/other/library/"))
    shown = text(page.get(f"/e/other/templates/{row.name}/"))
    assert "in the common library" in shown
    assert "needed" not in shown.split("Versions")[1], "the reasons of another experiment are its own"
    assert page.get("/e/demo/templates/reco/").status_code == 404


def test_a_set_up_is_tried_and_the_page_says_how_it_went(cast, as_, text):
    page = as_(cast.operator)
    assert "It was never tried." in text(page.get("/e/demo/setups/local/"))
    assert page.post("/e/demo/setups/local/test/").status_code == 303
    deadline = time.monotonic() + 300
    while "passed" not in (shown := text(page.get("/e/demo/setups/local/"))):
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)
    assert "it talks" in shown
    assert SetupTrial.objects.get().passed
    assert "Test this set-up" not in text(as_(cast.experimenter).get("/e/demo/setups/local/"))


def test_a_version_is_restored(cast, as_, text):
    row = editing.keep_job_type(cast.experiment, "reco", by=cast.operator, reason="needed", launch_script="one")
    editing.change_job_type(row, by=cast.operator, reason="better <b>", launch_script="two")
    page = as_(cast.operator)
    shown = page.get("/e/demo/jobtypes/reco/").content.decode()
    assert "better &lt;b&gt;" in shown
    assert "-one" in shown
    assert page.post("/e/demo/jobtypes/reco/", {"restore": "1"}).status_code == 303
    assert JobType.objects.get(name="reco").launch_script == "one"
    assert page.post("/e/demo/jobtypes/reco/", {"restore": "9"}).status_code == 422
    assert 'name="restore"' not in as_(cast.experimenter).get("/e/demo/jobtypes/reco/").content.decode()


@pytest.fixture
def revised(cast) -> Campaign:
    first = builders.definition(campaign="drawn")
    looked = drafting.look(cast.experiment, first, by=cast.experimenter)
    campaign = drafting.import_text(cast.experiment, looked, by=cast.experimenter, note="begun").campaign
    stage = "[campaign_stage fit]\ncs_split_type=None\n[dependencies fit]\ncampaign_stage_1=sum\n"
    drafting.save(campaign, first.replace("events=4", "events=6") + stage, by=cast.experimenter, note="a fit <too>")
    return campaign


def test_two_revisions_are_compared_as_words_drawing_and_lines(cast, as_, text, revised):
    url = f"/e/demo/campaigns/c{revised.pk}/definition/"
    answer = as_(cast.experimenter).get(url, {"from": "1", "revision": "2"})
    shown, page = text(answer), answer.content.decode()
    assert "stage fit added" in shown
    assert "dependency sum → fit (%) added" in shown
    assert re.search(r"stage gen : events 4 → 6|stage gen: events 4 → 6", shown)
    assert page.count('class="node added"') == 1
    assert page.count('class="edge-line added"') == 1
    assert "<ins>+ [campaign_stage fit]</ins>" in page
    assert "a fit &lt;too&gt;" in page
    same = as_(cast.experimenter).get(url, {"from": "2", "revision": "2"})
    assert "They say the same." in text(same)
    assert as_(cast.experimenter).get(url, {"from": "7"}).status_code == 404


def test_a_revision_is_restored_as_the_next_unless_somebody_saved_meanwhile(cast, as_, revised):
    url, page = f"/e/demo/campaigns/c{revised.pk}/definition/", as_(cast.experimenter)
    assert page.post(url, {"restore": "1", "base": "1"}).status_code == 409
    assert page.post(url, {"restore": "1", "base": "2"}).status_code == 303
    last = revised.revisions.order_by("-number")[0]
    assert (last.number, last.source, last.note) == (3, revised.revisions.get(number=1).source, "as revision 1")
    assert as_(cast.analyser).post(url, {"restore": "2", "base": "3"}).status_code == 403
    assert 'name="restore"' not in as_(cast.analyser).get(url).content.decode()


def test_archived_campaigns_are_listed_only_where_they_are_asked_for(cast, as_, text, revised):
    page = as_(cast.experimenter)
    assert page.post(f"/e/demo/campaigns/c{revised.pk}/archive/", {"reason": "over"}).status_code == 303
    assert "drawn" not in text(page.get("/e/demo/campaigns/"))
    for how in ("1", "all"):
        assert "archived" in text(page.get("/e/demo/campaigns/", {"archived": how}))
    assert page.get("/e/demo/campaigns/", {"archived": "maybe"}).status_code == 422
