"""Questions about people and experiments."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from experiments.models import Approver, Experiment


def is_approver(user: Any, experiment: Experiment, production_stage: str) -> bool:
    """Tell whether the person is registered to decide on this production stage (W1)."""
    registered = Approver.objects.filter(experiment=experiment, production_stage=production_stage)
    return registered.filter(Q(user=user) | Q(group__in=user.groups.all())).exists()


def production_stages(experiment: Experiment) -> list[str]:
    """Return the production stages for which somebody is registered to decide."""
    rows = Approver.objects.filter(experiment=experiment)
    return list(rows.order_by("production_stage").values_list("production_stage", flat=True).distinct())
