"""Loop `recover`: decide on batches whose jobs have ended: complete, recover what is missing, or fail (D3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction

from campaigns import command, completion, recoveries
from campaigns.command import Pair
from campaigns.definition import PASSES_ON
from campaigns.models import Campaign, StageVersion
from campaigns.recoveries import Policy, Round, Stop
from core import queue, transitions
from core.clock import due
from core.crashpoints import crashpoint
from core.errors import Conflict, Problem, Refused
from core.loops import careful, untroubled
from submissions.logic import missing, outside, planning, preparing
from submissions.models import OUTSIDE, Acceptance, Batch, Submission, SubmissionUnit, Unit
from submissions.queries import planned, without_plan
from submissions.states import UNFINISHED

ACTOR = "loop:recover"
A_PASS = 50
ENDED = ("launch_failed", "completed", "failed", "removed")


def recover_some() -> int:
    """Decide on batches that are due; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM submissions_batch b WHERE due_at <= clock_timestamp()"  # noqa: S608 - a constant condition
            f" AND {untroubled('recover', 'batch').format(id='b.id')} ORDER BY due_at LIMIT %s",
            [A_PASS],
        )
        due = [row[0] for row in cursor.fetchall()]
    did = 0
    for batch_id in due:
        with careful("recover", "batch", batch_id):
            did += decide(batch_id)
    return did


def decide(batch_id: int) -> bool:
    """Decide on one batch under its lock; False when somebody else has it or it is not due any more."""
    fates = missing.fates_of(batch_id)  # outside comes before the transaction; no answer, no decision
    with transaction.atomic():
        # Its version is read only where it is needed: most batches are complete.
        batch = (
            Batch.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
            .select_related("experiment")
            .filter(pk=batch_id, due_at__lte=due())
            .first()
        )
        if batch is None:
            return False
        Batch.objects.filter(pk=batch_id).update(due_at=None)
        # At most one submission of a batch is unfinished, and that is the last one.
        last = without_plan(Submission.objects.filter(batch=batch).order_by("-pk")).first()
        if last is not None and last.kind == OUTSIDE and last.state in ("launching", *ENDED):
            outside.end(batch, last)
        elif last is not None and last.state in UNFINISHED:
            return True
        elif Campaign.objects.filter(stages=batch.stage_id, state="cancelled").exists():
            _cancel(batch)
        elif last is not None and batch.state == "pending" and last.state == "launch_failed":
            _launch_again(batch, last)
        elif last is not None and batch.state == "jobs_completed":
            _judge(batch, last, fates)
        crashpoint("recover.before_commit")
        if batch.state in ("completed", "failed", "cancelled"):
            planning.note([batch.stage_id])
    crashpoint("recover.after_commit")
    return True


def _cancel(batch: Batch) -> None:
    """End a batch of a cancelled campaign: nothing of it is launched again."""
    if batch.state in ("pending", "submitted", "project_running", "jobs_completed", "failed"):
        transitions.move(batch, "cancelled", expect=batch.state, actor=ACTOR, reason="its campaign was cancelled")


def _launch_again(batch: Batch, last: Submission) -> None:
    failures = batch.launch_failures + 1
    Batch.objects.filter(pk=batch.pk).update(launch_failures=failures)
    waits = settings.RELAUNCH_SECONDS
    if failures > len(waits):
        reason = f"{failures} launches failed; the last one: {last.why}"
        transitions.move(batch, "failed", expect="pending", actor=ACTOR, reason=reason)
        return
    units = [
        entry.unit for entry in SubmissionUnit.objects.filter(submission=last).select_related("unit").order_by("pk")
    ]
    memory, wall = missing.given_to(last)
    preparing.intend(
        batch, units, kind=last.kind, round_number=last.round, reason_key=f"again:{batch.pk}:{last.pk}", actor=ACTOR,
        reason=f"the launch failed: {last.why}", memory=memory, wall=wall,
        overrides=[(key, value) for key, value in last.jobs_file.get("overrides", [])],
        avoid=last.jobs_file.get("avoid", []), wait=timedelta(seconds=waits[failures - 1]),
    )  # fmt: skip
    queue.wake("launch")


def _judge(batch: Batch, last: Submission, fates: missing.Fates) -> None:
    """Complete the batch, recover what it misses, or let it fail: D3 before T5, for what can still come should."""
    version = batch.version
    units = missing.units_of(batch)
    tally = completion.tally(batch.n_units - len(units), batch.n_units)
    if not units:
        transitions.move(batch, "completed", expect="jobs_completed", actor=ACTOR, reason=tally)
        return
    if last.state == "removed":
        reason = f"{last.ref} was removed; {tally}"
        transitions.move(batch, "failed", expect="jobs_completed", actor=ACTOR, reason=reason)
        return
    found = next_round_of(batch, last, units, fates)
    if isinstance(found, Round):
        again(batch, last, units, found, kind="recovery", actor=ACTOR, reason=tally)
    elif completion.is_met(batch.n_units - len(units), batch.n_units, version.completion_pct):
        reason = f"{tally}, and {version.completion_pct} % suffice; {found.why}"
        transitions.move(batch, "completed", expect="jobs_completed", actor=ACTOR, reason=reason)
    else:
        reason = f"{tally} after {batch.rounds} recoveries; {version.completion_pct} % are needed; {found.why}"
        transitions.move(batch, "failed", expect="jobs_completed", actor=ACTOR, reason=reason)


