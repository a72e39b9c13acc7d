"""What is made good after a restore: who was asked, what is waited for, launches that the database had forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from submissions.logic import restoring
from submissions.models import Restoration, Stray

MOST_SHOWN = 200


@dataclass(frozen=True)
class Found:
    """A launch that the database had forgotten."""

    row: Stray

    @property
    def work(self) -> str:
        """Return what it is a launch of, as its plan says it; empty where nobody has the plan."""
        plan = self.row.plan
        return f"{plan['experiment']}, {plan['campaign']}, {plan['stage']}" if plan else ""

    @property
    def inputs(self) -> int:
        """Return how many units of work its plan names."""
        return sum(len(job["units"]) for job in self.row.plan.get("jobs", ()))


@dataclass(frozen=True)
class Standing:
    """How a restoration stands."""

    row: Restoration
    waits_for: list[str]
    strays: list[Found]
    counts: dict[str, int]

    @property
    def is_over(self) -> bool:
        """Tell whether launches go on."""
        return self.row.ended_at is not None


def latest() -> Standing | None:
    """Return how the last restoration stands, the launches that are open first; None if there never was one."""
    row = Restoration.objects.order_by("-began_at").first()
    return standing(row) if row else None


def standing(row: Restoration) -> Standing:
    """Return how a restoration stands."""
    strays = Stray.objects.filter(restoration=row)
    counts = dict(strays.values_list("fate").annotate(n=Count("pk")).order_by())
    shown = strays.order_by("-fate", "seen_at", "pk")[:MOST_SHOWN]  # the open ones first
    waits = restoring.waits_for(row) if row.ended_at is None else []
    return Standing(row, waits, [Found(one) for one in shown], counts)
