"""What reviewers say of campaigns that have ended: good, good with remarks, bad (requirements, "reviewer").

A verdict changes nothing that ran, and none is changed: a new one stands before it, and `withdrawn` takes it back.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from campaigns.models import Campaign
from core import transitions
from core.errors import Conflict, Problem, Refused
from submissions.models import Verdict
from submissions.queries import verdict_on

ENDED = ("succeeded", "failed")


def give(campaign: Campaign, verdict: str, *, by: Any, reason: str) -> Verdict:
    """Say what a campaign's results are; the reason is obligatory, kept and shown."""
    if verdict not in Verdict.WORDS:
        raise Refused("Nothing was changed.", [Problem("verdict", "choose one", ", ".join(Verdict.WORDS))])
    if not reason.strip():
        raise Refused("A verdict needs a reason.", [Problem("reason", "is empty", "say why; it is kept and shown")])
    with transaction.atomic():
        locked = Campaign.objects.select_for_update(of=("self",), no_key=True).get(pk=campaign.pk)
        if locked.test:
            raise Conflict(f"{campaign.ref} is a test run; its results are nobody's. Nothing was changed.")
        if locked.state not in ENDED:
            raise Conflict(f"{campaign.ref} is {locked.state.replace('_', ' ')}; a verdict comes after its end.")
        if verdict == "withdrawn" and ((before := verdict_on(campaign)) is None or before.verdict == "withdrawn"):
            raise Conflict(f"No verdict stands on {campaign.ref}; there is nothing to withdraw.")
        made = Verdict.objects.create(campaign=campaign, verdict=verdict, reason=reason.strip(), by=by)
        transitions.record(
            [(campaign.pk, locked.state)], "campaign", locked.state, experiment_id=campaign.experiment_id,
            actor=by.actor, reason=f"{verdict}: {reason.strip()}", verb="review",
        )  # fmt: skip
    return made
