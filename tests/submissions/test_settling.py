"""What the jobs of a submission left: which of it counts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import now
from integrations import registry
from integrations.catalogue.base import Attempt, FileSeen, Produced
from integrations.models import BatchSystem
from submissions.logic import planning, settling
from submissions.models import Acceptance, Batch, Job, Output, Result, Submission
from submissions.states import JOB_RANK
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def local_row(db):
    return BatchSystem.objects.create(name="local", backend="local")


class Left:
    """A catalogue in which the jobs left what the test says."""

    def __init__(self, *produced: Produced) -> None:
        self.entries = produced

    def produced(self, attempt: Attempt) -> tuple[Produced, ...]:
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
    monkeypatch.setattr(registry, "catalogue", lambda *of: Left(*entries))
    settling.settle(Submission.objects.get(pk=submission.pk))
    assert list(Output.objects.values_list("name", flat=True)) == ["first"]
    assert Acceptance.objects.get().result.job == "1.0"
    refused = dict(Result.objects.exclude(refused="").values_list("job", "refused"))
    assert set(refused) == {"1.1", "1.2"}
    assert "have a result already" in refused["1.1"]
    assert "not of this submission: ?" in refused["1.2"]
    assert Batch.objects.get(pk=submission.batch_id).done == 1


@pytest.mark.parametrize("kind", ["located", "complete"])
def test_an_input_without_output_is_done_once_its_job_has_ended_well_where_that_is_what_counts(cast, kind, local_row):
    text = builders.definition().replace("completion_pct=100", f"completion_pct=100\ncompletion_type={kind}")
    campaign = builders.approved_campaign(cast, text)
    planning.plan(campaign.stages.get(name="gen").pk)
    submission = Submission.objects.order_by("pk").first()
    Submission.objects.filter(pk=submission.pk).update(**{"state": "jobs_completed"})
    Batch.objects.filter(pk=submission.batch_id).update(**{"state": "jobs_completed"})
    well, badly = submission.units.order_by("pk")
    for entry, state in ((well, "succeeded"), (badly, "failed")):
        Job.objects.create(
            experiment=cast.experiment, submission=submission, system=local_row, external_id=f"{entry.pk}.0",
            index=entry.job_index, state_code=JOB_RANK[state], starts=1, event_at=now(), state_since=now(),
            started_at=now(), ended_at=now(),
        )  # fmt: skip
    settling.settle(Submission.objects.get(pk=submission.pk))
    done = [entry.unit_id for entry in Acceptance.objects.all()]
    assert done == ([well.unit_id] if kind == "complete" else [])
    assert not Output.objects.exists()
    assert Batch.objects.get(pk=submission.batch_id).done == len(done)


def test_what_observe_wrote_while_a_launch_was_being_recorded_is_found_soon(cast):
    campaign = builders.approved_campaign(cast, builders.definition())
    planning.plan(campaign.stages.get(name="gen").pk)
    submission = Submission.objects.order_by("pk").first()

    def next_look(**fields) -> timedelta:
        Submission.objects.filter(pk=submission.pk).update(**fields)
        settling.settle(Submission.objects.get(pk=submission.pk))
        return Submission.objects.get(pk=submission.pk).look_at - now()

    assert next_look(state="submitted", launched_at=now()) <= settling.LOOK_AGAIN
    assert next_look(launched_at=now() - settling.JUST_LAUNCHED) > settling.LOOK_AGAIN
    assert next_look(state="running", launched_at=now()) > settling.LOOK_AGAIN
