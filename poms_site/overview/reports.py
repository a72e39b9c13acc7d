"""What supervisors read: a day, a week or all there was, by experiment and stage, against the period before.

Everything comes from tallies that the merge and the loop `tally` keep (`JobTally`, `StepTally`), but for the times of
requests, of which there are few. So a report costs what its period costs, whatever there was before it. Accounting is
not repeated here: the installation names its dashboards, and the page leads there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from approvals.models import Request
from campaigns import keepup
from campaigns.models import Schedule, Stage
from core.clock import now
from experiments.models import Experiment
from poms_site.overview.periods import Period
from poms_site.overview.report_figures import FIGURES, OF_STAGES, Figure, Value, figures
from poms_site.overview.top_failures import TopFailure, top_failures
from submissions import latency, line
from submissions.states import JOB_STATES

MOST_STAGES = 40
MOST_KEEP_UPS = 30
MOST_TIMES = 10_000  # requests of a period whose times are read, the latest first

_JOBS = """
SELECT {by}, state_code, sum(n), sum(core_s), sum(cpu_s) FROM submissions_jobtally
WHERE experiment_id = ANY(%(experiments)s) AND day >= %(begin)s AND day < %(end)s {which} GROUP BY 1, 2
"""
_STEPS = """
SELECT {by}, kind || ' ' || verb, sum(n) FROM submissions_steptally
WHERE experiment_id = ANY(%(experiments)s) AND day >= %(begin)s AND day < %(end)s {which} GROUP BY 1, 2
"""
_COSTLY = """
SELECT stage_id FROM submissions_jobtally
WHERE experiment_id = ANY(%(experiments)s) AND day >= %(begin)s AND day < %(end)s
GROUP BY 1 HAVING sum(n) > 0 ORDER BY sum(core_s) DESC, 1 LIMIT %(most)s
"""
# Results that did not count, because another was there already or the catalogue refused them. What their jobs took is
# in the tally as of jobs that succeeded; a job that has left the table (M11) is counted without its cost.
_SURPLUS = """
SELECT r.experiment_id, count(*),
       coalesce(sum(j.wall_s * coalesce(j.cpus, 1)) FILTER (WHERE j.state_code = %(succeeded)s), 0)
FROM submissions_result r JOIN submissions_submission s ON s.id = r.submission_id
LEFT JOIN integrations_batchsystem y ON y.name = s.system
LEFT JOIN submissions_job j ON j.system_id = y.id AND j.external_id = r.job
WHERE r.refused <> '' AND r.experiment_id = ANY(%(experiments)s) AND r.at >= %(since)s AND r.at < %(until)s GROUP BY 1
"""
# From when it came to wait for a decision, which a request that was returned and filed again does twice.
_DECIDED = """
SELECT r.experiment_id, extract(epoch FROM d.at - f.at)::float8
FROM (SELECT * FROM approvals_decision WHERE at >= %(since)s AND at < %(until)s ORDER BY at DESC LIMIT %(times)s) d
JOIN approvals_request r ON r.id = d.request_id AND r.experiment_id = ANY(%(experiments)s)
CROSS JOIN LATERAL (
    SELECT max(t.at) AS at FROM core_transition t
    WHERE t.kind = 'request' AND t.thing_id = r.id AND t.verb IN ('file', 'amend') AND t.at <= d.at) f
WHERE f.at IS NOT NULL
"""
_ANSWERED = """
SELECT c.experiment_id, extract(epoch FROM c.ended_at - f.at)::float8
FROM (SELECT * FROM campaigns_campaign WHERE ended_at >= %(since)s AND ended_at < %(until)s
      ORDER BY ended_at DESC LIMIT %(times)s) c
JOIN approvals_request r ON r.campaign_id = c.id
CROSS JOIN LATERAL (
    SELECT min(t.at) AS at FROM core_transition t
    WHERE t.kind = 'request' AND t.thing_id = r.id AND t.verb = 'file') f
WHERE c.state = 'succeeded' AND NOT c.test AND c.experiment_id = ANY(%(experiments)s) AND f.at <= c.ended_at
"""
_UNITS = """
SELECT c.experiment_id, sum(p.units - p.taken) FROM campaigns_campaign c
JOIN campaigns_stage s ON s.campaign_id = c.id AND s.completed_at IS NULL
JOIN submissions_stageprogress p ON p.stage_id = s.id AND p.pass_number = s.pass_number
WHERE c.state IN ('approved', 'running') AND c.experiment_id = ANY(%(experiments)s) GROUP BY 1
"""
_WAITING = """
SELECT experiment_id, count(*) FROM submissions_submission
WHERE state = 'pending' AND experiment_id = ANY(%(experiments)s) GROUP BY 1
"""


@dataclass(frozen=True)
class Line:
    """The figures of one experiment or stage, and those of the period before; `ref` is a stage's own."""

    experiment: str
    title: str
    now: dict[str, Value]
    before: dict[str, Value]
    ref: str = ""


