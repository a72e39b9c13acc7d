"""How soon what a schedule found was done: the counts by which its objective is judged, from the input ledger."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from campaigns.keepup import Objective, Standing
from campaigns.keepup.objective import AGEING, WINDOW
from campaigns.models import Schedule

COUNTS = """
WITH facts AS (
    SELECT u.arrived_at, r.at AS done_at, extract(epoch FROM coalesce(r.at, %(now)s) - u.arrived_at) AS took
    FROM submissions_unit u
    LEFT JOIN submissions_acceptance a ON a.unit_id = u.id
    LEFT JOIN submissions_result r ON r.id = a.result_id
    WHERE u.stage_id = %(stage)s AND u.arrived_at >= %(from)s
)
SELECT count(*) FILTER (WHERE done_at IS NOT NULL AND took <= %(limit)s),
       count(*) FILTER (WHERE took > %(limit)s),
       count(*) FILTER (WHERE done_at IS NULL AND took > %(ageing)s AND took <= %(limit)s),
       count(*) FILTER (WHERE done_at IS NULL AND took <= %(ageing)s),
       min(arrived_at) FILTER (WHERE done_at IS NULL)
FROM facts
"""


def standing_of(schedule: Schedule, objective: Objective, now: datetime, window: timedelta = WINDOW) -> Standing:
    """Return how the objective of a schedule stands: as keepup.standing would over all facts, in one statement."""
    limit = objective.limit.total_seconds()
    with connection.cursor() as cursor:
        cursor.execute(
            COUNTS,
            {"stage": schedule.stage_id, "now": now, "from": now - window - objective.limit, "limit": limit,
             "ageing": AGEING * limit},
        )  # fmt: skip
        return Standing(*cursor.fetchone())


def backlog_of(schedule: Schedule) -> int:
    """Return how many of the inputs that the schedule found have no output yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(units - done), 0) FROM submissions_stageprogress WHERE stage_id = %s",
            [schedule.stage_id],
        )
        return int(cursor.fetchone()[0])
