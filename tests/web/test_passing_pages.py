"""Pages of what runs nothing: an approval stage, its batch and its attempt, before and after somebody signs off."""

from __future__ import annotations

import pytest

from campaigns.models import Campaign
from poms_site.web import live
from submissions.models import Batch, Submission
from tests import builders, jobs

pytestmark = pytest.mark.django_db
STAGES = (
    "[campaign_stage gen]\nstage_type=generator\nevents=2\nevents_per_job=1\n"
    "[campaign_stage look]\nstage_type=approval\n"
    "[campaign_stage sum]\ncompletion=signoff\n"
    "[dependencies look]\ncampaign_stage_1=gen\n"
    "[dependencies sum]\ncampaign_stage_1=look\n"
)


@pytest.fixture
def waiting(cast, settings, tmp_path) -> Campaign:
    settings.LOCAL_FILES, settings.LOCAL_SPOOL = tmp_path, tmp_path / "spool"
    campaign = builders.approved_campaign(cast, builders.definition(stages=STAGES))
    jobs.run(campaign)
    return campaign


def test_an_approval_is_asked_for_given_and_shown(cast, as_, text, waiting):
    reviewer, key = as_(cast.people["reviewer"]), f"/e/demo/campaigns/c{waiting.pk}/"
    batch = Batch.objects.get(stage__name="look")
    page = text(reviewer.get(key))
    assert "look: 1 batch waits for an approval" in page
    assert "Sign off" in page
    form = text(reviewer.get(f"{key}sign_off/"))
    assert "look waits for an approval of 1 batch" in form
    answer = reviewer.post(f"{key}sign_off/", {"stage": "look", "verdict": "passed", "reason": "the plots look right"})
    assert answer.status_code == 303
    attempt = Submission.objects.get(batch=batch)
    for url in (f"/e/demo/batches/b{batch.pk}/", f"/e/demo/submissions/s{attempt.pk}/", key):
        answer = reviewer.get(url)
        assert answer.status_code == 200
        said = text(answer)
        assert "the plots look right" in said, said
    operator = as_(cast.people["operator"])
    for tail in ("", "history/", "log/"):
        assert operator.get(f"/api/v1/submissions/demo/s{attempt.pk}/{tail}").status_code in (200, 404), tail
    assert operator.get(f"/api/v1/batches/demo/b{batch.pk}/").json()["state"] == "completed"
    jobs.run(waiting)
    live.forget()  # a page of a second ago would do otherwise
    assert "sum has done its work and waits" in text(reviewer.get(key))
    answer = reviewer.post(f"{key}sign_off/", {"stage": "sum", "verdict": "hm", "reason": "x"})
    assert (answer.status_code, "choose one" in text(answer)) == (422, True)
    assert reviewer.post(f"{key}accept/", {"stage": "sum", "reason": "x"}).status_code == 403
