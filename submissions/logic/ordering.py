"""In which order queued work is launched: ranks of campaigns, changed with a reason (J14)."""

from __future__ import annotations

import re

from django.db import transaction

from campaigns.models import Campaign
from core import queue
from core.errors import Problem, Refused
from core.transitions import record


def rank_of(text: str) -> int:
    """Return the rank that somebody wrote; what is none is refused."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 100:
        raise Refused("The rank cannot be read.", [Problem("rank", f"not between 0 and 100: {text[:20] or 'nothing'}")])
    return int(text)


@transaction.atomic
def prioritise(campaign: Campaign, rank: int, *, actor: str, reason: str) -> None:
    """Give a campaign another rank (0 to 100); the launcher's next claim goes by it."""
    if not reason.strip():
        raise Refused("To prioritise needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    Campaign.objects.filter(pk=campaign.pk).update(rank=rank)
    record(
        [(campaign.pk, locked.state)], "campaign", locked.state, experiment_id=campaign.experiment_id, actor=actor,
        reason=f"rank {locked.rank} → {rank}: {reason}", verb="prioritise",
    )  # fmt: skip
    queue.wake("launch")
