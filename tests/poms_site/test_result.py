"""What came of a request: counted as the ledger of inputs has it, with all that its user has to know."""

from __future__ import annotations

from datetime import date

import pytest

from approvals.models import Request
from campaigns.models import Campaign
from core import transitions
from core.errors import Conflict, Refused
from core.models import Transition
from poms_site.overview import result, reviews
from submissions.logic import reviewing
from submissions.models import JobTally, Snapshot, Verdict
from submissions.states import JOB_RANK
from tests import builders, jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended(cast, settings, tmp_path) -> Campaign:
    """A campaign that has succeeded, of which one job in four was for nothing."""
    settings.LOCAL_FILES = tmp_path
    campaign = builders.approved_campaign(cast)
    jobs.run(campaign, endings=("txt",))
    stage = campaign.stages.get(name="gen")
    for state, hours in (("succeeded", 3), ("failed", 1)):
        JobTally.objects.create(
            experiment=cast.experiment, stage=stage, day=date(2026, 12, 1), state_code=JOB_RANK[state], n=1,
            core_s=hours * 3600.0,
        )  # fmt: skip
    campaign.refresh_from_db()
    assert campaign.state == "succeeded"
    return campaign


def test_files_and_events_are_those_of_the_last_stages(ended):
    request = Request.objects.get(campaign=ended)
    found = result.of_request(request)
    assert [(part.stage, part.files, part.last) for part in found.parts] == [("gen", 4, False), ("sum", 4, True)]
    assert (found.files, found.size) == (4, 8 * 11)
    assert (found.core_hours, found.wasted_core_hours) == (4, 1)
    assert found.ran_s > 0
    assert found.since_asked_s >= found.ran_s
    assert found.caveats == []
    assert found.said().startswith("4 files with ")
    assert "4 core-hours, 1 of them for nothing" in found.said()


def test_what_is_missing_left_out_or_remarked_on_is_said(ended, cast):
    gen = ended.stages.get(name="gen")
    Snapshot.objects.filter(stage=gen).update(left_out={"it has no run": 2})
    transitions.record([(ended.pk, ended.state)], "campaign", ended.state, experiment_id=cast.experiment.pk,
                       actor="user:operator", reason="gen: good enough; it waited: for tape", verb="accept")  # fmt: skip
    reviewing.give(ended, "remarks", by=cast.reviewer, reason="channel 12 is noisy")
    assert result.of_campaign(ended).caveats == [
        "gen: 2 files left out: it has no run",
        "taken as it was: gen: good enough; it waited: for tape",
        "reviewer says that the results are good with remarks: channel 12 is noisy",
    ]


def test_nothing_is_said_before_the_end(cast):
    campaign = builders.approved_campaign(cast)
    assert result.of_request(Request.objects.get(campaign=campaign)) is None


def test_a_verdict_stands_until_another_and_every_one_is_kept(ended, cast):
    assert [(r.kind, r.ref) for r in reviews.inbox([cast.experiment])] == [("campaign", ended.ref)]
    with pytest.raises(Conflict, match="nothing to withdraw"):
        reviewing.give(ended, "withdrawn", by=cast.reviewer, reason="x")
    with pytest.raises(Refused, match="needs a reason"):
        reviewing.give(ended, "good", by=cast.reviewer, reason=" ")
    with pytest.raises(Refused):
        reviewing.give(ended, "splendid", by=cast.reviewer, reason="x")
    reviewing.give(ended, "good", by=cast.reviewer, reason="the peak is right")
    assert reviews.inbox([cast.experiment]) == []
    reviewing.give(ended, "withdrawn", by=cast.reviewer, reason="the wrong campaign")
    assert [r.ref for r in reviews.inbox([cast.experiment])] == [ended.ref]
    reviewing.give(ended, "bad", by=cast.reviewer, reason="the peak is wrong")
    assert list(Verdict.objects.order_by("pk").values_list("verdict", flat=True)) == ["good", "withdrawn", "bad"]
    kept = Transition.objects.filter(kind="campaign", thing_id=ended.pk, verb="review").order_by("id")
    assert list(kept.values_list("actor", "reason")) == [
        ("user:reviewer", "good: the peak is right"), ("user:reviewer", "withdrawn: the wrong campaign"),
        ("user:reviewer", "bad: the peak is wrong"),
    ]  # fmt: skip
    ended.refresh_from_db()
    assert ended.state == "succeeded", "a verdict changes nothing that ran"


def test_a_verdict_comes_after_the_end_and_not_on_test_runs(ended, cast):
    running = builders.approved_campaign(cast, builders.definition(campaign="other"), title="other")
    with pytest.raises(Conflict, match="after its end"):
        reviewing.give(running, "good", by=cast.reviewer, reason="x")
    Campaign.objects.filter(pk=ended.pk).update(test=True)
    with pytest.raises(Conflict, match="test run"):
        reviewing.give(ended, "good", by=cast.reviewer, reason="x")
    assert reviews.inbox([cast.experiment]) == []


def test_the_page_of_the_request_shows_it_and_leads_to_report_and_files(ended, cast, client):
    client.force_login(cast.experimenter)
    request = Request.objects.get(campaign=ended)
    page = client.get(f"/e/demo/requests/r{request.pk}/").content.decode()
    assert 'id="result"' in page
    assert f"/e/demo/campaigns/c{ended.pk}/report/" in page
    report = client.get(f"/e/demo/campaigns/c{ended.pk}/report/")
    assert report["Content-Disposition"] == f'attachment; filename="demo-c{ended.pk}.html"'
    assert ended.name in report.content.decode()
