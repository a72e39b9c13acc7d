"""Of what jobs died in a period: the failures of the atlas that took most jobs, from its sightings by day.

What has not been recognised yet is not among them: its logs are read within minutes, and a day's report comes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connection

from poms_site.overview.periods import Period

MOST = 10

_TOP = """
SELECT g.title, g.cause, sum(s.jobs), sum(s.core_s) / 3600, min(s.day), max(s.day),
       array_agg(DISTINCT e.name || '/f' || f.id ORDER BY e.name || '/f' || f.id)
FROM submissions_failure f JOIN submissions_signature g ON g.id = f.signature_id
JOIN experiments_experiment e ON e.id = f.experiment_id
JOIN submissions_sighting s ON s.failure_id = f.id AND s.day >= %(begin)s AND s.day < %(end)s AND s.jobs > 0
WHERE f.experiment_id = ANY(%(experiments)s) AND f.last_at >= %(since)s
GROUP BY g.id ORDER BY 3 DESC, 1 LIMIT %(most)s
"""


@dataclass(frozen=True)
class TopFailure:
    """One failure in a period: what it is called, its cause, how often, what it cost, and where its pages are."""

    title: str
    cause: str
    jobs: int
    core_hours: float
    first: date
    last: date
    refs: list[str]  # of each experiment that has it


def top_failures(experiments: Sequence[int], period: Period, most: int = MOST) -> list[TopFailure]:
    """Return the failures of some experiments (their keys) that took most jobs in a period, the most frequent first."""
    asked: dict[str, Any] = {
        "experiments": list(experiments), "begin": period.begin, "end": period.end, "since": period.since, "most": most,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_TOP, asked)
        return [TopFailure(*row) for row in cursor.fetchall()]
