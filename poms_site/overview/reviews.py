"""What waits for a reviewer: stages to sign off, reproductions to sign, campaigns that have ended without a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from campaigns.definition import APPROVAL
from campaigns.models import Campaign
from core.clock import now
from experiments.models import Experiment
from poms_site.overview.words import count
from submissions.models import Reproduction
from submissions.queries import awaited, unreviewed, unsigned

MOST = 50
LATELY = timedelta(days=60)  # what ended before is judged from its own page


@dataclass(frozen=True)
class Review:
    """One thing that waits: what kind, its state, its reference, what is to be said of it, and since when."""

    kind: str
    state: str
    ref: str
    title: str
    todo: str
    since: datetime
    stage: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return asdict(self)


def inbox(experiments: Sequence[Experiment]) -> list[Review]:
    """Return what waits for a reviewer in these experiments, at most MOST of each kind: what holds work up first."""
    return [*_stages(experiments), *_reproductions(experiments), *_campaigns(experiments)]


def _stages(experiments: Sequence[Experiment]) -> list[Review]:
    asks = Q(revision__stage_versions__type=APPROVAL) | Q(revision__stage_versions__completion__contains="signoff")
    rows = Campaign.objects.filter(asks, experiment__in=experiments, state="running").distinct()
    found = []
    for row in rows.select_related("experiment", "revision").order_by("-rank", "pk")[:MOST]:
        found += [
            Review("stage", "held", row.ref, row.name, f"{name} {why}", row.state_since, name)
            for name, why in awaited(row, by_person=True)
        ]
    return found


def _reproductions(experiments: Sequence[Experiment]) -> list[Review]:
    rows = unsigned(Reproduction.objects.filter(experiment__in=experiments)).defer("package", "differences")
    beside = ("experiment", "batch__stage__campaign", "batch__experiment")
    return [
        Review(
            "reproduction", row.state, row.ref, f"{row.batch.stage.campaign.name}, batch {row.batch.number}"
            f" of {row.batch.stage.name}", f"sign it: {row.verdict}", row.ended_at or row.state_since,
        )
        for row in rows.select_related(*beside)[:MOST]
    ]  # fmt: skip


def _campaigns(experiments: Sequence[Experiment]) -> list[Review]:
    rows = unreviewed(Campaign.objects.filter(experiment__in=experiments), now() - LATELY)
    rows = rows.select_related("experiment").annotate(at=F("ended_at"))
    return [
        Review("campaign", row.state, row.ref, row.name, "say whether its results are good", row.at)
        for row in rows[:MOST]
    ]


def told(found: Sequence[Review]) -> str:
    """Return in words how much of each kind waits."""
    kinds = ("stage", "reproduction", "campaign")
    numbers = [(kind, sum(review.kind == kind for review in found)) for kind in kinds]
    return ", ".join(count(number, kind) for kind, number in numbers if number)
