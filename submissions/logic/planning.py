"""Loop `plan`: put untaken units whose gates are open into batches; end stages and campaigns (J1, T4, T5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Max, QuerySet

from campaigns import completion, queries, recoveries, splitting
from campaigns.definition import PASSES_ON
from campaigns.models import Campaign, EdgeVersion, Schedule, Stage, StageVersion
from core import queue, transitions
from core.clock import now
from core.crashpoints import crashpoint
from core.loops import careful
from submissions.logic import feeding, freezing, preparing, restoring
from submissions.models import Batch, Completion, PlanDue, Slice, StageProgress, Unit
from submissions.queries import (
    due_stages,
    forgotten_launches,
    forgotten_stages,
    gates_of_edges,
    keys_of,
    planned,
    progress_above,
)
from submissions.states import OPEN_BATCH

ACTOR = "loop:plan"
STAGES_A_PASS = 20
BATCHES_A_STEP = 200
# So many batches of a stage wait for their launch at most: slices wait more cheaply, and a later revision still reaches
# them. The rest follows as these are launched.
AHEAD = 1_000
UNITS_A_LOOK = 50_000


def plan_some() -> int:
    """Look at stages that are due; return how many were looked at."""
    restoring.notice()
    if restoring.is_deaf():  # what was launched is not known yet: it would be cut another way
        return 0
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
    kept_up = version is not None and keeps_up(version)
    fetched = freezing.fetch(version) if version and not kept_up and freezing.is_due(version) else None
    let = feeding.let_into(version) if version and _is_behind(version, queries.edges_into(version)) else None
    # A catalogue that does not answer raises: whether the dataset has gained files is unknown then, and nothing ends.
    gained, times = _look_again(version) if version and not kept_up and not fetched else (None, 0)
    crashpoint("plan.after_fetch")
    with transaction.atomic():
        stage = Stage.objects.select_for_update(skip_locked=True, of=("self",), no_key=True).filter(pk=stage_id).first()
        if stage is None:
            return False
        PlanDue.objects.filter(stage_id=stage_id).delete()
        if version is None or version.revision.campaign.state not in ("approved", "running"):
            return True
        if stage.pass_number != version.stage.pass_number:
            note([stage_id])  # another pass was opened meanwhile: what was fetched is not for it
            return True
        StageProgress.objects.get_or_create(stage=stage, pass_number=stage.pass_number)
        if not kept_up and not freezing.is_frozen(version):
            if version.type == "generator":
                feeding.number_events(version)
            elif fetched is not None:
                freezing.keep(version, fetched)
        elif gained and gained.units and freezing.times_frozen(version) == times:
            freezing.keep(version, gained)
        # Anew, after the note is gone: with the edges comes how the stages above are now.
        edges = queries.edges_into(version)
        if let is not None:
            feeding.catch_up(version, let)
        elif _is_behind(version, edges):
            note([stage_id])  # the stages above have ended meanwhile: what they gave is looked through first
            return True
        closed = _close(version, edges, kept_up=kept_up)
        waiting, doomed = gates_of_edges(version, edges, progress_above(edges))
        # What keeps up gets its inputs tick by tick, each to its end: what has come is cut whole.
        whole = closed or (kept_up and not edges)
        left_out = Counter[str]() if waiting or doomed else _form_batches(version, edges, whole)
        crashpoint("plan.before_end")
        _end_stage(version, closed=closed, doomed=doomed, left_out=left_out, kept_up=kept_up)
    crashpoint("plan.after_commit")
    return True


def _is_behind(version: StageVersion, edges: list[EdgeVersion]) -> bool:
    """Tell whether to look through what the stages above have given: when a stage or its pass begins, and at its end.

    In between, what they give comes by itself; so only what was there before, or fell between two revisions, is found.
    """
    parents = _parents(version, edges)
    if not parents:
        return False
    progress = StageProgress.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number).first()
    return progress is None or not (progress.closed or Stage.objects.filter(pk__in=parents, completed_at=None).exists())


def _parents(version: StageVersion, edges: list[EdgeVersion]) -> set[int]:
    return {edge.edge.upstream_id for edge in edges} - {version.stage_id}


def _look_again(version: StageVersion) -> tuple[freezing.Frozen | None, int]:
    """Return what a stage's dataset has gained, if the list of recoveries asks for it and all else has ended.

    Each `added_files` of the list is one look that found something. With it comes how often its input was frozen.
    """
    looks = looks_of(version)
    if not looks or version.stage.completed_at is not None or not freezing.can_gain(version):
        return None, 0
    times, own = freezing.times_frozen(version), _own(version)
    goes_on = own.filter(state__in=OPEN_BATCH).exists() or freezing.waiting(version).exists()
    if times > looks or goes_on or not own.exists():
        return None, 0
    return freezing.fetch_gained(version), times


def looks_of(version: StageVersion) -> int:
    """Return how often a stage takes by itself what its dataset has gained."""
    steps = recoveries.steps_of(version.recoveries, version.recovery_rounds)
    return sum(1 for step in steps if step.kind == "added_files")


def keeps_up(version: StageVersion) -> bool:
    """Tell whether the stage's inputs come by a schedule, or have come by one that it had before."""
    scheduled = bool(version.schedule) and not version.revision.campaign.test
    return scheduled or Schedule.objects.filter(stage_id=version.stage_id).exists()


