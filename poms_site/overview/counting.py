"""How much of each stage is there, done, failed, recovering, running, waiting and out: in files, events or jobs (M1).

What counts is the present pass. A stage's numbers add up: `units` = done + running + recovering + failed + waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection

from poms_site.overview.forecast import expected_units
from poms_site.overview.run_facts import StageFacts
from submissions.states import AGAIN, JOB_ENDED, JOB_STATES

WAYS = ("files", "events", "jobs")
NAMES = ("done", "running", "recovering", "failed", "waiting")
# `units` is what will have been put in by the end; `coming` is what of it, all waiting, is not there yet.
Counts = dict[str, int]
NOTHING: Counts = dict.fromkeys(("units", *NAMES, "coming", "out"), 0)

_JOB_MEANING = {
    "succeeded": "done", "failed": "failed", "lost": "failed", "removed": "failed", "idle": "waiting",
    "held": "waiting", "staging_in": "running", "processing": "running", "staging_out": "running",
    "suspended": "running",
}  # fmt: skip
# Inputs with a result are counted in StageProgress: only batches that miss some, and what no batch has, are looked at.
_EVENTS = """
WITH incomplete AS MATERIALIZED (
    SELECT b.id, b.stage_id, CASE
        WHEN b.state IN ('failed', 'cancelled', 'completed') THEN 'failed'
        WHEN (SELECT true FROM submissions_submission s WHERE s.batch_id = b.id AND s.kind = ANY(%(again)s) LIMIT 1)
            THEN 'recovering'
        WHEN b.state = 'pending' THEN 'waiting' ELSE 'running' END AS meaning
    FROM submissions_batch b JOIN campaigns_stage g ON g.id = b.stage_id AND g.pass_number = b.pass_number
    WHERE b.stage_id = ANY(%(stages)s) AND b.done < b.n_units)
SELECT stage_id, meaning, coalesce(sum(events), 0)::bigint FROM (
    SELECT b.stage_id, b.meaning, u.events FROM incomplete b JOIN submissions_unit u ON u.batch_id = b.id
    LEFT JOIN submissions_acceptance a ON a.unit_id = u.id WHERE a.unit_id IS NULL
    UNION ALL
    SELECT u.stage_id, 'waiting', u.events FROM submissions_unit u
    JOIN campaigns_stage g ON g.id = u.stage_id AND g.pass_number = u.pass_number
    WHERE u.stage_id = ANY(%(stages)s) AND u.batch_id IS NULL
    UNION ALL
    SELECT n.stage_id, 'waiting', p.events FROM submissions_slice p
    JOIN submissions_snapshot n ON n.id = p.snapshot_id
    JOIN campaigns_stage g ON g.id = n.stage_id AND g.pass_number = n.pass_number
    WHERE n.stage_id = ANY(%(stages)s) AND p.taken_at IS NULL
) missing GROUP BY 1, 2
"""
# Jobs that were seen, and those that submissions which are not in a batch system yet will have (no state).
_JOBS = """
SELECT b.stage_id, c.state_code, s.kind = ANY(%(again)s), sum(c.n)::bigint
FROM submissions_jobcount c
JOIN submissions_submission s ON s.id = c.submission_id
JOIN submissions_batch b ON b.id = s.batch_id
JOIN campaigns_stage g ON g.id = b.stage_id AND g.pass_number = b.pass_number
WHERE b.stage_id = ANY(%(stages)s) GROUP BY 1, 2, 3
UNION ALL
SELECT b.stage_id, NULL, s.kind = ANY(%(again)s), sum(s.n_jobs)::bigint
FROM submissions_submission s
JOIN submissions_batch b ON b.id = s.batch_id
JOIN campaigns_stage g ON g.id = b.stage_id AND g.pass_number = b.pass_number
WHERE b.stage_id = ANY(%(stages)s) AND s.state IN ('pending', 'launching', 'unsure')
  AND NOT EXISTS (SELECT 1 FROM submissions_jobcount c WHERE c.submission_id = s.id) GROUP BY 1, 3
