"""Questions about batches, submissions and jobs; also what the loops ask to find their work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum

from campaigns import completion
from campaigns.models import Campaign, EdgeVersion, Stage, StageVersion
from core.clock import now
from core.loops import untroubled
from submissions import line
from submissions.models import Batch, Boost, Hold, JobCount, StageProgress, Submission
from submissions.states import JOB_STATES

SWEEP = timedelta(seconds=30)


def without_plan(submissions: QuerySet[Submission]) -> QuerySet[Submission]:
    """Leave out what only a launch needs; the list of jobs may be megabytes. It is read when asked for after all."""
    return submissions.defer("command", "setup", "environment", "jobs_file")


def due_stages(limit: int) -> list[int]:
    """Return stages with a note to be planned, the longest waiting first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stage_id FROM submissions_plandue d WHERE due_at <= clock_timestamp()"  # noqa: S608 - a constant condition
            f" AND {untroubled('plan', 'stage').format(id='d.stage_id')}"
            " GROUP BY stage_id ORDER BY min(due_at) LIMIT %s",
            [limit],
        )
        return [row[0] for row in cursor.fetchall()]


def forgotten_stages() -> list[int]:
    """Return stages of running campaigns that have not ended and have no note: what the sweep looks at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id FROM campaigns_stage s JOIN campaigns_campaign c ON c.id = s.campaign_id"
            " JOIN campaigns_stageversion v ON v.stage_id = s.id AND v.revision_id = c.revision_id"
            " WHERE c.state IN ('approved', 'running') AND s.completed_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM submissions_plandue d WHERE d.stage_id = s.id)"
        )
        return [row[0] for row in cursor.fetchall()]


def gates_of_edges(version: StageVersion, edges: Sequence[EdgeVersion]) -> tuple[list[str], str]:
    """Return what the stage still waits for, and why it can never start (or an empty text)."""
    waiting, doomed = [], ""
    for edge in edges:
        parent = edge.edge.upstream
        if parent.pk == version.stage_id or edge.gate == "each":
            continue
        if edge.gate == "all":
            if parent.completed_at is None:
                waiting.append(f"waits for all of {parent.name}")
            elif not parent.succeeded:
                doomed = f"{parent.name} is incomplete"
            continue
        share = int(edge.gate.rstrip("%"))
        progress = StageProgress.objects.filter(stage=parent).first()
        if progress is None or not progress.closed or not completion.is_met(progress.done, progress.units, share):
            waiting.append(f"waits for {edge.gate} of {parent.name}")
            if parent.completed_at is not None:
                doomed = f"{parent.name} ended below {edge.gate}"
    return waiting, doomed


def standing_holds() -> QuerySet[Hold]:
    """Return the holds that stand now."""
    return Hold.objects.filter(released_at=None).filter(Q(until=None) | Q(until__gt=now()))


def standing_boosts() -> QuerySet[Boost]:
    """Return the boosts that stand now."""
    return Boost.objects.filter(ended_at=None, until__gt=now())


def boosted_until(campaign: Campaign) -> datetime | None:
    """Return until when a campaign is on top of its experiment's queue, or None if it is not."""
    return standing_boosts().filter(campaign=campaign).values_list("until", flat=True).first()


def gates(campaign: Campaign) -> list[dict[str, Any]]:
    """Return what keeps a campaign from going on now: the same gates that planner and launcher evaluate."""
    found: list[dict[str, Any]] = []
    if campaign.state in ("new", "pending_approval"):
        found.append({"gate": "approval", "text": "waits for an approver", "since": campaign.state_since})
    holds = standing_holds().filter(
        Q(scope="everything")
        | Q(scope="experiment", experiment_id=campaign.experiment_id)
        | Q(scope="campaign", campaign=campaign)
        | Q(scope="stage", stage__campaign=campaign)
        | Q(scope="batch", batch__stage__campaign=campaign)
    )
    for hold in holds.select_related("stage", "batch"):
        what = hold.stage.name if hold.stage else f"batch {hold.batch.number}" if hold.batch else hold.scope
        text = f"held ({what}) by {hold.actor.removeprefix('user:')}: {hold.reason}"
        found.append({"gate": "hold", "text": text, "since": hold.since})
    if campaign.revision_id and campaign.state in ("approved", "running"):
        versions = StageVersion.objects.select_related("stage").filter(revision_id=campaign.revision_id)
        for version in versions.filter(stage__completed_at=None):
            edges = EdgeVersion.objects.select_related("edge__upstream").filter(
                revision_id=campaign.revision_id, edge__downstream_id=version.stage_id
            )
            waiting, doomed = gates_of_edges(version, list(edges))
            found += [{"gate": "edge", "text": f"{version.stage.name} {text}", "since": None} for text in waiting]
            if doomed:
                found.append({"gate": "edge", "text": f"{version.stage.name} cannot start: {doomed}", "since": None})
    found += gates_of_line(campaign)
    unsure = Submission.objects.filter(batch__stage__campaign=campaign, state="unsure")
    for submission in unsure:
        text = f"{submission.ref} needs a person: {submission.why}"
        found.append({"gate": "unsure", "text": text, "since": submission.state_since})
    return found


