"""Loop `settle`: follow a submission to the end of its jobs, then accept what they left (T3, J1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import F, QuerySet

from campaigns import completion
from campaigns.models import Campaign, Stage
from core import queue, transitions
from core.clock import due, now
from core.crashpoints import crashpoint
from core.loops import careful, untroubled
from integrations.catalogue.base import CONSUMED, Produced
from submissions.logic import feeding, missing, outside, planning, taping
from submissions.logic.attempting import as_attempt, catalogue_of
from submissions.logic.feeding import Let
from submissions.models import (
    OUTSIDE,
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

log = structlog.get_logger()

ACTOR = "loop:settle"
A_PASS = 50
LEASE_SECONDS = 15
NET = timedelta(hours=1)  # how long a submission goes on unlooked at, should a wake-up be lost
# What observe writes while a launch is being recorded wakes nobody: soon after a launch, looks are frequent.
JUST_LAUNCHED, LOOK_AGAIN = timedelta(minutes=10), timedelta(seconds=30)
ENDED_CODES = [JOB_RANK[state] for state in JOB_ENDED]
IDLE = JOB_RANK["idle"]
# Outputs may reach the catalogue hours after their job has ended; each look is so long after the one before.
LATE_LOOKS = (timedelta(minutes=10), timedelta(hours=2), timedelta(days=1))


def settle_some() -> int:
    """Step submissions whose jobs have news, and look for late outputs of settled ones; return how many."""
    return late_some() + _settle_some()


def _settle_some() -> int:
    due = _claim("look_at", "state IN ('submitted', 'running', 'jobs_completed')")
    for submission in _claimed(due):
        with careful("settle", "submission", submission.pk):
            settle(submission)
    return len(due)


def _claim(date: str, state: str) -> list[int]:
    """Take submissions whose date has come, each for a while; both words are constants of this module."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE submissions_submission SET {date} = clock_timestamp() + %(lease)s * interval '1 second'
            WHERE id IN (
                SELECT id FROM submissions_submission s
                WHERE {state} AND {date} <= clock_timestamp()
                  AND {untroubled("settle", "submission").format(id="s.id")}
                ORDER BY {date} LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - constant conditions
            {"lease": LEASE_SECONDS, "limit": A_PASS},
        )
        return [row[0] for row in cursor.fetchall()]


def _claimed(due: list[int]) -> QuerySet[Submission]:
    return without_plan(Submission.objects.select_related("experiment", "batch__version").filter(pk__in=due))


def settle(submission: Submission) -> None:
    """Bring one submission to where the counters of its jobs say it is; at the end, accept its outputs."""
    if submission.state in ("submitted", "running") and not _follow(submission):
        return
    crashpoint("settle.after_follow")
    produced = _produced(submission)
    # What a test run puts out stays out of the catalogue: nobody takes it for the experiment's data.
    refused = {} if _is_test(submission) else _declare(submission, produced)
    crashpoint("settle.after_declare")
    _finish(submission, produced, refused, _let(submission, produced))
    crashpoint("settle.after_commit")


def _produced(submission: Submission) -> list[Produced]:
    """Return what the jobs left; where completion goes by jobs (`complete`), also inputs that were done without output.

    Each of those has a result of its own, so that one which has a result already keeps none of the others back.
    """
    if submission.kind == OUTSIDE:  # where it puts its files is its own affair, and no input here waits for them
        return []
    produced = list(catalogue_of(submission).produced(as_attempt(submission)))
    if submission.batch.version.completion_type != "complete":
        return produced
    located = {unit for entry in produced for unit in entry.units}
    fates = missing.fates_for(submission.batch, ["consumed_status"])
    units = [unit for key, unit in _units_of(submission).items() if key not in located]
    well = [unit for unit in units if fates.fate.get(unit.pk) == CONSUMED]
    return [*produced, *(Produced(f"input {unit.pk}", [unit.key], ()) for unit in well)]


def late_some() -> int:
    """Look again at settled submissions whose outputs may have come late; return how many."""
    due = _claim("late_at", "true")
    for submission in _claimed(due):
        with careful("settle", "submission", submission.pk):
            look_late(submission)
    return len(due)


