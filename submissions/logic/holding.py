"""Holds: gates that a person or rule closes and opens again, always with a reason."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from campaigns.models import Campaign
from core import queue
from core.clock import now
from core.errors import Conflict, Problem, Refused
from core.loops import careful
from core.transitions import record
from submissions.models import Hold
from submissions.queries import standing_holds


@transaction.atomic
def hold(scope: str, thing: Any, *, actor: str, reason: str, until: datetime | None = None) -> Hold:
    """Close the gate of a thing (experiment, service, campaign, stage or batch, or everything): nothing is launched."""
    if not reason.strip():
        raise Refused("A hold needs a reason.", [Problem("reason", "is empty", "say why, for the next shifter")])
    if until is not None and until <= now():
        raise Refused("Nothing was held.", [Problem("until", "is over", "a time to come, or none")])
    target = {} if scope == "everything" else {scope: thing}
    experiment = _experiment_of(scope, thing)
    hold = Hold.objects.create(
        scope=scope, actor=actor, reason=reason.strip(), until=until, **{"experiment": experiment, **target}
    )
    _record(hold, "standing", "hold", actor, reason)
    return hold


@transaction.atomic
def release(hold: Hold, *, actor: str, reason: str) -> None:
    """Open the gate again; an emergency stop is ended by its own verb, which also releases what it held."""
    if hold.emergency:
        raise Refused(f"{hold.ref} is an emergency stop: whoever may stop also says go on. Nothing was changed.")
    if hold.scope == "credential" and actor.startswith("user:"):
        raise Refused(
            f"The hold {hold.ref} goes by itself when its credential lives again; nothing was changed.",
            [Problem("hold", hold.reason, "renew the credential, or put it away if launches do not need it")],
        )
    end_stop(hold, actor=actor, reason=reason)


@transaction.atomic
def end_stop(hold: Hold, *, actor: str, reason: str) -> None:
    """Open a gate whatever it is of."""
    changed = Hold.objects.filter(pk=hold.pk, released_at=None).update(
        released_at=now(), released_by=actor, release_reason=reason
    )
    if not changed:
        raise Conflict(f"The hold {hold.ref} has been released already; nothing was changed.")
    _record(hold, "released", "release", actor, reason)
    queue.wake("launch")


def release_campaign(campaign: Campaign, *, actor: str, reason: str) -> None:
    """Open every gate that stands on the campaign itself; those of its stages and of the experiment stay."""
    standing = list(standing_holds().filter(scope="campaign", campaign=campaign))
    if not standing:
        raise Refused(f"{campaign.ref} is not held; nothing was changed.")
    for hold in standing:
        release(hold, actor=actor, reason=reason)


def expire() -> int:
    """Release the holds whose time is over, so that the history says so; return how many."""
    over = list(Hold.objects.filter(released_at=None, until__lte=Now()).select_related("experiment")[:100])
    did = 0
    for row in over:
        with careful("check", "hold", row.pk):
            try:
                release(row, actor="loop:check", reason=f"its time was over at {row.until:%Y-%m-%d %H:%M} UTC")
            except Conflict:
                continue  # somebody was faster
            did += 1
    return did


def _experiment_of(scope: str, thing: Any) -> Any:
    if scope == "everything":
        return None
    if scope == "experiment":
        return thing
    return thing.campaign.experiment if scope == "stage" else thing.experiment


def _record(hold: Hold, to: str, verb: str, actor: str, reason: str) -> None:
    source = "standing" if to == "released" else ""
    record(
        [(hold.pk, source)],
        "hold",
        to,
        experiment_id=hold.experiment_id,
        actor=actor,
        reason=reason,
        verb=verb,
    )
