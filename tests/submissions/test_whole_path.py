"""From a request to a finished campaign, with real scripts and jobs."""

from __future__ import annotations

import pytest

from core.models import Transition
from submissions.models import Batch, Job, JobCount, Output, Submission, Unit
from tests import builders


@pytest.mark.django_db(transaction=True)
def test_a_request_becomes_a_finished_campaign(real_cast, local_system, drive):
    campaign = builders.approved_campaign(real_cast)

    def ended():
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended)
    assert campaign.state == "succeeded"
    assert Batch.objects.count() == 3
    assert set(Batch.objects.values_list("state", flat=True)) == {"completed"}
    assert Submission.objects.count() == 3
    assert Job.objects.count() == 5
    assert sum(JobCount.objects.values_list("n", flat=True)) == 5
    assert Output.objects.filter(stage__name="gen").count() == 4
    assert Unit.objects.filter(stage__name="sum", acceptance__isnull=False).count() == 4
    states = list(Transition.objects.filter(kind="campaign").order_by("id").values_list("target", flat=True))
    assert states == ["new", "pending_approval", "approved", "running", "succeeded"]
