"""A job's life: how long it was in each state, start by start, what it used of what it asked for, and the services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core import ledger
from core.clock import now
from core.models import Transition
from integrations.models import Service
from poms_site.overview import charts, outages
from poms_site.overview.charts import Tick, Window
from poms_site.overview.run_timeline import GROUPS
from poms_site.overview.words import duration, memory, words
from submissions.models import EveryJob, JobFacts
from submissions.states import JOB_ENDED, JOB_STARTED

MOST_STEPS = 300
NARROWEST = 0.4  # percent of the width: what was over in a moment is seen too
_LOOK = {state: key for key, states, _ in GROUPS for state in states}


@dataclass(frozen=True)
class Span:
    """One stay in a state; `start` counts how often the job had begun by then."""

    state: str
    begin: datetime
    end: datetime
    start: int
    look: str
    x: float
    width: float
    reason: str

    @property
    def seconds(self) -> float:
        """Return how long it lasted."""
        return (self.end - self.begin).total_seconds()

    @property
    def text(self) -> str:
        """Say it in words, for who hovers over it or does not see it."""
        which = f", start {self.start}" if self.start > 1 else ""
        return f"{words(self.state)} for {duration(round(self.seconds, 1))}{which}: {self.reason}".rstrip(": ")


@dataclass(frozen=True)
class Use:
    """What the job used of something against what it asked for; `share` in percent, None where one is not known."""

    name: str
    used: str
    asked: str
    share: float | None

    @property
    def width(self) -> float:
        """Return how far the bar goes; more than was asked for is a full one."""
        return min(100.0, self.share or 0.0)

    @property
    def over(self) -> bool:
        """Tell whether it used more than it asked for."""
        return self.share is not None and self.share > 100


@dataclass(frozen=True)
class Life:
    """The picture of a job's life."""

    window: Window
    ticks: Sequence[Tick]
    day: str
    spans: Sequence[Span]
    stays: Sequence[tuple[str, float, int]]  # state, seconds in it, how often
    starts: int
    services: Sequence[outages.During]
    hits: Sequence[outages.Hit]


def life_of(job: EveryJob, user: Any) -> Life:
    """Return a job's life as its transitions tell it, and how the services were during it (D1, M10)."""
    steps = job.archived_steps() if job.archived else list(ledger.history({"job": [job.pk]})[:MOST_STEPS])
    until = job.ended_at or now()
    window, spans = spans_of(job, steps, until)
    services = outages.services_during(outages.watched(job.experiment, Service.objects.visible_to(user)), window)
    begin = min(job.started_at or window.begin, window.end)
    found = outages.hits(services, begin, window.end, ended=job.ended_at is not None)
    return Life(
        window, charts.time_ticks(window), charts.day_of(window), spans, _stays(spans),
        max([job.starts, *(span.start for span in spans)]), services, found,
    )  # fmt: skip


def spans_of(job: JobFacts, steps: Sequence[Transition], until: datetime) -> tuple[Window, list[Span]]:
    """Return from when to when the job's life goes, and its stays; an end is a point and no stay.

    Reports come late and out of order: what counts is when each says that it was.
    """
    ordered = [
        (step.at, step.target, step.reason) for step in sorted(steps, key=lambda step: (step.at, step.txid or 0))
    ]
    ordered = ordered or [(job.state_since, job.state, job.reason)]  # its steps are pruned, or not sealed in yet
    window = Window(ordered[0][0], max(until, ordered[-1][0]))
    spans, start, before = [], 0, ""
    for place, (at, state, reason) in enumerate(ordered):
        if state in JOB_STARTED and before not in (*JOB_STARTED, "staging_out"):
            start += 1
        before = state
        end = ordered[place + 1][0] if place + 1 < len(ordered) else window.end
        if state in JOB_ENDED or end <= at:
            continue
        x = window.share(at)
        width = max(NARROWEST, round(window.share(end) - x, 2))
        spans.append(Span(state, at, end, start, _LOOK[state], min(x, 100 - width), width, reason))
    return window, spans


def _stays(spans: Sequence[Span]) -> list[tuple[str, float, int]]:
    found: dict[str, list[float]] = {}
    for span in spans:
        found.setdefault(span.state, []).append(span.seconds)
    return [(state, sum(stays), len(stays)) for state, stays in found.items()]


def uses_of(job: EveryJob) -> list[Use]:
    """Return memory, time, processor, disk and cores against the request; what nobody measured says so."""
    submission, version = job.submission, job.submission.batch.version
    cores = job.cpus or version.cpus
    busy = job.cpu_s / (job.wall_s * cores) * 100 if job.cpu_s is not None and job.wall_s else None
    return [
        Use("memory", memory(job.memory_mb) if job.memory_mb else "", memory(submission.memory_mb),
            _share(job.memory_mb, submission.memory_mb)),
        Use("wall time", duration(job.wall_s) if job.wall_s is not None else "", duration(submission.wall_s),
            _share(job.wall_s, submission.wall_s)),
        Use("processor time", duration(job.cpu_s) if job.cpu_s is not None else "",
            f"{cores} × wall time", busy and round(busy, 1)),
        Use("cores", str(job.cpus) if job.cpus else "", str(version.cpus), _share(job.cpus, version.cpus)),
        Use("disk", "", memory(version.disk_mb) if version.disk_mb else "", None),
    ]  # fmt: skip


def _share(used: float | None, asked: float) -> float | None:
    return round(100 * used / asked, 1) if used is not None and asked else None
