"""Loop `settle`: follow a submission to the end of its jobs, then accept what they left (T3, J1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from campaigns import completion
from campaigns.models import Campaign
from core import queue, transitions
from core.clock import due, now
from core.crashpoints import crashpoint
from core.loops import careful, untroubled
from integrations import registry
from integrations.catalogue.base import Produced
from submissions.logic import feeding
from submissions.models import (
    Acceptance,
    Batch,
    Command,
    JobCount,
    Output,
    Result,
    Submission,
    SubmissionUnit,
    Unit,
)  # fmt: skip
from submissions.queries import without_plan
from submissions.states import JOB_ENDED, JOB_RANK

ACTOR = "loop:settle"
A_PASS = 50
LEASE_SECONDS = 15
ENDED_CODES = [JOB_RANK[state] for state in JOB_ENDED]
IDLE = JOB_RANK["idle"]


def settle_some() -> int:
    """Step submissions whose jobs have news; return how many."""
    due = _claim()
    for submission in without_plan(Submission.objects.select_related("experiment").filter(pk__in=due)):
        with careful("settle", "submission", submission.pk):
            settle(submission)
    return len(due)


def _claim() -> list[int]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE submissions_submission SET look_at = clock_timestamp() + %(lease)s * interval '1 second'
            WHERE id IN (
                SELECT id FROM submissions_submission s
                WHERE state IN ('submitted', 'running', 'jobs_completed') AND look_at <= clock_timestamp()
                  AND {untroubled("settle", "submission").format(id="s.id")}
                ORDER BY look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - constant conditions
            {"lease": LEASE_SECONDS, "limit": A_PASS},
        )
        return [row[0] for row in cursor.fetchall()]


def settle(submission: Submission) -> None:
    """Bring one submission to where the counters of its jobs say it is; at the end, accept its outputs."""
    if submission.state in ("submitted", "running") and not _follow(submission):
        return
    crashpoint("settle.after_follow")
    produced = registry.catalogue(submission.experiment).produced(submission.output_dir, str(submission.uuid))
    # What a test run puts out stays out of the catalogue: nobody takes it for the experiment's data.
    refused = {} if _is_test(submission) else _declare(submission, produced)
    crashpoint("settle.after_declare")
    _finish(submission, produced, refused)
    crashpoint("settle.after_commit")


def _follow(submission: Submission) -> bool:
    """Move submission and batch on by the job counters; tell whether all jobs have ended."""
    with transaction.atomic():
        batch, locked = _lock(submission)
        if locked.state not in ("submitted", "running"):
            submission.state = locked.state
            return locked.state == "jobs_completed"
        counts = dict(JobCount.objects.filter(submission=submission).values_list("state_code", "n"))
        total = sum(counts.values())
        ended = sum(n for code, n in counts.items() if code in ENDED_CODES)
        if total > counts.get(IDLE, 0) and locked.state == "submitted":
            transitions.move(locked, "running", expect="submitted", actor=ACTOR, reason="its first job has started")
            if batch.state == "submitted":
                reason = f"jobs of {submission.ref} are running"
                transitions.move(batch, "project_running", expect="submitted", actor=ACTOR, reason=reason)
        if total < max(1, len(locked.job_ids)) or ended < total:
            # Heard of again when observe touches it; the row's own date is the net below that.
            Submission.objects.filter(pk=submission.pk).update(look_at=None)
            return False
        transitions.move(
            locked, "jobs_completed", expect=("submitted", "running"), actor=ACTOR,
            reason=f"{_all(total)} ended", look_at=due(),
        )  # fmt: skip
        if batch.state in ("submitted", "project_running"):
            transitions.move(
                batch, "jobs_completed", expect=("submitted", "project_running"), actor=ACTOR,
                reason=f"{_all(total, submission.ref)} ended",
            )  # fmt: skip
        submission.state = "jobs_completed"
        return True


def _all(total: int, of: str = "") -> str:
    whose = f" of {of}" if of else ""
    return f"the job{whose} has" if total == 1 else f"all {total} jobs{whose} have"


def _lock(submission: Submission) -> tuple[Batch, Submission]:
    """Lock batch and submission in the order in which everybody does, and return them as they are now."""
    batch = Batch.objects.select_for_update(no_key=True).get(pk=submission.batch_id)
    return batch, without_plan(Submission.objects.select_for_update(no_key=True)).get(pk=submission.pk)


def _is_test(submission: Submission) -> bool:
    return Campaign.objects.filter(stages=submission.batch.stage_id, test=True).exists()


def _declare(submission: Submission, produced: Sequence[Produced]) -> dict[str, str]:
    """Enter the outputs of units that have no result yet into the catalogue; return the refused names."""
    accepted = set(Acceptance.objects.filter(unit__batch_id=submission.batch_id).values_list("unit__key", flat=True))
    fresh = [output for entry in produced if not accepted & set(entry.units) for output in entry.outputs]
    return registry.catalogue(submission.experiment).declare(fresh) if fresh else {}


def _finish(submission: Submission, produced: Sequence[Produced], refused: dict[str, str]) -> None:
    with transaction.atomic():
        batch, locked = _lock(submission)
        if locked.state != "jobs_completed":
            return
        units = {
            entry.unit.key: entry.unit
            for entry in SubmissionUnit.objects.filter(submission=submission).select_related("unit")
        }
        good, done, events = _accept(submission, batch, units, produced, refused)
        _close(locked, done=done, expected=len(units))
        Batch.objects.filter(pk=batch.pk).update(done=F("done") + done, due_at=due())
        if good:
            feeding.pass_on(_revision_of(batch), batch.stage_id, batch.pass_number, good, done=done, events=events)
        crashpoint("settle.before_commit")
        queue.wake("recover")


def _accept(
    submission: Submission, batch: Batch, units: dict[str, Unit], produced: Sequence[Produced], refused: dict[str, str]
) -> tuple[list[int], int, int]:
    """Write down what each job left; return the keys of the accepted results, and their units and events.

    The submission is locked and this is done once for it, so that no other result of its jobs can come meanwhile.
    """
    taken = set(Acceptance.objects.filter(unit__batch_id=batch.pk).values_list("unit__key", flat=True))
    judged: list[tuple[Produced, Result]] = []
    jobs: set[str] = set()
    known = set(units)
    for entry in produced:
        if entry.job in jobs:
            continue
        jobs.add(entry.job)
        why = _objection(entry, known, taken, refused)
        if not why:
            taken |= set(entry.units)
        result = Result(submission=submission, job=entry.job, experiment_id=submission.experiment_id, refused=why)
        judged.append((entry, result))
    Result.objects.bulk_create([result for _, result in judged])
    good = [(entry, result) for entry, result in judged if not result.refused]
    room = f"c{batch.stage.campaign_id}" if _is_test(submission) else ""
    if not good:
        return [], 0, 0
    Acceptance.objects.bulk_create(
        Acceptance(unit=units[key], result=result) for entry, result in good for key in entry.units
    )
    Output.objects.bulk_create(
        Output(
            experiment_id=submission.experiment_id, stage_id=batch.stage_id, pass_number=batch.pass_number,
            result=result, name=seen.name, room=room, path=seen.path, size=seen.size,
            checksum=seen.checksum, events=seen.events,
        )
        for entry, result in good
        for seen in entry.outputs
    )  # fmt: skip
    done = [key for entry, _ in good for key in entry.units]
    return [result.pk for _, result in good], len(done), sum(units[key].events or 0 for key in done)


def _revision_of(batch: Batch) -> int:
    """Return the revision by whose edges outputs go on: the campaign's present one."""
    now_valid = Campaign.objects.filter(stages=batch.stage_id).values_list("revision_id", flat=True).get()
    return now_valid or batch.version.revision_id


