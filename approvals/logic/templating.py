"""Templates at work: filled in for an experiment, a campaign made with one, and one made of a campaign (T5, W6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from approvals import parameters as filling
from approvals.logic import customising
from approvals.models import Template
from campaigns import queries
from campaigns.definition import changing
from campaigns.logic import copying, drafting, editing
from campaigns.models import Campaign, Revision
from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.scoping import require


def text_of(template: Template, experiment: Experiment, given: Mapping[str, str], *, name: str = "") -> str:
    """Return a template's definition filled in for an experiment; raise Refused with everything that is missing."""
    if not template.active:
        raise Refused("Nothing was made.", [Problem("template", f"{template} is no longer used", "choose another")])
    declared, _ = filling.declared(template.parameters)
    text, problems = filling.filled(template.definition, declared, given)
    if problems:
        raise Refused(f"The template {template.name} cannot be filled in so; nothing was made.", problems)
    if template.experiment_id != experiment.pk:
        text = changing.set_value(text, "campaign", "", "experiment", experiment.name)
    return changing.set_value(text, "campaign", "", "name", name) if name else text


def instantiate(
    template: Template, experiment: Experiment, *, by: Any, given: Mapping[str, str], name: str = ""
) -> Revision:
    """Make a campaign of the experiment with a template; return its first revision, a draft."""
    require(by, "file_request", experiment)
    text = text_of(template, experiment, given, name=name.strip())
    parsed = drafting.read(text, experiment, by)
    with transaction.atomic():
        copying.refuse_taken(experiment, parsed.definition.name)
        why = f"from the template {template.name}"
        made = editing.create(experiment, name=parsed.definition.name, owner=by, reason=why)
        return drafting.save(made, text, by=by, note=why)


def template_of(
    campaign: Campaign, name: str, *, by: Any, title: str = "", about: str = "", parameters: str = "", reason: str = ""
) -> Template:
    """Make a template of a campaign's newest definition; where a parameter's default stands, the parameter is put."""
    last = queries.newest(campaign)
    if last is None:
        raise Refused(f"{campaign.ref} has no definition yet; nothing was made.")
    declared, problems = filling.declared(parameters)
    text = last.source
    if not problems:
        text, problems = filling.lifted(text, declared)
    if problems:
        raise Refused("No template was made.", problems)
    return customising.keep_template(
        campaign.experiment, name, by=by, reason=reason or f"made of {campaign.ref}, revision {last.number}",
        title=title.strip() or campaign.name, about=about, parameters=parameters, definition=text,
    )  # fmt: skip
