"""What somebody has read of an experiment: everything up to a moment, so that they are told only what comes after."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from core.clock import now
from experiments.models import Experiment, LastLook, User


def mark_read(user: User, experiments: Iterable[Experiment], up_to: datetime | None = None) -> None:
    """Note that a person has read all that happened in some experiments, up to now or to a moment; never backwards."""
    at = now() if up_to is None else min(up_to, now())
    rows = [LastLook(user=user, experiment=row, at=at) for row in experiments]
    newer = LastLook.objects.filter(user=user, experiment__in=[row.experiment for row in rows], at__gt=at)
    ahead = set(newer.values_list("experiment", flat=True))
    LastLook.objects.bulk_create(
        [row for row in rows if row.experiment.pk not in ahead], update_conflicts=True, update_fields=["at"],
        unique_fields=["user", "experiment"],
    )  # fmt: skip
