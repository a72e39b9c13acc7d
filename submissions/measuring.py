"""What jobs that succeeded took: seconds, memory and bytes for an input, by stage, work or job type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from submissions.states import JOB_RANK

LATEST = 40  # submissions of each group: what is measured today counts, not years ago


@dataclass(frozen=True)
class Measure:
    """Sums over the jobs of one group; seconds, bytes and outputs are for one input."""

    jobs: int
    failed: int
    seconds: float | None
    spread: float
    memory_mb: float | None
    bytes: float | None
    outputs: float | None


# A group is given by a column of the stage's version. Of each, only the latest submissions are looked at.
_MEASURED = """
WITH groups AS (
    SELECT v.id AS version_id, {key}::text AS name FROM campaigns_stageversion v
    JOIN campaigns_revision r ON r.id = v.revision_id JOIN campaigns_campaign c ON c.id = r.campaign_id
    JOIN campaigns_stage st ON st.id = v.stage_id
    WHERE {where}
), latest AS (
    SELECT n.name, l.id FROM (SELECT DISTINCT name FROM groups) n CROSS JOIN LATERAL (
        SELECT s.id FROM groups g JOIN submissions_batch b ON b.version_id = g.version_id
        JOIN submissions_submission s ON s.batch_id = b.id WHERE g.name = n.name
        ORDER BY s.id DESC LIMIT {latest}) l
), jobs AS (
    SELECT l.name, j.state_code = %(succeeded)s AS good, j.wall_s, j.memory_mb, u.inputs, o.bytes, o.outputs
    FROM latest l JOIN submissions_job j ON j.submission_id = l.id AND j.ended_at IS NOT NULL
    CROSS JOIN LATERAL (SELECT count(*) AS inputs FROM submissions_submissionunit su
                         WHERE su.submission_id = j.submission_id AND su.job_index = j.index) u
    LEFT JOIN LATERAL (SELECT sum(o.size) AS bytes, count(*) AS outputs FROM submissions_result r
                         JOIN submissions_output o ON o.result_id = r.id
                        WHERE r.submission_id = j.submission_id AND r.job = j.external_id) o ON true
)
SELECT name, count(*) FILTER (WHERE good), count(*) FILTER (WHERE NOT good),
       (sum(wall_s) FILTER (WHERE good AND wall_s IS NOT NULL)
        / nullif(sum(inputs) FILTER (WHERE good AND wall_s IS NOT NULL), 0))::float,
       coalesce(stddev_samp(wall_s / nullif(inputs, 0)) FILTER (WHERE good), 0)::float,
       (percentile_cont(0.95) WITHIN GROUP (ORDER BY memory_mb) FILTER (WHERE good))::float,
       (sum(bytes) FILTER (WHERE good) / nullif(sum(inputs) FILTER (WHERE good), 0))::float,
       (sum(outputs) FILTER (WHERE good)::float / nullif(sum(inputs) FILTER (WHERE good), 0))
FROM jobs GROUP BY name
"""


def of_stages(campaign_id: int) -> dict[str, Measure]:
    """Return what the jobs of each stage of a campaign took, by the stage's name."""
    return _measured("st.name", "c.id = %(wanted)s", campaign_id)


def of_work(experiment_id: int, works: Sequence[str]) -> dict[str, Measure]:
    """Return what jobs that do the same work took, by the work's hash; test runs count too."""
    where = "v.work = ANY(%(wanted)s) AND c.experiment_id = %(experiment)s"
    return _measured("v.work", where, list(works), experiment_id)


def of_job_types(experiment_id: int, names: Sequence[str]) -> dict[str, Measure]:
    """Return what the jobs of each job type took."""
    where = "v.job_type = ANY(%(wanted)s) AND c.experiment_id = %(experiment)s"
    return _measured("v.job_type", where, list(names), experiment_id)


def _measured(key: str, where: str, wanted: Any, experiment_id: int | None = None) -> dict[str, Measure]:
    asked = {"wanted": wanted, "experiment": experiment_id, "succeeded": JOB_RANK["succeeded"]}
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED.format(key=key, where=where, latest=LATEST), asked)
        return {name: Measure(*rest) for name, *rest in cursor.fetchall() if rest[0] or rest[1]}
