"""Each step in the ledger knows its campaign, whoever wrote it: what a campaign's history is read by."""

from __future__ import annotations

import pytest
from django.db.models import Q

from core.models import Transition
from submissions.logic import planning
from submissions.models import Batch, Submission
from tests import builders
from tests.cast import Cast


@pytest.mark.django_db
def test_steps_of_campaign_batches_and_submissions_are_of_it_and_no_others(cast: Cast) -> None:
    campaigns = [builders.approved_campaign(cast, builders.definition(campaign=name)) for name in ("one", "two")]
    for campaign in campaigns:
        for stage in campaign.stages.all():
            planning.plan(stage.pk)
    for campaign in campaigns:
        things = (
            Q(kind="campaign", thing_id=campaign.pk)
            | Q(kind="batch", thing_id__in=Batch.objects.filter(stage__campaign=campaign).values("pk"))
            | Q(kind="submission", thing_id__in=Submission.objects.filter(campaign=campaign).values("pk"))
        )
        steps = set(Transition.objects.of_campaign(campaign.pk))
        assert steps == set(Transition.objects.filter(things))
        assert {step.kind for step in steps} == {"campaign", "batch", "submission"}
    assert (
        not Transition.objects.exclude(kind__in=("campaign", "batch", "submission")).exclude(campaign_id=None).exists()
    )
