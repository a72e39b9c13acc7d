"""What waits for a person: their own requests, what they decide on, and what is stuck where they may help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from approvals import queries as approvals
from approvals.models import Request
from campaigns.models import Campaign
from experiments.models import Experiment
from poms_site.overview.reviews import inbox
from poms_site.overview.words import count
from submissions.models import Batch, Submission
from submissions.queries import planned, standing_holds

MOST = 20


@dataclass(frozen=True)
class Waiting:
    """One thing that waits: its state, what it is, what is to be done, and since when."""

    state: str
    ref: str
    title: str
    todo: str
    since: datetime
    number: int | None = None  # of a request to decide on


def waiting_for(user: Any, experiment: Experiment, held: frozenset[str]) -> list[Waiting]:
    """Return what waits for the person in an experiment, the most urgent kind first, at most MOST of each."""
    found: list[Waiting] = []
    if "decide_request" in held:
        found += _to_decide(user, experiment)
    if "file_request" in held:
        found += _own_requests(user, experiment)
    if "operate" in held:
        found += _unsure(experiment)
    if "watch" in held:
        found += _failed(experiment) + _held(experiment)
    if "sign_off" in held:
        # What work or people wait for; campaigns that nobody has judged yet are on the page of reviews.
        found += [
            Waiting(r.state, r.ref, r.title, r.todo, r.since) for r in inbox([experiment]) if r.kind != "campaign"
        ][:MOST]
    return found


def _to_decide(user: Any, experiment: Experiment) -> list[Waiting]:
    rows = approvals.waiting_for(user).filter(experiment=experiment).select_related("experiment", "requester")
    return [
        Waiting(
            r.state, r.ref, r.title, f"decide; {r.requester.username} asks for it", r.filed_at or r.state_since, r.pk
        )
        for r in rows[:MOST]
    ]


def _own_requests(user: Any, experiment: Experiment) -> list[Waiting]:
    rows = Request.objects.filter(experiment=experiment, requester=user, state__in=("returned", "draft"))
    todo = {"returned": "correct it and file it again", "draft": "check it and file it"}
    own = rows.select_related("experiment").order_by("-state", "-pk")[:MOST]
    return [Waiting(r.state, r.ref, r.title, todo[r.state], r.state_since) for r in own]


def _unsure(experiment: Experiment) -> list[Waiting]:
    rows = Submission.objects.filter(experiment=experiment, state="unsure").select_related("experiment")
    return [
        Waiting("unsure", s.ref, "a launch of which nobody knows", "say whether it ran", s.state_since)
        for s in rows.order_by("state_since")[:MOST]
    ]


def _failed(experiment: Experiment) -> list[Waiting]:
    """Campaigns that run or have failed, with batches that failed for good."""
    live = ("running", "failed")
    broken = planned(Batch.objects.filter(experiment=experiment, state="failed", stage__campaign__state__in=live))
    counts = dict(broken.values_list("stage__campaign_id").annotate(n=Count("pk")).order_by())
    rows = Campaign.objects.filter(pk__in=counts).select_related("experiment")
    stuck = rows.order_by("-state_since")[:MOST]
    return [
        Waiting(
            "failed", c.ref, c.name, f"{count(counts[c.pk], 'batch')} failed: look why, and relaunch", c.state_since
        )
        for c in stuck
    ]


def _held(experiment: Experiment) -> list[Waiting]:
    rows = standing_holds().filter(experiment=experiment, campaign__state__in=("approved", "running"))
    return [
        Waiting("held", h.campaign.ref, h.campaign.name, f"held: {h.reason}", h.since)
        for h in rows.select_related("campaign__experiment").order_by("since")[:MOST]
        if h.campaign is not None
    ]
