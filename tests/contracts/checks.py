"""The checks behind the contract tests: each takes what it judges, so that a planted fault can be shown to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.urls import URLPattern, URLResolver
from rest_framework.views import APIView

from experiments.models import Experiment
from experiments.roles import PERMISSIONS
from experiments.rules import OWN_TOKEN, PUBLIC, RULES, DeclaredRule, rule_of
from poms_site.web.page import Page

APPS = ("core", "experiments", "integrations", "campaigns", "submissions", "approvals")
ADMIN_ACTIONS = ("view", "add", "change", "delete")


# --- Routes -------------------------------------------------------------------------------------------------


def routes(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Give every pattern below, with its whole address."""
    for entry in patterns:
        address = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, address)
        else:
            yield address, entry


def served(callback: Any) -> dict[str, str]:
    """Return the methods that a view serves here, each with the action that its rule is declared under."""
    if actions := getattr(callback, "actions", None):
        return {method.upper(): action for method, action in actions.items() if method != "head"}
    view = view_class(callback)
    names = [n for n in view.http_method_names if n not in ("options", "head") and hasattr(view, n)]
    return {name.upper(): name for name in names}


def view_class(callback: Any) -> Any:
    """Return the class behind a view function, or None for a function that is a view itself."""
    return getattr(callback, "cls", None) or getattr(callback, "view_class", None)


def is_admin(callback: Any) -> bool:
    """Tell whether a view belongs to an admin site."""
    return hasattr(callback, "model_admin") or hasattr(callback, "admin_site")


def undeclared_routes(patterns: Iterable[URLPattern | URLResolver]) -> list[str]:
    """Return a sentence for each route and method without a declared rule that is also enforced (design 9)."""
    wrong = []
    for address, pattern in routes(patterns):
        callback: Any = pattern.callback
        if is_admin(callback):
            continue  # undeclared_admin judges these, by model
        view = view_class(callback)
        if view is None:
            wrong.append(f"{address}: a function view declares no rule")
            continue
        for method, action in served(callback).items():
            rule = rule_of(view, action)
            if rule is None:
                wrong.append(f"{address}: {view.__name__} declares no rule for {method} ({action})")
            elif rule != PUBLIC and not _is_enforced(view, rule, address):
                wrong.append(f"{address}: {view.__name__} declares {rule} for {method}, but nothing enforces it")
    return wrong


def _is_enforced(view: Any, rule: str, address: str) -> bool:
    """Tell whether a view asks for its rule: a page does so by its own dispatch, on the experiment of the address."""
    if issubclass(view, APIView):
        return DeclaredRule in view.permission_classes
    if not issubclass(view, Page) or view.dispatch is not Page.dispatch or view._guarded is not Page._guarded:
        return False
    return rule not in PERMISSIONS or "<slug:experiment>" in address


def undeclared_admin(sites: Iterable[Any]) -> list[str]:
    """Return a sentence for each admin model and action without a declared rule."""
    wrong = []
    for site in sites:
        for model, admin in site._registry.items():
            rules = getattr(admin, "rules", {})
            wrong += [
                f"{model._meta.label}: {type(admin).__name__} declares no rule for {action}"
                for action in ADMIN_ACTIONS
                if rules.get(action) not in set(RULES) - {PUBLIC, OWN_TOKEN}
            ]
    return wrong


# --- Models -------------------------------------------------------------------------------------------------


def our_models() -> list[type[models.Model]]:
    """Return the models of our apps; tables that Django makes for many-to-many fields are not among them."""
    return [model for name in APPS for model in apps.get_app_config(name).get_models()]


def leads_to_experiment(model: type[models.Model], seen: frozenset[type[models.Model]] = frozenset()) -> bool:
    """Tell whether a model belongs to an experiment along foreign keys, over however many tables."""
    if model in seen:
        return False
    targets = [f.related_model for f in model._meta.get_fields() if isinstance(f, models.ForeignKey)]
    return Experiment in targets or any(
        leads_to_experiment(target, seen | {model}) for target in targets if isinstance(target, type)
    )


