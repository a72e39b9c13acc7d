"""Decisions on requests: approve, return for correction, reject; always by somebody who may, on what was read (W2)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from approvals.logic import taking_effect
from approvals.models import Decision, Request, Watcher
from approvals.queries import obstacle
from campaigns.models import Campaign, Revision
from core import transitions
from core.errors import Conflict, Problem, Refused


def approve(request: Request, *, by: Any, reason: str, digest: str = "") -> Request:
    """Approve the revision that the request proposes; `digest` names the one that the approver has read.

    The first decision wins; a revision that came meanwhile is not approved unread (F25).
    """
    with transaction.atomic():
        request, revision = locked(request, by, digest, "approve")
        taking_effect.approve(request, revision, actor=by.actor, reason=reason)
        note(request, revision, by, "approve", reason)
    return request


def send_back(request: Request, *, by: Any, reason: str, digest: str = "") -> Request:
    """Return a request to its author for correction; `digest` names the revision that was read."""
    needs_reason("return", reason)
    with transaction.atomic():
        request, revision = locked(request, by, digest, "return")
        actor = by.actor
        transitions.move(request, "returned", expect="pending_approval", actor=actor, reason=reason)
        campaign = Campaign.objects.get(pk=revision.campaign_id)
        if campaign.state == "pending_approval":
            text = f"request {request.ref} was returned"
            transitions.move(campaign, "new", expect="pending_approval", actor=actor, reason=text)
        note(request, revision, by, "return", reason)
    return request


def reject(request: Request, *, by: Any, reason: str, digest: str = "") -> Request:
    """Turn a request down; its campaign is cancelled, unless an older revision was approved and runs on."""
    needs_reason("reject", reason)
    with transaction.atomic():
        request, revision = locked(request, by, digest, "reject")
        actor = by.actor
        if taking_effect.was_approved(request):
            taking_effect.keep_approved(request, actor=actor, reason=reason, verb="reject")
        else:
            transitions.move(request, "rejected", expect="pending_approval", actor=actor, reason=reason)
            transitions.move(revision, "rejected", expect="proposed", actor=actor, reason=reason)
            text = f"request {request.ref} was rejected: {reason}"
            taking_effect.cancel_campaign(request, actor=actor, reason=text)
        note(request, revision, by, "reject", reason)
    return request


def locked(request: Request, by: Any, digest: str, verdict: str) -> tuple[Request, Revision]:
    """Lock a request and return it with the revision that it proposes, if this person may decide so on it."""
    rows = Request.objects.select_for_update(of=("self",))
    row = rows.select_related("experiment", "revision", "requester", "campaign__revision").get(pk=request.pk)
    if found := obstacle(row, by, verdict):
        raise type(found)(f"{found.detail.removesuffix('.')}; nothing was changed.", found.problems)
    revision = row.revision
    if revision is None:  # what `obstacle` has said already; here for the type
        raise Conflict("The request proposes no revision. Nothing was changed.")
    if digest and digest != revision.digest:
        raise Conflict("The request was changed after you read it; read it again. Nothing was changed.")
    return row, revision


def needs_reason(verb: str, reason: str) -> None:
    """Refuse to do something without a reason."""
    if not reason.strip():
        raise Refused(f"To {verb} needs a reason.", [Problem("reason", "is empty", "say why; the requester reads it")])


def note(request: Request, revision: Revision, by: Any, verdict: str, reason: str) -> None:
    """Keep a decision; whoever decided hears of what becomes of it."""
    Decision.objects.create(request=request, approver=by, verdict=verdict, reason=reason, digest=revision.digest)
    Watcher.objects.get_or_create(request=request, user=by)
