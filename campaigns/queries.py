"""Questions about campaigns and their definitions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from django.db import connection
from django.db.models import F, QuerySet

from campaigns.definition import document
from campaigns.models import (
    Campaign,
    Defaults,
    EdgeVersion,
    JobType,
    LoginSetup,
    Revision,
    Schedule,
    Stage,
    StageVersion,
)
from core.errors import Problem, Refused
from experiments.models import Experiment

ARCHIVED = ("", "0", "1", "all")
CONDITIONS = ("active", "paused", "ended")


def is_analysis(revision: Revision) -> bool:
    """Tell whether a definition is somebody's analysis, by its canonical text; everything else is production."""
    return re.search(r"^poms_role=analysis$", revision.text, re.MULTILINE) is not None


def job_types(experiment: Experiment) -> list[JobType]:
    """Return the job types that the experiment's definitions may name."""
    return list(JobType.objects.filter(experiment=experiment, active=True))


def login_setups(experiment: Experiment) -> list[LoginSetup]:
    """Return the set-ups that the experiment's definitions may name."""
    return list(LoginSetup.objects.filter(experiment=experiment, active=True))


def defaults_of(experiment: Experiment) -> dict[str, str]:
    """Return the keys that the experiment sets for every stage of its campaigns."""
    row = Defaults.objects.filter(experiment=experiment).first()
    section = document.read(f"[campaign_defaults]\n{row.text}").section("campaign_defaults") if row else None
    return {key: entry.value for key, entry in section.entries.items()} if section else {}


def shelved(rows: QuerySet[Campaign], archived: str) -> QuerySet[Campaign]:
    """Narrow campaigns to those that are not archived, to those that are (`1`), or not at all (`all`)."""
    if archived not in ARCHIVED:
        problem = Problem("archived", f"unknown: {archived[:20]}", ", ".join(ARCHIVED[1:]))
        raise Refused("The list cannot be filtered so.", [problem])
    return rows if archived == "all" else rows.filter(archived_at__isnull=archived in ("", "0"))


def newest(campaign: Campaign) -> Revision | None:
    """Return the revision that was saved last, whatever became of it."""
    return campaign.revisions.select_related("author").order_by("-number").first()


def running_version(stage_id: int) -> StageVersion | None:
    """Return what the campaign's approved revision says about a stage, or None if it has left it out."""
    return (
        StageVersion.objects.select_related("revision__campaign__experiment", "stage")
        .filter(stage_id=stage_id, revision__campaign__revision_id=F("revision_id"))
        .first()
    )


def out_of_step(limit: int) -> tuple[list[int], list[int]]:
    """Return versions whose schedule is to be made or changed, and schedules that nothing that runs has any more.

    A schedule that came to its own end has no next time, and stays as it is; a test run has none.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH wanted AS (
                SELECT v.id, v.stage_id
                FROM campaigns_stageversion v JOIN campaigns_campaign c ON c.revision_id = v.revision_id
                WHERE v.schedule <> '' AND NOT c.test AND c.state IN ('approved', 'running')
            )
            SELECT w.id, NULL
            FROM wanted w LEFT JOIN campaigns_schedule s ON s.stage_id = w.stage_id
            WHERE s.id IS NULL OR s.version_id <> w.id OR (s.ended_at IS NOT NULL AND s.next_at IS NOT NULL)
            UNION ALL
            SELECT NULL, s.id FROM campaigns_schedule s
            WHERE s.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.stage_id = s.stage_id)
            ORDER BY 1, 2 LIMIT %s
            """,
            [limit],
        )
        found = cursor.fetchall()
    return [version for version, _ in found if version], [schedule for _, schedule in found if schedule]


def schedules_that(rows: QuerySet[Schedule], condition: str) -> QuerySet[Schedule]:
    """Narrow schedules to those that are active, paused or ended, as Schedule.condition says."""
    if condition == "ended":
        return rows.filter(ended_at__isnull=False)
    return rows.filter(ended_at=None, paused_at__isnull=condition == "active")


