"""Ends submissions as their jobs would, without a batch system: each unit that did not fail leaves files with a manifest."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from campaigns.models import Campaign, Stage
from submissions.logic import planning, recovering, settling
from submissions.models import Batch, Submission
from submissions.states import UNFINISHED


def leave(
    submission: Submission, *, fails: Collection[str] = (), endings: Sequence[str] = ("root",), **told: Any
) -> None:
    """Write what the jobs of a submission leave; units whose key is in `fails` leave nothing."""
    place = Path(submission.output_dir)
    place.mkdir(parents=True, exist_ok=True)
    for entry in submission.units.select_related("unit").order_by("pk"):
        key = entry.unit.key
        if key in fails:
            continue
        stem = f"{submission.batch.stage.name}_p{submission.batch.pass_number}_{key.replace(':', '_')}".removesuffix(
            ".root"
        )
        outputs = []
        for ending in endings:
            path = place / f"{submission.batch.stage.campaign_id}_{stem}.{ending}"
            path.write_text("some events")
            outputs.append({"name": path.name, "path": str(path), "size": 11, "events": entry.unit.events, **told})
        manifest = {"job": f"{entry.pk}.0", "units": [key], "outputs": outputs}
        (place / f"{submission.uuid}.{entry.pk}.manifest.json").write_text(json.dumps(manifest))


def end(stage: Stage, **how: Any) -> int:
    """End all open submissions of a stage and decide on their batches; return how many there were."""
    open_ones = list(
        Submission.objects.filter(batch__stage=stage, state__in=UNFINISHED)
        .select_related("batch__stage", "batch__version", "experiment").order_by("pk")
    )  # fmt: skip
    for submission in open_ones:
        leave(submission, **how)
        Submission.objects.filter(pk=submission.pk).update(**{"state": "jobs_completed"})
        Batch.objects.filter(pk=submission.batch_id).update(**{"state": "jobs_completed"})
        settling.settle(Submission.objects.get(pk=submission.pk))
    for submission in open_ones:
        recovering.decide(submission.batch_id)
    return len(open_ones)


def plan(campaign: Campaign) -> None:
    """Plan every stage of a campaign, parents first, until nothing new comes."""
    for _ in range(3):
        for stage in campaign.stages.order_by("pk"):
            planning.plan(stage.pk)


def run(campaign: Campaign, **how: Any) -> None:
    """Let a campaign go on until none of its stages has open work."""
    went_on = True
    while went_on:
        plan(campaign)
        went_on = sum(end(stage, **how) for stage in campaign.stages.order_by("pk")) > 0
    plan(campaign)
