"""The same work on the same inputs elsewhere: by the input ledger for what is planned, by name for what waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from approvals.checks import Same
from approvals.models import Request
from campaigns.models import StageVersion

MOST_PLACES = 8
ALIVE = ("pending_approval", "approved", "running", "succeeded")

# What a batch has, and what waits in slices of a frozen dataset for one.
_PLANNED = """
WITH alike AS MATERIALIZED (
    SELECT DISTINCT v.stage_id FROM campaigns_stageversion v JOIN campaigns_revision r ON r.id = v.revision_id
    JOIN campaigns_campaign o ON o.id = r.campaign_id
    WHERE v.work = %(work)s AND o.experiment_id = %(experiment)s AND NOT o.test AND o.id <> %(own)s
), planned AS (
    SELECT u.stage_id, a.unit_id IS NOT NULL AS done FROM submissions_unit u
    LEFT JOIN submissions_acceptance a ON a.unit_id = u.id
    WHERE u.key = ANY(%(keys)s) AND u.stage_id IN (SELECT stage_id FROM alike)
    UNION ALL
    SELECT p.stage_id, false FROM submissions_slice s JOIN submissions_snapshot p ON p.id = s.snapshot_id
    CROSS JOIN LATERAL unnest(string_to_array(s.inputs, E'\\n')) AS line
    WHERE s.taken_at IS NULL AND p.stage_id IN (SELECT stage_id FROM alike)
      AND split_part(line, E'\\t', 1) = ANY(%(keys)s)
)
SELECT c.id, c.state, count(*) FROM planned p
JOIN campaigns_stage st ON st.id = p.stage_id JOIN campaigns_campaign c ON c.id = st.campaign_id
WHERE p.done OR c.state IN ('approved', 'running')
GROUP BY c.id, c.state ORDER BY count(*) DESC, c.id LIMIT %(limit)s
"""


def of_files(experiment_id: int, own: int | None, stage: str, work: str, names: Sequence[str]) -> list[Same]:
    """Return the campaigns whose ledger has some of these files as inputs of the same work."""
    asked: dict[str, Any] = {
        "keys": [f"file:{name}" for name in names], "work": work, "experiment": experiment_id, "own": own or 0,
        "limit": MOST_PLACES,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_PLANNED, asked)
        rows = cursor.fetchall()
    refs = references(key for key, *_ in rows)
    return [Same(refs[key], stage, shared, len(names), state) for key, state, shared in rows]


def waiting_versions(experiment_id: int, own: int | None, work: str) -> list[StageVersion]:
    """Return the stages of campaigns that wait, and so have no ledger yet, which would do the same work."""
    rows = StageVersion.objects.filter(
        work=work, revision__campaign__experiment_id=experiment_id, revision__campaign__test=False,
        revision__campaign__state="pending_approval", revision__state="proposed",
    )  # fmt: skip
    return list(
        rows.exclude(revision__campaign_id=own or 0).select_related("revision__campaign__experiment")[:MOST_PLACES]
    )


def of_events(experiment_id: int, own: int | None, stage: str, work: str, events: int) -> list[Same]:
    """Return the campaigns that generate, or would, some of the same events: same generator, seed and step."""
    rows = StageVersion.objects.filter(
        work=work, revision__campaign__experiment_id=experiment_id, revision__campaign__test=False,
        revision__campaign__state__in=ALIVE, revision__state__in=("proposed", "approved"),
    ).exclude(revision__campaign_id=own or 0)  # fmt: skip
    found = {
        row.revision.campaign_id: (row.revision.campaign.state, min(events, row.events))
        for row in rows.select_related("revision__campaign").order_by("pk")[: 10 * MOST_PLACES]
    }
    refs = references(found)
    most = sorted(found.items(), key=lambda entry: (-entry[1][1], entry[0]))[:MOST_PLACES]
    return [Same(refs[key], stage, shared, events, state, "events") for key, (state, shared) in most if shared]


def references(campaigns: Any) -> dict[int, str]:
    """Return how people call these campaigns: by the request that asked for each, or by the campaign itself."""
    keys = list(campaigns)
    asked = Request.objects.filter(campaign__in=keys).select_related("experiment").order_by("-pk")
    refs = {row.campaign_id or 0: row.ref for row in asked}
    names = StageVersion.objects.filter(revision__campaign__in=set(keys) - set(refs))
    rest = names.values_list("revision__campaign_id", "revision__campaign__experiment__name").distinct()
    return refs | {key: f"{name}/c{key}" for key, name in rest}