def _objection(entry: Produced, units: set[str], taken: set[str], refused: dict[str, str]) -> str:
    """Say why what a job left does not count, or nothing: all its units count together or none."""
    strange = set(entry.units) - units
    if strange or not entry.units:
        return f"it names units that are not of this submission: {', '.join(sorted(strange)) or 'none'}"
    again = set(entry.units) & taken
    if again:
        return f"{len(again)} of its units have a result already: {', '.join(sorted(again)[:3])}"
    names = [f"{seen.name}: {refused[seen.name]}" for seen in entry.outputs if seen.name in refused]
    return f"the catalogue refuses {'; '.join(names)}" if names else ""


def _close(submission: Submission, *, done: int, expected: int) -> None:
    """End the submission: completed with every result there, removed when somebody killed it, else failed."""
    fields: dict[str, Any] = {"ended_at": now(), "look_at": None}
    if done < expected:
        killed = Command.objects.filter(submission=submission, verb="kill", job=None).order_by("pk").last()
        if killed is not None:
            reason = f"killed by {killed.actor}: {killed.reason}"
            transitions.move(
                submission, "removed", expect="jobs_completed", actor=killed.actor, reason=reason, **fields
            )
            return
    counts = dict(JobCount.objects.filter(submission=submission).values_list("state_code", "n"))
    failed = sum(n for code, n in counts.items() if code != JOB_RANK["succeeded"])
    failing = f"; {failed} job{'s' if failed != 1 else ''} did not succeed" if failed else ""
    text = f"{completion.tally(done, expected)}{failing}"
    to = "completed" if done == expected else "failed"
    transitions.move(submission, to, expect="jobs_completed", actor=ACTOR, reason=text, **fields)
