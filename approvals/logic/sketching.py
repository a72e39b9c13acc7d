"""What somebody has typed and not yet kept: saved as it is, seen by nobody else, gone when the draft is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from approvals.models import Request, Sketch
from core.clock import now
from experiments.models import Experiment

MOST = 20  # of one person in one experiment; the oldest goes
LONGEST = 5_000_000


def keep(
    experiment: Experiment, user: Any, fields: Mapping[str, str], *, sketch: int | None = None,
    request: Request | None = None,
) -> Sketch | None:  # fmt: skip
    """Save what the form holds; return the sketch, or None where nothing worth keeping was typed."""
    typed = {name: value for name, value in fields.items() if value}
    if not typed.get("title") and not typed.get("definition"):
        return None
    if sum(len(value) for value in typed.values()) > LONGEST:
        return None
    own = Sketch.objects.filter(experiment=experiment, user=user)
    with transaction.atomic():
        row = own.select_for_update().filter(pk=sketch).first() if sketch else None
        if row is None and request is not None:
            row = own.select_for_update().filter(request=request).first()
        if row is None:
            row = Sketch(experiment=experiment, user=user, request=request)
        row.fields, row.at = typed, now()
        row.save()
        old = own.order_by("-at", "-pk").values_list("pk", flat=True)[MOST:]
        Sketch.objects.filter(pk__in=list(old)).delete()
    return row


def of(experiment: Experiment, user: Any, sketch: int) -> Sketch | None:
    """Return a person's own sketch."""
    return Sketch.objects.filter(experiment=experiment, user=user, pk=sketch).first()


def unfinished(experiment: Experiment, user: Any) -> list[Sketch]:
    """Return what a person has begun and not kept, the latest first."""
    rows = Sketch.objects.filter(experiment=experiment, user=user).select_related("request__experiment")
    return list(rows.order_by("-at")[:MOST])


def drop(experiment: Experiment, user: Any, sketch: int) -> None:
    """Throw a sketch away."""
    Sketch.objects.filter(experiment=experiment, user=user, pk=sketch).delete()
