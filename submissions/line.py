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
from integrations.models import LaunchHost
from submissions.equipment import STOPPING
from submissions.fairness import BOOST, DEFAULT_WEIGHT, depth_of
from submissions.models import Limit, Pool
from submissions.states import IN_BATCH_SYSTEM, JOB_ENDED, JOB_RANK

# Jobs that neither have a slot nor want one count for nobody.
_GONE = [JOB_RANK[state] for state in (*JOB_ENDED, "held")]

FARTHEST = 500
CANARY = "rule:canary"
CLAIMS = "launch.claim"  # the lock of who claims for launches: one at a time, and nobody while all is being stopped

_THERE = f"""
SELECT s.system, s.experiment_id, sum(greatest(s.n_jobs - coalesce(k.gone, 0), 0))::bigint AS jobs,
       sum(greatest(s.n_jobs - coalesce(k.left_queue, 0), 0))::bigint AS idle
FROM submissions_submission s LEFT JOIN LATERAL (
    SELECT sum(c.n) FILTER (WHERE c.state_code = ANY(%(gone)s)) AS gone,
           sum(c.n) FILTER (WHERE c.state_code <> %(idle)s) AS left_queue
    FROM submissions_jobcount c WHERE c.submission_id = s.id) k ON true
WHERE s.state IN {IN_BATCH_SYSTEM} GROUP BY 1, 2
"""  # noqa: S608 - constant words


# --- Gates: each is a statement on submission `s` of batch `b` of stage version `v` and campaign `c` that returns the
# keys of what closes it, nothing while it is open. The launcher takes what none returns anything for; "why" shows them.

_OF_SERVICE = """h.scope = 'service' AND EXISTS (SELECT FROM integrations_service w WHERE w.id = h.service_id
    AND (w.experiment_id IS NULL OR w.experiment_id = c.experiment_id) AND {which})"""
_CATALOGUE = """coalesce(nullif(v.catalogue, ''), (SELECT k.name FROM integrations_cataloguelink k
    WHERE k.experiment_id = s.experiment_id AND k.active AND k.is_default LIMIT 1), 'local')"""
# What a hold of each scope covers: a whole campaign, or single submissions of it.
COVERS_CAMPAIGN = {
    "everything": "h.scope = 'everything'",
    "experiment": "h.scope = 'experiment' AND h.experiment_id = c.experiment_id",
    "campaign": "h.scope = 'campaign' AND h.campaign_id = c.id",
    "service": _OF_SERVICE.format(which="w.gates = 'everything'"),
}
COVERS_SUBMISSION = {
    # What a failed canary holds is the rest of its stage: the canary itself may be launched again.
    "stage": f"h.scope = 'stage' AND h.stage_id = b.stage_id AND (h.actor <> '{CANARY}' OR b.number > v.canary)",
    "batch": "h.scope = 'batch' AND h.batch_id = b.id",
    "service": _OF_SERVICE.format(
        which=f"""(w.gates = 'batch' AND w.gated IN ('', s.system)
        OR w.gates = 'host' AND (w.gated IN ('', s.launcher) OR s.host <> '' AND w.gated = s.host)
        OR w.gates = 'catalogue' AND (w.gated = '' OR w.gated = {_CATALOGUE}))"""
    ),
}


def _holds(covers: dict[str, str]) -> str:
    which = " OR ".join(f"({condition})" for condition in covers.values())
    return (
        f"SELECT h.id FROM submissions_hold h WHERE h.released_at IS NULL"  # noqa: S608 - constant conditions
        f" AND (h.until IS NULL OR h.until > statement_timestamp()) AND ({which})"
    )


# The launch hosts that a submission may mean; where no account is named, the only one of that name.
_HOST = """x.experiment_id = s.experiment_id AND x.name = s.host AND x.active
    AND (s.account = '' OR x.account = s.account)"""
_COVERED = f"""(f.experiment_id IS NULL OR f.experiment_id = s.experiment_id) AND (f.system = '' OR f.system = s.system)
    AND (f.host_id IS NULL OR s.launcher = 'ssh' AND EXISTS (
        SELECT FROM integrations_launchhost x WHERE x.id = f.host_id AND {_HOST}))"""

