"""Launches that somebody made without POMS, as wrappers in the field tell of them (protocols 5.2): kept and watched.

Such a submission has a batch of its own, without inputs: it takes none of the stage's, so nothing is done twice and no
stage waits for it. Whoever launches the work of a batch by hand says so by naming its pending submission.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction

from campaigns import queries
from campaigns.definition import PASSES_ON
from campaigns.models import Stage, StageVersion
from core import queue, transitions
from core.clock import due, now
from core.errors import Conflict, Problem, Refused
from integrations.models import BatchSystem
from submissions.logic import planning
from submissions.models import OUTSIDE, Batch, Job, JobCount, Report, Submission
from submissions.queries import without_plan
from submissions.states import JOB_RANK

SILENT = timedelta(hours=24)  # after which an announced launch that named no job is held to have failed
LONGEST = 32_000
MOST_IDS = 10_000
# What the old words for a submission's status say of its jobs; empty: nothing.
STATUSES = {
    "New": "", "Cancelled": "removed", "LaunchFailed": "", "Awaiting Approval": "", "Approved": "", "Idle": "idle",
    "Running": "processing", "Held": "held", "Failed": "failed", "Completed": "succeeded", "Located": "succeeded",
    "Removed": "removed",
}  # fmt: skip
# How commands in the field name the project of SAM that their jobs take their files from.
_PROJECT = re.compile(r"(?:-e SAM_PROJECT(?:_NAME)?=|--sam_project[ =]|--project_name=)([^ ]+)")
_SUCCEEDED = JOB_RANK["succeeded"]


def register(
    stage: Stage, *, by: Any, command: str = "", dataset: str = "", job_ids: Sequence[str] = (), reason: str = ""
) -> Submission:  # fmt: skip
    """Keep a launch of a stage that is made, or was made, without POMS; its jobs may be named now or later."""
    _refuse_long(command=command, dataset=dataset)
    actor, why = by.actor, reason.strip() or "launched outside POMS"
    with transaction.atomic():
        stage = (
            Stage.objects.select_for_update(of=("self",), no_key=True)
            .select_related("campaign__experiment")
            .get(pk=stage.pk)
        )
        version = _version_of(stage)
        uuid = uuid4()
        experiment = stage.campaign.experiment
        batch = Batch.objects.create(
            experiment=experiment, stage=stage, version=version, pass_number=stage.pass_number,
            number=planning.next_number(version), reason_key=f"{OUTSIDE}:{uuid}", n_units=0, label=dataset[:200],
            due_at=due(SILENT),
        )  # fmt: skip
        transitions.created(batch, actor=actor, reason=why)
        submission = Submission.objects.create(
            experiment=experiment, batch=batch, campaign=stage.campaign, uuid=uuid, kind=OUTSIDE,
            reason_key=f"{OUTSIDE}:{uuid}", look_at=None, launcher="", host=version.host, account=version.account,
            system=version.batch, output_dir="", memory_mb=version.memory_mb, wall_s=version.wall_s,
            command=_words(command), told=_said(command, dataset),
        )  # fmt: skip
        transitions.created(submission, actor=actor, reason=why)
        transitions.move(submission, "launching", expect="pending", actor=actor, reason="it names no job yet")
        if job_ids:
            _take(batch, submission, job_ids, actor)
    return submission


def note_command(submission: Submission, command: str, *, by: Any) -> None:
    """Keep the command that a launch ran in the end, as its wrapper tells it."""
    _refuse_long(command=command)
    with transaction.atomic():
        _, row = _locked(submission)
        _tell(row, **_said(command))
        if row.kind == OUTSIDE:
            Submission.objects.filter(pk=row.pk).update(command=_words(command))


def report(
    submission: Submission, *, by: Any, job_id: str = "", status: str = "", project: str = "", per_cent: str = ""
) -> None:  # fmt: skip
    """Take what a wrapper or agent says of a launch: its job, its status, its project.

    A job id is what an outside launch was waited for; of a pending submission it says that somebody launched it by
    hand. A status becomes a report about the jobs that it is of, so that nothing that has ended steps back; of our own
    launches the batch system itself says more, and it is only written down.
    """
    _refuse_long(jobsub_job_id=job_id, project=project, pct_complete=per_cent)
    if status and status not in STATUSES:
        hint = f"one of {', '.join(STATUSES)}"
        raise Refused("Nothing was changed.", [Problem("status", f"unknown: {status[:40]}", hint)])
    if per_cent and not _is_number(per_cent):
        raise Refused("Nothing was changed.", [Problem("pct_complete", f"not a number: {per_cent[:40]}")])
    with transaction.atomic():
        batch, row = _locked(submission)
        told = list(row.told.get("job_ids", ()))
        fresh = [name] if job_id and (name := _first_of(job_id)) not in told else []
        said = {"status": status, "project": project, "pct_complete": per_cent, "jobsub_job_id": job_id}
        _tell(row, job_ids=[*told, *fresh][:MOST_IDS], **{name: value for name, value in said.items() if value})
        if fresh and (row.kind == OUTSIDE or row.state == "pending"):
            _take(batch, row, fresh, by.actor)
        if status == "LaunchFailed" and row.kind == OUTSIDE and row.state == "launching":
            transitions.move(
                row, "launch_failed", expect="launching", actor=by.actor, reason="its wrapper says so", ended_at=now()
            )
            Batch.objects.filter(pk=batch.pk).update(due_at=due())
            queue.wake("recover")
        elif (state := STATUSES.get(status, "")) and _is_foreign(row) and row.state in ("submitted", "running"):
            _pass_on(row, state, by.actor)


def end(batch: Batch, last: Submission) -> None:
    """Decide on a locked batch of an outside launch: as its jobs ended, or failed, when no job was ever named."""
    actor = "loop:recover"
    if last.state == "launching":
        why = f"it was announced, and no job of it was named for {SILENT.total_seconds() / 3600:.0f} h"
        transitions.move(last, "launch_failed", expect="launching", actor=actor, reason=why, why=why, ended_at=now())
    if last.state == "launch_failed" and batch.state == "pending":
        transitions.move(batch, "failed", expect="pending", actor=actor, reason=f"{last.ref} submitted nothing")
    elif batch.state == "jobs_completed":
        to = "completed" if last.state == "completed" else "failed"
        transitions.move(batch, to, expect="jobs_completed", actor=actor, reason=told_of_jobs(last))


def told_of_jobs(submission: Submission) -> str:
    """Return how the jobs of an outside launch ended, in words."""
    counts = dict(JobCount.objects.filter(submission=submission).values_list("state_code", "n"))
    total, well = sum(counts.values()), counts.get(_SUCCEEDED, 0)
    return f"launched outside POMS; {well} of {total} job{'s' * (total != 1)} succeeded"


def went_well(submission: Submission) -> bool:
    """Tell whether every job of an outside launch has succeeded."""
    counts = dict(JobCount.objects.filter(submission=submission, n__gt=0).values_list("state_code", "n"))
    return set(counts) == {_SUCCEEDED}


def _is_foreign(row: Submission) -> bool:
    """Tell whether somebody else launched it: then its jobs need not carry its uuid."""
    return row.kind == OUTSIDE or bool(row.told.get("by_hand"))


def _version_of(stage: Stage) -> StageVersion:
    """Return what runs of a stage, or, where nothing does, what was last proposed of it."""
    version = queries.running_version(stage.pk) or (
        StageVersion.objects.filter(stage=stage).select_related("revision").order_by("-revision__number").first()
    )
    if version is None:
        raise Conflict(f"{stage.ref} is in no revision that was proposed; file a request for its campaign first.")
    if version.type in PASSES_ON:
        raise Conflict(f"{stage.ref} runs nothing; a launch belongs to a stage with a script.")
    return version


def _locked(submission: Submission) -> tuple[Batch, Submission]:
    """Lock batch and submission in the order in which everybody does, and return them as they are now."""
    batch = Batch.objects.select_for_update(of=("self",), no_key=True).get(pk=submission.batch_id)
    rows = Submission.objects.select_for_update(of=("self",), no_key=True).select_related("experiment")
    return batch, rows.get(pk=submission.pk)


def _take(batch: Batch, row: Submission, fresh: Sequence[str], actor: str) -> None:
    """Add jobs to a launch that POMS did not make; the first of them submits it."""
    ids = list(dict.fromkeys([*row.job_ids, *(_first_of(job_id) for job_id in fresh)]))
    if len(ids) > MOST_IDS or any(not job_id or len(job_id) > 100 for job_id in ids):
        raise Refused("Nothing was changed.", [Problem("jobsub_job_id", "is no job id", "at most 100 characters")])
    counted: dict[str, Any] = {"job_ids": ids, "n_jobs": len(ids)}
    if row.state == "pending":
        why = f"{actor.rpartition(':')[2]} launched it by hand"
        transitions.move(row, "launching", expect="pending", actor=actor, reason=why, why=why)
        _tell(row, by_hand=True)
    if row.state == "launching":
        transitions.move(
            row, "submitted", expect="launching", actor=actor, reason=f"its wrapper names {ids[0]}", launched_at=now(),
            look_at=due(), **counted,
        )  # fmt: skip
        if batch.state == "pending":
            transitions.move(
                batch, "submitted", expect="pending", actor=actor, reason=f"{row.ref} was submitted", due_at=None
            )
        queue.wake("observe")
    elif row.state in ("submitted", "running"):
        Submission.objects.filter(pk=row.pk).update(look_at=due(), **counted)


def _pass_on(row: Submission, state: str, actor: str) -> None:
    """Put a status into the inbox as a report about each job that the batch system itself does not show."""
    system = BatchSystem.objects.filter(name=row.system).first()
    seen = dict(Job.objects.filter(submission=row).values_list("external_id", "starts"))
    if system is None or set(seen) - set(row.job_ids):
        return
    at = now()
    Report.objects.bulk_create(
        Report(
            experiment_id=row.experiment_id, system=system, uuid=row.uuid, external_id=job_id,
            state_code=JOB_RANK[state], starts=max(seen.get(job_id, 0), 0 if state == "idle" else 1), event_at=at,
            facts={"reason": f"{actor.rpartition(':')[2]} says so"}, source=actor[:40],
        )
        for job_id in row.job_ids
    )  # fmt: skip
    queue.wake("observe")


def _tell(row: Submission, **said: Any) -> None:
    row.told = {**row.told, **said}
    without_plan(Submission.objects.filter(pk=row.pk)).update(told=row.told)


def _first_of(job_id: str) -> str:
    """Return the first job of what a wrapper names: it cuts the process off, and says 12@host for 12.0@host."""
    return re.sub(r"^(\d+)@", r"\1.0@", job_id.strip())


def _said(command: str, dataset: str = "") -> dict[str, str]:
    """Return what a command tells of its launch, its project among it."""
    found = _PROJECT.search(command)
    told = {"command": command, "dataset": dataset, "project": found[1] if found else ""}
    return {name: text for name, text in told.items() if text}


def _words(command: str) -> list[str]:
    """Return a command as arguments, for people to read: nobody runs it."""
    try:
        return shlex.split(command)
    except ValueError:
        return [command]


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1e9
    except ValueError:
        return False


def _refuse_long(**given: str) -> None:
    problems = [
        Problem(name, f"has more than {LONGEST} characters") for name, text in given.items() if len(text) > LONGEST
    ]
    problems += [Problem(name, "has a NUL character") for name, text in given.items() if "\0" in text]
    if problems:
        raise Refused("Nothing was changed.", problems)
