"""Loop `plan`: put untaken units whose gates are open into batches; end stages and campaigns (J1, T4, T5)."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Count, F, Max

from campaigns import completion, queries, splitting
from campaigns.models import Campaign, EdgeVersion, Stage, StageVersion
from core import queue, transitions
from core.clock import now
from core.crashpoints import crashpoint
from core.loops import careful
from integrations import registry
from integrations.catalogue.base import FileSeen
from submissions.logic import feeding, preparing
from submissions.models import Batch, PlanDue, Snapshot, StageProgress, Unit
from submissions.queries import due_stages, forgotten_stages, gates_of_edges

ACTOR = "loop:plan"
STAGES_A_PASS = 20
BATCHES_A_STEP = 200
FIRST_PASS = 1
OPEN_BATCH_STATES = ("pending", "submitted", "project_running", "jobs_completed")


def plan_some() -> int:
    """Look at stages that are due; return how many were looked at."""
    did = 0
    for stage_id in due_stages(STAGES_A_PASS):
        with careful("plan", "stage", stage_id):
            did += plan(stage_id)
    return did


def note(stage_ids: list[int]) -> None:
    """Ask for stages to be planned, in the caller's transaction."""
    PlanDue.objects.bulk_create(PlanDue(stage_id=stage_id) for stage_id in stage_ids)
    queue.wake("plan")


def plan(stage_id: int) -> bool:
    """Do the next step for one stage: freeze its input, form batches, or end it.

    The stage's row is locked meanwhile, so that two planners form each batch once. A stage that another one
    is planning is left to it: then the answer is False.
    """
    version = queries.running_version(stage_id)
    files = _dataset_files(version) if version else None
    with transaction.atomic():
        stage = Stage.objects.select_for_update(skip_locked=True, of=("self",), no_key=True).filter(pk=stage_id).first()
        if stage is None:
            return False
        PlanDue.objects.filter(stage_id=stage_id).delete()
        if version is None or version.revision.campaign.state not in ("approved", "running"):
            return True
        StageProgress.objects.get_or_create(stage=stage, pass_number=FIRST_PASS)
        _feed(version, files)
        edges = queries.edges_into(version)
        closed = _close(version, edges)
        waiting, doomed = gates_of_edges(version, edges)
        if not waiting and not doomed:
            more = _form_batches(version, closed)
            if more:
                note([stage_id])
                return True
        crashpoint("plan.before_end")
        _end_stage(version, closed=closed, doomed=doomed)
    crashpoint("plan.after_commit")
    return True


def _dataset_files(version: StageVersion) -> list[FileSeen] | None:
    """Fetch the files of a dataset that is still to be frozen, before any transaction is open."""
    fed = version.type == "generator" or version.dataset in ("", "from_parent")
    if fed or Snapshot.objects.filter(stage_id=version.stage_id, pass_number=FIRST_PASS).exists():
        return None
    files = list(registry.catalogue(version.revision.campaign.experiment).files(version.dataset))
    return files[: version.most_files or None]


def _feed(version: StageVersion, files: list[FileSeen] | None) -> None:
    if Snapshot.objects.filter(stage_id=version.stage_id, pass_number=FIRST_PASS).exists():
        return
    if version.type == "generator":
        feeding.number_events(version, FIRST_PASS)
    elif files is not None:
        feeding.freeze_files(version, FIRST_PASS, files)


def _close(version: StageVersion, edges: list[EdgeVersion]) -> bool:
    """Tell whether no more units will come, and keep the answer."""
    parents = {edge.edge.upstream_id for edge in edges} - {version.stage_id}
    progress = StageProgress.objects.filter(stage_id=version.stage_id, pass_number=FIRST_PASS)
    if not parents:
        return progress.values_list("closed", flat=True).get()
    closed = not Stage.objects.filter(pk__in=parents, completed_at=None).exists()
    progress.exclude(closed=closed).update(closed=closed)
    return closed