CAMPAIGN_GATES = {
    "campaign": "SELECT c.id WHERE c.state <> 'running'",
    "hold": _holds(COVERS_CAMPAIGN),
}
SUBMISSION_GATES = {
    "hold": _holds(COVERS_SUBMISSION),
    "system": "SELECT s.id WHERE NOT s.system = ANY(%(active)s)",
    # Its key is the host's; 0: there is none, or nobody can say which.
    "host": f"""SELECT CASE count(*) WHEN 1 THEN min(x.id) ELSE 0 END FROM integrations_launchhost x
        WHERE s.launcher = 'ssh' AND {_HOST}
        HAVING s.launcher = 'ssh' AND (count(*) <> 1 OR max(x.retry_at) > clock_timestamp())""",  # noqa: S608 - constant
    "credential": STOPPING,
    "later": "SELECT s.id WHERE s.look_at IS NULL OR s.look_at > clock_timestamp()",
    "trouble": f"SELECT s.id WHERE NOT {untroubled('launch', 'submission').format(id='s.id')}",
    # A canary that has not succeeded; one that failed lets the rest go once a person has released its hold.
    "canary": f"""SELECT k.id FROM submissions_batch k WHERE v.canary > 0 AND b.number > v.canary
        AND k.stage_id = b.stage_id AND k.pass_number = b.pass_number AND k.number <= v.canary
        AND k.state <> 'completed' AND NOT (k.state IN ('failed', 'cancelled') AND EXISTS (
            SELECT FROM submissions_hold h WHERE h.stage_id = k.stage_id AND h.scope = 'stage'
            AND h.actor = '{CANARY}' AND h.since >= k.state_since AND h.released_at IS NOT NULL))""",  # noqa: S608 - constant
    # A limit that leaves no room at all: whatever it covers is passed over, so that it stands in nobody's way.
    "limit": f"SELECT f.id FROM limits f WHERE f.room <= 0 AND {_COVERED}",  # noqa: S608 - constant conditions
}


def _open(gates: dict[str, str]) -> str:
    return " AND ".join(f"NOT EXISTS ({gate})" for gate in gates.values())


_STANDING = "SELECT campaign_id FROM submissions_boost WHERE ended_at IS NULL AND until > statement_timestamp()"

# At none of the places that are to be left alone; the local launcher has but one place.
_ELSEWHERE = """NOT EXISTS (SELECT 1 FROM unnest(%(not_by)s::text[], %(not_of)s::bigint[], %(not_on)s::text[],
    %(not_as)s::text[]) AS n(launcher, experiment_id, host, account)
    WHERE n.launcher = s.launcher AND (n.launcher = 'local'
        OR n.experiment_id = s.experiment_id AND n.host = s.host AND n.account = s.account))"""
