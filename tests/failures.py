"""Batches that have failed in part: each has one result of four, and its other jobs failed in ways of their own."""

from __future__ import annotations

from typing import Any

from campaigns.models import Campaign
from integrations.models import BatchSystem
from poms_site.overview import recovery
from submissions.logic import planning, proposing
from submissions.models import Acceptance, Batch, Job, Result, StageProgress, Submission, Unit
from submissions.states import JOB_RANK
from tests import builders
from tests.cast import Cast

STAGES = (
    "[campaign_stage gen]\nstage_type=generator\nevents=8\nevents_per_job=1\ncs_split_type=nevents(4)\n"
    "memory_mb=100\nwall_s=60\nrecovery_rounds=1\ncompletion_pct=50\n{more}"
    "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
    "[dependencies sum]\ncampaign_stage_1=gen\n"
)
# What became of the four jobs of a batch: one did it, one ran out of memory, one of time, one on a bad node.
ENDINGS = (("succeeded", ""), ("failed", "memory"), ("failed", "wall"), ("failed", ""))


def failed(cast: Cast, *, more: str = "", **values: Any) -> list[Batch]:
    """Return two batches of four inputs of a running campaign, each with one result, that have failed."""
    text = builders.definition(stages=STAGES.format(more=more))
    campaign = builders.approved_campaign(cast, text, **values)
    stage = campaign.stages.get(name="gen")
    planning.plan(stage.pk)
    system, _ = BatchSystem.objects.get_or_create(name="local", defaults={"backend": "local"})
    found = list(Batch.objects.filter(stage=stage).order_by("pk"))
    for batch in found:
        end(batch, system)
    return found


def end(batch: Batch, system: BatchSystem) -> None:
    """Let the last submission of a batch end as ENDINGS says, and the batch fail."""
    submission = batch.submissions.order_by("-pk")[0]
    for index, (state, code) in enumerate(ENDINGS):
        at = submission.created_at
        Job.objects.create(
            experiment=batch.experiment, submission=submission, system=system, external_id=f"{submission.pk}.{index}",
            index=index, state_code=JOB_RANK[state], code=code, starts=1, event_at=at, state_since=at, started_at=at,
            ended_at=at, node=f"node-{index}", wall_s=1800,
        )  # fmt: skip
    unit = Unit.objects.filter(batch=batch).order_by("pk")[0]
    result = Result.objects.create(experiment=batch.experiment, submission=submission, job=f"{submission.pk}.0")
    Acceptance.objects.create(unit=unit, result=result)
    StageProgress.objects.filter(stage=batch.stage).update(done=1)
    Submission.objects.filter(pk=submission.pk).update(state="failed")
    Batch.objects.filter(pk=batch.pk).update(state="failed", done=1, rounds=1, step=1)


def planned(thing: Any, kind: str = "") -> dict[str, Any]:
    """Return the plan of a recovery as the API gives it."""
    asked = proposing.ask(thing, kind)
    return recovery.document(asked, proposing.plan(asked))


def campaign_of(batches: list[Batch]) -> Campaign:
    """Return the campaign of some batches, as the database has it now."""
    return Campaign.objects.get(pk=batches[0].stage.campaign_id)
