"""What failed in a run, by signature, and what was done about each: one statement each, whatever the size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count

from campaigns.models import Campaign
from poms_site.overview.words import count, ending, number
from submissions.models import Result, Submission
from submissions.states import JOB_RANK, JOB_STATES

SIGNATURES = 30
EXAMPLES = 6
NEXT_SHOWN = 6
_BAD = [JOB_RANK[state] for state in ("failed", "lost", "removed")]

# A signature is how a job ended and in which stage; its place in this statement's order is its number.
_GROUPS = """
WITH bad AS MATERIALIZED (
    SELECT j.id, j.submission_id, j.index, j.state_code, j.code, j.exit_code, j.signal, j.reason, j.node, j.site,
           j.memory_mb, j.event_at, j.external_id, s.batch_id, b.stage_id, b.state AS batch_state
    FROM submissions_everyjob j
    JOIN submissions_submission s ON s.id = j.submission_id
    JOIN submissions_batch b ON b.id = s.batch_id
    JOIN campaigns_stage st ON st.id = b.stage_id
    WHERE st.campaign_id = %(campaign)s AND j.state_code = ANY(%(bad)s)
), grouped AS (
    SELECT stage_id, state_code, code, exit_code, signal, count(*) AS jobs, min(id) AS first_id,
           (array_agg(DISTINCT node) FILTER (WHERE node <> ''))[1:5] AS nodes, count(DISTINCT node) AS node_count,
           min(event_at) AS first_at, max(event_at) AS last_at, max(memory_mb) AS memory_mb,
           (array_agg(reason ORDER BY id DESC))[1] AS reason
    FROM bad GROUP BY 1, 2, 3, 4, 5
), kept AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY jobs DESC, first_id) AS place, count(*) OVER () AS many, * FROM grouped
    ORDER BY jobs DESC, first_id LIMIT %(signatures)s
), marked AS MATERIALIZED (
    SELECT kept.place, bad.* FROM bad JOIN kept USING (stage_id, state_code)
    WHERE bad.code = kept.code AND bad.exit_code IS NOT DISTINCT FROM kept.exit_code
      AND bad.signal IS NOT DISTINCT FROM kept.signal
)"""

_SUMMARY = f"""{_GROUPS}, hit AS (
    SELECT DISTINCT m.place, u.unit_id, m.batch_state, a.unit_id IS NOT NULL AS accepted
    FROM marked m JOIN submissions_submissionunit u ON u.submission_id = m.submission_id AND u.job_index = m.index
    LEFT JOIN submissions_acceptance a ON a.unit_id = u.unit_id
), fate AS (
    SELECT place, count(*) AS inputs, count(*) FILTER (WHERE accepted) AS recovered,
           count(*) FILTER (WHERE NOT accepted AND batch_state IN ('failed', 'cancelled')) AS given_up,
           count(*) FILTER (WHERE NOT accepted AND batch_state = 'completed') AS spared
    FROM hit GROUP BY place
)
SELECT kept.place, st.name, kept.state_code, kept.code, kept.exit_code, kept.signal, kept.jobs,
       coalesce(kept.nodes, '{{}}') AS nodes,
       kept.node_count, kept.first_at, kept.last_at, kept.memory_mb, kept.reason, coalesce(fate.inputs, 0),
       coalesce(fate.recovered, 0), coalesce(fate.given_up, 0), coalesce(fate.spared, 0), kept.many
