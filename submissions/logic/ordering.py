"""In which order queued work is launched: ranks, boosts and shares, changed with a reason (J14, J16, W4).

What waits here goes by them at the launcher's next claim. What is idle in a batch system already is given another
place there, by a command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from campaigns.models import Campaign
from core import queue
from core.clock import now
from core.errors import Conflict, Problem, Refused
from core.transitions import record
from experiments.models import Experiment
from submissions.fairness import BOOST, DEFAULT_WEIGHT, HIGHEST_RANK, place_at
from submissions.logic import acting
from submissions.models import Boost, JobCount, Share, Submission
from submissions.models.queue import HEAVIEST
from submissions.queries import standing_boosts
from submissions.states import JOB_RANK

LONGEST_BOOST = timedelta(days=7)
LIVE = ("new", "pending_approval", "approved", "running", "failed")


def rank_of(text: str) -> int:
    """Return the rank that somebody wrote; what is none is refused."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > HIGHEST_RANK:
        raise Refused("The rank cannot be read.", [Problem("rank", f"not between 0 and 100: {text[:20] or 'nothing'}")])
    return int(text)


def hours_of(text: str) -> float:
    """Return for how many hours somebody wants something; what is no such number is refused."""
    most = LONGEST_BOOST / timedelta(hours=1)
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) or not 0 < float(text) <= most:
        problem = Problem("hours", f"not between 0 and {most:g}: {text[:20] or 'nothing'}", "for instance 4 or 0.5")
        raise Refused("For how long cannot be read.", [problem])
    return float(text)


def prioritise(campaign: Campaign, rank: int, *, actor: str, reason: str) -> None:
    """Give a campaign another rank (0 to 100); it reaches what waits here and what is idle in the batch systems."""
    reorder({campaign.pk: rank}, actor=actor, reason=reason)


@transaction.atomic
def reorder(
    ranks: Mapping[int, int], *, actor: str, reason: str, read: Mapping[int, int] | None = None
) -> list[Campaign]:
    """Give campaigns other ranks, all or none; return those whose rank changed.

    `read` are the ranks of the whole queue that the person saw: where one is another meanwhile, nothing is changed.
    """
    _needs_reason("prioritise", reason)
    wanted = Campaign.objects.select_related("experiment").filter(pk__in={*ranks, *(read or {})})
    rows = {row.pk: row for row in wanted.select_for_update(of=("self",), no_key=True).order_by("pk")}
    stale = [row for key, row in rows.items() if read and key in read and row.rank != read[key]]
    if stale:
        told = ", ".join(f"{row.name} has rank {row.rank} now" for row in stale[:5])
        raise Conflict(f"The queue was changed after you read it: {told}. Look again; nothing was changed.")
    changed = [rows[key] for key, rank in ranks.items() if key in rows and rows[key].rank != rank]
    for row in changed:
        old, row.rank = row.rank, ranks[row.pk]
        Campaign.objects.filter(pk=row.pk).update(rank=row.rank)
        _note(row, "prioritise", actor, f"rank {old} → {row.rank}: {reason}")
        _move_idle(row, actor=actor, reason=f"rank {old} → {row.rank}: {reason}")
    queue.wake("launch")
    return changed


@transaction.atomic
def boost(campaign: Campaign, hours: float, *, actor: str, reason: str) -> Boost:
    """Put a campaign on top of its experiment's queue for so many hours; another boost of it ends."""
    _needs_reason("boost", reason)
    locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    if locked.state not in LIVE:
        raise Conflict(f"{campaign.ref} is {locked.state.replace('_', ' ')}; nothing of it waits any more.")
    _end_boosts(campaign, actor)
    until = now() + timedelta(hours=hours)
    made = Boost.objects.create(campaign=campaign, until=until, reason=reason.strip(), actor=actor)
    _note(locked, "boost", actor, f"on top until {_moment(until)}: {reason}")
    _move_idle(campaign, actor=actor, reason=f"on top until {_moment(until)}: {reason}")
    queue.wake("launch")
    return made


@transaction.atomic
def unboost(campaign: Campaign, *, actor: str, reason: str) -> None:
    """Take a campaign's boost back before it ends by itself."""
    _needs_reason("unboost", reason)
    locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    if not standing_boosts().filter(campaign=campaign).exists():
        raise Conflict(f"{campaign.ref} has no boost, or it has ended; nothing was changed.")
    _end_boosts(campaign, actor)
    _note(locked, "unboost", actor, f"no longer on top: {reason}")
    _move_idle(campaign, actor=actor, reason=f"no longer on top: {reason}")
    queue.wake("launch")


@transaction.atomic
def share(experiment: Experiment, weight: int, *, actor: str, reason: str) -> Share:
    """Give an experiment another weight in the fair share."""
    _needs_reason("change a share", reason)
    if not 1 <= weight <= HEAVIEST:
        problem = Problem("weight", f"not between 1 and {HEAVIEST}: {weight}", "1 is everybody's share")
        raise Refused("The weight cannot be taken.", [problem])
    before = Share.objects.select_for_update().filter(experiment=experiment).first()
    old = before.weight if before else DEFAULT_WEIGHT
    made, _ = Share.objects.update_or_create(experiment=experiment, defaults={"weight": weight})
    record(
        [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk, actor=actor,
        reason=f"share {old} → {weight}: {reason}", verb="share",
    )  # fmt: skip
    queue.wake("launch")
    return made


def place(submission: Submission) -> int:
    """Return the place of a submission's jobs among the idle ones of its batch system; the higher goes first.

    What is put there first goes first, so that the fair share decides, and not the ranks of strangers; ranks and boosts
    that changed since it was put there move it.
    """
    launched = submission.launched_at or now()
    boosted = standing_boosts().filter(campaign=submission.campaign_id, since__gt=launched).exists()
    points = submission.campaign.rank - (submission.campaign.rank if submission.rank is None else submission.rank)
    return place_at(int(launched.timestamp() // 60), points + (BOOST if boosted else 0), settings.QUEUE_AGEING)


def _move_idle(campaign: Campaign, *, actor: str, reason: str) -> None:
    """Ask for another place of what is idle in the batch systems."""
    counts = JobCount.objects.filter(submission=OuterRef("pk")).exclude(state_code=JOB_RANK["idle"])
    gone = counts.order_by().values("submission").annotate(total=Sum("n")).values("total")
    there = Submission.objects.filter(campaign=campaign, state__in=("launching", "submitted", "running"))
    idle = there.annotate(gone=Coalesce(Subquery(gone), 0)).filter(n_jobs__gt=F("gone"))
    for submission in idle.select_related("campaign").defer("command", "setup", "environment", "jobs_file"):
        submission.campaign.rank = Campaign.objects.values_list("rank", flat=True).get(pk=campaign.pk)
        acting.command("priority", submission, value=place(submission), actor=actor, reason=reason)


def _end_boosts(campaign: Campaign, actor: str) -> None:
    at = now()
    open_ones = Boost.objects.filter(campaign=campaign, ended_at=None)
    open_ones.filter(until__lte=at).update(ended_at=F("until"))
    open_ones.filter(Q(until__gt=at)).update(ended_at=at, ended_by=actor)


def _note(campaign: Campaign, verb: str, actor: str, reason: str) -> None:
    record(
        [(campaign.pk, campaign.state)], "campaign", campaign.state, experiment_id=campaign.experiment_id,
        actor=actor, reason=reason, verb=verb,
    )  # fmt: skip


def _needs_reason(verb: str, reason: str) -> None:
    if not reason.strip():
        raise Refused(f"To {verb} needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