def next_round_of(batch: Batch, last: Submission, units: Sequence[Unit], fates: missing.Fates) -> Round | Stop:
    """Return what the next recovery of a batch would run, or why there is none."""
    version = batch.version
    steps = recoveries.steps_of(version.recoveries, version.recovery_rounds)
    gained = Acceptance.objects.filter(result__submission=last).count() if batch.rounds else None
    return recoveries.next_round(steps, batch.step, missing.seen(units, fates), policy_of(version), gained=gained)


def policy_of(version: StageVersion) -> Policy:
    """Return how far recovery goes by itself at a stage."""
    return Policy(memory_factor=version.memory_factor, wall_factor=version.wall_factor, most_tries=version.most_tries)


def given_in(
    batch: Batch, last: Submission, units: Sequence[Unit], found: Round
) -> tuple[list[Unit], dict[int, int], dict[int, int]]:  # fmt: skip
    """Return the units of a round, and the memory in MB and time in seconds of each: more of what it ran out of."""
    version, wanted = batch.version, set(found.inputs)
    units = [unit for unit in units if unit.key in wanted]
    memory, wall = missing.given_to(last)
    starved = {unit.pk for unit in units if unit.key in found.more_memory}
    slow = {unit.pk for unit in units if unit.key in found.more_time}
    memory = recoveries.grown(memory, starved, version.memory_factor)
    return units, memory, recoveries.grown(wall, slow, version.wall_factor)


def again(
    batch: Batch, last: Submission, units: Sequence[Unit], found: Round, *, kind: str, actor: str, reason: str,
    overrides: Sequence[Pair] = (),
) -> Submission:  # fmt: skip
    """Launch missing units of a locked batch again as a new submission; of a recovery the rounds are counted.

    `overrides` are laid over those of the round, this once.
    """
    chosen, memory, wall = given_in(batch, last, units, found)
    round_number = last.round + 1
    why = f"{reason}; again: {len(chosen)}{missing.why_again(found)}"
    transitions.move(
        batch, "pending", expect=("jobs_completed", "failed", "completed"), actor=actor, reason=why,
        rounds=batch.rounds + 1 if kind == "recovery" else 0, step=found.step, launch_failures=0,
    )  # fmt: skip
    submission = preparing.intend(
        batch, chosen, kind=kind, round_number=round_number, reason_key=f"{kind}:{batch.pk}:{round_number}",
        actor=actor, reason=why, memory=memory, wall=wall, avoid=sorted(found.avoid),
        overrides=command.overlay(found.overrides, overrides),
    )  # fmt: skip
    queue.wake("launch")
    return submission


def relaunch(
    batch: Batch, *, actor: str, reason: str, only: Collection[int] | None = None, overrides: Sequence[Pair] = ()
) -> Submission:  # fmt: skip
    """Launch what a failed batch still misses, as a person asks; its recoveries count from zero again.

    `only` are keys of inputs: of them alone what is missed. The others are a recovery's, once these have ended.
    `overrides` are laid over all other parameters, this once.
    """
    if not reason.strip():
        raise Refused("To relaunch needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        batch = (
            Batch.objects.select_for_update(of=("self",), no_key=True)
            .select_related("version__revision__campaign__experiment", "version__stage", "stage__campaign")
            .get(pk=batch.pk)
        )
        units = missing.units_of(batch)
        if batch.stage.campaign.state not in ("running", "failed"):
            raise Conflict(f"The campaign {batch.stage.campaign.ref} is {batch.stage.campaign.state}; it runs no more.")
        if batch.state != "failed":
            state = batch.state.replace("_", " ")
            raise Conflict(f"The batch {batch.ref} is {state}; only a failed one can be launched again.")
        if batch.version.type in PASSES_ON:
            raise Conflict(f"{batch.ref} runs nothing; whoever approves of it after all signs {batch.stage.ref} off.")
        if batch.pass_number != batch.stage.pass_number:
            raise Conflict(f"{batch.stage.ref} is in a later pass; what {batch.ref} misses is done there.")
        if not units:
            raise Conflict(f"The batch {batch.ref} misses nothing; there is nothing to launch.")
        if only is not None and not (units := [unit for unit in units if unit.pk in only]):
            raise Conflict(f"The batch {batch.ref} misses nothing of these jobs; another one has done it.")
        last = Submission.objects.filter(batch=batch).order_by("-pk").first()
        if last is None:
            raise Conflict(f"The batch {batch.ref} was never launched.")
        by_cause = recoveries.everything(missing.seen(units, missing.fates_by_jobs(batch)), policy_of(batch.version))
        submission = again(
            batch, last, units, by_cause, kind="relaunch", actor=actor, reason=reason, overrides=overrides
        )
        planning.reopen(batch.stage.campaign, [batch.stage_id], actor=actor, reason=reason)
    return submission


def relaunch_failed(campaign: Campaign, *, actor: str, reason: str) -> int:
    """Launch what the failed batches of a campaign miss; return how many batches there were."""
    failed = list(planned(Batch.objects.filter(stage__campaign=campaign, state="failed")).order_by("pk"))
    if not failed:
        raise Refused(f"{campaign.ref} has no failed batch; there is nothing to launch again.")
    for batch in failed:
        relaunch(batch, actor=actor, reason=reason)
    return len(failed)
