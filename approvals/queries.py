"""Questions about requests."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from approvals.models import Request
from core.errors import Conflict, NotAllowed, PomsError
from experiments.models import Approver
from experiments.queries import is_approver


def waiting_for(user: Any) -> Any:
    """Return the requests on which a person is registered to decide, the highest priority first (W3)."""
    registered = Approver.objects.filter(Q(user=user) | Q(group__in=user.groups.all()))
    mine = Q(pk__in=[])
    for experiment_id, stage in registered.values_list("experiment_id", "production_stage"):
        mine |= Q(experiment_id=experiment_id, production_stage=stage)
    return Request.objects.visible_to(user).filter(mine, state="pending_approval").order_by("-priority", "pk")


def obstacle(request: Request, by: Any) -> PomsError | None:
    """Return what keeps a person from deciding on the request as it is now, or None if nothing does (W1, W2)."""
    if not is_approver(by, request.experiment, request.production_stage):
        return NotAllowed(
            f"You are not registered as an approver of {request.production_stage} in {request.experiment.name}."
        )
    if request.revision is None or request.state != "pending_approval":
        return Conflict(f"The request is {request.state.replace('_', ' ')}, not pending approval.")
    if by.pk in {request.requester_id, request.revision.author_id} and not request.experiment.author_may_approve:
        return NotAllowed("Nobody decides on a request of their own here; ask another approver.")
    return None