FROM kept JOIN campaigns_stage st ON st.id = kept.stage_id LEFT JOIN fate USING (place) ORDER BY kept.place
"""  # noqa: S608 - a constant of this module

# Which submissions tried the inputs of failed jobs again: for each input the next one after the failure.
_NEXT = f"""{_GROUPS}, following AS (
    SELECT m.place, u.unit_id, m.submission_id, min(later.submission_id) AS next_id
    FROM marked m JOIN submissions_submissionunit u ON u.submission_id = m.submission_id AND u.job_index = m.index
    LEFT JOIN submissions_submissionunit later ON later.unit_id = u.unit_id AND later.submission_id > m.submission_id
    GROUP BY 1, 2, 3
), counted AS (
    SELECT place, next_id, count(DISTINCT unit_id) AS inputs,
           row_number() OVER (PARTITION BY place ORDER BY next_id) AS number,
           count(*) OVER (PARTITION BY place) AS many
    FROM following WHERE next_id IS NOT NULL GROUP BY place, next_id
)
SELECT c.place, c.many, c.inputs, s.id, s.kind, s.round, s.state
FROM counted c JOIN submissions_submission s ON s.id = c.next_id
WHERE c.number <= %(next)s ORDER BY c.place, c.next_id
"""  # noqa: S608 - a constant of this module

# A few jobs of each signature: their inputs, the memory they were given, and that of the next attempt.
_JOBS = f"""{_GROUPS}, few AS (
    SELECT * FROM (SELECT m.*, row_number() OVER (PARTITION BY place ORDER BY id) AS number FROM marked m) n
    WHERE number <= %(examples)s
)
SELECT few.place, few.id, few.external_id, few.submission_id, few.batch_id, few.node, few.event_at, few.memory_mb,
       few.reason, s.round, s.jobs_file #>> ARRAY['jobs', few.index::text, 'memory_mb'] AS given,
       mine.keys, mine.many, later.id, later.round, later.kind, later.given, accepted.id, accepted.round
FROM few JOIN submissions_submission s ON s.id = few.submission_id
LEFT JOIN LATERAL (
    SELECT (array_agg(u.key ORDER BY u.id))[1:3] AS keys, count(*) AS many, min(u.id) AS first_unit
    FROM submissions_submissionunit su JOIN submissions_unit u ON u.id = su.unit_id
    WHERE su.submission_id = few.submission_id AND su.job_index = few.index
) mine ON true
LEFT JOIN LATERAL (
    SELECT n.id, n.round, n.kind, n.jobs_file #>> ARRAY['jobs', su.job_index::text, 'memory_mb'] AS given
    FROM submissions_submissionunit su JOIN submissions_submission n ON n.id = su.submission_id
    WHERE su.unit_id = mine.first_unit AND su.submission_id > few.submission_id
    ORDER BY su.submission_id LIMIT 1
) later ON true
LEFT JOIN LATERAL (
    SELECT n.id, n.round FROM submissions_acceptance a
    JOIN submissions_result r ON r.id = a.result_id JOIN submissions_submission n ON n.id = r.submission_id
    WHERE a.unit_id = mine.first_unit
) accepted ON true
ORDER BY few.place, few.id
"""  # noqa: S608 - a constant of this module


@dataclass(frozen=True)
class Later:
    """A submission that tried inputs of failed jobs again."""

    ref: str
    kind: str
    round: int
    state: str
    inputs: int


@dataclass(frozen=True)
class BadJob:
    """One job of a signature; memory in MB."""

    ref: str
    external_id: str
    submission: str
    batch_id: int
    node: str
    at: datetime
    round: int
    reason: str
    used_mb: float | None
    given_mb: int | None
    keys: list[str]
    inputs: int
    next_ref: str
    next_round: int | None
    next_given_mb: int | None
    result_ref: str


@dataclass
class Failure:
    """Jobs of one stage that ended in the same way, and what became of their inputs."""

    stage: str
    state: str
    code: str
    exit_code: int | None
    signal: int | None
    jobs: int
    nodes: list[str]
    node_count: int
    first_at: datetime
    last_at: datetime
    used_mb: float | None
    reason: str
    inputs: int
    recovered: int
    given_up: int
    spared: int
    later: list[Later] = field(default_factory=list)
    later_count: int = 0
    examples: list[BadJob] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Return the signature in words: memory limit, SIGSEGV (signal 11), exit code 65, lost."""
        return ending(self.state, self.code, self.exit_code, self.signal)

    @property
    def verdict(self) -> str:
        """Return the state of what was done about it: what the state's look goes by."""
        if not self.inputs:
            return "not_checked"
        if self.recovered == self.inputs:
            return "succeeded"
        return "failed" if self.given_up else "completed" if self.spared + self.recovered == self.inputs else "running"

    @property
    def outcome(self) -> str:
        """Say what became of the inputs."""
        if not self.inputs:
            return "which inputs it had is not known"
        if self.verdict == "succeeded":
            return (
                "its input has output now" if self.inputs == 1 else f"all {count(self.inputs, 'input')} have output now"
            )
        parts = [
            (self.recovered, "with output now"),
            (self.given_up, "given up with their batch"),
            (self.spared, "left out: the stage is complete without"),
            (self.open, "still to be decided on"),
        ]
        of = f"of {count(self.inputs, 'input')}"
        return "; ".join(f"{number(n)} {of} {text}" for n, text in parts if n)

    @property
    def open(self) -> int:
        """Return how many inputs are still to be decided on."""
        return self.inputs - self.recovered - self.given_up - self.spared

    @property
    def grown(self) -> tuple[int, int] | None:
        """Return from and to how much memory in MB a next attempt grew, if one did."""
        pairs = [(job.given_mb, job.next_given_mb) for job in self.examples]
        return next(((a, b) for a, b in pairs if a is not None and b is not None and b > a), None)


