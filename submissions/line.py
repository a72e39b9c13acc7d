"""The line in front of each batch system: what waits, in the order of submissions.fairness, as one SQL statement.

The launcher takes the first as long as there is room; "why is it not running" says the place of the others. Both ask
here, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from core.loops import untroubled
from integrations import registry
from integrations.launcher.base import Place
from submissions.fairness import BOOST, DEFAULT_WEIGHT, depth_of
from submissions.models import Pool
from submissions.states import IN_BATCH_SYSTEM, JOB_ENDED, JOB_RANK

# Jobs that neither have a slot nor want one count for nobody.
_GONE = [JOB_RANK[state] for state in (*JOB_ENDED, "held")]

FARTHEST = 500

_THERE = f"""
SELECT s.system, s.experiment_id, sum(greatest(s.n_jobs - coalesce(k.gone, 0), 0))::bigint AS jobs,
       sum(greatest(s.n_jobs - coalesce(k.left_queue, 0), 0))::bigint AS idle
FROM submissions_submission s LEFT JOIN LATERAL (
    SELECT sum(c.n) FILTER (WHERE c.state_code = ANY(%(gone)s)) AS gone,
           sum(c.n) FILTER (WHERE c.state_code <> %(idle)s) AS left_queue
    FROM submissions_jobcount c WHERE c.submission_id = s.id) k ON true
