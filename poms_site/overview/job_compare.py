"""A job beside another, by default the nearest good one of its stage: what is different, and their logs aligned."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, F, IntegerField, Q, Value, When
from django.db.models.functions import Abs

from campaigns.models import StageVersion
from integrations.errors import OutsideError
from poms_site.overview import job_log, log_difference
from poms_site.overview.job_life import uses_of
from poms_site.overview.words import duration, ending, memory, moment, number, words
from submissions.models import EveryJob, Submission, SubmissionUnit
from submissions.states import JOB_RANK

NEAR = 200  # submissions among which a good job is looked for
MOST_INPUTS = 50
ALIKE = 1.25  # quantities that differ by less than that factor are taken for equal
# Names in the environment that are the attempt's own: that they differ says nothing.
OWN = {"POMS_SUBMISSION_ID", "POMS_PARENT_TASK_ID", "POMS_BATCH", "POMS_ROUND", "POMS_SUBMIT_DIR"}
BESIDE = (
    "experiment", "system", "submission__experiment", "submission__batch__experiment", "submission__batch__version",
    "submission__batch__version__revision", "submission__batch__stage__campaign__experiment",
)  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One thing about both jobs; `differs` where it may matter."""

    name: str
    left: str
    right: str
    differs: bool


@dataclass(frozen=True)
class Compared:
    """Both jobs; `log_trouble` is a sentence where a log could not be read."""

    left: EveryJob
    right: EveryJob
    facts: Sequence[Fact]
    log: Sequence[log_difference.Row] = field(default_factory=tuple)
    log_trouble: str = ""

    @property
    def different(self) -> Sequence[Fact]:
        """Return what differs."""
        return [fact for fact in self.facts if fact.differs]


def nearest_good(job: EveryJob) -> EveryJob | None:
    """Return a job of the same stage that succeeded: of the same submission, or else of the same release first."""
    good = EveryJob.objects.filter(state_code=JOB_RANK["succeeded"]).exclude(pk=job.pk).select_related(*BESIDE)
    near = Abs(F("index") - (job.index or 0)).asc(nulls_last=True), Abs(F("pk") - job.pk)
    there = good.filter(submission=job.submission_id).order_by(*near).first()
    if there is not None:
        return there
    batch = job.submission.batch
    release = Q(batch__version__software_version=batch.version.software_version)
    others = (
        Submission.objects.filter(campaign=batch.stage.campaign_id, batch__stage=batch.stage_id)
        .filter(job_counts__state_code=JOB_RANK["succeeded"], job_counts__n__gt=0)
        .order_by("-pk")[:NEAR]
    )
    same = Case(When(release, then=Value(0)), default=Value(1), output_field=IntegerField())
    chosen = (
        Submission.objects.filter(pk__in=list(others.values_list("pk", flat=True)))
        .order_by(same, Abs(F("pk") - job.submission_id))
        .values_list("pk", flat=True)
        .first()
    )
    return good.filter(submission=chosen).order_by(*near).first() if chosen else None


def compare(left: EveryJob, right: EveryJob, stream: str = "out") -> Compared:
    """Compare two jobs; a log that cannot be read is said, and the rest stands."""
    facts = [Fact(name, a, b, differs) for name, a, b, differs in _facts(left, right)]
    try:
        rows = log_difference.aligned(job_log.tail(left, stream), job_log.tail(right, stream))
    except OutsideError as error:
        return Compared(left, right, facts, log_trouble=str(error))
    return Compared(left, right, facts, rows)


def _facts(left: EveryJob, right: EveryJob) -> Iterator[tuple[str, str, str, bool]]:
    yield from _texts(left, right)
    yield from _quantities(left, right)
    yield from _inputs(left, right)
    yield from _environments(left.submission, right.submission)


def _texts(left: EveryJob, right: EveryJob) -> Iterator[tuple[str, str, str, bool]]:
    told = {job: _told(job) for job in (left, right)}
    for name in told[left]:
        a, b = told[left][name], told[right][name]
        yield name, a, b, a != b