def _schedule_goes_on(version: StageVersion) -> bool:
    """Tell whether more may come by the schedule: one that is not made yet has not begun."""
    row = Schedule.objects.filter(stage_id=version.stage_id).values_list("ended_at").first()
    return row is None or row[0] is None


def _close(version: StageVersion, edges: list[EdgeVersion], *, kept_up: bool) -> bool:
    """Tell whether no more units will come, and keep the answer."""
    parents = _parents(version, edges)
    foreign = {edge.edge.upstream_id for edge in edges if edge.edge.upstream.campaign_id != edge.edge.campaign_id}
    takes_what_is_there = version.revision.campaign.test and bool(foreign)
    if takes_what_is_there:  # a test waits for no other campaign
        parents -= foreign
    progress = StageProgress.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number)
    if not (parents or kept_up or takes_what_is_there):
        return progress.values_list("closed", flat=True).get()
    closed = not Stage.objects.filter(pk__in=parents, completed_at=None).exists()
    closed = closed and not (kept_up and _schedule_goes_on(version))
    progress.exclude(closed=closed).update(closed=closed)
    return closed


def _form_batches(version: StageVersion, edges: list[EdgeVersion], closed: bool) -> Counter[str]:
    """Put inputs into batches, each with its first submission, and ask to be called again if there are more.

    Returns why inputs that have come are left out for good, and how many.
    """
    room = _room(version, edges)
    most = min(room, BATCHES_A_STEP)
    if most <= 0:
        return Counter()
    number = next_number(version) - 1
    slices = freezing.untaken(version, most + 1, ready=True)
    formed = 0
    for part in slices[:most]:
        if units := feeding.take(version, part):
            formed += 1
            Slice.objects.filter(pk=part.pk).update(batch=form(version, number + formed, units, part.label))
    more, left_out = len(slices) > most, Counter[str]()
    if not more:
        launched = forgotten_launches(version)
        if launched:
            formed += _form_as_launched(version, launched, number + formed, most - formed)
        found, cut = _cut_arrived(version, closed, kept={key for plan in launched for key in keys_of(plan)})
        for piece in cut.slices[: most - formed]:
            formed += 1
            form(version, number + formed, [found[place] for place in piece.members], piece.label)
        more, left_out = formed == most, cut.left_out
    if formed:
        queue.wake("launch")
    if more and room > most:
        note([version.stage_id])
    return left_out


def _form_as_launched(version: StageVersion, plans: Sequence[dict[str, Any]], number: int, most: int) -> int:
    """Put units into the batches that they were launched in, which a restored database has forgotten.

    What a plan names in part has not come whole yet: it waits, and goes into no other batch.
    """
    keys = {key for plan in plans for key in keys_of(plan)}
    arrived = {unit.key: unit for unit in _arrived(version).filter(key__in=keys)}
    formed = 0
    for plan in plans:
        units = [arrived[key] for key in keys_of(plan) if key in arrived]
        if formed < most and len(units) == len(keys_of(plan)):
            formed += 1
            form(version, number + formed, units, plan.get("slice", ""))
    return formed


def _own(version: StageVersion) -> QuerySet[Batch]:
    return planned(_all(version))


def _all(version: StageVersion) -> QuerySet[Batch]:
    return Batch.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number)


