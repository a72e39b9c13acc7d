"""How an experiment does it: its policy, the packages of its code and its templates, changed with a reason."""

from __future__ import annotations

import re
from typing import Any

from approvals.composing import Wishes, composed
from approvals.models import Package, Policy, Template
from campaigns import definition as text_form
from campaigns.logic import keeping
from core.errors import Problem, Refused
from experiments.models import Experiment

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
    _refuse_text(values)
    row = Template(experiment=experiment, updated_by=by)
    made: Template = keeping.keep(row, name, by=by, reason=reason, values=values)
    return made


def change_template(template: Template, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> Template:
    """Change a template; requests that began with it stay as they are."""
    _refuse_text(values)
    changed: Template = keeping.change(template, by=by, reason=reason, seen=seen, values=values)
    return changed


def _refuse_address(values: dict[str, Any]) -> None:
    if "url" in values and not _ADDRESS.fullmatch(values["url"]):
        problem = Problem("url", f"this is no address of a repository: {values['url'][:80]}", "https://… or ssh://…")
        raise Refused("It cannot work as it is; nothing was changed.", [problem])


def _refuse_text(values: dict[str, Any]) -> None:
    """Refuse a definition that cannot be read even when everything left to the request is filled in."""
    if "definition" not in values:
        return
    whole, _ = composed(values["definition"], Wishes("a title", "a-dataset", "v1", 1000, 1000))
    if errors := text_form.parse(whole).errors:
        raise Refused(
            "The definition cannot be read; nothing was changed.",
            [Problem("definition", f"{problem.field}: {problem.message}", problem.hint) for problem in errors],
        )