def look_late(submission: Submission) -> None:
    """Accept what the jobs of a settled submission have left since, as far as nobody else's result is there before.

    What comes once its stage has ended is set aside: it is written down and counts for nothing.
    """
    produced = catalogue_of(submission).produced(as_attempt(submission))
    judged = set(Result.objects.filter(submission=submission).values_list("job", flat=True))
    fresh = [entry for entry in produced if entry.job not in judged]
    refused = _declare(submission, fresh) if fresh and not _is_test(submission) else {}
    crashpoint("settle.after_late_declare")
    let = _let(submission, fresh)
    with transaction.atomic():
        batch, locked = _lock(submission)
        if fresh:
            _count_late(locked, batch, fresh, refused, let)
        looks = locked.late_looks + 1
        Submission.objects.filter(pk=submission.pk).update(
            late_looks=looks, late_at=due(LATE_LOOKS[looks]) if looks < len(LATE_LOOKS) else None
        )


def _count_late(
    submission: Submission, batch: Batch, produced: Sequence[Produced], refused: dict[str, str], let: Let
) -> None:  # fmt: skip
    goes_on = Stage.objects.filter(pk=batch.stage_id, completed_at=None, pass_number=batch.pass_number)
    ended = not goes_on.exists()
    units = _units_of(submission)
    why = "it came after its stage had ended" if ended else ""
    good, done, events = _accept(submission, batch, units, produced, refused, why=why)
    if good:
        Batch.objects.filter(pk=batch.pk).update(done=F("done") + done)
        if batch.state == "jobs_completed":
            Batch.objects.filter(pk=batch.pk).update(due_at=due())
        feeding.pass_on(batch.stage_id, batch.pass_number, good, done=done, events=events, let=let)
        planning.note([batch.stage_id])
        queue.wake("recover")
    log.info("settle.late", submission=submission.ref, accepted=len(good), set_aside=len(produced) - len(good))


def _units_of(submission: Submission) -> dict[str, Unit]:
    rows = SubmissionUnit.objects.filter(submission=submission).select_related("unit")
    return {entry.unit.key: entry.unit for entry in rows}


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
            # Heard of again when observe touches it, for its last end; the row's own date is the net below that.
            Submission.objects.filter(pk=submission.pk).update(look_at=due(_until_next_look(locked)))
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


def _until_next_look(submission: Submission) -> timedelta:
    young = submission.launched_at is not None and now() - submission.launched_at < JUST_LAUNCHED
    return LOOK_AGAIN if young and submission.state == "submitted" else NET


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
    return catalogue_of(submission).declare(fresh) if fresh else {}


def _let(submission: Submission, produced: Sequence[Produced]) -> Let:
    return feeding.let_through(submission.batch.stage_id, [seen.name for entry in produced for seen in entry.outputs])


def _finish(submission: Submission, produced: Sequence[Produced], refused: dict[str, str], let: Let) -> None:
    with transaction.atomic():
        batch, locked = _lock(submission)
        if locked.state != "jobs_completed":
            return
        units = _units_of(submission)
        good, done, events = _accept(submission, batch, units, produced, refused)
        _close(locked, done=done, expected=len(units))
        Batch.objects.filter(pk=batch.pk).update(done=F("done") + done, due_at=due())
        if good:
            feeding.pass_on(batch.stage_id, batch.pass_number, good, done=done, events=events, let=let)
        crashpoint("settle.before_commit")
        queue.wake("recover")


def _accept(
    submission: Submission, batch: Batch, units: dict[str, Unit], produced: Sequence[Produced],
    refused: dict[str, str], *, why: str = "",
) -> tuple[list[int], int, int]:  # fmt: skip
    """Write down what each job left; return the keys of the accepted results, and their units and events.

    `why` says that none of it counts.

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
        objection = why or _objection(entry, known, taken, refused)
        if not objection:
            taken |= set(entry.units)
        result = Result(submission=submission, job=entry.job, experiment_id=submission.experiment_id, refused=objection)
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
            checksum=seen.checksum, events=seen.events, metadata=dict(seen.metadata),
        )
        for entry, result in good
        for seen in entry.outputs
    )  # fmt: skip
    taping.note(batch)
    done = [key for entry, _ in good for key in entry.units]
    return [result.pk for _, result in good], len(done), sum(units[key].events or 0 for key in done)


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
    fields: dict[str, Any] = {"ended_at": now(), "look_at": None, "late_at": due(LATE_LOOKS[0])}
    if submission.kind == OUTSIDE:
        done, expected, fields["late_at"] = int(outside.went_well(submission)), 1, None
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
    if submission.kind == OUTSIDE:
        text = outside.told_of_jobs(submission)
    to = "completed" if done == expected else "failed"
    transitions.move(submission, to, expect="jobs_completed", actor=ACTOR, reason=text, **fields)
