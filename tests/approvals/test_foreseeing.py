"""A plan says what would run: batches, commands, cost, what is different; and then just that runs."""

from __future__ import annotations

import shlex

import pytest

from approvals.logic import deciding, filing, foreseeing
from approvals.models import Request
from campaigns.definition import changing
from campaigns.logic import drafting
from campaigns.models import Campaign
from submissions.logic import planning
from submissions.models import Batch, Submission
from tests import builders

pytestmark = pytest.mark.django_db


def counts():
    return Campaign.objects.count(), Request.objects.count(), Batch.objects.count()


def test_it_says_what_then_runs(cast):
    builders.login_setup(cast)
    text = builders.definition()
    before = counts()
    plan = foreseeing.foresee(cast.experiment, text, by=cast.experimenter)
    assert counts() == before
    gen = plan.stages[0]
    assert (gen.name, gen.inputs, gen.slices.count, gen.slices.first, gen.slices.last) == ("gen", 4, 2, (2, 2), 2)
    assert (plan.campaign, plan.errors) == (None, [])
    assert {str(change) for change in plan.changes} >= {"stage gen: added", "dependency gen → sum (%): added"}
    campaign = builders.approved_campaign(cast, text)
    planning.plan(campaign.stages.get(name="gen").pk)
    made = Submission.objects.filter(batch__stage__name="gen").order_by("pk")
    assert len(made) == gen.slices.count
    assert made[0].command == shlex.split(gen.command)
    assert gen.environment.items() <= made[0].environment.items()


def test_of_a_campaign_that_runs_it_says_what_would_be_different(cast):
    text = builders.definition()
    campaign = builders.approved_campaign(cast, text)
    same = foreseeing.foresee(cast.experiment, "# a remark\n" + text, by=cast.experimenter)
    assert (same.campaign, same.changes) == (campaign, [])
    other = changing.set_value(text, "campaign_stage", "gen", "memory_mb", "3000")
    other = changing.add_stage(other, "check", parent="gen", pattern="%.txt")
    plan = foreseeing.foresee(cast.experiment, other, by=cast.experimenter)
    assert [str(change) for change in plan.changes] == [
        "stage check: added", "stage gen: memory_mb 200 → 3000", "dependency gen → check (%.txt): added",
    ]  # fmt: skip


def test_what_cannot_run_has_no_stages_but_its_complaints(cast):
    plan = foreseeing.foresee(cast.experiment, builders.definition(), by=cast.experimenter)
    assert plan.stages == []
    assert [problem.field for problem in plan.errors] == [
        "[campaign_stage gen] login_setup", "[campaign_stage sum] login_setup",
    ]  # fmt: skip


def test_more_than_can_be_listed_is_not_cut_in_advance(cast):
    builders.login_setup(cast)
    text = builders.definition().replace("events=4\n", "events=1000000000000\n")
    (gen, _) = foreseeing.foresee(cast.experiment, text, by=cast.experimenter).stages
    assert gen.slices.count is None
    assert "1000000000000 inputs" in gen.slices.why


def test_a_request_becomes_that_of_the_draft_which_has_its_name(cast):
    builders.login_setup(cast)
    text = builders.definition()
    looked = drafting.look(cast.experiment, text, by=cast.experimenter)
    draft = drafting.import_text(cast.experiment, looked, by=cast.experimenter)
    request = filing.file(builders.request(cast, text), by=cast.experimenter)
    assert request.campaign == draft.campaign
    assert request.revision.number == 1
    deciding.approve(request, by=cast.approver, reason="good")
    assert Campaign.objects.get().state == "approved"
    second = filing.file(builders.request(cast, text.replace("seed=7", "seed=8")), by=cast.experimenter)
    assert second.campaign != draft.campaign