"""


def counts_by(way: str, stages: Sequence[StageFacts]) -> dict[str, Counts]:
    """Return the counts of each stage of a campaign by its name; `stages` are all, parents first.

    files: inputs, also where they are ranges of events, and output files. What parents still have to make counts as
    coming. events: those of the inputs, and of the outputs; what is coming is taken to hold as many an input as what
    is there. jobs: those that there are or are about to be launched; recovering are the unfinished ones of
    recoveries and relaunches; a failed job stays one, also when another has done its inputs since. `out` are files.
    """
    if way == "jobs":
        return _jobs(stages)
    return _events(stages) if way == "events" else _files(stages)


def together(counts: Iterable[Counts]) -> Counts:
    """Return the sum of several counts."""
    found = dict(NOTHING)
    for entry in counts:
        for name in found:
            found[name] += entry[name]
    return found


def _files(stages: Sequence[StageFacts]) -> dict[str, Counts]:
    expected, found = expected_of(stages), {}
    for stage in stages:
        told = stage.progress
        coming = max(0, expected[stage.name] - told["units"])
        found[stage.name] = {name: told[name] for name in NAMES} | {
            "units": told["units"] + coming, "waiting": told["waiting"] + coming, "coming": coming,
            "out": stage.outputs,
        }  # fmt: skip
    return found


def _events(stages: Sequence[StageFacts]) -> dict[str, Counts]:
    missing: dict[int, Counts] = {stage.version.stage_id: {} for stage in stages}
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, {"stages": list(missing), "again": list(AGAIN)})
        for stage_id, meaning, events in cursor.fetchall():
            missing[stage_id][meaning] = events
    found: dict[str, Counts] = {}
    each: dict[str, float] = {}  # events an input
    for stage, files in zip(stages, _files(stages).values(), strict=True):
        own = dict(NOTHING) | {"done": stage.progress["events_done"], "out": stage.events}
        own |= missing[stage.version.stage_id]
        there, inputs = sum(own[name] for name in NAMES), stage.progress["units"]
        above = [each[feed.upstream] for feed in stage.feeds if feed.upstream in each]
        each[stage.name] = there / inputs if inputs else max(above, default=0.0)
        own["coming"] = round(files["coming"] * each[stage.name])
        if files["coming"] and not inputs and stage.version.type == "generator":
            own["coming"] = stage.version.events
            each[stage.name] = own["coming"] / files["coming"]
        own["waiting"] += own["coming"]
        found[stage.name] = own | {"units": there + own["coming"]}
    return found


def _jobs(stages: Sequence[StageFacts]) -> dict[str, Counts]:
    names = {stage.version.stage_id: stage.name for stage in stages}
    found = {stage.name: dict(NOTHING) | {"out": stage.outputs} for stage in stages}
    with connection.cursor() as cursor:
        cursor.execute(_JOBS, {"stages": list(names), "again": list(AGAIN)})
        for stage_id, code, again, number in cursor.fetchall():
            state = "idle" if code is None else JOB_STATES[code]
            meaning = "recovering" if again and state not in JOB_ENDED else _JOB_MEANING[state]
            found[names[stage_id]][meaning] += number
            found[names[stage_id]]["units"] += number
    return found


def expected_of(stages: Sequence[StageFacts]) -> dict[str, int]:
    """Return how many inputs each stage will have in the end; one that has ended gets no more."""
    units = {stage.name: stage.progress["units"] for stage in stages}
    for stage in stages:
        if stage.version.type == "generator" and not units[stage.name] and stage.version.events and not stage.is_over:
            per_job = stage.version.events_per_job or stage.version.events
            units[stage.name] = -(-stage.version.events // per_job)
    done = {stage.name: stage.progress["done"] for stage in stages}
    feeds = [(feed.upstream, feed.downstream, feed.files) for stage in stages for feed in stage.feeds]
    return expected_units(units, feeds, done, [stage.name for stage in stages if stage.is_over])
