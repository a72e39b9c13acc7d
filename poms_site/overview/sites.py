"""Where an experiment's jobs ran: by site and by node, over its latest jobs (M4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from experiments.models import Experiment
from submissions.states import JOB_RANK

RECENT = 100_000
MOST_NODES = 50

# The latest jobs by their key: a scan of years of jobs would cost minutes, and old ones say little about a site now.
_BY = """
SELECT {what}, count(*) FILTER (WHERE ended_at IS NULL AND started_at IS NOT NULL AND state_code <> %(held)s),
       count(*) FILTER (WHERE state_code = %(succeeded)s), count(*) FILTER (WHERE state_code = ANY(%(failed)s)),
       count(*), max(coalesce(started_at, event_at)), max(ended_at)
FROM (SELECT * FROM submissions_job WHERE experiment_id = %(experiment)s ORDER BY id DESC LIMIT %(recent)s) j
WHERE {what} <> '' GROUP BY 1 ORDER BY 6 DESC NULLS LAST LIMIT %(most)s
"""


@dataclass(frozen=True)
class PlaceFacts:
    """One site or node: how many jobs run, succeeded and failed there, and when one last began and ended."""

    name: str
    running: int
    succeeded: int
    failed: int
    jobs: int
    last_start: datetime | None
    last_end: datetime | None

    @property
    def failed_share(self) -> int:
        """Return how many of those that ended failed, in percent."""
        ended = self.succeeded + self.failed
        return round(100 * self.failed / ended) if ended else 0


def sites_of(experiment: Experiment) -> list[PlaceFacts]:
    """Return the sites of the experiment's latest jobs, the one used last first."""
    return _places(experiment, "site", 1000)


def nodes_of(experiment: Experiment) -> list[PlaceFacts]:
    """Return the nodes of the experiment's latest jobs, the one used last first."""
    return _places(experiment, "node", MOST_NODES)


def _places(experiment: Experiment, what: str, most: int) -> list[PlaceFacts]:
    asked: dict[str, Any] = {
        "experiment": experiment.pk, "recent": RECENT, "most": most, "held": JOB_RANK["held"],
        "succeeded": JOB_RANK["succeeded"], "failed": [JOB_RANK[state] for state in ("failed", "lost")],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_BY.format(what=what), asked)
        return [PlaceFacts(*row) for row in cursor.fetchall()]
