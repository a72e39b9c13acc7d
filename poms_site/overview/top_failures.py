"""Of what jobs died in a span of time: grouped by how they ended, the most frequent first.

Groups are by the batch system's code, signal and exit code. Whoever knows better what a failure is (a signature of its
log) changes this function, and reports and the shift page follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from poms_site.overview.words import ending
from submissions.states import JOB_RANK, JOB_STATES

MOST = 10
# Of the latest ended jobs, so many are looked at: a span of years costs no more than one of days.
LOOKED_AT = 100_000

_TOP = """
SELECT state_code, code, signal, exit_code, count(*), count(DISTINCT submission_id), min(ended_at), max(ended_at),
       sum(coalesce(wall_s, 0) * coalesce(cpus, 1)) / 3600
FROM (SELECT * FROM submissions_job WHERE ended_at >= %(since)s AND ended_at < %(until)s
      ORDER BY ended_at DESC LIMIT %(looked_at)s) j
WHERE experiment_id = ANY(%(experiments)s) AND state_code = ANY(%(failed)s)
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4 LIMIT %(most)s
"""


@dataclass(frozen=True)
class Failure:
    """One way in which jobs failed: what it is called, how often, and what it cost."""

    title: str
    state: str
    code: str
    jobs: int
    submissions: int
    first: datetime
    last: datetime
    core_hours: float


def top_failures(experiments: Sequence[int], since: datetime, until: datetime, most: int = MOST) -> list[Failure]:
    """Return how jobs of some experiments (their keys) failed in a span, the most frequent way first."""
    asked = {
        "experiments": list(experiments), "since": since, "until": until, "looked_at": LOOKED_AT, "most": most,
        "failed": [JOB_RANK["failed"], JOB_RANK["lost"]],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_TOP, asked)
        return [
            Failure(ending(JOB_STATES[state], code, exit_code, signal), JOB_STATES[state], code, *rest)
            for state, code, signal, exit_code, *rest in cursor.fetchall()
        ]