def stage_named(experiment: Experiment, campaign: str, name: str) -> Stage | None:
    """Return the stage of the newest campaign of this name that was filed, for others to be fed by it."""
    rows = Stage.objects.filter(campaign__experiment=experiment, campaign__name=campaign, name=name)
    rows = rows.filter(campaign__test=False).exclude(campaign__state="cancelled")
    return rows.select_related("campaign").order_by("-campaign_id").first()


def campaigns_above(campaign_ids: Iterable[int]) -> set[int]:
    """Return the other campaigns that feed these, by a revision that runs or waits for approval."""
    rows = EdgeVersion.objects.filter(
        revision__campaign_id__in=list(campaign_ids), revision__state__in=("approved", "proposed")
    ).exclude(edge__upstream__campaign_id=F("revision__campaign_id"))
    return set(rows.values_list("edge__upstream__campaign_id", flat=True))


def edges_into(version: StageVersion) -> list[EdgeVersion]:
    """Return the edges that feed a stage in the same revision."""
    return list(_edges_of(version.revision_id).filter(edge__downstream_id=version.stage_id))


def edges_by_stage(campaign: Campaign) -> defaultdict[int, list[EdgeVersion]]:
    """Return the edges of the revision that runs by the stage that they feed."""
    found: defaultdict[int, list[EdgeVersion]] = defaultdict(list)
    for edge in _edges_of(campaign.revision_id):
        found[edge.edge.downstream_id].append(edge)
    return found


def _edges_of(revision_id: int | None) -> QuerySet[EdgeVersion]:
    known = EdgeVersion.objects.select_related("edge__upstream__campaign", "revision__campaign__experiment")
    return known.filter(revision=revision_id)


def fed_by(revision_id: int, stage_ids: Iterable[int]) -> set[int]:
    """Return these stages and all that they feed in a revision, by way of others too."""
    below: dict[int, set[int]] = {}
    edges = EdgeVersion.objects.filter(revision_id=revision_id)
    for above, fed in edges.values_list("edge__upstream_id", "edge__downstream_id"):
        below.setdefault(above, set()).add(fed)
    reached = set(stage_ids)
    ahead = list(reached)
    while ahead:
        fresh = below.get(ahead.pop(), set()) - reached
        reached |= fresh
        ahead += fresh
    return reached


def edges_from(stage_id: int) -> list[EdgeVersion]:
    """Return the edges by which a stage feeds others, in the revisions that run: its own campaign's and others'."""
    return list(
        EdgeVersion.objects.select_related("edge", "revision__campaign__experiment")
        .filter(edge__upstream_id=stage_id, revision__campaign__revision_id=F("revision_id"))
        .exclude(edge__downstream_id=stage_id)
    )


def fed_across(campaign_id: int, stage_ids: Iterable[int]) -> dict[int, set[int]]:
    """Return by campaign the stages of others that these feed, of those that go on or have failed."""
    rows = EdgeVersion.objects.filter(
        edge__upstream_id__in=list(stage_ids), revision__campaign__revision_id=F("revision_id"),
        revision__campaign__state__in=("approved", "running", "failed"),
    ).exclude(revision__campaign_id=campaign_id)  # fmt: skip
    found: dict[int, set[int]] = defaultdict(set)
    for below, stage in rows.values_list("revision__campaign_id", "edge__downstream_id"):
        found[below].add(stage)
    return found


def graph_of(campaign: Campaign) -> tuple[list[StageVersion], list[EdgeVersion]]:
    """Return the stages and edges of the revision that runs, or of the newest if none does."""
    revision = campaign.revision or campaign.revisions.exclude(state="draft").order_by("-number").first()
    if revision is None:
        return [], []
    stages = revision.stage_versions.select_related("stage").order_by("position")
    edges = revision.edge_versions.select_related("edge__upstream__campaign", "edge__downstream")
    return list(stages), list(edges)
