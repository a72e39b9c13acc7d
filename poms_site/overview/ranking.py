"""Who may say what goes first: operators, and approvers for the campaigns of their production stages (W4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from approvals.models import Request
from campaigns.models import Campaign
from core.errors import NotAllowed
from experiments.models import Experiment
from experiments.queries import approves
from experiments.scoping import held_on

RANKS = frozenset({"operate", "decide_request"})


def production_stages_of(campaigns: Iterable[Campaign]) -> dict[int, str]:
    """Return the production stage of each campaign, by its latest request."""
    rows = Request.objects.filter(campaign__in=[campaign.pk for campaign in campaigns]).order_by("pk")
    return dict(rows.values_list("campaign_id", "production_stage"))


def may_rank(user: Any, experiment: Experiment, campaigns: Iterable[Campaign]) -> set[int]:
    """Return the keys of those campaigns of an experiment whose rank the person may change."""
    campaigns = list(campaigns)
    held = held_on(user, experiment)
    if "operate" in held:
        return {campaign.pk for campaign in campaigns}
    if "decide_request" not in held:
        return set()
    stages = {stage for _, stage in approves(user, experiment=experiment)}
    of = production_stages_of(campaigns)
    return {campaign.pk for campaign in campaigns if of.get(campaign.pk) in stages}


def require_ranker(user: Any, experiment: Experiment, campaigns: Iterable[Campaign]) -> None:
    """Raise NotAllowed, saying who may, unless the person may change the rank of all these campaigns."""
    campaigns = list(campaigns)
    may = may_rank(user, experiment, campaigns)
    barred = [campaign for campaign in campaigns if campaign.pk not in may]
    if barred or not RANKS & held_on(user, experiment):
        of = sorted({stage for stage in production_stages_of(barred).values() if stage})
        stages = f", registered for {' and '.join(of)}" if of else ""
        raise NotAllowed(
            f"This needs the role operator in {experiment.name}, or approver{stages}; nothing was changed."
        )
