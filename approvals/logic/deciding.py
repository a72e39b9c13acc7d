"""Decisions on requests: approve, return for correction, reject; always by somebody registered for it (W2)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from approvals.models import Decision, Request
from campaigns.models import Campaign, Revision
from core import transitions
from core.clock import now
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.queries import is_approver
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


def send_back(request: Request, *, by: Any, reason: str) -> Request:
    """Return a request to its author for correction."""
    _needs_reason("return", reason)
    with transaction.atomic():
        request, revision = _locked(request, by, "")
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


def reject(request: Request, *, by: Any, reason: str) -> Request:
    """Turn a request down; its campaign is cancelled."""
    _needs_reason("reject", reason)
    with transaction.atomic():
        request, revision = _locked(request, by, "")
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
    if not is_approver(by, locked.experiment, locked.production_stage):
        raise NotAllowed(
            f"You are not registered as an approver of {locked.production_stage} in {locked.experiment.name};"
            " nothing was changed."
        )
    if locked.revision is None or locked.state != "pending_approval":
        raise Conflict(f"The request is {locked.state.replace('_', ' ')}, not pending approval; nothing was changed.")
    authors = {locked.requester_id, locked.revision.author_id}
    if by.pk in authors and not locked.experiment.author_may_approve:
        raise NotAllowed("Nobody decides on a request of their own here; ask another approver. Nothing was changed.")
    if digest and digest != locked.revision.digest:
        raise Conflict("The request was changed after you read it; read it again. Nothing was changed.")
    return locked, locked.revision


def _needs_reason(verb: str, reason: str) -> None:
    if not reason.strip():
        raise Refused(f"To {verb} needs a reason.", [Problem("reason", "is empty", "say why; the requester reads it")])


def _note(request: Request, revision: Revision, by: Any, verdict: str, reason: str) -> None:
    Decision.objects.create(request=request, approver=by, verdict=verdict, reason=reason, digest=revision.digest)