def next_number(version: StageVersion) -> int:
    """Return the number that the next batch of the stage's present pass gets."""
    return (_all(version).aggregate(last=Max("number"))["last"] or 0) + 1


def _room(version: StageVersion, edges: list[EdgeVersion]) -> int:
    """Return how many batches may be formed now: one after the other where the stage depends on itself."""
    if any(edge.edge.upstream_id == version.stage_id for edge in edges):
        return 0 if _own(version).filter(state__in=OPEN_BATCH).exists() else 1
    return AHEAD - _own(version).filter(state="pending").count()


def next_of(version: StageVersion) -> tuple[list[Unit], str]:
    """Return what the next batch of a stage would take as things are, and its label: nothing is written.

    Units of a frozen slice are made for the eye only; none means that nothing has come, or that all is taken.
    """
    for part in freezing.untaken(version, 1, ready=True):
        return feeding.sketch(version, part), part.label
    found, cut = _cut_arrived(version, closed=False)
    for piece in cut.slices[:1]:
        return [found[place] for place in piece.members], piece.label
    return found, ""


def _arrived(version: StageVersion) -> QuerySet[Unit]:
    return Unit.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number, batch=None)


def _cut_arrived(version: StageVersion, closed: bool, kept: Collection[str] = ()) -> tuple[list[Unit], splitting.Cut]:
    """Cut the units that have come one by one and that no batch has: events of a generator, outputs of other stages.

    Those that are kept are left where they are.
    """
    split = splitting.parse(version.split)
    if split.what.once:  # what has come is what one look finds
        split, closed = splitting.Split("nfiles" if split.limit else "whole", split.given), True
    rows = _arrived(version).exclude(key__in=kept) if kept else _arrived(version)
    if split.what.groups:
        rows = rows.select_related("output__result")
    in_order = rows.order_by("pk")
    alike = split.limit and not split.what.groups  # the first of them can be cut without the others
    found = list(in_order[: UNITS_A_LOOK + 1] if alike else in_order)
    whole = not alike or len(found) <= UNITS_A_LOOK
    if split.what.groups == "taken_at" and keeps_up(version) and _schedule_goes_on(version):
        closed = False  # a window is over when its time is, whenever somebody looks
    inputs = [freezing.input_of(split, rank, unit) for rank, unit in enumerate(found)]
    return found, splitting.cut(split, inputs, closed=closed and whole, now=now().timestamp())


def form(version: StageVersion, number: int, units: list[Unit], label: str) -> Batch:
    """Make a batch of these units, which are rows already, with the intent of its first launch."""
    stage, campaign = version.stage, version.revision.campaign
    _start_campaign(campaign)
    batch = Batch.objects.create(
        experiment_id=campaign.experiment_id, stage=stage, version=version, pass_number=stage.pass_number,
        number=number, reason_key=f"slice:{stage.pk}:{stage.pass_number}:{number}", n_units=len(units), label=label,
    )  # fmt: skip
    Unit.objects.filter(pk__in=[unit.pk for unit in units]).update(batch=batch)
    what = f" ({label})" if label else ""
    reason = f"slice {number} of {stage.name}{what}: {len(units)} input{'s' if len(units) > 1 else ''}"
    transitions.created(batch, actor=ACTOR, reason=reason)
    if version.type not in PASSES_ON:
        preparing.intend(
            batch, units, kind="first", round_number=0, reason_key=f"first:{batch.pk}", actor=ACTOR,
            reason="first launch of the batch",
        )  # fmt: skip
    StageProgress.objects.filter(stage=stage, pass_number=stage.pass_number).update(taken=F("taken") + len(units))
    crashpoint("plan.after_batch")
    return batch


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


