"""Loop `curb`: a campaign that fails too much to go on pauses itself, with the evidence, once (D2).

What is not its own fault does not count: jobs that people removed, those on nodes and sites that the guard watches or
excludes, those of a batch system that it has stopped, and all that began before its last such hold was released.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from campaigns.models import Campaign
from core import transitions
from core.clock import now
from core.errors import Problem, Refused
from core.loops import careful
from experiments.models import Experiment
from submissions.logic import guarding, holding
from submissions.models import Hold, WasteLimit
from submissions.queries import standing_holds
from submissions.states import JOB_RANK, STANDING
from submissions.wasting import LEAST, SHARE, WINDOW_MIN, Failing

ACTOR = "rule:waste"
MOST_LEAST = 10**6
REMEMBERED = timedelta(days=7)  # no job runs longer, so none that ends now began before an older release

_FAILING = f"""
WITH spared AS MATERIALIZED (
    SELECT campaign_id, max(released_at) AS at FROM submissions_hold
    WHERE scope = 'campaign' AND actor = ANY(%(actors)s) AND released_at > %(remembered)s GROUP BY 1
), places AS MATERIALIZED (
    SELECT system_id, experiment_id, level, name FROM submissions_exclusion
    WHERE state IN {STANDING} AND (level IN ('node', 'site') OR level = 'pool' AND state = 'excluded')
), ended AS (
    SELECT s.campaign_id, j.system_id, j.node, count(*)::float8 AS jobs,
           count(*) FILTER (WHERE j.state_code = ANY(%(failed)s)) AS failures
    FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id
    LEFT JOIN spared h ON h.campaign_id = s.campaign_id
    WHERE j.ended_at > %(begin)s AND (j.state_code = %(succeeded)s OR j.state_code = ANY(%(failed)s))
      AND (h.at IS NULL OR coalesce(j.started_at, j.ended_at) > h.at)
      AND NOT EXISTS (SELECT FROM places p WHERE p.system_id = j.system_id AND p.experiment_id = j.experiment_id
                      AND (p.level = 'pool' OR p.name = CASE p.level WHEN 'node' THEN j.node ELSE j.site END))
    GROUP BY 1, 2, 3
)
SELECT campaign_id, sum(jobs)::bigint, sum(failures)::bigint, count(*), avg(failures / jobs)
FROM ended GROUP BY 1 HAVING sum(failures) > 0
"""  # noqa: S608 - constant words


def curb_some() -> int:
    """Hold the campaigns that fail above their limit; return 0, for nothing is left to be done."""
    found = failing()
    running = Campaign.objects.filter(pk__in=found, state="running").select_related("experiment")
    limits = _limits(list(running))
    for campaign in running:
        share, least = limits[campaign.pk]
        if found[campaign.pk].is_too_much(share, least):
            with careful("curb", "campaign", campaign.pk):
                _pause(campaign, found[campaign.pk], share)
    return 0


def failing() -> dict[int, Failing]:
    """Return by campaign how its jobs ended in the last hour, in one statement by the index of ends."""
    at = now()
    asked: dict[str, Any] = {
        "begin": at - timedelta(minutes=WINDOW_MIN), "succeeded": JOB_RANK["succeeded"], "failed": guarding.FAILED,
        "actors": [ACTOR, guarding.ACTOR], "remembered": at - REMEMBERED,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_FAILING, asked)
        return {campaign: Failing(*figures) for campaign, *figures in cursor.fetchall()}


def _pause(campaign: Campaign, found: Failing, share: int) -> None:
    with transaction.atomic():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if standing_holds().filter(scope="campaign", campaign=campaign).exists():
            return
        reason = (
            f"{found.failures} of the {found.jobs} jobs that ended in the last hour failed, on {found.nodes}"
            f" node{'s' if found.nodes != 1 else ''}: more than {share} %. Look at what fails, mend it, and release"
        )
        holding.hold("campaign", campaign, actor=ACTOR, reason=reason)


# --- Limits -----------------------------------------------------------------------------------------------------------


def limit_of(campaign: Campaign) -> tuple[int, int]:
    """Return from which share in percent, of how many jobs at least, a campaign pauses itself."""
    return _limits([campaign])[campaign.pk]


def set_limit(
    experiment: Experiment, campaign: Campaign | None, share: int, least: int, *, actor: str, reason: str
) -> WasteLimit:
    """Say from which share of failures a campaign pauses itself, or each of an experiment that has no limit itself."""
    problems = [] if reason.strip() else [Problem("reason", "is empty", "say why; it is kept in the history")]
    if not 1 <= share <= 100:
        problems.append(Problem("share", "not between 1 and 100", "percent; 100: it never pauses itself"))
    if not 1 <= least <= MOST_LEAST:
        problems.append(Problem("least", f"not between 1 and {MOST_LEAST}", "jobs that must have ended"))
    if problems:
        raise Refused("Nothing was changed.", problems)
    with transaction.atomic():
        row, _ = WasteLimit.objects.update_or_create(
            experiment=experiment, campaign=campaign, defaults={"share": share, "least": least}
        )
        thing: Any = campaign or experiment
        state = campaign.state if campaign else "active" if experiment.active else "inactive"
        transitions.record(
            [(thing.pk, state)], "campaign" if campaign else "experiment", state, experiment_id=experiment.pk,
            actor=actor, reason=f"pauses above {share} % of {least} jobs: {reason.strip()}", verb="limit_waste",
        )  # fmt: skip
    return row


def _limits(campaigns: list[Campaign]) -> dict[int, tuple[int, int]]:
    rows = WasteLimit.objects.filter(experiment__in={campaign.experiment_id for campaign in campaigns})
    known = {(row.experiment_id, row.campaign_id): (row.share, row.least) for row in rows}
    return {
        campaign.pk: known.get((campaign.experiment_id, campaign.pk))
        or known.get((campaign.experiment_id, None), (SHARE, LEAST))
        for campaign in campaigns
    }


def held_by(campaign: Campaign) -> Hold | None:
    """Return the hold by which a campaign has paused itself, if one stands."""
    return standing_holds().filter(scope="campaign", campaign=campaign, actor=ACTOR).first()
