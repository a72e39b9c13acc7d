"""A new campaign like another, under another name, which a pattern may make (W6)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from campaigns import queries
from campaigns.definition import changing, document
from campaigns.logic import drafting, editing
from campaigns.models import Campaign, Revision
from core.errors import Conflict, Problem, Refused
from experiments.models import Experiment
from experiments.scoping import require


def clone(
    campaign: Campaign, *, by: Any, name: str = "", find: str = "", put: str = "", everywhere: bool = False
) -> Revision:
    """Make a campaign with the newest text of another; return its first revision, a draft.

    Its name is the one given, or the other's with `put` where `find` stood, or clone-of-…; with `everywhere` stages
    and all values are renamed by the same pattern, so that a production of one year becomes that of the next.
    """
    require(by, "file_request", campaign.experiment)
    last = queries.newest(campaign)
    if last is None:
        raise Refused(f"{campaign.ref} has no definition yet; there is nothing to clone.")
    wanted = name.strip() or renamed_by(campaign, find, put)
    text = last.source
    if everywhere:
        text = replaced(text, find, put)
    text = changing.set_value(text, "campaign", "", "name", wanted)
    with transaction.atomic():
        refuse_taken(campaign.experiment, wanted)
        made = editing.create(campaign.experiment, name=wanted, owner=by, reason=f"a clone of {campaign.ref}")
        if campaign.tags:
            Campaign.objects.filter(pk=made.pk).update(tags=campaign.tags)
        return drafting.save(made, text, by=by, note=f"a clone of {campaign.ref}, revision {last.number}")


def renamed_by(campaign: Campaign, find: str, put: str) -> str:
    """Return the name of a clone by the pattern; without one a name that is free."""
    if find:
        if find not in campaign.name:
            problem = Problem(
                "find", f"{campaign.name} has no {find[:60]} in its name", "part of the name, or give --name"
            )
            raise Refused("Nothing was cloned.", [problem])
        return campaign.name.replace(find, put)
    wanted, number = f"clone-of-{campaign.name}", 1
    while is_taken(campaign.experiment, wanted):
        number += 1
        wanted = f"clone-of-{campaign.name}-{number}"
    return wanted


def replaced(text: str, find: str, put: str) -> str:
    """Return a definition with one text in place of another in the names of stages and in all values."""
    if not find:
        raise Refused("Nothing was cloned.", [Problem("find", "is empty", "what to replace everywhere")])
    for stage in changing.stage_names(document.read(text)):
        if find in stage:
            text = changing.rename_stage(text, stage, stage.replace(find, put))
    found = document.read(text)
    changes: dict[tuple[str, str, str], str | None] = {
        (section.kind, section.name, key): entry.value.replace(find, put)
        for section in found.sections
        for key, entry in section.entries.items()
        if find in entry.value
    }
    return changing.set_values(text, changes)


def refuse_taken(experiment: Experiment, name: str) -> None:
    """Refuse a name that a campaign of the experiment has: people and files go by it."""
    if is_taken(experiment, name):
        raise Conflict(
            f"There is a campaign {name[:100]} in {experiment.name} already; nothing was made.",
            [Problem("name", "is taken", "choose another name")],
        )


def is_taken(experiment: Experiment, name: str) -> bool:
    """Tell whether a campaign of the experiment has this name."""
    return Campaign.objects.filter(experiment=experiment, name=name, test=False).exists()