@dataclass(frozen=True)
class Backlog:
    """What waits at this moment, whatever the period: inputs, submissions, idle jobs, and requests to decide on."""

    units: int = 0
    submissions: int = 0
    idle: int = 0
    requests: int = 0


@dataclass(frozen=True)
class KeepUp:
    """How soon a keep-up does what arrives: the share in time, what waits, and since when."""

    ref: str
    title: str
    objective: str
    standing: str
    share: float | None
    backlog: int
    oldest: datetime | None


@dataclass(frozen=True)
class Report:
    """One report: all experiments together, each by itself, the costliest stages, and what else a Monday needs."""

    period: Period
    made_at: datetime
    total: Line
    experiments: list[Line]
    stages: list[Line]
    failures: list[TopFailure]
    keep_ups: list[KeepUp]
    backlog: dict[str, Backlog] = field(default_factory=dict)

    @property
    def waiting(self) -> Backlog:
        """Return what waits in all experiments together."""
        rows = self.backlog.values()
        return Backlog(
            sum(row.units for row in rows), sum(row.submissions for row in rows), sum(row.idle for row in rows),
            sum(row.requests for row in rows),
        )  # fmt: skip

    @property
    def is_over(self) -> bool:
        """Tell whether the period was over when the report was made."""
        return self.period.is_over(self.made_at)


def report(experiments: Sequence[Experiment], period: Period) -> Report:
    """Return the report of some experiments on a period; who may read it, the caller has to know."""
    at = now()
    mine, past = _facts(experiments, period), _facts(experiments, period.before)
    lines = [
        Line(row.name, row.title or row.name, mine.line((row.pk,)), past.line((row.pk,)))
        for row in sorted(experiments, key=lambda row: row.name)
    ]
    every = tuple(row.pk for row in experiments)
    return Report(
        period, at, Line("", "All together", mine.line(every), past.line(every)), lines,
        _stages(experiments, period), top_failures(every, period), _keep_ups(experiments, at),
        _backlog(experiments),
    )  # fmt: skip


def headline(row: Line) -> str:
    """Return the figures of a line in one sentence, for mails."""
    success = row.now["success"]
    told = [
        f"{row.now['filed']:.0f} requests filed", f"{row.now['approved']:.0f} approved",
        f"{row.now['submitted']:.0f} submissions", f"{row.now['launches_failed']:.0f} launches failed",
        f"{row.now['succeeded']:.0f} jobs succeeded", f"{row.now['failed']:.0f} failed", f"{row.now['lost']:.0f} lost",
        f"{success:.1f} % success" if success is not None else "no job ended",
        f"{row.now['used']:.1f} core-hours", f"{row.now['wasted']:.1f} of them for nothing",
    ]  # fmt: skip
    return ", ".join(told)


def document(found: Report) -> dict[str, Any]:
    """Return a report as programs read it."""
    return {
        "period": found.period.kind, "name": found.period.name, "begin": found.period.begin, "end": found.period.end,
        "over": found.is_over, "made_at": found.made_at,
        "figures": [
            {"key": figure.key, "word": figure.word, "unit": figure.unit, "section": figure.section}
            for figure in FIGURES
        ],
        "total": {"now": found.total.now, "before": found.total.before},
        "stages": [
            {"experiment": row.experiment, "ref": row.ref, "title": row.title, "now": row.now, "before": row.before}
            for row in found.stages
        ],
        "failures": [vars(row) for row in found.failures],
        "keep_ups": [vars(row) for row in found.keep_ups],
        "results": [
            {"experiment": row.experiment, "title": row.title, "now": row.now, "before": row.before,
             "backlog": vars(found.backlog.get(row.experiment, Backlog()))}
            for row in found.experiments
        ],
    }  # fmt: skip


def rows_of(found: Report) -> Iterable[tuple[str, str, Figure, Value, Value]]:
    """Return every figure of a report as one row: experiment, stage, figure, value, and the value before."""
    for row in [found.total, *found.experiments, *found.stages]:
        for figure in FIGURES:
            if not row.ref or figure.key in OF_STAGES:
                yield row.experiment, row.ref, figure, row.now[figure.key], row.before[figure.key]


# --- Where it comes from ----------------------------------------------------------------------------------------


@dataclass
class _Facts:
    """Plain counts of a period by experiment, and the times of its requests."""

    counts: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    decided: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def line(self, keys: Iterable[int]) -> dict[str, Value]:
        """Return the figures of some experiments together."""
        counts: Counter[str] = Counter()
        decided: list[float] = []
        answered: list[float] = []
        for key in keys:
            counts.update(self.counts[key])
            decided += self.decided[key]
            answered += self.answered[key]
        return figures(counts, decided, answered)


