"""Loop `recover`: decide on batches whose jobs have ended: complete, recover what is missing, or fail (D3)."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from campaigns import completion
from campaigns.models import Campaign
from core import queue, transitions
from core.clock import due
from core.crashpoints import crashpoint
from core.errors import Conflict, Problem, Refused
from core.loops import careful, untroubled
from submissions.logic import planning, preparing
from submissions.models import Batch, Job, Submission, SubmissionUnit, Unit
from submissions.queries import without_plan
from submissions.states import UNFINISHED

ACTOR = "loop:recover"
A_PASS = 50
MOST_LAUNCH_FAILURES = 5
MEMORY_CODES = ("memory",)


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
        if last is not None and last.state in UNFINISHED:
            return True
        if Campaign.objects.filter(stages=batch.stage_id, state="cancelled").exists():
            _cancel(batch)
        elif last is not None and batch.state == "pending" and last.state == "launch_failed":
            _launch_again(batch, last)
        elif last is not None and batch.state == "jobs_completed":
            _judge(batch, last)
        crashpoint("recover.before_commit")
        if batch.state in ("completed", "failed", "cancelled"):
            planning.note([batch.stage_id])
    crashpoint("recover.after_commit")
    return True


def _cancel(batch: Batch) -> None:
    """End a batch of a cancelled campaign: nothing of it is launched again."""
    if batch.state in ("pending", "submitted", "project_running", "jobs_completed", "failed"):
        transitions.move(batch, "cancelled", expect=batch.state, actor=ACTOR, reason="its campaign was cancelled")


def missing_units(batch: Batch) -> list[Unit]:
    """Return the batch's units without a result, in order."""
    return list(Unit.objects.filter(batch=batch, acceptance=None).order_by("pk"))


def _launch_again(batch: Batch, last: Submission) -> None:
    failures = batch.launch_failures + 1
    Batch.objects.filter(pk=batch.pk).update(launch_failures=failures)
    if failures >= MOST_LAUNCH_FAILURES:
        reason = f"{failures} launches failed; the last one: {last.why}"
        transitions.move(batch, "failed", expect="pending", actor=ACTOR, reason=reason)
        return
    units = [
        entry.unit for entry in SubmissionUnit.objects.filter(submission=last).select_related("unit").order_by("pk")
    ]
    preparing.intend(
        batch, units, kind=last.kind, round_number=last.round, reason_key=f"again:{batch.pk}:{last.pk}", actor=ACTOR,
        reason=f"the launch failed: {last.why}", memory=_memory_of(last),
    )  # fmt: skip
    queue.wake("launch")


def _judge(batch: Batch, last: Submission) -> None:
    version = batch.version
    missing = missing_units(batch)
    tally = completion.tally(batch.n_units - len(missing), batch.n_units)
    if not missing:
        transitions.move(batch, "completed", expect="jobs_completed", actor=ACTOR, reason=tally)
    elif last.state == "removed":
        transitions.move(
            batch, "failed", expect="jobs_completed", actor=ACTOR, reason=f"{last.ref} was removed; {tally}"
        )
    elif batch.rounds < version.recovery_rounds:
        _recover(batch, last, missing, kind="recovery", actor=ACTOR, reason=tally)
    elif completion.is_met(batch.n_units - len(missing), batch.n_units, version.completion_pct):
        transitions.move(
            batch, "completed", expect="jobs_completed", actor=ACTOR,
            reason=f"{tally}, and {version.completion_pct} % suffice",
        )  # fmt: skip
    else:
        reason = f"{tally} after {batch.rounds} recoveries; {version.completion_pct} % are needed"
        transitions.move(batch, "failed", expect="jobs_completed", actor=ACTOR, reason=reason)


def _recover(
    batch: Batch, last: Submission, missing: Sequence[Unit], *, kind: str, actor: str, reason: str
) -> Submission:
    """Launch the missing units again as a new submission, with more memory where memory was the cause."""
    memory = _more_memory(last, batch.version.memory_factor)
    grown = [unit for unit in missing if memory.get(unit.pk, 0) > batch.version.memory_mb]
    why = f"{reason}; again: {len(missing)}" + (f", {len(grown)} of them with more memory" if grown else "")
    round_number = last.round + 1
    transitions.move(
        batch, "pending", expect=("jobs_completed", "failed"), actor=actor, reason=why,
        rounds=batch.rounds + 1 if kind == "recovery" else 0, launch_failures=0,
    )  # fmt: skip
    submission = preparing.intend(
        batch, missing, kind=kind, round_number=round_number, reason_key=f"{kind}:{batch.pk}:{round_number}",
        actor=actor, reason=why, memory=memory,
    )  # fmt: skip
    queue.wake("launch")
    return submission


def _memory_of(submission: Submission) -> dict[int, int]:
    """Return what memory in MB each unit was given in a submission."""
    jobs = submission.jobs_file.get("jobs", [])
    return {unit["id"]: job["memory_mb"] for job in jobs for unit in job["units"]}


def _more_memory(last: Submission, factor: float) -> dict[int, int]:
    """Return each unit's memory for the next round: grown by the factor where its job ran out of it."""
    given = _memory_of(last)
    hungry = set(Job.objects.filter(submission=last, code__in=MEMORY_CODES).values_list("index", flat=True))
    units = SubmissionUnit.objects.filter(submission=last, job_index__in=[n for n in hungry if n is not None])
    grown = {entry.unit_id: round(given[entry.unit_id] * factor) for entry in units}
    return {**given, **grown}


def relaunch(batch: Batch, *, actor: str, reason: str) -> Submission:
    """Launch what a failed batch still misses, as a person asks; its recoveries count from zero again."""
    if not reason.strip():
        raise Refused("To relaunch needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        batch = (
            Batch.objects.select_for_update(of=("self",), no_key=True)
            .select_related("version__revision__campaign__experiment", "version__stage", "stage__campaign")
            .get(pk=batch.pk)
        )
        missing = missing_units(batch)
        if batch.stage.campaign.state not in ("running", "failed"):
            raise Conflict(f"The campaign {batch.stage.campaign.ref} is {batch.stage.campaign.state}; it runs no more.")
        if batch.state != "failed":
            state = batch.state.replace("_", " ")
            raise Conflict(f"The batch {batch.ref} is {state}; only a failed one can be launched again.")
        if not missing:
            raise Conflict(f"The batch {batch.ref} misses nothing; there is nothing to launch.")
        last = Submission.objects.filter(batch=batch).order_by("-pk").first()
        if last is None:
            raise Conflict(f"The batch {batch.ref} was never launched.")
        submission = _recover(batch, last, missing, kind="relaunch", actor=actor, reason=reason)
        batch.stage.completed_at, batch.stage.succeeded = None, None
        batch.stage.save(update_fields=["completed_at", "succeeded"])
        planning.reopen(batch.stage.campaign, actor=actor, reason=reason)
        planning.note([batch.stage_id])
    return submission


def relaunch_failed(campaign: Campaign, *, actor: str, reason: str) -> int:
    """Launch what the failed batches of a campaign miss; return how many batches there were."""
    failed = list(Batch.objects.filter(stage__campaign=campaign, state="failed").order_by("pk"))
    if not failed:
        raise Refused(f"{campaign.ref} has no failed batch; there is nothing to launch again.")
    for batch in failed:
        relaunch(batch, actor=actor, reason=reason)
    return len(failed)
