"""How far a campaign is (M1), and when it and each of its stages will be done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from campaigns.definition import APPROVAL
from campaigns.models import Campaign, Stage
from core.clock import now
from poms_site.overview.counting import NAMES, Counts
from poms_site.overview.forecast import Forecast, forecast
from poms_site.overview.run_facts import StageFacts
from submissions import queries

LATEST = 50  # settled submissions of a stage that its rate is taken from; that gives it to 14 %
Arrivals = list[tuple[datetime, int]]
_ARRIVALS = """
SELECT g.id, s.ended_at, count(*)
FROM campaigns_stage g
CROSS JOIN LATERAL (
    SELECT s.id, s.ended_at FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id
    WHERE b.stage_id = g.id AND b.pass_number = g.pass_number AND s.ended_at IS NOT NULL
    ORDER BY s.ended_at DESC LIMIT %(latest)s) s
JOIN submissions_result r ON r.submission_id = s.id
JOIN submissions_acceptance a ON a.result_id = r.id
WHERE g.id = ANY(%(stages)s) GROUP BY g.id, s.id, s.ended_at
"""


def expected_ends(
    campaign: Campaign, stages: Sequence[StageFacts], files: Mapping[str, Counts]
) -> tuple[Forecast | None, dict[str, Forecast]]:  # fmt: skip
    """Return when the campaign will be done, and each stage of which that can be said, at the rate of latest results.

    `files` are the counts by files. A stage goes on at the rate of its own last settled submissions (see `forecast`).
    The campaign ends with its last stage. A stage that has given too few results yet is taken to go, together with all
    others, at the rate of all; if that ends later, it counts. Nobody can say while the campaign does not run, while too
    few results have come, and where inputs wait for a person's approval.
    """
    left = {stage.name: _left(files[stage.name]) for stage in stages}
    if campaign.state != "running" or not any(left.values()):
        return None, {}
    waiting = {stage.name for stage in stages if stage.version.type == APPROVAL and left[stage.name]}
    at, came = now(), _arrivals(stages)
    ends = {
        name: found
        for name, number in left.items()
        if name not in waiting and (found := forecast(came[name], number, at)) is not None
    }
    known = list(ends.values())
    if waiting:
        return None, ends
    if any(number and name not in ends for name, number in left.items()):
        pooled = forecast(_pooled(came.values()), sum(left.values()), at)
        if pooled is None:
            return None, ends
        known.append(pooled)
    return max(known, key=lambda entry: entry.end), ends


def _left(counts: Mapping[str, int]) -> int:
    return counts["running"] + counts["recovering"] + counts["waiting"]


def _arrivals(stages: Sequence[StageFacts]) -> dict[str, Arrivals]:
    """Return when the latest submissions of each stage were settled, and with how many results for inputs."""
    names = {stage.version.stage_id: stage.name for stage in stages}
    found: dict[str, Arrivals] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_ARRIVALS, {"stages": list(names), "latest": LATEST})
        for stage_id, at, inputs in cursor.fetchall():
            found[names[stage_id]].append((at, inputs))
    return found


def _pooled(stages: Iterable[Arrivals]) -> Arrivals:
    """Return the arrivals of all stages from the time on since when those of every stage were looked at."""
    stages = list(stages)
    since = max((min(came)[0] for came in stages if len(came) >= LATEST), default=None)
    return [(at, inputs) for came in stages for at, inputs in came if since is None or at >= since]


def progress_of_campaigns(campaigns: Iterable[Campaign]) -> dict[int, dict[str, int]]:
    """Return the progress by files of many campaigns, in as many statements as of one."""
    stages = list(Stage.objects.filter(campaign__in=[campaign.pk for campaign in campaigns]))
    found: dict[int, dict[str, int]] = {}
    by_stage = queries.progress_of(stages)
    for stage in stages:
        entry = found.setdefault(stage.campaign_id, dict.fromkeys((*NAMES, "units"), 0))
        for name in entry:
            entry[name] += by_stage[stage.pk][name]
    return found


def percent(progress: Mapping[str, int]) -> str:
    """Return how much is done in percent, with a digit behind the point below 100."""
    total: Any = progress.get("units", 0)
    if not total:
        return "0"
    share = int(1000 * progress["done"] / total) / 10  # never 100 before all is done
    return f"{share:.0f}" if share in (0, 100) else f"{share:.1f}"
