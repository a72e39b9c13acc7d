"""Finds what somebody wants held: a service, a campaign, a stage or a batch, by its reference."""

from __future__ import annotations

import re
from typing import Any

from campaigns.models import Campaign, Stage
from core.errors import NotVisible, Problem, Refused
from integrations.models import Service
from submissions.models import Batch


def held(user: Any, scope: str, ref: str) -> Any:
    """Return what is to be held, by its reference, if the person may see it."""
    parts = ref.split("/")
    model, letter = {"service": (Service, "v"), "campaign": (Campaign, "c"), "batch": (Batch, "b"),
                     "stage": (Stage, "c")}[scope]  # fmt: skip
    wanted = 3 if scope == "stage" else 2
    if len(parts) != wanted or not re.fullmatch(rf"{letter}[1-9][0-9]{{0,17}}", parts[1]):
        example = {"service": "demo/v1", "campaign": "demo/c1", "batch": "demo/b1", "stage": "demo/c1/gen"}[scope]
        raise Refused("Nothing was held.", [Problem("of", f"no {scope}: {ref[:60]}", f"such as {example}")])
    key = int(parts[1][1:])
    rows: Any = model.objects.visible_to(user)
    if scope == "stage":
        rows = rows.select_related("campaign__experiment").filter(campaign_id=key, name=parts[2])
        found = rows.filter(campaign__experiment__name=parts[0]).first()
    else:
        rows = rows.select_related("experiment").filter(pk=key)
        found = (rows.filter(experiment=None) if parts[0] == "all" else rows.filter(experiment__name=parts[0])).first()
    if found is None:
        raise NotVisible(f"There is no {ref}, or you may not see it.")
    return found
