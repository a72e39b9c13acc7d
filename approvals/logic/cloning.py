"""A new request like another, like a campaign, or from a template (W6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from approvals.logic import filing, templating
from approvals.models import Origin, Request, Template
from campaigns.models import Campaign
from experiments.models import Experiment


def fields_of(source: Request | Campaign | Template) -> dict[str, Any]:
    """Return what a request begins with that is made like this."""
    if isinstance(source, Request):
        return {name: getattr(source, name) for name in filing.FIELDS}
    if isinstance(source, Campaign):
        revision = source.revision or source.revisions.order_by("-number").first()
        asked = Request.objects.filter(campaign=source).order_by("-pk").first()
        begun = fields_of(asked) if asked else {"title": source.name, "priority": source.rank}
        return {**begun, **({"definition": revision.source} if revision else {})}
    given: dict[str, Any] = {"definition": source.definition, "production_stage": source.production_stage}
    return given | {name: getattr(source, name) for name in ("hours_per_file", "memory_mb") if getattr(source, name)}


def clone(source: Request, *, by: Any, **changes: Any) -> Request:
    """Make a draft like a request, with changes; it knows where it comes from."""
    values = {**fields_of(source), **changes}
    with transaction.atomic():
        made = filing.draft(source.experiment, requester=by, reason=f"a clone of {source.ref}", **values)
        Origin.objects.create(request=made, source=source, how="clone")
    return made


def from_template(
    template: Template, experiment: Experiment, *, by: Any, parameters: Mapping[str, str], **values: Any
) -> Request:
    """Make a draft from a template of the experiment, or of the common library."""
    text = templating.text_of(template, experiment, parameters)
    given = {**fields_of(template), "definition": text, **values}
    return filing.draft(experiment, requester=by, reason=f"from the template {template.name}", **given)