def _end_stage(
    version: StageVersion, *, closed: bool, doomed: str, left_out: Counter[str], kept_up: bool
) -> None:  # fmt: skip
    stage = Stage.objects.get(pk=version.stage_id)
    if stage.completed_at is not None or not (closed or doomed):
        return
    units = Unit.objects.filter(stage=stage, pass_number=stage.pass_number)
    untaken = units.filter(batch=None).count() - left_out.total() > 0 or freezing.waiting(version).exists()
    if _own(version).filter(state__in=OPEN_BATCH).exists() or (untaken and not doomed):
        return
    if not _stand_above(version, closed, doomed, kept_up):
        note([version.stage_id])
        return
    sums = units.aggregate(units=Count("pk"), done=Count("acceptance"))
    number, done = sums["units"] - left_out.total(), sums["done"]
    succeeded = not doomed and number > 0 and completion.is_met(done, number, version.completion_pct)
    if succeeded and version.completion:
        Completion.objects.get_or_create(stage=stage, pass_number=stage.pass_number, defaults={"inputs": number})
        queue.wake("complete")
        return
    told = [f"stage {stage.name}: {done} of {number} inputs have output"]
    told += [f"{times} left out: {why}" for why, times in sorted(left_out.items())]
    finish(version, succeeded=succeeded, actor=ACTOR, reason="; ".join(filter(None, [*told, doomed])))


def _stand_above(version: StageVersion, closed: bool, doomed: str, kept_up: bool) -> bool:
    """Tell whether the stages above are as they were seen, with the lock that whoever lets them run again takes too.

    Without it a stage could end for want of what a relaunch above has just begun to bring.
    """
    Campaign.objects.select_for_update(no_key=True).get(pk=version.revision.campaign_id)
    edges = queries.edges_into(version)
    seen = _close(version, edges, kept_up=kept_up), gates_of_edges(version, edges, progress_above(edges))[1]
    return seen == (closed, doomed)


def finish(version: StageVersion, *, succeeded: bool, actor: str, reason: str) -> None:
    """Give a stage its verdict, let those below it know, and end the campaign with its last stage."""
    Stage.objects.filter(pk=version.stage_id).update(succeeded=succeeded, completed_at=now())
    note(sorted({edge.edge.downstream_id for edge in queries.edges_from(version.stage_id)}))
    _end_campaign(version, actor, reason)


def _end_campaign(version: StageVersion, actor: str, reason: str) -> None:
    """End the campaign when its last stage has ended; its row's lock lets only one of two last stages do so."""
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=version.revision.campaign_id)
    stages = Stage.objects.filter(versions__revision_id=version.revision_id)
    if stages.filter(completed_at=None).exists() or campaign.state not in ("approved", "running"):
        return
    if campaign.state == "approved":  # it ended before it had anything to do
        transitions.move(campaign, "running", expect="approved", actor=actor, reason=reason, started_at=now())
    failed = list(stages.filter(succeeded=False).values_list("name", flat=True))
    transitions.move(
        campaign, "failed" if failed else "succeeded", expect="running", actor=actor, ended_at=now(),
        reason=f"incomplete: {', '.join(failed)}; {reason}" if failed else "every stage is complete",
    )  # fmt: skip


def reopen(campaign: Campaign, stage_ids: Sequence[int], *, actor: str, reason: str) -> None:
    """Let stages run again, and with them what lies below, in campaigns that they feed as well.

    Of a campaign that has failed, also what could not start runs again. They end by themselves, when nothing of them is
    left to do.
    """
    # These wait for whoever may be ending one of them, then the campaign; of all others only what has ended is touched.
    Stage.objects.filter(pk__in=sorted(stage_ids)).update(completed_at=None, succeeded=None)
    _reopen(campaign.pk, stage_ids, actor, reason)


def _reopen(campaign_id: int, stage_ids: Iterable[int], actor: str, reason: str) -> None:
    """Lock a campaign and let stages and what they feed run again; then those campaigns that are fed by them."""
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)
    again = queries.fed_by(campaign.revision_id, stage_ids) if campaign.revision_id else set(stage_ids)
    if campaign.state == "failed":
        transitions.move(campaign, "running", expect="failed", actor=actor, reason=reason, ended_at=None)
        again |= set(Stage.objects.filter(campaign=campaign, succeeded=False).values_list("pk", flat=True))
    # They are judged anew at their next end: signatures and checks were of what was there then.
    Completion.objects.filter(stage_id__in=again, pass_number=F("stage__pass_number")).delete()
    Stage.objects.filter(pk__in=again).exclude(completed_at=None).update(completed_at=None, succeeded=None)
    note(sorted(again))
    for below, fed in sorted(queries.fed_across(campaign_id, again).items()):
        _reopen(below, fed, actor, f"{campaign.ref} runs again: {reason}")


def sweep() -> int:
    """Note every running stage that nothing has noted: the net below lost bells and lost notes."""
    forgotten = forgotten_stages()
    if forgotten:
        note(forgotten)
    return 0