def _facts(experiments: Sequence[Experiment], period: Period | None) -> _Facts:
    """Return what was counted in a period; nothing where there is none."""
    found = _Facts()
    if period is None:
        return found
    asked = _asked(experiments, period)
    found.counts = _counts("experiment_id", "", asked)
    with connection.cursor() as cursor:
        cursor.execute(_SURPLUS, asked)
        for key, number, core_s in cursor.fetchall():
            found.counts[key]["surplus"] += number
            found.counts[key]["core surplus"] += core_s
        for statement, times in ((_DECIDED, found.decided), (_ANSWERED, found.answered)):
            cursor.execute(statement, asked)
            for key, seconds in cursor.fetchall():
                times[key].append(seconds)
    return found


def _asked(experiments: Sequence[Experiment], period: Period) -> dict[str, Any]:
    return {
        "experiments": [row.pk for row in experiments], "begin": period.begin, "end": period.end,
        "since": period.since, "until": period.until, "times": MOST_TIMES, "most": MOST_STAGES,
        "succeeded": JOB_STATES.index("succeeded"),
    }  # fmt: skip


def _counts(by: str, which: str, asked: dict[str, Any]) -> dict[int, Counter[str]]:
    """Return the tallies of a period by a column, experiment or stage."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    with connection.cursor() as cursor:
        cursor.execute(_JOBS.format(by=by, which=which), asked)
        for key, code, number, core_s, cpu_s in cursor.fetchall():
            state = JOB_STATES[code]
            found[key].update({f"n {state}": number, f"core {state}": core_s, "cpu": cpu_s})
        cursor.execute(_STEPS.format(by=by, which=which), asked)
        for key, step, number in cursor.fetchall():
            found[key][step] += number
    return found


def _stages(experiments: Sequence[Experiment], period: Period) -> list[Line]:
    """Return the stages that cost most in a period, the costliest first."""
    asked = _asked(experiments, period)
    with connection.cursor() as cursor:
        cursor.execute(_COSTLY, asked)
        keys = [key for (key,) in cursor.fetchall()]
    which = "AND stage_id = ANY(%(stages)s)"
    mine = _counts("stage_id", which, asked | {"stages": keys})
    before = period.before
    past = _counts("stage_id", which, _asked(experiments, before) | {"stages": keys}) if before else {}
    rows = Stage.objects.select_related("campaign__experiment").in_bulk(keys)
    return [
        Line(rows[key].campaign.experiment.name, f"{rows[key].campaign.name}, {rows[key].name}",
             figures(mine[key]), figures(past.get(key, Counter())), rows[key].ref)
        for key in keys
    ]  # fmt: skip


def _keep_ups(experiments: Sequence[Experiment], at: datetime) -> list[KeepUp]:
    """Return how soon the active keep-ups with an objective do what arrives, those that miss it first."""
    active = Schedule.objects.filter(experiment__in=experiments, ended_at=None, paused_at=None).exclude(objective="")
    rows = active.select_related("experiment", "stage__campaign").order_by("pk")
    found = []
    for row in sorted(rows, key=lambda row: row.standing, reverse=True)[:MOST_KEEP_UPS]:
        objective = keepup.read_objective(row.objective)
        stands = latency.standing_of(row, objective, at)
        found.append(
            KeepUp(row.ref, f"{row.stage.campaign.name}, {row.stage.name}", row.objective, stands.word(objective),
                   stands.share, latency.backlog_of(row), stands.oldest)
        )  # fmt: skip
    return found


def _backlog(experiments: Sequence[Experiment]) -> dict[str, Backlog]:
    """Return what waits now, by the name of the experiment."""
    asked = {"experiments": [row.pk for row in experiments]}
    with connection.cursor() as cursor:
        cursor.execute(_UNITS, asked)
        units = dict(cursor.fetchall())
        cursor.execute(_WAITING, asked)
        submissions = dict(cursor.fetchall())
    idle: Counter[int] = Counter()
    for row in line.there():
        idle[row.experiment] += row.idle
    requests = Counter(
        Request.objects.filter(experiment__in=experiments, state="pending_approval").values_list(
            "experiment", flat=True
        )
    )
    return {
        row.name: Backlog(int(units.get(row.pk, 0)), submissions.get(row.pk, 0), idle[row.pk], requests[row.pk])
        for row in experiments
    }


def dashboards(experiment: str = "") -> list[tuple[str, str]]:
    """Return the accounting pages that this installation names, by what people call them.

    `{experiment}` in an address is filled in; without an experiment, those that need one are left out.
    """
    found = []
    for entry in settings.DASHBOARDS:
        name, _, address = entry.partition("=")
        if address.startswith(("https://", "http://")) and (experiment or "{experiment}" not in address):
            found.append((name.strip(), address.strip().replace("{experiment}", experiment)))
    return found
