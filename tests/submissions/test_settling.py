"""What the jobs of a submission left: which of it counts."""

from __future__ import annotations

import pytest

from integrations import registry
from integrations.catalogue.base import FileSeen, Produced
from submissions.logic import planning, settling
from submissions.models import Acceptance, Batch, Output, Result, Submission
from tests import builders

pytestmark = pytest.mark.django_db


class Left:
    """A catalogue in which the jobs left what the test says."""

    def __init__(self, *produced: Produced) -> None:
        self.entries = produced

    def produced(self, output_dir: str, uuid: str) -> tuple[Produced, ...]:
        return self.entries

    def declare(self, files: list[FileSeen]) -> dict[str, str]:
        return {}


def left(job: str, key: str, name: str) -> Produced:
    return Produced(job, [key], [FileSeen(name=name, path=f"/files/{name}", size=1)])


def test_of_two_manifests_of_one_job_the_first_counts_and_of_two_jobs_with_one_unit_too(cast, monkeypatch):
    campaign = builders.approved_campaign(cast, builders.definition())
    planning.plan(campaign.stages.get(name="gen").pk)
    submission = Submission.objects.order_by("pk").first()
    Submission.objects.filter(pk=submission.pk).update(**{"state": "jobs_completed"})
    Batch.objects.filter(pk=submission.batch_id).update(**{"state": "jobs_completed"})
    key = submission.units.order_by("pk").first().unit.key
    entries = (left("1.0", key, "first"), left("1.0", key, "again"), left("1.1", key, "other"), left("1.2", "?", "odd"))
    monkeypatch.setattr(registry, "catalogue", lambda experiment: Left(*entries))
    settling.settle(Submission.objects.get(pk=submission.pk))
    assert list(Output.objects.values_list("name", flat=True)) == ["first"]
    assert Acceptance.objects.get().result.job == "1.0"
    refused = dict(Result.objects.exclude(refused="").values_list("job", "refused"))
    assert set(refused) == {"1.1", "1.2"}
    assert "have a result already" in refused["1.1"]
    assert "not of this submission: ?" in refused["1.2"]
    assert Batch.objects.get(pk=submission.batch_id).done == 1