def failures_of(campaign: Campaign) -> tuple[list[Failure], int]:
    """Return the signatures of failed, lost and removed jobs, the most frequent first, and how many there are.

    At most SIGNATURES of them.
    """
    given = {
        "campaign": campaign.pk, "bad": _BAD, "signatures": SIGNATURES, "examples": EXAMPLES, "next": NEXT_SHOWN,
    }  # fmt: skip
    name = campaign.experiment.name
    rows = list(_rows(_SUMMARY, given))
    if not rows:
        return [], 0
    found = {place: Failure(stage, JOB_STATES[state_code], *facts) for place, stage, state_code, *facts, _ in rows}
    for place, many, inputs, pk, kind, round_number, state in _rows(_NEXT, given):
        found[place].later.append(Later(f"{name}/s{pk}", kind, round_number, state, inputs))
        found[place].later_count = many
    for row in _rows(_JOBS, given):
        found[row[0]].examples.append(_bad_job(name, row))
    return list(found.values()), rows[0][-1]


def _rows(sql: str, given: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        yield from cursor.fetchall()


def _bad_job(name: str, row: tuple[Any, ...]) -> BadJob:
    (_, pk, external, submission, batch_id, node, at, used, reason, round_number, given, keys, many,
     next_id, next_round, _, next_given, result_id, _) = row  # fmt: skip
    return BadJob(
        f"{name}/j{pk}", external, f"{name}/s{submission}", batch_id, node, at, round_number, reason, used,
        int(given) if given else None, keys or [], many, f"{name}/s{next_id}" if next_id else "", next_round,
        int(next_given) if next_given else None, f"{name}/s{result_id}" if result_id else "",
    )  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """Launches that failed or results that do not count, by what was said about them."""

    what: str
    stage: str
    reason: str
    times: int


def refusals_of(campaign: Campaign) -> list[Refusal]:
    """Return failed launches and refused results with their reasons, the most frequent first."""
    launches = Submission.objects.filter(batch__stage__campaign=campaign, state="launch_failed")
    results = Result.objects.filter(submission__batch__stage__campaign=campaign).exclude(refused="")
    found: dict[str, list[Refusal]] = defaultdict(list)
    for what, rows, stage, reason in (
        ("launch failed", launches, "batch__stage__name", "why"),
        ("result refused", results, "submission__batch__stage__name", "refused"),
    ):
        tallied = rows.values_list(stage, reason).annotate(times=Count("pk")).order_by("-times")[:SIGNATURES]
        found[what] = [Refusal(what, *row) for row in tallied]
    return [refusal for refusals in found.values() for refusal in refusals]