WHERE s.state IN {IN_BATCH_SYSTEM} GROUP BY 1, 2
"""  # noqa: S608 - constant words


_HOLDS = (
    "NOT EXISTS (SELECT 1 FROM submissions_hold h WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > now())"
)
# No standing hold covers campaign `c`; none covers batch `b` of it.
_FREE_CAMPAIGN = f"""{_HOLDS} AND (h.scope = 'everything'
    OR h.scope = 'experiment' AND h.experiment_id = c.experiment_id
    OR h.scope = 'campaign' AND h.campaign_id = c.id))"""
_FREE_BATCH = f"""{_HOLDS} AND (h.scope = 'stage' AND h.stage_id = b.stage_id
    OR h.scope = 'batch' AND h.batch_id = b.id))"""

_STANDING = "SELECT campaign_id FROM submissions_boost WHERE ended_at IS NULL AND until > statement_timestamp()"

# At none of the places that are to be left alone; the local launcher has but one place.
_ELSEWHERE = """NOT EXISTS (SELECT 1 FROM unnest(%(not_by)s::text[], %(not_of)s::bigint[], %(not_on)s::text[],
    %(not_as)s::text[]) AS n(launcher, experiment_id, host, account)
    WHERE n.launcher = s.launcher AND (n.launcher = 'local'
        OR n.experiment_id = s.experiment_id AND n.host = s.host AND n.account = s.account))"""

_LINE = f"""
WITH room AS (
    SELECT * FROM unnest(%(systems)s::text[], %(rooms)s::bigint[]) AS r(system, jobs)
), there AS MATERIALIZED (
    SELECT * FROM unnest(%(there_systems)s::text[], %(there_experiments)s::bigint[], %(there_jobs)s::bigint[])
        AS t(system, experiment_id, jobs)
), waiting AS (
    SELECT s.*, c.id AS campaign_id,
           c.rank + CASE WHEN o.campaign_id IS NULL THEN 0 ELSE %(boost)s END
           + %(ageing)s * extract(epoch FROM statement_timestamp() - s.created_at)::float8 / 3600 AS points
    FROM campaigns_campaign c
    LEFT JOIN ({_STANDING}) o ON o.campaign_id = c.id
    CROSS JOIN LATERAL (
        SELECT s.id, s.experiment_id, s.system, s.n_jobs, s.created_at, s.launcher, s.host, s.account
        FROM submissions_submission s
        JOIN submissions_batch b ON b.id = s.batch_id
        WHERE s.campaign_id = c.id AND s.state = 'pending' AND s.system = ANY(%(systems)s)
          AND s.look_at <= clock_timestamp() AND {_ELSEWHERE}
          AND {_FREE_BATCH} AND {untroubled("launch", "submission").format(id="s.id")}
        ORDER BY s.created_at, s.id LIMIT %(most)s) s
    WHERE c.state = 'running' AND {_FREE_CAMPAIGN}
), turns AS (
    SELECT w.*, (coalesce(t.jobs, 0) + coalesce(sum(w.n_jobs) OVER (
                    PARTITION BY w.system, w.experiment_id ORDER BY w.points DESC, w.id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))::float8
                / coalesce(h.weight, {DEFAULT_WEIGHT}) AS turn
    FROM waiting w
    LEFT JOIN there t ON t.system = w.system AND t.experiment_id = w.experiment_id
    LEFT JOIN submissions_share h ON h.experiment_id = w.experiment_id
), line AS (
    SELECT *, row_number() OVER whole AS place,
           coalesce(sum(n_jobs) OVER (whole ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS ahead
    FROM turns WINDOW whole AS (PARTITION BY system ORDER BY turn, experiment_id, points DESC, id)
)
SELECT l.id, l.campaign_id, l.system, l.place, l.n_jobs, l.ahead, r.jobs IS NULL OR l.ahead < r.jobs,
       l.launcher, l.experiment_id, l.host, l.account
FROM line l JOIN room r ON r.system = l.system
"""  # noqa: S608 - constant conditions


@dataclass(frozen=True)
class InLine:
    """A submission in line: its place (1 is next), and how many jobs go before it."""

    submission: int
    campaign: int
    system: str
    place: int
    jobs: int
    ahead: int
    admitted: bool
    at: Place


@dataclass(frozen=True)
class There:
    """What is in a batch system by our own count: jobs of an experiment that run or are idle, and the idle ones."""

    system: str
    experiment: int
    jobs: int
    idle: int


def there() -> list[There]:
    """Return what is in the batch systems, those being launched included."""
    with connection.cursor() as cursor:
        cursor.execute(_THERE, {"gone": _GONE, "idle": JOB_RANK["idle"]})
        return [There(*row) for row in cursor.fetchall()]


def slots() -> dict[str, int]:
    """Return how many slots each batch system has, as far as it has said."""
    return dict(Pool.objects.values_list("system__name", "slots"))


def rooms(present: Iterable[There]) -> dict[str, int | None]:
    """Return how many more jobs may be put into each batch system now; None: as many as there are."""
    known = slots()
    found: dict[str, int | None] = {}
    for system in registry.batch_systems():
        depth = depth_of(settings.QUEUE_DEPTH, known.get(system, 0))
        idle = sum(row.idle for row in present if row.system == system)
        found[system] = None if depth is None else max(0, depth - idle)
    return found


def next_in_line(limit: int, without: Sequence[Place] = ()) -> list[InLine]:
    """Return what may be launched now, the first first, at most so many; systems take turns."""
    present = there()
    open_systems = {system: room for system, room in rooms(present).items() if room is None or room > 0}
    if not open_systems:
        return []
    more = " WHERE r.jobs IS NULL OR l.ahead < r.jobs ORDER BY l.place, l.system LIMIT %(limit)s"
    return _ask(more, present, open_systems, without, most=limit, limit=limit)


def in_line(campaign_ids: Iterable[int] | None = None) -> list[InLine]:
    """Return the first waiting submission of each campaign in each line (of those named, or of all), in order.

    Of each campaign so many are looked at as the launcher or a person wants to know of: a place up to FARTHEST is
    exact, and what has one beyond stands at least there, for all that was left out comes after FARTHEST others.
    """
    present = there()
    which = "WHERE l.campaign_id = ANY(%(campaigns)s)" if campaign_ids is not None else ""
    more = f" {which} ORDER BY l.system, l.place"
    found = _ask(more, present, rooms(present), most=FARTHEST, campaigns=list(campaign_ids or []))
    first: dict[tuple[int, str], InLine] = {}
    for row in found:
        first.setdefault((row.campaign, row.system), row)
    return list(first.values())


def _ask(
    more: str, present: list[There], open_systems: dict[str, int | None], without: Sequence[Place] = (), **also: Any
) -> list[InLine]:  # fmt: skip
    asked = {
        "systems": list(open_systems), "rooms": list(open_systems.values()), "boost": BOOST,
        "ageing": settings.QUEUE_AGEING, "there_systems": [row.system for row in present],
        "there_experiments": [row.experiment for row in present], "there_jobs": [row.jobs for row in present],
        "not_by": [place.launcher for place in without], "not_of": [place.experiment_id for place in without],
        "not_on": [place.host for place in without], "not_as": [place.account for place in without], **also,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_LINE + more, asked)
        return [_in_line(row) for row in cursor.fetchall()]


def _in_line(row: Sequence[Any]) -> InLine:
    submission, campaign, system, place, jobs, ahead, admitted, *at = row
    return InLine(submission, campaign, system, place, jobs, ahead, admitted, Place.of(*at))