_LIMITS = """limits AS MATERIALIZED (
    SELECT * FROM unnest(%(limits)s::bigint[], %(limit_experiments)s::bigint[], %(limit_systems)s::text[],
        %(limit_hosts)s::bigint[], %(limit_jobs)s::boolean[], %(limit_rooms)s::bigint[])
        AS f(id, experiment_id, system, host_id, of_jobs, room)
)"""
_LINE = f"""
WITH room AS (
    SELECT * FROM unnest(%(systems)s::text[], %(rooms)s::bigint[]) AS r(system, jobs)
), there AS MATERIALIZED (
    SELECT * FROM unnest(%(there_systems)s::text[], %(there_experiments)s::bigint[], %(there_jobs)s::bigint[])
        AS t(system, experiment_id, jobs)
), {_LIMITS}, waiting AS (
    SELECT s.*, c.id AS campaign_id,
           c.rank + CASE WHEN o.campaign_id IS NULL THEN 0 ELSE %(boost)s END
           + CASE WHEN s.front_at IS NULL THEN 0 ELSE 2 * %(boost)s END
           + %(ageing)s * extract(epoch FROM statement_timestamp() - s.created_at)::float8 / 3600 AS points
    FROM campaigns_campaign c
    LEFT JOIN ({_STANDING}) o ON o.campaign_id = c.id
    CROSS JOIN LATERAL (
        SELECT s.id, s.experiment_id, s.system, s.launcher, s.host, s.account, s.n_jobs, s.created_at, s.front_at
        FROM submissions_submission s
        JOIN submissions_batch b ON b.id = s.batch_id
        JOIN campaigns_stageversion v ON v.id = b.version_id
        WHERE s.campaign_id = c.id AND s.state = 'pending' AND s.system = ANY(%(systems)s)
          AND {_ELSEWHERE} AND {_open(SUBMISSION_GATES)}
        ORDER BY s.front_at, s.created_at, s.id LIMIT %(most)s) s
    WHERE {_open(CAMPAIGN_GATES)}
), pressing AS (
    -- What a limit that leaves some room lets through within its experiment, by the experiment's own order.
    SELECT s.id, f.id AS limit_id, f.room,
           coalesce(sum(CASE WHEN f.of_jobs THEN s.n_jobs ELSE 1 END) OVER (
               PARTITION BY f.id ORDER BY s.points DESC, s.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
           )::bigint AS ahead
    FROM waiting s JOIN limits f ON f.room > 0 AND f.experiment_id IS NOT NULL AND {_COVERED}
), turns AS (
    SELECT w.*, (coalesce(t.jobs, 0) + coalesce(sum(w.n_jobs) OVER (
                    PARTITION BY w.system, w.experiment_id ORDER BY w.points DESC, w.id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))::float8
                / coalesce(h.weight, {DEFAULT_WEIGHT}) AS turn
    FROM waiting w
    LEFT JOIN there t ON t.system = w.system AND t.experiment_id = w.experiment_id
    LEFT JOIN submissions_share h ON h.experiment_id = w.experiment_id
    WHERE NOT EXISTS (SELECT FROM pressing p WHERE p.id = w.id AND p.ahead >= p.room)
), line AS (
    SELECT *, row_number() OVER whole AS place,
           coalesce(sum(n_jobs) OVER (whole ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS ahead
    FROM turns WINDOW whole AS (PARTITION BY system ORDER BY turn, experiment_id, points DESC, id)
), caps AS (
    -- Limits of a whole batch system count in its line, as its depth does.
    SELECT f.system, min(f.room) FILTER (WHERE f.of_jobs) AS jobs, min(f.room) FILTER (WHERE NOT f.of_jobs) AS number
    FROM limits f WHERE f.experiment_id IS NULL GROUP BY 1
)
"""  # noqa: S608 - constant conditions
_PLACES = f"""{_LINE}
SELECT l.id, l.campaign_id, l.system, l.place, l.n_jobs, l.ahead, r.jobs IS NULL OR l.ahead < r.jobs,
       (k.jobs IS NULL OR l.ahead < k.jobs) AND (k.number IS NULL OR l.place <= k.number),
       l.launcher, l.experiment_id, l.host, l.account
FROM line l JOIN room r ON r.system = l.system LEFT JOIN caps k ON k.system = l.system
"""  # noqa: S608 - constant conditions
_ADMITTED = """ WHERE (r.jobs IS NULL OR l.ahead < r.jobs) AND (k.jobs IS NULL OR l.ahead < k.jobs)
    AND (k.number IS NULL OR l.place <= k.number) ORDER BY l.place, l.system LIMIT %(limit)s"""
