"""Loop `act`: what people and rules want done to jobs, applied until it is observed (design 3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from core import queue, transitions
from core.clock import due, now
from core.crashpoints import crashpoint
from core.errors import Conflict, Problem, Refused
from core.loops import careful, untroubled
from integrations import registry
from integrations.errors import OutsideError
from submissions.logic import planning
from submissions.models import Batch, Command, Job, Submission
from submissions.states import JOB_RANK

ACTOR = "loop:act"
A_PASS = 50
MOST_TRIES = 100
VERBS = {"kill": "remove", "hold": "hold", "release": "release", "priority": "prio"}
HELD = JOB_RANK["held"]


@transaction.atomic
def command(
    verb: str, submission: Submission, *, job: Job | None = None, value: int = 0, actor: str, reason: str
) -> Command:
    """Write down what is wanted of a submission's jobs, or of one of them; the loop does it."""
    if not reason.strip():
        raise Refused(f"To {verb} needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    if job.ended_at is not None if job else submission.state not in ("pending", "launching", "submitted", "running"):
        what, state = (job.ref, job.state) if job else (submission.ref, submission.state)
        raise Conflict(f"{what} is {state.replace('_', ' ')}; there is nothing left to {verb}.")
    wanted = Command.objects.create(
        experiment_id=submission.experiment_id, verb=verb, value=value, submission=submission, job=job,
        actor=actor, reason=reason.strip(),
    )  # fmt: skip
    transitions.created(wanted, actor=actor, reason=reason)
    queue.wake("act")
    return wanted


def act_some() -> int:
    """Apply commands that are due; return how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE submissions_command SET due_at = clock_timestamp() + interval '30 seconds', tries = tries + 1
            WHERE id IN (
                SELECT id FROM submissions_command c
                WHERE due_at <= clock_timestamp() AND {untroubled("act", "command").format(id="c.id")}
                ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - constant conditions
            [A_PASS],
        )
        due = [row[0] for row in cursor.fetchall()]
    for wanted in Command.objects.select_related("submission", "job").filter(pk__in=due):
        with careful("act", "command", wanted.pk):
            _apply(wanted)
    return len(due)


def _apply(wanted: Command) -> None:
    submission = wanted.submission
    if submission.state == "pending" and wanted.verb == "kill":
        _remove_unlaunched(wanted)
        return
    if submission.state in ("pending", "launching", "unsure"):
        _later(wanted, "waits until the submission's jobs are known")
        return
    jobs = Job.objects.filter(pk=wanted.job_id) if wanted.job_id else submission.jobs.all()
    live = jobs.filter(ended_at=None)
    seen_all = bool(wanted.job_id) or submission.jobs.count() >= max(1, len(submission.job_ids))
    if seen_all and _is_observed(wanted, live):
        _end(wanted, "done", "observed")
        return
    if wanted.tries > MOST_TRIES:
        _end(wanted, "refused", f"not observed after {wanted.tries} tries; {wanted.outcome}")
        return
    ids = list(live.values_list("external_id", flat=True)) if seen_all else list(submission.job_ids)
    try:
        outcomes = registry.batch(submission.system).act(
            VERBS[wanted.verb], ids=ids, reason=f"{wanted.actor}: {wanted.reason}", value=wanted.value
        )
    except OutsideError as error:
        _later(wanted, str(error))
        return
    crashpoint("act.after_ask")
    refusals = sorted({text for text in outcomes.values() if text.startswith("refused")})
    if refusals and len(refusals) == len(set(outcomes.values())):
        _end(wanted, "refused", "; ".join(refusals))
        return
    if wanted.state == "wanted":
        reason = f"asked the batch system for {len(ids)} jobs"
        transitions.move(wanted, "asked", expect="wanted", actor=ACTOR, reason=reason)
    _later(wanted, f"asked for {len(ids)} jobs", timedelta(seconds=1))
    queue.wake("observe")


def _is_observed(wanted: Command, live: QuerySet[Job]) -> bool:
    if wanted.verb == "kill":
        return not live.exists()
    if wanted.verb == "hold":
        return not live.exclude(state_code=HELD).exists()
    if wanted.verb == "release":
        return not live.filter(state_code=HELD).exists()
    return wanted.state == "asked"


def _remove_unlaunched(wanted: Command) -> None:
    with transaction.atomic():
        batch = Batch.objects.select_for_update(no_key=True).get(pk=wanted.submission.batch_id)
        transitions.move(
            wanted.submission, "removed", expect="pending", actor=wanted.actor, reason=wanted.reason, look_at=None,
            ended_at=now(),
        )  # fmt: skip
        if batch.state == "pending":
            reason = f"{wanted.submission.ref} was removed before its launch: {wanted.reason}"
            transitions.move(batch, "failed", expect="pending", actor=wanted.actor, reason=reason)
            planning.note([batch.stage_id])
        _end(wanted, "done", "removed before its launch")


def _end(wanted: Command, state: str, outcome: str) -> None:
    transitions.move(
        wanted, state, expect=("wanted", "asked"), actor=ACTOR, reason=outcome, outcome=outcome, due_at=None
    )


def _later(wanted: Command, outcome: str, after: timedelta = timedelta(seconds=2)) -> None:
    wait = min(after * (1 + wanted.tries / 5), timedelta(seconds=30))
    Command.objects.filter(pk=wanted.pk, state__in=("wanted", "asked")).update(outcome=outcome, due_at=due(wait))


@transaction.atomic
def cancel(campaign: Any, *, actor: str, reason: str) -> None:
    """Cancel a campaign: nothing of it is launched any more, what runs is removed, what is done stays."""
    if not reason.strip():
        raise Refused("To cancel needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    transitions.move(
        campaign, "cancelled", expect=("new", "pending_approval", "approved", "running", "failed"), actor=actor,
        reason=reason, ended_at=now(),
    )  # fmt: skip
    Batch.objects.filter(stage__campaign=campaign).update(due_at=due())
    queue.wake("recover")
    live = Submission.objects.filter(
        batch__stage__campaign=campaign, state__in=("pending", "launching", "submitted", "running")
    )
    for submission in live:
        command("kill", submission, actor=actor, reason=f"campaign cancelled: {reason}")
