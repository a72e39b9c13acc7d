"""How far a campaign is, counted by files, events or jobs (M1), and when it will be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection

from campaigns.models import Campaign, Stage
from core.clock import now
from poms_site.overview.forecast import Forecast, expected_units, forecast
from poms_site.overview.run_facts import StageFacts
from submissions import queries
from submissions.models import Result

WAYS = ("files", "events", "jobs")
NAMES = ("done", "running", "failed", "waiting")
LATEST = 200
_JOB_MEANING = {
    "succeeded": "done", "failed": "failed", "lost": "failed", "removed": "failed", "idle": "waiting",
    "held": "waiting", "staging_in": "running", "processing": "running", "staging_out": "running",
    "suspended": "running",
}  # fmt: skip
_EVENTS = """
SELECT CASE WHEN a.unit_id IS NOT NULL THEN 'done'
            WHEN b.state IN ('failed', 'cancelled', 'completed') THEN 'failed'
            WHEN b.state IN ('submitted', 'project_running', 'jobs_completed') THEN 'running'
            ELSE 'waiting' END, coalesce(sum(u.events), 0)::bigint
FROM submissions_unit u LEFT JOIN submissions_batch b ON b.id = u.batch_id
LEFT JOIN submissions_acceptance a ON a.unit_id = u.id
WHERE u.stage_id = ANY(%s) GROUP BY 1
"""


def progress_by(way: str, stages: Sequence[StageFacts], within: Sequence[StageFacts] = ()) -> dict[str, int]:
    """Return done, running, failed, waiting and their sum `units`, in files, events or jobs.

    `within` are all stages of the campaign, where only some are counted: their parents say how much is to come.
    """
    found = dict.fromkeys(NAMES, 0)
    if way == "events":
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, [[stage.version.stage_id for stage in stages]])
            found |= dict(cursor.fetchall())
    elif way == "jobs":
        for stage in stages:
            for state, n in stage.jobs.items():
                found[_JOB_MEANING[state]] += n
    else:
        expected = expected_of(within or stages)
        for stage in stages:
            for name in ("done", "running", "failed"):
                found[name] += stage.progress[name]
        found["waiting"] = max(0, sum(expected[stage.name] for stage in stages) - sum(found.values()))
    return found | {"units": sum(found.values())}


def expected_of(stages: Sequence[StageFacts]) -> dict[str, int]:
    """Return how many inputs each stage will have in the end."""
    units = {stage.name: stage.progress["units"] for stage in stages}
    for stage in stages:
        if stage.version.type == "generator" and not units[stage.name] and stage.version.events:
            per_job = stage.version.events_per_job or stage.version.events
            units[stage.name] = -(-stage.version.events // per_job)
    done = {stage.name: stage.progress["done"] for stage in stages}
    feeds = [(feed.upstream, feed.downstream, feed.files) for stage in stages for feed in stage.feeds]
    return expected_units(units, feeds, done)


def expected_end(campaign: Campaign, files: Mapping[str, int]) -> Forecast | None:
    """Return when the campaign will be done at the rate of its latest results; None while nothing can be said."""
    if campaign.state != "running":
        return None
    latest = Result.objects.filter(submission__batch__stage__campaign=campaign, refused="").order_by("-pk")
    times = list(latest.values_list("at", flat=True)[:LATEST])
    return forecast(times, files["running"] + files["waiting"], now())


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
