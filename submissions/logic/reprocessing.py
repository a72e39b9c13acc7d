"""Another pass over a stage's input, because somebody wants it: new units and results, and the old stay (design 3)."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from campaigns import queries
from campaigns.models import Campaign, Schedule, Stage, StageVersion
from core import transitions
from core.errors import Conflict, Problem, Refused
from submissions.logic import freezing, planning
from submissions.models import Batch
from submissions.queries import planned
from submissions.states import OPEN_BATCH


def process_again(
    campaign: Campaign, stage: str, *, actor: str, reason: str, same_input: bool = False
) -> list[str]:  # fmt: skip
    """Open the next pass of a stage and of all that it feeds; return their names.

    A dataset is frozen anew, or with `same_input` taken as it was frozen for the last pass; what comes from stages
    that are not done again is what those gave last. Refused while any of them has work that goes on.
    """
    if not reason.strip():
        raise Refused("To process again needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        locked = Campaign.objects.select_for_update(no_key=True).select_related("experiment").get(pk=campaign.pk)
        if locked.state not in ("running", "succeeded", "failed"):
            state = locked.state.replace("_", " ")
            raise Conflict(f"The campaign {locked.ref} is {state}; there is nothing to process again.")
        versions, _ = queries.graph_of(locked)
        named = {version.stage.name: version for version in versions}
        if stage not in named:
            hint = f"one of {', '.join(named)}"
            raise Refused("Nothing was changed.", [Problem("stage", f"{locked.ref} has no stage {stage[:40]}", hint)])
        reached = queries.fed_by(named[stage].revision_id, [named[stage].stage_id])
        again = [version for version in versions if version.stage_id in reached]
        _refuse_unended(again)
        Stage.objects.filter(pk__in=reached).update(pass_number=F("pass_number") + 1, completed_at=None, succeeded=None)
        names = [version.stage.name for version in again]
        kept = _keep_input(again) if same_input else 0
        why = f"{', '.join(names)} once more{f', on the same {kept} inputs' if kept else ''}: {reason}"
        if locked.state == "running":
            transitions.record(
                [(locked.pk, "running")], "campaign", "running", experiment_id=locked.experiment_id, actor=actor,
                reason=why, verb="reprocess",
            )  # fmt: skip
        else:
            transitions.move(
                locked, "running", expect=locked.state, actor=actor, reason=why, verb="reprocess", ended_at=None
            )
        planning.note(sorted(reached))
    return names


def _keep_input(versions: list[StageVersion]) -> int:
    """Give stages that read a dataset the input of their last pass; return how much that is."""
    stages = {version.stage_id for version in versions if freezing.reads_dataset(version)}
    if not stages:
        hint = "leave it out: what other stages gave, and events, are the same in each pass"
        raise Refused("Nothing was changed.", [Problem("same_input", "no stage of these reads a dataset", hint)])
    return sum(freezing.keep_again(stage) for stage in Stage.objects.filter(pk__in=stages))


def _refuse_unended(versions: list[StageVersion]) -> None:
    for version in versions:
        stage = Stage.objects.select_for_update(of=("self",), no_key=True).get(pk=version.stage_id)
        if Schedule.objects.filter(stage=stage).exists():
            raise Conflict(f"{stage.ref} gets its files by a schedule; file a request for what is to be done again.")
        own = planned(Batch.objects.filter(stage=stage, pass_number=stage.pass_number))
        going_on = own.filter(state__in=OPEN_BATCH)
        if stage.completed_at is None or going_on.exists():
            raise Conflict(f"{stage.ref} has not ended; wait for it, or cancel the campaign. Nothing was changed.")