def _told(job: EveryJob) -> dict[str, str]:
    submission, version = job.submission, job.submission.batch.version
    return {
        "state": words(job.state), "how it ended": ending(job.state, job.code, job.exit_code, job.signal),
        "reason": job.reason, "exit code": "" if job.exit_code is None else str(job.exit_code),
        "node": job.node, "site": job.site, "slot type": job.slot_type, "batch system": job.system.name,
        "release": version.software_version, "revision": str(version.revision.number),
        "kind of submission": f"{submission.kind} {submission.round}" if submission.round else submission.kind,
        "launched on": f"{submission.account}@{submission.host}" if submission.host else submission.launcher,
        "command": shlex.join(submission.command), "parameters": _parameters(version),
        "memory asked for": memory(submission.memory_mb), "wall time asked for": duration(submission.wall_s),
    }  # fmt: skip


def _parameters(version: StageVersion) -> str:
    return " ".join(shlex.quote(str(part)) for pair in version.parameters for part in pair)


def _quantities(left: EveryJob, right: EveryJob) -> Iterator[tuple[str, str, str, bool]]:
    for name, at in (("submitted", "created_at"), ("started", "started_at"), ("ended", "ended_at")):
        a, b = (getattr(job.submission if at == "created_at" else job, at) for job in (left, right))
        yield name, moment(a) if a else "", moment(b) if b else "", False
    rows: Sequence[tuple[str, Any, Any]] = (
        ("waited in the queue", _waited, duration), ("wall time", lambda job: job.wall_s, duration),
        ("processor time", lambda job: job.cpu_s, duration), ("memory used", lambda job: job.memory_mb, memory),
        ("processor used", _busy, lambda share: f"{share:g} %"), ("cores", lambda job: job.cpus, number),
        ("starts", lambda job: job.starts, number),
    )  # fmt: skip
    for name, read, show in rows:
        a, b = read(left), read(right)
        yield name, "" if a is None else show(a), "" if b is None else show(b), _apart(a, b)


def _waited(job: EveryJob) -> float | None:
    launched = job.submission.launched_at
    return max(0.0, (job.started_at - launched).total_seconds()) if job.started_at and launched else None


def _busy(job: EveryJob) -> float | None:
    return next(use.share for use in uses_of(job) if use.name == "processor time")


def _apart(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is not b
    low, high = sorted((a, b))
    return high > low * ALIKE if low > 0 else high > 0


def _inputs(left: EveryJob, right: EveryJob) -> Iterator[tuple[str, str, str, bool]]:
    mine, theirs = _units(left), _units(right)
    names = [[name for name, _ in units] for units in (mine, theirs)]
    events = [sum(number_of for _, number_of in units) for units in (mine, theirs)]
    yield "number of inputs", number(len(mine)), number(len(theirs)), _apart(len(mine), len(theirs))
    yield "inputs", _named(names[0]), _named(names[1]), names[0] != names[1]
    yield "events in them", number(events[0]), number(events[1]), _apart(*events)


def _units(job: EveryJob) -> list[tuple[str, int]]:
    """Return name and events of each input of a job."""
    if job.index is None:
        return []
    rows = SubmissionUnit.objects.filter(submission=job.submission_id, job_index=job.index).order_by("pk")
    told = rows.values_list("unit__file_name", "unit__key", "unit__events")
    return [(name or key, events or 0) for name, key, events in told]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_INPUTS} more" if len(names) > MOST_INPUTS else ""
    return ", ".join(names[:MOST_INPUTS]) + more


def _environments(left: Submission, right: Submission) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what stands otherwise in the environment of the scripts, but for what is each attempt's own."""
    a, b = left.environment, right.environment
    for name in sorted((a.keys() | b.keys()) - OWN):
        if a.get(name) != b.get(name):
            yield f"${name}", str(a.get(name, "")), str(b.get(name, "")), True