def _form_batches(version: StageVersion, closed: bool) -> bool:
    """Cut the untaken units into batches with their first submission; tell whether some are left for a next step."""
    split = splitting.parse(version.split)
    untaken = list(Unit.objects.filter(stage_id=version.stage_id, pass_number=FIRST_PASS, batch=None).order_by("pk"))
    weights = [1 if split.weighs == "file" else unit.events or 1 for unit in untaken]
    sizes = split.cut(weights, closed=closed)
    if not sizes:
        return False
    _start_campaign(version.revision.campaign)
    batches = Batch.objects.filter(stage_id=version.stage_id, pass_number=FIRST_PASS)
    number = batches.aggregate(last=Max("number"))["last"] or 0
    begin = 0
    for size in sizes[:BATCHES_A_STEP]:
        units, begin, number = untaken[begin : begin + size], begin + size, number + 1
        key = f"slice:{version.stage_id}:{FIRST_PASS}:{number}"
        batch = Batch.objects.create(
            experiment_id=version.revision.campaign.experiment_id, stage_id=version.stage_id, version=version,
            pass_number=FIRST_PASS, number=number, reason_key=key, n_units=size,
        )  # fmt: skip
        Unit.objects.filter(pk__in=[unit.pk for unit in units]).update(batch=batch)
        transitions.created(batch, actor=ACTOR, reason=f"slice {number} of {version.stage.name}: {size} inputs")
        preparing.intend(
            batch, units, kind="first", round_number=0, reason_key=f"first:{batch.pk}", actor=ACTOR,
            reason="first launch of the batch",
        )  # fmt: skip
        crashpoint("plan.after_batch")
    StageProgress.objects.filter(stage_id=version.stage_id, pass_number=FIRST_PASS).update(taken=F("taken") + begin)
    queue.wake("launch")
    return len(sizes) > BATCHES_A_STEP


def _start_campaign(campaign: Campaign) -> None:
    if campaign.state == "approved":
        locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if locked.state == "approved":
            transitions.move(
                locked,
                "running",
                expect="approved",
                actor=ACTOR,
                reason="its first batch is ready",
                started_at=now(),
            )


def _end_stage(version: StageVersion, *, closed: bool, doomed: str) -> None:
    stage = Stage.objects.get(pk=version.stage_id)
    if stage.completed_at is not None or not (closed or doomed):
        return
    own = Batch.objects.filter(stage=stage, pass_number=FIRST_PASS)
    untaken = Unit.objects.filter(stage=stage, pass_number=FIRST_PASS, batch=None).exists()
    if own.filter(state__in=OPEN_BATCH_STATES).exists() or (untaken and not doomed):
        return
    sums = Unit.objects.filter(stage=stage, pass_number=FIRST_PASS).aggregate(
        units=Count("pk"), done=Count("acceptance")
    )
    units, done = sums["units"], sums["done"]
    stage.succeeded = not doomed and units > 0 and completion.is_met(done, units, version.completion_pct)
    stage.completed_at = now()
    stage.save(update_fields=["succeeded", "completed_at"])
    below = version.revision.edge_versions.filter(edge__upstream=stage).values_list("edge__downstream_id", flat=True)
    note([stage_id for stage_id in set(below) if stage_id != stage.pk])
    _end_campaign(version, f"stage {stage.name}: {done} of {units} inputs have output{doomed and f'; {doomed}'}")


def _end_campaign(version: StageVersion, reason: str) -> None:
    """End the campaign when its last stage has ended; its row's lock lets only one of two last stages do so."""
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=version.revision.campaign_id)
    stages = Stage.objects.filter(versions__revision_id=version.revision_id)
    if stages.filter(completed_at=None).exists() or campaign.state not in ("approved", "running"):
        return
    if campaign.state == "approved":  # it ended before it had anything to do
        transitions.move(campaign, "running", expect="approved", actor=ACTOR, reason=reason, started_at=now())
    failed = list(stages.filter(succeeded=False).values_list("name", flat=True))
    transitions.move(
        campaign, "failed" if failed else "succeeded", expect="running", actor=ACTOR, ended_at=now(),
        reason=f"incomplete: {', '.join(failed)}; {reason}" if failed else "every stage is complete",
    )  # fmt: skip


def reopen(campaign: Campaign, *, actor: str, reason: str) -> None:
    """Let a failed campaign run again, with every stage that could not start because of the failure."""
    locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    if locked.state == "failed":
        transitions.move(locked, "running", expect="failed", actor=actor, reason=reason, ended_at=None)
        stuck = Stage.objects.filter(campaign=campaign, succeeded=False)
        ids = list(stuck.order_by("pk").values_list("pk", flat=True))
        stuck.update(completed_at=None, succeeded=None)
        note(ids)


def sweep() -> int:
    """Note every running stage that nothing has noted: the net below lost bells and lost notes."""
    forgotten = forgotten_stages()
    if forgotten:
        note(forgotten)
    return 0