def unscoped_models(judged: Iterable[type[models.Model]]) -> list[str]:
    """Return a sentence for each model with an experiment whose manager has no visible_to (design 9)."""
    return [
        f"{model.__name__}: belongs to an experiment, but its manager has no visible_to"
        for model in judged
        if leads_to_experiment(model) and not hasattr(getattr(model, "objects", None), "visible_to")
    ]


def dead_paths(judged: Iterable[type[models.Model]]) -> list[str]:
    """Return a sentence for each EXPERIMENT_PATH that does not end at an experiment's key."""
    wrong = []
    for model in judged:
        path = getattr(model, "EXPERIMENT_PATH", None)
        if path is None:
            continue
        here: Any = model
        *steps, last = path.split("__")
        try:
            for step in steps:
                here = here._meta.get_field(step).related_model
            found = here._meta.get_field(last.removesuffix("_id")).related_model
        except (AttributeError, FieldDoesNotExist) as error:
            wrong.append(f"{model.__name__}: EXPERIMENT_PATH {path} leads nowhere: {error}")
            continue
        if found is not Experiment or not last.endswith("_id"):
            wrong.append(f"{model.__name__}: EXPERIMENT_PATH {path} ends at {found}, not at an experiment's key")
    return wrong


def reaching_up(judged: Iterable[type[models.Model]]) -> list[str]:
    """Return a sentence for each relation to another app that can be followed backwards (design 2)."""
    wrong = []
    for model in judged:
        for field in model._meta.get_fields():
            if not isinstance(field, models.ForeignKey | models.ManyToManyField) or field.model is not model:
                continue
            target: Any = field.related_model
            same = target._meta.app_label == model._meta.app_label
            if same or target._meta.app_label not in APPS:
                continue
            if not field.remote_field.hidden:
                where = f"{target.__name__}.{field.remote_field.get_accessor_name()}"
                wrong.append(f"{model.__name__}.{field.name}: {where} reaches across floors; related_name='+'")
    return wrong


# --- State ----------------------------------------------------------------------------------------------------


STATE_FIELDS = ("state", "state_code")


def state_writes(path: Path) -> list[str]:
    """Return a sentence for each place in a module that writes a state past core.transitions.

    These are: assigning to `.state`, `update(state=…)`, `bulk_update` and `update_fields` that name a state, and
    SQL that sets one.
    """
    wrong = []
    tree = ast.parse(path.read_text())
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            whole = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in [
                leaf for entry in whole for leaf in (entry.elts if isinstance(entry, ast.Tuple) else [entry])
            ]:
                if isinstance(target, ast.Attribute) and target.attr in STATE_FIELDS:
                    wrong.append(f"{path.name}:{line} assigns to {ast.unparse(target)}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            named = {word.arg for word in node.keywords}
            if node.func.attr in ("update", "update_or_create") and named & set(STATE_FIELDS):
                wrong.append(f"{path.name}:{line} updates {', '.join(sorted(named & set(STATE_FIELDS)))}")
            listed = [a for a in [*node.args, *(w.value for w in node.keywords)] if isinstance(a, ast.List)]
            words = {c.value for entry in listed for c in entry.elts if isinstance(c, ast.Constant)}
            if node.func.attr in ("bulk_update", "save") and words & set(STATE_FIELDS):
                wrong.append(f"{path.name}:{line} saves {', '.join(sorted(words & set(STATE_FIELDS)))}")
        elif isinstance(node, ast.Constant | ast.JoinedStr) and node not in inner and _sets_state(_text(node)):
            wrong.append(f"{path.name}:{line} sets a state by SQL")
    return wrong


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a string as it stands in the code, with a word in place of what an f-string fills in."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "filled" for part in parts)


def _sets_state(text: str) -> bool:
    settings = re.findall(r"\bUPDATE\b.*?\bSET\b(.*?)(?:\bWHERE\b|\bFROM\b|\bRETURNING\b|$)", text, re.DOTALL)
    names = {entry.partition("=")[0].strip() for found in settings for entry in found.split(",") if "=" in entry}
    return bool(names & set(STATE_FIELDS))
