"""The one statement that writes jobs: reports merged with exact counters, tallies and transitions (design 5, M7-M10).

Of all reports of a job the greatest by (starts, ended, event time, rank of the state) is its state, in whatever
order and however often they come (F9). `lost` is no report but a verdict from absence: it takes only a job that
has not ended, and yields to any report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from core import bulk
from core.redaction import redacted
from integrations.batch.base import JobSeen
from submissions.states import JOB_ENDED, JOB_RANK, JOB_STARTED, JOB_STATES

SEEN = "submissions_seen"
COLUMNS = (
    "external_id", "uuid", "index", "state_code", "starts", "event_at", "exit_code", "signal", "code", "reason",
    "node", "site", "slot_type", "memory_mb", "cpu_s", "wall_s", "cpus", "source",
)  # fmt: skip
_TYPES = (
    "external_id varchar(100) NOT NULL, uuid uuid NOT NULL, index integer, state_code smallint NOT NULL,"
    " starts integer NOT NULL, event_at timestamptz NOT NULL, exit_code integer, signal integer, code varchar(60),"
    " reason text, node varchar(100), site varchar(100), slot_type varchar(40), memory_mb double precision,"
    " cpu_s double precision, wall_s double precision, cpus smallint, source varchar(40) NOT NULL"
)
_ENDED = ", ".join(str(JOB_RANK[state]) for state in JOB_ENDED if state != "lost")
_STARTED = ", ".join(str(JOB_RANK[state]) for state in JOB_STARTED)
_LOST = JOB_RANK["lost"]
_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORDS = "ARRAY[" + ", ".join(f"'{state}'" for state in JOB_STATES) + "]"

MERGE = f"""
WITH known AS MATERIALIZED (
    SELECT DISTINCT ON (s.external_id, s.starts, s.event_at, s.state_code)
           s.*, (s.state_code IN ({_ENDED}))::int AS ended, sub.id AS submission_id, sub.experiment_id, b.stage_id,
           sub.jobs_archived_at
    FROM {SEEN} s JOIN submissions_submission sub ON sub.uuid = s.uuid JOIN submissions_batch b ON b.id = sub.batch_id
    ORDER BY s.external_id, s.starts, s.event_at, s.state_code, s.source
), before AS MATERIALIZED (
    SELECT j.id, j.external_id, j.state_code, j.starts, j.event_at, (j.state_code IN ({_ENDED}))::int AS ended,
           j.ended_at, j.site, j.wall_s, j.cpu_s, j.cpus, j.started_at, j.memory_mb
    FROM submissions_job j
    WHERE j.system_id = %(system)s AND j.external_id IN (SELECT external_id FROM known)
    ORDER BY j.id FOR NO KEY UPDATE
), extremes AS MATERIALIZED (
    SELECT external_id, min(event_at) FILTER (WHERE state_code IN ({_STARTED})) AS first_start,
           max(memory_mb) AS most_memory
    FROM known GROUP BY external_id
), news AS (
    SELECT k.*, b.id AS job_id, b.state_code AS old_state
    FROM known k LEFT JOIN before b USING (external_id)
    WHERE (b.id IS NULL AND k.jobs_archived_at IS NULL)
       OR (b.state_code = {_LOST} AND k.state_code <> {_LOST})
       OR (k.starts, k.ended, k.event_at, k.state_code) > (b.starts, b.ended, b.event_at, b.state_code)
), ordered AS MATERIALIZED (
    SELECT n.*,
           lag(state_code, 1, old_state) OVER forth AS source_state,
           row_number() OVER (PARTITION BY external_id
                              ORDER BY starts DESC, ended DESC, event_at DESC, state_code DESC) AS place
    FROM news n
    WINDOW forth AS (PARTITION BY external_id ORDER BY starts, ended, event_at, state_code)
), winner AS MATERIALIZED (
    SELECT *, CASE WHEN state_code IN ({_ENDED}, {_LOST}) THEN event_at END AS end_at
    FROM ordered JOIN extremes USING (external_id) WHERE place = 1
), belated AS (
    UPDATE submissions_job j SET
        started_at = least(j.started_at, e.first_start), memory_mb = greatest(j.memory_mb, e.most_memory)
    FROM extremes e JOIN before b USING (external_id)
    WHERE j.id = b.id AND NOT EXISTS (SELECT 1 FROM winner w WHERE w.job_id = b.id)
      AND (e.first_start < coalesce(b.started_at, 'infinity') OR e.most_memory > coalesce(b.memory_mb, 0))
), fresh AS (
    INSERT INTO submissions_job AS j (
        experiment_id, submission_id, system_id, external_id, index, state_code, starts, event_at, state_since,
        started_at, ended_at, exit_code, signal, code, reason, node, site, slot_type, memory_mb, cpu_s, wall_s, cpus)
    SELECT experiment_id, submission_id, %(system)s, external_id, index, state_code, starts, event_at, event_at,
           first_start, end_at, exit_code, signal, coalesce(code, ''), coalesce(reason, ''), coalesce(node, ''),
           coalesce(site, ''), coalesce(slot_type, ''), most_memory, cpu_s, wall_s, cpus
    FROM winner WHERE job_id IS NULL
    RETURNING j.id, j.external_id, j.state_code, j.ended_at, j.site, j.wall_s, j.cpu_s, j.cpus
), changed AS (
    UPDATE submissions_job j SET
        state_code = w.state_code, starts = w.starts, event_at = w.event_at,
        state_since = CASE WHEN w.state_code = w.old_state THEN j.state_since ELSE w.event_at END,
        started_at = least(j.started_at, w.first_start), ended_at = w.end_at,
        index = coalesce(w.index, j.index), exit_code = coalesce(w.exit_code, j.exit_code),
        signal = coalesce(w.signal, j.signal), code = coalesce(w.code, j.code), reason = coalesce(w.reason, j.reason),
        node = coalesce(w.node, j.node), site = coalesce(w.site, j.site),
        slot_type = coalesce(w.slot_type, j.slot_type),
        memory_mb = greatest(j.memory_mb, w.most_memory), cpu_s = coalesce(w.cpu_s, j.cpu_s),
        wall_s = coalesce(w.wall_s, j.wall_s), cpus = coalesce(w.cpus, j.cpus)
    FROM winner w WHERE j.id = w.job_id
    RETURNING j.id, j.external_id, j.state_code, j.ended_at, j.site, j.wall_s, j.cpu_s, j.cpus
), jobs AS (
    SELECT * FROM fresh UNION ALL SELECT * FROM changed
), written AS (
    INSERT INTO core_transition (kind, thing_id, experiment_id, source, target, verb, at, actor, reason)
    SELECT 'job', jobs.id, o.experiment_id, coalesce(({_WORDS})[o.source_state + 1], ''),
           ({_WORDS})[o.state_code + 1], 'observe', o.event_at, o.source,
           coalesce(nullif(concat_ws(', ', coalesce(nullif(o.reason, ''), nullif(concat_ws(', ', nullif(o.code, ''),
                    'exit code ' || o.exit_code, 'signal ' || o.signal), '')), 'on ' || nullif(o.node, '')), ''),
                    'reported so')
    FROM ordered o JOIN jobs USING (external_id)
    WHERE o.source_state IS DISTINCT FROM o.state_code
    ORDER BY o.external_id, o.starts, o.ended, o.event_at, o.state_code
), delta AS (
    SELECT submission_id, state_code, sum(n) AS n FROM (
        SELECT submission_id, state_code, 1 AS n FROM winner
        UNION ALL SELECT submission_id, old_state, -1 FROM winner WHERE old_state IS NOT NULL
    ) d GROUP BY submission_id, state_code HAVING sum(n) <> 0
), counted AS (
    INSERT INTO submissions_jobcount AS c (submission_id, state_code, n)
    SELECT submission_id, state_code, n FROM delta ORDER BY submission_id, state_code
    ON CONFLICT (submission_id, state_code) DO UPDATE SET n = c.n + excluded.n
), ends AS (
    SELECT w.experiment_id, w.stage_id, d.sign, d.state_code, (d.ended_at AT TIME ZONE 'UTC')::date AS day, d.site,
           coalesce(d.wall_s, 0) AS wall_s, coalesce(d.cpu_s, 0) AS cpu_s, coalesce(d.cpus, 1) AS cpus
    FROM (SELECT 1 AS sign, external_id, state_code, ended_at, site, wall_s, cpu_s, cpus FROM jobs
          UNION ALL SELECT -1, external_id, state_code, ended_at, site, wall_s, cpu_s, cpus FROM before) d
    JOIN winner w USING (external_id) WHERE d.ended_at IS NOT NULL
), tallied AS (
    INSERT INTO submissions_jobtally AS t (experiment_id, stage_id, day, site, state_code, n, wall_s, core_s, cpu_s)
    SELECT experiment_id, stage_id, day, site, state_code, sum(sign), sum(sign * wall_s), sum(sign * wall_s * cpus),
           sum(sign * cpu_s)
    FROM ends GROUP BY experiment_id, stage_id, day, site, state_code ORDER BY stage_id, day, site, state_code
    ON CONFLICT (stage_id, day, site, state_code) DO UPDATE SET
        n = t.n + excluded.n, wall_s = t.wall_s + excluded.wall_s, core_s = t.core_s + excluded.core_s,
        cpu_s = t.cpu_s + excluded.cpu_s
)
SELECT (SELECT count(*) FROM winner),
       ARRAY(SELECT DISTINCT submission_id FROM winner
             WHERE end_at IS NOT NULL OR state_code IN ({_STARTED}) AND old_state IS DISTINCT FROM state_code)
