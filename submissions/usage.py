"""What the latest jobs of stages used, beside what was asked for them: a bounded sample, whatever the history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection

from submissions.states import JOB_RANK
from submissions.wasting import Used

BATCHES, JOBS = 20, 50  # of each stage the latest so many batches, of each of their submissions so many jobs

_USED = """
SELECT b.stage_id, j.state_code, coalesce(j.wall_s, extract(epoch FROM j.ended_at - j.started_at))::float8, j.cpu_s,
       j.memory_mb, coalesce(j.cpus, 1), j.code, s.memory_mb, s.wall_s
FROM unnest(%(stages)s::bigint[]) AS wanted(id)
CROSS JOIN LATERAL (
    SELECT id, stage_id FROM submissions_batch WHERE stage_id = wanted.id ORDER BY id DESC LIMIT %(batches)s) b
JOIN submissions_submission s ON s.batch_id = b.id
CROSS JOIN LATERAL (
    SELECT * FROM submissions_job WHERE submission_id = s.id AND state_code = ANY(%(codes)s) LIMIT %(jobs)s) j
"""


def used_by(stages: Iterable[int]) -> dict[int, list[Used]]:
    """Return the latest ended jobs of each stage; those that people removed, or that were lost, are left out."""
    succeeded = JOB_RANK["succeeded"]
    asked: dict[str, Any] = {
        "stages": list(stages),
        "batches": BATCHES,
        "jobs": JOBS,
        "codes": [succeeded, JOB_RANK["failed"]],
    }
    found: dict[int, list[Used]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_USED, asked)
        for stage, state, *figures in cursor.fetchall():
            found[stage].append(Used(state == succeeded, *figures))
    return found
