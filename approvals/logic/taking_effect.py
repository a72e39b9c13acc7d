"""What a decision does to request, revision and campaign, in the caller's transaction, with the request locked."""

from __future__ import annotations

from datetime import timedelta

from approvals.models import Request
from campaigns.models import Campaign, Revision
from core import transitions
from core.clock import now
from core.errors import Conflict
from submissions.logic import planning

KEEP_UP = timedelta(days=7)


def was_approved(request: Request) -> bool:
    """Tell whether a revision of the request's campaign is approved already: then another one amends it."""
    return request.campaign is not None and request.campaign.revision_id is not None


def approve(request: Request, revision: Revision, *, actor: str, reason: str) -> None:
    """Let the campaign run by this revision; a campaign that runs by an older one goes on by it from now."""
    campaign = request.campaign = (
        Campaign.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=revision.campaign_id)
    )
    until = now() + KEEP_UP if request.keep_up and request.valid_until is None else request.valid_until
    transitions.move(request, "approved", expect="pending_approval", actor=actor, reason=reason, valid_until=until)
    transitions.move(revision, "approved", expect="proposed", actor=actor, reason=reason)
    if campaign.revision_id is None:
        transitions.move(
            campaign, "approved", expect="pending_approval", actor=actor, reason=f"request {request.ref} is approved",
            revision=revision, rank=request.priority,
        )  # fmt: skip
    else:
        _go_on_by(campaign, request, revision, actor)
    planning.note(list(campaign.stages.values_list("pk", flat=True)))


def _go_on_by(campaign: Campaign, request: Request, revision: Revision, actor: str) -> None:
    if campaign.state not in ("approved", "running"):
        raise Conflict(
            f"The campaign {campaign.ref} has {campaign.state.replace('_', ' ')} meanwhile; nothing of it can be"
            " changed any more. Nothing was changed."
        )
    before = campaign.revisions.get(pk=campaign.revision_id or 0)
    transitions.move(
        before, "superseded", expect="approved", actor=actor, reason=f"revision {revision.number} is approved"
    )
    Campaign.objects.filter(pk=campaign.pk).update(revision=revision)
    campaign.revision = revision
    transitions.record(
        [(campaign.pk, campaign.state)], "campaign", campaign.state, experiment_id=campaign.experiment_id, actor=actor,
        reason=f"goes on by revision {revision.number} of request {request.ref}", verb="amend",
    )  # fmt: skip


def keep_approved(request: Request, *, actor: str, reason: str, verb: str) -> Request:
    """Drop what was proposed after an approval: the request is approved again, as it was; its campaign ran on."""
    campaign = request.campaign
    if campaign is None or campaign.revision is None:
        raise Conflict("Nothing of this request was approved before; nothing was changed.")
    for waiting in campaign.revisions.filter(state="proposed"):
        to = "rejected" if verb == "reject" else "superseded"
        transitions.move(waiting, to, expect="proposed", actor=actor, reason=reason)
    standing = campaign.revision
    transitions.move(
        request, "approved", expect=("pending_approval", "returned"), actor=actor, reason=reason, verb=verb,
        revision=standing, definition=standing.source,
    )  # fmt: skip
    return request


def cancel_campaign(request: Request, *, actor: str, reason: str) -> None:
    """End the campaign of a request that will not be approved, if it has not begun."""
    if request.campaign is not None and request.campaign.state in ("new", "pending_approval"):
        transitions.move(
            request.campaign, "cancelled", expect=("new", "pending_approval"), actor=actor, ended_at=now(),
            reason=reason,
        )  # fmt: skip
