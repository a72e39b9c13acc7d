"""Questions about requests."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from approvals.models import Request
from experiments.models import Approver


def waiting_for(user: Any) -> Any:
    """Return the requests on which a person is registered to decide, the highest priority first (W3)."""
    registered = Approver.objects.filter(Q(user=user) | Q(group__in=user.groups.all()))
    mine = Q(pk__in=[])
    for experiment_id, stage in registered.values_list("experiment_id", "production_stage"):
        mine |= Q(experiment_id=experiment_id, production_stage=stage)
    return Request.objects.visible_to(user).filter(mine, state="pending_approval").order_by("-priority", "pk")
