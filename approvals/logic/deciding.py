"""Decisions on requests: approve, return for correction, reject; always by somebody registered for it (W2)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from approvals.models import Decision, Request
from approvals.queries import obstacle
from campaigns.models import Campaign, Revision
from core import transitions
from core.clock import now
from core.errors import Conflict, Problem, Refused
from submissions.logic import planning


def approve(request: Request, *, by: Any, reason: str, digest: str = "") -> Request:
    """Approve the revision that the request proposes; `digest` names the one that the approver has read.

    The first decision wins; a revision that came meanwhile is not approved unread (F25).
    """
    with transaction.atomic():
        request, revision = _locked(request, by, digest)
        campaign = Campaign.objects.select_for_update().get(pk=revision.campaign_id)
        actor = f"user:{by.username}"
        transitions.move(request, "approved", expect="pending_approval", actor=actor, reason=reason)
        transitions.move(revision, "approved", expect="proposed", actor=actor, reason=reason)
        transitions.move(
            campaign, "approved", expect="pending_approval", actor=actor, reason=f"request {request.ref} is approved",
            revision=revision, rank=request.priority,
        )  # fmt: skip
        _note(request, revision, by, "approve", reason)
        planning.note(list(campaign.stages.values_list("pk", flat=True)))
    return request


def send_back(request: Request, *, by: Any, reason: str, digest: str = "") -> Request:
    """Return a request to its author for correction; `digest` names the revision that the approver has read."""
    _needs_reason("return", reason)
    with transaction.atomic():
        request, revision = _locked(request, by, digest)
        actor = f"user:{by.username}"
        transitions.move(request, "returned", expect="pending_approval", actor=actor, reason=reason)
        campaign = Campaign.objects.get(pk=revision.campaign_id)
        transitions.move(
            campaign,
            "new",
            expect="pending_approval",
            actor=actor,
            reason=f"request {request.ref} was returned",
        )
        _note(request, revision, by, "return", reason)
    return request


def reject(request: Request, *, by: Any, reason: str, digest: str = "") -> Request:
    """Turn a request down; its campaign is cancelled; `digest` names the revision that the approver has read."""
    _needs_reason("reject", reason)
    with transaction.atomic():
        request, revision = _locked(request, by, digest)
        actor = f"user:{by.username}"
        transitions.move(request, "rejected", expect="pending_approval", actor=actor, reason=reason)
        transitions.move(revision, "rejected", expect="proposed", actor=actor, reason=reason)
        campaign = Campaign.objects.get(pk=revision.campaign_id)
        transitions.move(
            campaign, "cancelled", expect="pending_approval", actor=actor, ended_at=now(),
            reason=f"request {request.ref} was rejected: {reason}",
        )  # fmt: skip
        _note(request, revision, by, "reject", reason)
    return request


def _locked(request: Request, by: Any, digest: str) -> tuple[Request, Revision]:
    locked = (
        Request.objects.select_for_update(of=("self",))
        .select_related("experiment", "revision", "requester")
        .get(pk=request.pk)
    )
    if found := obstacle(locked, by):
        raise type(found)(f"{found.detail.removesuffix('.')}; nothing was changed.")
    revision = locked.revision
    if revision is None:  # what `obstacle` has said already; here for the type
        raise Conflict("The request proposes no revision. Nothing was changed.")
    if digest and digest != revision.digest:
        raise Conflict("The request was changed after you read it; read it again. Nothing was changed.")
    return locked, revision


def _needs_reason(verb: str, reason: str) -> None:
    if not reason.strip():
        raise Refused(f"To {verb} needs a reason.", [Problem("reason", "is empty", "say why; the requester reads it")])


def _note(request: Request, revision: Revision, by: Any, verdict: str, reason: str) -> None:
    Decision.objects.create(request=request, approver=by, verdict=verdict, reason=reason, digest=revision.digest)
