"""People follow campaigns: they are told when one begins, ends, is launched again or judged, and have them at hand."""

from __future__ import annotations

from typing import Any

from campaigns.models import Campaign, CampaignWatcher
from core.errors import Conflict
from experiments.scoping import require

MOST = 200  # of one person; who watches everything reads the feed of events


def watch(campaign: Campaign, *, by: Any) -> None:
    """Follow a campaign; the same again changes nothing."""
    require(by, "view", campaign.experiment)
    own = CampaignWatcher.objects.filter(user=by)
    if own.count() >= MOST and not own.filter(campaign=campaign).exists():
        raise Conflict(f"You watch {MOST} campaigns already; leave one of them first. Nothing was changed.")
    CampaignWatcher.objects.get_or_create(campaign=campaign, user=by)


def unwatch(campaign: Campaign, *, by: Any) -> None:
    """Follow it no longer."""
    CampaignWatcher.objects.filter(campaign=campaign, user=by).delete()
