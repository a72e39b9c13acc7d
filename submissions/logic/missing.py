"""What a batch misses: its inputs without a result, what became of each, and why its last job failed (D3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from campaigns import recoveries
from campaigns.recoveries import Input, Round
from integrations import registry
from integrations.catalogue.base import CONSUMED, CONSUMPTION, FAILED, OFFERS, UNCONSUMED, UNKNOWN
from submissions.logic.attempting import as_attempt
from submissions.models import Batch, EveryJob, Submission, SubmissionUnit, Unit
from submissions.queries import without_plan
from submissions.signatures import CODES
from submissions.states import JOB_RANK

_SUCCEEDED, _LOST = JOB_RANK["succeeded"], JOB_RANK["lost"]


@dataclass(frozen=True)
class Fates:
    """What became of a batch's units in its last submission: fate, cause, node; and how often each was tried at all."""

    fate: Mapping[int, str] = field(default_factory=dict)
    cause: Mapping[int, str] = field(default_factory=dict)
    node: Mapping[int, str] = field(default_factory=dict)
    tries: Mapping[int, int] = field(default_factory=dict)


def units_of(batch: Batch) -> list[Unit]:
    """Return the batch's units without a result, in order."""
    return list(Unit.objects.filter(batch=batch, acceptance=None).order_by("pk"))


def fates_of(batch_id: int) -> Fates:
    """Return what became of a batch's missing inputs; the catalogue is asked only where a step goes by what it says.

    Raises OutsideError when it does not answer: unknown is neither "nothing" nor "one" (protocols 12.6).
    """
    batch = Batch.objects.select_related("experiment").filter(pk=batch_id, state="jobs_completed").first()
    if batch is None or batch.done >= batch.n_units:
        return Fates()
    return fates_for(batch, kinds_left(batch))


def kinds_left(batch: Batch) -> list[str]:
    """Return the kinds of the steps that a batch's list still has."""
    version = batch.version
    return [step.kind for step in recoveries.steps_of(version.recoveries, version.recovery_rounds)[batch.step :]]


def fates_for(batch: Batch, kinds: Sequence[str]) -> Fates:
    """Return what became of a batch's inputs, as far as these kinds go by it; OutsideError as above."""
    by_jobs = fates_by_jobs(batch)
    last = without_plan(Submission.objects.filter(batch=batch).order_by("-pk")).first()
    if last is None or not last.offered or not any(recoveries.KINDS[kind].fates for kind in kinds):
        return by_jobs
    catalogue = registry.catalogue(batch.experiment, batch.version.catalogue)
    if CONSUMPTION not in catalogue.can:
        return by_jobs
    told = catalogue.fates(as_attempt(last))
    names = dict(Unit.objects.filter(batch=batch).exclude(file_name="").values_list("file_name", "pk"))
    said = {names[name]: fate for name, fate in told.items() if name in names}
    # Where jobs took their inputs from the catalogue, which job had which is known to it alone: what it gave to nobody,
    # nobody has done. If it has heard of no input at all, they came by them another way.
    if OFFERS not in catalogue.can or not any(_is_heard_of(fate) for fate in said.values()):
        said = {pk: fate for pk, fate in said.items() if _is_heard_of(fate) or pk not in by_jobs.fate}
    return Fates({**by_jobs.fate, **said}, by_jobs.cause, by_jobs.node, by_jobs.tries)


def _is_heard_of(fate: str) -> bool:
    return fate not in (UNCONSUMED, UNKNOWN)


def fates_by_jobs(batch: Batch) -> Fates:
    """Return what the jobs of the batch's last submission say of its units."""
    rows = SubmissionUnit.objects.filter(submission__batch=batch).exclude(submission__state="launch_failed")
    rows = rows.exclude(submission__state="removed", submission__launched_at=None)  # taken back before it was launched
    tries = dict(rows.values("unit_id").annotate(n=Count("pk")).values_list("unit_id", "n"))
    last = Submission.objects.filter(batch=batch).order_by("-pk").values_list("pk", flat=True).first() or 0
    jobs = {job.index: job for job in EveryJob.objects.filter(submission_id=last)}
    fate: dict[int, str] = {}
    cause: dict[int, str] = {}
    node: dict[int, str] = {}
    for unit_id, index in SubmissionUnit.objects.filter(submission_id=last).values_list("unit_id", "job_index"):
        job = jobs.get(index)
        if job is None or job.started_at is None:
            fate[unit_id] = UNCONSUMED
            cause[unit_id] = "system"
            continue
        fate[unit_id] = CONSUMED if job.state_code == _SUCCEEDED else FAILED
        if job.state_code != _SUCCEEDED:
            cause[unit_id] = "system" if job.state_code == _LOST else CODES.get(job.code, "")
            node[unit_id] = job.node
    return Fates(fate, cause, node, tries)


def seen(units: Sequence[Unit], fates: Fates) -> list[Input]:
    """Return missing units as the rules of recovery look at them."""
    return [
        Input(
            unit.key, fates.fate.get(unit.pk, UNKNOWN), fates.cause.get(unit.pk, ""), fates.tries.get(unit.pk, 0),
            fates.node.get(unit.pk, ""),
        )
        for unit in units
    ]  # fmt: skip


def given_to(submission: Submission) -> tuple[dict[int, int], dict[int, int]]:
    """Return what memory in MB and what time in seconds each unit was given in a submission."""
    jobs: list[dict[str, Any]] = submission.jobs_file.get("jobs", [])
    memory = {unit["id"]: job["memory_mb"] for job in jobs for unit in job["units"]}
    wall = {unit["id"]: job.get("wall_s", submission.wall_s) for job in jobs for unit in job["units"]}
    return memory, wall


def why_again(found: Round) -> str:
    """Return, for the history, what is different in a round."""
    told = [
        f"{len(found.more_memory)} of them with more memory" if found.more_memory else "",
        f"{len(found.more_time)} of them with more time" if found.more_time else "",
        f"not on {', '.join(sorted(found.avoid))}" if found.avoid else "",
        f"{len(found.skipped)} skipped, which were tried too often" if found.skipped else "",
        found.kind.replace("_", " ") if found.kind != "pending_files" else "",
    ]
    return "".join(f", {text}" for text in told if text)