def gates_of_line(campaign: Campaign) -> list[dict[str, Any]]:
    """Return where in the lines in front of batch systems a campaign's next work stands, if there is no room for it."""
    waiting = Submission.objects.filter(batch__stage__campaign=campaign, state="pending")
    if campaign.state != "running" or not waiting.exists():
        return []
    found = []
    for row in line.in_line([campaign.pk]):
        if not row.admitted:
            found.append({"gate": "queue", "text": _place(row), "since": None})
    return found


def _place(row: line.InLine) -> str:
    if row.place > line.FARTHEST:
        return f"more than {line.FARTHEST} submissions go before it in the queue of {row.system}"
    before = f"; {row.ahead} {'job goes' if row.ahead == 1 else 'jobs go'} before it" if row.ahead else ""
    return f"{'next' if row.place == 1 else _ordinal(row.place)} in the queue of {row.system}{before}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def job_counts(submissions: QuerySet[Submission]) -> dict[str, int]:
    """Return how many jobs are in each state, from the counters."""
    rows = JobCount.objects.filter(submission__in=submissions).values("state_code").annotate(total=Sum("n"))
    return {JOB_STATES[row["state_code"]]: row["total"] for row in rows if row["total"]}


def job_counts_by_stage(stage_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Return job counters of stages, by stage and state."""
    rows = (
        JobCount.objects.filter(submission__batch__stage_id__in=list(stage_ids))
        .values("submission__batch__stage_id", "state_code")
        .annotate(total=Sum("n"))
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if row["total"]:
            found[row["submission__batch__stage_id"]][JOB_STATES[row["state_code"]]] = row["total"]
    return found


def progress_of(stages: Iterable[Stage]) -> dict[int, dict[str, int]]:
    """Return for each stage: units, done, events_done, and those that failed for good, run or wait."""
    ids = [stage.pk for stage in stages]
    found = {pk: {"units": 0, "done": 0, "events_done": 0, "failed": 0, "running": 0, "waiting": 0} for pk in ids}
    for row in StageProgress.objects.filter(stage_id__in=ids):
        found[row.stage_id] |= {"units": row.units, "done": row.done, "events_done": row.events_done}
    open_units = (
        Batch.objects.filter(stage_id__in=ids)
        .values("stage_id", "state")
        .annotate(inputs=Sum("n_units"), results=Sum("done"))
    )
    for sums in open_units:
        missing = sums["inputs"] - sums["results"]
        if sums["state"] in ("failed", "cancelled", "completed"):
            found[sums["stage_id"]]["failed"] += missing
        elif sums["state"] in ("submitted", "project_running", "jobs_completed"):
            found[sums["stage_id"]]["running"] += missing
    for entry in found.values():
        entry["waiting"] = entry["units"] - entry["done"] - entry["failed"] - entry["running"]
    return found


def batch_counts(stage_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Return how many batches of each stage are in each state."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    rows = Batch.objects.filter(stage_id__in=list(stage_ids)).values("stage_id", "state").annotate(n=Count("id"))
    for row in rows:
        found[row["stage_id"]][row["state"]] = row["n"]
    return found


def seconds_since(then: datetime) -> float:
    """Return how long ago a moment was, in seconds: the time in a state (M3)."""
    return max(0.0, (now() - then).total_seconds())
