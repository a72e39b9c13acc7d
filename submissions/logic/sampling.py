"""Loop `sample`: write down each minute how many jobs of each experiment are in which state, and thin what is old."""

from __future__ import annotations

from django.db import connection

from submissions.states import IN_BATCH_SYSTEM, JOB_RANK

FINE_DAYS = 2  # a sample of each minute is kept so long,
HOURLY_DAYS = 800  # and that of each full hour so long
_STATES = {
    "idle": ("idle",), "staging": ("staging_in", "staging_out"), "processing": ("processing",),
    "held": ("held", "suspended"),
}  # fmt: skip
_SUMS = ", ".join(
    f"coalesce(sum(c.n) FILTER (WHERE c.state_code IN ({', '.join(str(JOB_RANK[state]) for state in states)})), 0)"
    for states in _STATES.values()
)
# By the counters of what is in a batch system now: it costs what runs, not what has run. Who has no jobs any more gets
# one more sample, which says so.
_SAMPLE = f"""
WITH live AS (
    SELECT s.experiment_id, {_SUMS}
    FROM submissions_submission s JOIN submissions_jobcount c ON c.submission_id = s.id
    WHERE s.state IN ({", ".join(f"'{state}'" for state in IN_BATCH_SYSTEM)}) GROUP BY 1
), named (experiment_id, idle, staging, processing, held) AS (SELECT * FROM live),
at AS (SELECT date_trunc('minute', clock_timestamp()) AS minute), told AS (
    SELECT * FROM named WHERE idle + staging + processing + held > 0
    UNION ALL
    SELECT e.id, 0, 0, 0, 0 FROM experiments_experiment e CROSS JOIN LATERAL (
        SELECT idle + staging + processing + held AS jobs FROM submissions_jobsample p
        WHERE p.experiment_id = e.id ORDER BY p.at DESC LIMIT 1) last
    WHERE last.jobs > 0 AND NOT EXISTS (
        SELECT FROM named n WHERE n.experiment_id = e.id AND n.idle + n.staging + n.processing + n.held > 0)
)
INSERT INTO submissions_jobsample (experiment_id, at, hourly, idle, staging, processing, held)
SELECT experiment_id, minute, extract(minute FROM minute) = 0, idle, staging, processing, held FROM told, at
ON CONFLICT (experiment_id, at) DO NOTHING
"""  # noqa: S608 - constants of this module and of the states
_THIN = """
DELETE FROM submissions_jobsample
WHERE (NOT hourly AND at < clock_timestamp() - %s * interval '1 day')
   OR (hourly AND at < clock_timestamp() - %s * interval '1 day')
"""


def sample_some() -> int:
    """Write a sample of this minute for each experiment that has jobs, or had some last time; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE)
        written = cursor.rowcount
        cursor.execute(_THIN, [FINE_DAYS, HOURLY_DAYS])
    return max(0, written)
