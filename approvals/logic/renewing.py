"""Keep-up requests last a week at a time: extended by an approver, else they lapse into a hold (T7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, Subquery

from approvals.logic import steps, taking_effect
from approvals.models import Request
from campaigns.models import Schedule
from core.clock import now
from core.errors import Conflict, NotAllowed, Refused
from core.loops import careful
from core.models import Transition
from experiments.queries import is_approver
from experiments.scoping import may
from submissions.logic import holding
from submissions.queries import standing_holds

ACTOR = "loop:renew"
REMINDED = timedelta(days=2)
AHEAD = timedelta(weeks=4)
LAPSED = "the keep-up request was not renewed"


def extend(request: Request, *, by: Any, reason: str = "", weeks: int = 1) -> Request:
    """Let a keep-up request go on for another week from its end, or from now if it has lapsed."""
    if not is_approver(by, request.experiment, request.production_stage) and not may(by, "operate", request.experiment):
        raise NotAllowed(
            f"You are not registered as an approver of {request.production_stage} in {request.experiment.name};"
            " nothing was changed."
        )
    with transaction.atomic():
        row = steps.locked(request)
        if not row.keep_up or row.valid_until is None:
            raise Refused("Only a keep-up request that was approved can be extended; nothing was changed.")
        if row.state != "approved":
            raise Conflict(f"The request is {steps.word(row)}; nothing was changed.")
        until = max(row.valid_until, now()) + weeks * taking_effect.KEEP_UP
        if until > now() + AHEAD + taking_effect.KEEP_UP:
            raise Refused(
                f"It is valid until {row.valid_until:%d %b} already; that is far enough. Nothing was changed."
            )
        Request.objects.filter(pk=row.pk).update(valid_until=until)
        row.valid_until = until
        Schedule.objects.filter(stage__campaign=row.campaign).update(valid_until=until)
        text = f"valid until {until:%Y-%m-%d %H:%M} UTC{reason and f': {reason}'}"
        steps.note(row, "extend", actor=by.actor, reason=text)
        for hold in standing_holds().filter(scope="campaign", campaign=row.campaign, actor=ACTOR):
            holding.release(hold, actor=by.actor, reason=text)
    return row


def renew_some() -> int:
    """Remind of keep-up requests that end soon, and hold those that have ended; return how many."""
    at = now()
    _tell_schedules()
    rows = Request.objects.filter(keep_up=True, state="approved", valid_until__lt=at + REMINDED)
    rows = rows.filter(campaign__state__in=("approved", "running")).select_related("experiment", "campaign__experiment")
    did = 0
    for request in rows.order_by("valid_until")[:200]:
        with careful("renew", "request", request.pk):
            did += _lapse(request) if request.valid_until and request.valid_until <= at else _remind(request)
    return did


def _tell_schedules() -> None:
    """Write downward until when keep-up is renewed: a schedule is made later than its request is approved."""
    valid = Request.objects.filter(campaign=OuterRef("stage__campaign"), keep_up=True).values("valid_until")[:1]
    rows = Schedule.objects.filter(ended_at=None).annotate(renewed=Subquery(valid))
    for pk, until in rows.exclude(valid_until=F("renewed")).exclude(renewed=None).values_list("pk", "renewed"):
        Schedule.objects.filter(pk=pk).update(valid_until=until)


def _lapse(request: Request) -> int:
    with transaction.atomic():
        row = steps.locked(request)
        held = standing_holds().filter(scope="campaign", campaign=row.campaign, actor=ACTOR).exists()
        if row.valid_until is None or row.valid_until > now() or held or row.campaign is None:
            return 0
        holding.hold("campaign", row.campaign, actor=ACTOR, reason=f"{LAPSED}: {row.ref}")
        steps.note(row, "lapse", actor=ACTOR, reason=f"valid until {row.valid_until:%Y-%m-%d %H:%M} UTC; {LAPSED}")
    return 1


def _remind(request: Request) -> int:
    """Write once into the ledger, from which notices are made, that the end of this week's validity is near."""
    with transaction.atomic():
        row = steps.locked(request)
        text = f"ends on {row.valid_until:%Y-%m-%d %H:%M} UTC unless somebody extends it"
        if Transition.objects.filter(kind="request", thing_id=row.pk, verb="remind", reason=text).exists():
            return 0
        steps.note(row, "remind", actor=ACTOR, reason=text)
    return 1
