"""How an experiment does it: its policy, the packages of its code and its templates, changed with a reason."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction

from approvals import parameters
from approvals.composing import Wishes, composed
from approvals.models import Package, Policy, Template
from campaigns import definition as text_form
from campaigns.logic import keeping
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.models import Experiment
from experiments.queries import is_administrator

# What git may be sent to: never a scheme that runs a program (ext::) and never an option.
_ADDRESS = re.compile(r"(https?|ssh|git)://[^\s]+|[\w.-]+@[\w.-]+:[^\s]+|/[^\r\n\0]+")


def keep_policy(experiment: Experiment, name: str = "policy", *, by: Any, reason: str = "", **values: Any) -> Policy:
    """Give an experiment its policy."""
    made: Policy = keeping.keep(
        Policy(experiment=experiment, updated_by=by), "policy", by=by, reason=reason, values=values
    )
    return made


def change_policy(policy: Policy, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> Policy:
    """Change what an experiment asks for; requests that wait are judged by it from now."""
    changed: Policy = keeping.change(policy, by=by, reason=reason, seen=seen, values=values)
    return changed


def keep_package(experiment: Experiment, name: str, *, by: Any, reason: str = "", **values: Any) -> Package:
    """Name a package as production."""
    _refuse_address(values)
    made: Package = keeping.keep(
        Package(experiment=experiment, updated_by=by), name, by=by, reason=reason, values=values
    )
    return made


def change_package(package: Package, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> Package:
    """Change where a package is, or let it be production no longer."""
    _refuse_address(values)
    changed: Package = keeping.change(package, by=by, reason=reason, seen=seen, values=values)
    return changed


def keep_template(experiment: Experiment, name: str, *, by: Any, reason: str = "", **values: Any) -> Template:
    """Make a template."""
    _refuse_text(values["definition"], values.get("parameters", ""))
    row = Template(experiment=experiment, updated_by=by)
    made: Template = keeping.keep(row, name, by=by, reason=reason, values=values)
    return made


def change_template(template: Template, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> Template:
    """Change a template; requests that began with it stay as they are."""
    _refuse_text(values.get("definition", template.definition), values.get("parameters", template.parameters))
    changed: Template = keeping.change(template, by=by, reason=reason, seen=seen, values=values)
    return changed


def publish(template: Template, common: bool, *, by: Any, reason: str) -> Template:
    """Put a template into the common library, from which every experiment may begin, or take it out of it."""
    if not is_administrator(by):
        raise NotAllowed("The common library is kept by administrators of the service; nothing was changed.")
    if not reason.strip():
        raise Refused("This needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        row = Template.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=template.pk)
        if row.common == common:
            raise Conflict(f"{row} is {'in' if common else 'not in'} the common library already; nothing was changed.")
        row.common = common
        row.save(update_fields=["common"])
        keeping.note(row, keeping.standing(row), "publish" if common else "withdraw", by, reason)
    return row


def _refuse_address(values: dict[str, Any]) -> None:
    if "url" in values and not _ADDRESS.fullmatch(values["url"]):
        problem = Problem("url", f"this is no address of a repository: {values['url'][:80]}", "https://… or ssh://…")
        raise Refused("It cannot work as it is; nothing was changed.", [problem])


def _refuse_text(text: str, said: str) -> None:
    """Refuse a definition that cannot be read even when everything that it leaves open is filled in."""
    found, problems = parameters.declared(said)
    problems = problems or parameters.check(text, found)
    if problems:
        raise Refused("The template cannot be used as it is; nothing was changed.", problems)
    example, _ = parameters.filled(text, found, {one.name: "1" for one in found if one.needed})
    whole, _ = composed(example, Wishes("a title", "a-dataset", "v1", 1000, 1000))
    if errors := text_form.parse(whole).errors:
        raise Refused(
            "The definition cannot be read; nothing was changed.",
            [Problem("definition", f"{problem.field}: {problem.message}", problem.hint) for problem in errors],
        )
