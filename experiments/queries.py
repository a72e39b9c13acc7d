"""Questions about people and experiments."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from experiments.models import Approver, Experiment, Membership
from experiments.roles import EVERYWHERE, roles_with


def is_approver(user: Any, experiment: Experiment, production_stage: str) -> bool:
    """Tell whether the person is registered to decide on this production stage (W1)."""
    registered = Approver.objects.filter(experiment=experiment, production_stage=production_stage)
    return registered.filter(Q(user=user) | Q(group__in=user.groups.all())).exists()


def production_stages(experiment: Experiment) -> list[str]:
    """Return the production stages for which somebody is registered to decide."""
    rows = Approver.objects.filter(experiment=experiment)
    return list(rows.order_by("production_stage").values_list("production_stage", flat=True).distinct())


def is_administrator(user: Any) -> bool:
    """Tell whether the person administers the whole service, not only one experiment by a grant."""
    roles = [role for role in roles_with("administer") if role in EVERYWHERE]
    held = Membership.objects.filter(user_id=user.pk, experiment=None, role__in=roles, active=True)
    return bool(user.is_authenticated and user.is_active and held.exists())


def approvers_of(experiment: Experiment, production_stage: str) -> list[str]:
    """Return who is registered to decide on a production stage: people by name, and groups."""
    rows = Approver.objects.filter(experiment=experiment, production_stage=production_stage)
    found = rows.select_related("user", "group").order_by("user__username", "pk")
    return [row.user.username if row.user else f"everybody of {row.group}" for row in found]