_PRESSED = f"""{_LINE}
SELECT p.id, p.limit_id, p.ahead FROM pressing p WHERE p.ahead >= p.room AND p.id = ANY(%(submissions)s)
"""  # noqa: S608 - constant conditions
_CLOSED = f"""
WITH {_LIMITS}
SELECT g.gate, g.key, b.stage_id, count(*), min(s.id)
FROM submissions_submission s
JOIN campaigns_campaign c ON c.id = s.campaign_id
JOIN submissions_batch b ON b.id = s.batch_id
JOIN campaigns_stageversion v ON v.id = b.version_id
CROSS JOIN LATERAL ({
    " UNION ALL ".join(
        f"SELECT '{name}' AS gate, q.key FROM ({gate}) AS q(key)"
        for gates in (CAMPAIGN_GATES, SUBMISSION_GATES)
        for name, gate in gates.items()
    )
}) g
WHERE s.state = 'pending' AND {{which}}
GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
"""  # noqa: S608 - constant conditions

_UNDER_WAY = f"""
SELECT s.experiment_id, s.system, s.launcher, s.host, s.account,
       count(*) FILTER (WHERE s.state = 'launching'), count(*) FILTER (WHERE s.state IN {IN_BATCH_SYSTEM}),
       count(*) FILTER (WHERE s.claimed_at > statement_timestamp() - interval '1 minute')
FROM (SELECT id, experiment_id, system, launcher, host, account, state, claimed_at FROM submissions_submission
      WHERE state IN {IN_BATCH_SYSTEM}
      UNION SELECT id, experiment_id, system, launcher, host, account, state, claimed_at FROM submissions_submission
      WHERE claimed_at > statement_timestamp() - interval '1 minute') s
GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - constant words


@dataclass(frozen=True)
class InLine:
    """A submission in line: its place (1 is next), and how many jobs go before it."""

    submission: int
    campaign: int
    system: str
    place: int
    jobs: int
    ahead: int
    has_room: bool  # in the batch system, for one more
    is_within: bool  # the limits of that system
    at: Place

    @property
    def admitted(self) -> bool:
        """Tell whether the launcher takes it now."""
        return self.has_room and self.is_within


@dataclass(frozen=True)
class Room:
    """What a limit leaves: how many more, of jobs or of submissions. The key of a launch host's own is negative."""

    key: int
    experiment: int | None
    system: str
    host: int | None
    of_jobs: bool
    room: int


@dataclass(frozen=True)
class Closed:
    """A gate that is closed for so many submissions of a stage; `key` is of what closes it."""

    gate: str
    key: int
    stage: int
    submissions: int
    first: int


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


def idle_jobs(system: str, experiment: int | None) -> int:
    """Return how many jobs are idle in a batch system by our own count, of one experiment or of all (P3)."""
    return sum(row.idle for row in there() if row.system == system and experiment in (None, row.experiment))


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


def limits(present: Iterable[There]) -> list[Room]:
    """Return what is left of each limit that stands, and of the scripts that each launch host runs at once."""
    rows = list(Limit.objects.filter(ended_at=None))
    hosts = list(LaunchHost.objects.filter(active=True).only("experiment_id", "name", "account", "most_at_once"))
    if not rows and not hosts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_UNDER_WAY)
        under_way = cursor.fetchall()
    by_key = {host.pk: host for host in hosts}
    jobs = list(present)

    def used(kind: str, experiment: int | None, system: str, host_key: int | None) -> int:
        if kind in ("jobs", "idle"):
            own = (r for r in jobs if experiment in (None, r.experiment) and system in ("", r.system))
            return sum(row.jobs if kind == "jobs" else row.idle for row in own)
        host, column = by_key.get(host_key or 0), {"scripts": 5, "submissions": 6, "launches": 7}[kind]
        return sum(
            row[column] for row in under_way
            if experiment in (None, row[0]) and system in ("", row[1])
            and (host_key is None or (host is not None and row[2] == "ssh" and row[0] == host.experiment_id
                                      and row[3] == host.name and row[4] in ("", host.account)))
        )  # fmt: skip

    found = [
        Room(row.pk, row.experiment_id, row.system, row.host_id, row.kind in ("jobs", "idle"),
             row.most - used(row.kind, row.experiment_id, row.system, row.host_id))
        for row in rows
    ]  # fmt: skip
    return found + [
        Room(-host.pk, host.experiment_id, "", host.pk, False,
             host.most_at_once - used("scripts", host.experiment_id, "", host.pk))
        for host in hosts
    ]  # fmt: skip


