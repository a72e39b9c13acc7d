"""The priority of a request: changed while it waits and after, and then of what is queued already (W4, J14)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from approvals.logic import steps
from approvals.models import Request
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.queries import is_approver
from experiments.roles import roles_with
from experiments.scoping import may
from submissions.logic import ordering

CHANGEABLE = ("draft", "returned", "pending_approval", "approved")


def prioritise(request: Request, priority: int, *, by: Any, reason: str) -> Request:
    """Give a request another priority (0 to 100), and its campaign the same rank once it is approved."""
    if not 0 <= priority <= 100:
        raise Refused("Nothing was changed.", [Problem("priority", f"{priority} is not between 0 and 100")])
    if not reason.strip():
        raise Refused("To prioritise needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    _refuse_unless_allowed(request, by)
    with transaction.atomic():
        row = steps.locked(request)
        if row.state not in CHANGEABLE:
            raise Conflict(f"The request is {row.state}; nothing of it is queued. Nothing was changed.")
        before = row.priority
        Request.objects.filter(pk=row.pk).update(priority=priority)
        row.priority = priority
        text = f"priority {before} → {priority}: {reason}"
        steps.note(row, "prioritise", actor=by.actor, reason=text)
        if row.campaign is not None and row.campaign.revision_id is not None:
            ordering.prioritise(row.campaign, priority, actor=by.actor, reason=f"{row.ref}: {reason}")
    return row


def _refuse_unless_allowed(request: Request, by: Any) -> None:
    if is_approver(by, request.experiment, request.production_stage) or may(by, "operate", request.experiment):
        return
    if request.requester_id == by.pk and request.state in ("draft", "returned"):
        return
    roles = " or ".join(roles_with("operate"))
    raise NotAllowed(
        f"To prioritise {request.ref} needs an approver of {request.production_stage} in {request.experiment.name}, or"
        f" the role {roles}. Nothing was changed."
    )