"""  # noqa: S608 - constants of this module only

# Due to be settled are submissions of which the first job has begun or the last one ended; between the two there is
# nothing to do. The rows are taken in a fixed order.
TOUCH = f"""
UPDATE submissions_submission SET look_at = clock_timestamp() WHERE id IN (
    SELECT s.id FROM submissions_submission s CROSS JOIN LATERAL (
        SELECT sum(n) AS jobs, sum(n) FILTER (WHERE state_code IN ({_ENDED}, {_LOST})) AS ended,
               sum(n) FILTER (WHERE state_code = {JOB_RANK["idle"]}) AS idle
        FROM submissions_jobcount c WHERE c.submission_id = s.id) k
    WHERE s.id = ANY(%s) AND CASE s.state
        WHEN 'submitted' THEN k.jobs > coalesce(k.idle, 0)
        WHEN 'running' THEN k.ended = k.jobs AND k.jobs >= cardinality(s.job_ids)
        ELSE s.state = 'jobs_completed' END
    ORDER BY s.id FOR NO KEY UPDATE OF s)
"""  # noqa: S608 - constants of this module only


def merge(system_id: int, seen: Iterable[JobSeen], inbox: Sequence[Any] = (), *, source: str) -> int:
    """Merge what a batch system shows and what lies in the inbox, in the caller's transaction.

    Only one writer at a time may do this for a batch system (the caller holds its lock). Returns how many jobs
    were written. Reports of submissions that we do not know are left out.
    """
    bulk.temporary_table(SEEN, _TYPES)
    # What is no uuid is of no submission of ours.
    rows = [_row(job, source) for job in seen if is_uuid(job.uuid)]
    rows += [_inbox_row(report) for report in inbox]
    if not rows:
        return 0
    bulk.copy_rows(SEEN, COLUMNS, rows)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {SEEN}")
        cursor.execute(MERGE, {"system": system_id})
        written, submissions = cursor.fetchone()
        if submissions:
            cursor.execute(TOUCH, [submissions])
    return int(written)


def is_uuid(text: str) -> bool:
    """Tell whether a tag is a uuid: anybody may write anything into one."""
    return _UUID.fullmatch(text) is not None


def _row(job: JobSeen, source: str) -> tuple[object, ...]:
    return (
        job.id, job.uuid, job.index, JOB_RANK[job.state], job.starts, datetime.fromtimestamp(job.at, UTC).isoformat(),
        job.exit_code, job.signal, job.code[:60] or None, redacted(job.reason) or None, job.node[:100] or None,
        job.site[:100] or None, job.slot_type[:40] or None, job.memory_mb, job.cpu_s, job.wall_s, job.cpus, source,
    )  # fmt: skip


def _inbox_row(report: Any) -> tuple[object, ...]:
    facts = report.facts
    return (
        report.external_id, report.uuid, facts.get("index"), report.state_code, report.starts,
        report.event_at.isoformat(), facts.get("exit_code"), facts.get("signal"), facts.get("code"),
        facts.get("reason"), facts.get("node"), facts.get("site"), facts.get("slot_type"), facts.get("memory_mb"),
        facts.get("cpu_s"), facts.get("wall_s"), facts.get("cpus"), report.source,
    )  # fmt: skip