def next_in_line(limit: int, without: Sequence[Place] = ()) -> list[InLine]:
    """Return what may be launched now, the first first, at most so many; systems take turns."""
    present = there()
    open_systems = {system: room for system, room in rooms(present).items() if room is None or room > 0}
    if not open_systems:
        return []
    return _places(_ADMITTED, present, open_systems, without, most=limit, limit=limit)


def in_line(campaign_ids: Iterable[int] | None = None) -> list[InLine]:
    """Return the first waiting submission of each campaign in each line (of those named, or of all), in order.

    Of each campaign so many are looked at as the launcher or a person wants to know of: a place up to FARTHEST is
    exact, and what has one beyond stands at least there, for all that was left out comes after FARTHEST others.
    """
    present = there()
    which = "WHERE l.campaign_id = ANY(%(campaigns)s)" if campaign_ids is not None else ""
    more = f" {which} ORDER BY l.system, l.place"
    found = _places(more, present, rooms(present), most=FARTHEST, campaigns=list(campaign_ids or []))
    first: dict[tuple[int, str], InLine] = {}
    for row in found:
        first.setdefault((row.campaign, row.system), row)
    return list(first.values())


def place_of(submission_id: int) -> tuple[InLine | None, list[tuple[int, int]]]:
    """Return the place in line of a submission that no gate holds, and the limits (key, how many go before it) that
    keep it out of the line; with neither, it stands behind FARTHEST others of its campaign."""
    present = there()
    found = _places(" WHERE l.id = %(id)s", present, rooms(present), most=FARTHEST, id=submission_id)
    if found:
        return found[0], []
    asked = _asked(present, rooms(present), ()) | {"most": FARTHEST, "submissions": [submission_id]}
    with connection.cursor() as cursor:
        cursor.execute(_PRESSED, asked)
        return None, [(key, ahead) for _, key, ahead in cursor.fetchall()]


def closed(*, campaign: int | None = None, submission: int | None = None) -> list[Closed]:
    """Return the gates that are closed for what waits of a campaign, or for one submission."""
    which = "s.id = %(id)s" if submission is not None else "s.campaign_id = %(id)s"
    asked = _of_limits(limits(there())) | {"active": list(registry.batch_systems()), "id": submission or campaign}
    with connection.cursor() as cursor:
        cursor.execute(_CLOSED.format(which=which), asked)
        return [Closed(*row) for row in cursor.fetchall()]


def _of_limits(found: list[Room]) -> dict[str, Any]:
    return {
        "limits": [row.key for row in found], "limit_experiments": [row.experiment for row in found],
        "limit_systems": [row.system for row in found], "limit_hosts": [row.host for row in found],
        "limit_jobs": [row.of_jobs for row in found], "limit_rooms": [row.room for row in found],
    }  # fmt: skip


def _asked(present: list[There], open_systems: dict[str, int | None], without: Sequence[Place]) -> dict[str, Any]:
    return {
        "systems": list(open_systems), "rooms": list(open_systems.values()), "boost": BOOST,
        "active": list(open_systems), "ageing": settings.QUEUE_AGEING,
        "there_systems": [row.system for row in present],
        "there_experiments": [row.experiment for row in present], "there_jobs": [row.jobs for row in present],
        "not_by": [place.launcher for place in without], "not_of": [place.experiment_id for place in without],
        "not_on": [place.host for place in without], "not_as": [place.account for place in without],
        **_of_limits(limits(present)),
    }  # fmt: skip


def _places(
    more: str, present: list[There], open_systems: dict[str, int | None], without: Sequence[Place] = (), **also: Any
) -> list[InLine]:  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_PLACES + more, _asked(present, open_systems, without) | also)
        return [_in_line(row) for row in cursor.fetchall()]


def _in_line(row: Sequence[Any]) -> InLine:
    submission, campaign, system, place, jobs, ahead, has_room, is_within, *at = row
    return InLine(submission, campaign, system, place, jobs, ahead, has_room, is_within, Place.of(*at))
