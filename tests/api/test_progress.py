"""How far a campaign is, as the API and the command line tell it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from poms_client.commands.campaign import in_numbers

from core.clock import now
from submissions.models import Batch, Submission
from tests import builders, jobs

pytestmark = pytest.mark.django_db
PAIR = (
    "[campaign_stage gen]\nstage_type=generator\nevents=20\nevents_per_job=2\ncs_split_type=nevents(4)\nseed=7\n"
    "recovery_rounds=0\n"
    "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
    "[dependencies sum]\ncampaign_stage_1=gen\ngate_1=all\n"
)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.LOCAL_FILES = tmp_path


@pytest.fixture
def campaign(cast):
    """A campaign of which three of five batches were settled, one in 1000 s, the last one 1000 s ago."""
    found = builders.approved_campaign(cast, builders.definition(stages=PAIR))
    jobs.plan(found)
    waiting = list(Submission.objects.filter(batch__stage__name="gen").order_by("pk"))
    for place, attempt in enumerate(waiting[:3]):
        jobs.leave(attempt)
        Submission.objects.filter(pk=attempt.pk).update(state="jobs_completed")
        Batch.objects.filter(pk=attempt.batch_id).update(state="jobs_completed")
        jobs.settling.settle(Submission.objects.get(pk=attempt.pk))
        jobs.recovering.decide(attempt.batch_id)
        Submission.objects.filter(pk=attempt.pk).update(ended_at=now() - timedelta(seconds=1000 * (3 - place)))
    return found


def test_a_campaign_tells_its_counts_in_three_ways_and_its_end(campaign, cast, call_as):
    answer = call_as(cast.experimenter).get(f"/api/v1/campaigns/demo/c{campaign.pk}/").json()
    gen, below = answer["stages"]
    assert gen["counts"]["files"] == {
        "in": 10, "done": 6, "running": 0, "recovering": 0, "failed": 0, "waiting": 4, "coming": 0, "out": 6,
    }  # fmt: skip
    assert below["counts"]["files"]["waiting"] == below["counts"]["files"]["in"] == 10
    assert below["counts"]["files"]["coming"] == 4
    assert (gen["counts"]["events"]["in"], gen["counts"]["events"]["done"], gen["counts"]["events"]["out"]) == (
        20,
        12,
        12,
    )
    assert gen["counts"]["jobs"]["in"] == gen["counts"]["jobs"]["waiting"] > 0
    for way, whole in answer["counts"].items():
        for name, number in whole.items():
            assert number == gen["counts"][way][name] + below["counts"][way][name]
    end = gen["expected_end"]
    assert list(end) == ["at", "earliest", "latest"]
    assert end["earliest"] < end["at"] < end["latest"]
    assert below["expected_end"] is None
    assert answer["expected_end"]["at"] > end["at"]
    assert (answer["progress"]["units"], answer["progress"]["done"], answer["progress"]["recovering"]) == (16, 6, 0)
    assert {gate["stage"] for gate in answer["gates"]} == {"sum"}


def test_an_end_that_nobody_can_say_is_null(cast, call_as):
    fresh = builders.approved_campaign(cast, builders.definition(stages=PAIR))
    answer = call_as(cast.experimenter).get(f"/api/v1/campaigns/demo/c{fresh.pk}/").json()
    assert answer["expected_end"] is None
    assert answer["counts"]["files"]["in"] == answer["counts"]["files"]["coming"] == 20


def test_the_command_line_shows_a_row_for_each_stage_and_one_for_all(campaign, cast, call_as):
    answer = call_as(cast.experimenter).get(f"/api/v1/campaigns/demo/c{campaign.pk}/").json()
    shown = in_numbers(answer, "events")
    gen, below, whole = shown["stages in events"]
    assert (gen["stage"], gen["in"], gen["done"], gen["out"]) == ("gen", 20, 12, 12)
    assert gen["expected end"].startswith("in ")
    assert " ± " in gen["expected end"]
    assert below["expected end"] == ""  # it has not begun
    assert (whole["stage"], whole["in"]) == ("all stages", 40)
    assert shown["expected_end"].startswith("in ")
    assert "counts" not in shown
