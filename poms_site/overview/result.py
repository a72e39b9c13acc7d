"""What came of a request: files and events, where they are, how long it took and cost, and what to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import F, Sum

from approvals.models import Request
from campaigns.models import Campaign
from core.models import Transition
from poms_site.overview.run_facts import StageFacts, stages_of
from poms_site.overview.words import count, duration, number, size
from submissions.models import JobTally, Output
from submissions.queries import verdict_on
from submissions.states import JOB_STATES

ENDED = ("succeeded", "failed", "cancelled")
MOST_CAVEATS = 20
_WASTED = [code for code, state in enumerate(JOB_STATES) if state in ("failed", "removed", "lost")]


@dataclass(frozen=True)
class Part:
    """What one stage put out: files, their events, and where a transfer has brought them."""

    stage: str
    files: int
    events: int
    destination: str
    last: bool  # whether nothing of the campaign is made from it


@dataclass(frozen=True)
class Result:
    """What came of a campaign: times in seconds, sizes in bytes, costs in core-hours."""

    ref: str
    state: str
    parts: Sequence[Part]
    size: int
    ran_s: float | None
    since_asked_s: float | None
    core_hours: float
    wasted_core_hours: float
    caveats: Sequence[str]

    @property
    def files(self) -> int:
        """Return how many files the last stages put out."""
        return sum(part.files for part in self.parts if part.last)

    @property
    def events(self) -> int:
        """Return how many events those hold."""
        return sum(part.events for part in self.parts if part.last)

    def document(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {**asdict(self), "files": self.files, "events": self.events}

    def said(self) -> str:
        """Return it in a few words, for a mail."""
        cost = f"{self.core_hours:.3g} core-hours"
        if self.wasted_core_hours >= 0.01 * self.core_hours > 0:
            cost += f", {self.wasted_core_hours:.3g} of them for nothing"
        told = [f"{count(self.files, 'file')} with {count(self.events, 'event')}, {size(self.size)}"]
        told += [f"ran for {duration(self.ran_s)}"] if self.ran_s is not None else []
        return "; ".join([*told, cost, *self.caveats[:3]])


def of_request(request: Request) -> Result | None:
    """Return what came of a request; None as long as its campaign has not ended."""
    campaign = request.campaign
    if campaign is None or campaign.state not in ENDED:
        return None
    return of_campaign(campaign, request)


def of_campaign(campaign: Campaign, request: Request | None = None) -> Result:
    """Return what came of a campaign, as the request that it comes from sees it."""
    stages = stages_of(campaign)
    ids = [stage.version.stage_id for stage in stages]
    upstream = {feed.upstream for stage in stages for feed in stage.feeds}
    tallied = JobTally.objects.filter(stage__in=ids)
    used = tallied.aggregate(used=Sum("core_s"))["used"] or 0.0
    wasted = tallied.filter(state_code__in=_WASTED).aggregate(used=Sum("core_s"))["used"] or 0.0
    outputs = Output.objects.filter(stage__in=ids, pass_number=F("stage__pass_number"))
    ended, asked = campaign.ended_at, request.filed_at if request else None
    return Result(
        ref=campaign.ref, state=campaign.state,
        parts=[
            Part(s.name, s.outputs, s.events, s.version.destination, s.name not in upstream) for s in stages
        ],
        size=outputs.aggregate(total=Sum("size"))["total"] or 0,
        ran_s=(ended - campaign.started_at).total_seconds() if ended and campaign.started_at else None,
        since_asked_s=(ended - asked).total_seconds() if ended and asked else None,
        core_hours=used / 3600, wasted_core_hours=wasted / 3600, caveats=_caveats(campaign, stages),
    )  # fmt: skip


def _caveats(campaign: Campaign, stages: Sequence[StageFacts]) -> list[str]:
    """Return what users of the results have to know: what is missing, what was taken as it was, what was said."""
    found = []
    for stage in stages:
        missing = stage.progress["units"] - stage.progress["done"]
        if missing:
            found.append(f"{stage.name}: {number(missing)} of {count(stage.progress['units'], 'input')} have no result")
        for snapshot in stage.snapshots:
            reasons = sorted(snapshot.left_out.items())
            found += [f"{stage.name}: {count(times, 'file')} left out: {why}" for why, times in reasons]
    as_it_was = Transition.objects.filter(kind="campaign", thing_id=campaign.pk, verb="accept").order_by("id")
    found += [f"taken as it was: {reason}" for reason in as_it_was.values_list("reason", flat=True)[:MOST_CAVEATS]]
    verdict = verdict_on(campaign)
    if verdict and verdict.verdict in ("bad", "remarks"):
        word = "are bad" if verdict.verdict == "bad" else "are good with remarks"
        found.append(f"{verdict.by.username} says that the results {word}: {verdict.reason}")
    return found[:MOST_CAVEATS]
