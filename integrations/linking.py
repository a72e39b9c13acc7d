"""Links of experiments to catalogues: made, changed and put away with a reason; one that cannot work is refused."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from core import differences, transitions
from core.errors import Conflict, Problem, Refused
from experiments.models import Experiment
from integrations import errors, registry
from integrations.catalogue import declared
from integrations.declared import as_lines
from integrations.models import CatalogueLink


def link(experiment: Experiment, name: str, system: str, *, by: Any, reason: str, **values: Any) -> CatalogueLink:
    """Link an experiment to a catalogue; raises Refused for what could not work, Conflict for a name that is taken.

    Where it is the default, the one that was is it no longer.
    """
    row = CatalogueLink(experiment=experiment, name=name, system=system, **values)
    _refuse_unusable(row)
    with transaction.atomic():
        others = _locked(experiment)
        if any(other.name == name for other in others):
            problem = Problem("name", "is taken", "change the one that exists, or choose another name")
            raise Conflict(f"{experiment.name} has a catalogue {name} already; nothing was changed.", [problem])
        _make_room(row, others, by)
        row.save(force_insert=True)
        _note(row, "", "create", by, reason)
    return row


def change(row: CatalogueLink, *, by: Any, reason: str, seen: str = "", **values: Any) -> CatalogueLink:
    """Change what may be changed of a link; `seen` is the fingerprint of what the person had before them.

    It counts from the next call to the catalogue on, of campaigns that run as well.
    """
    with transaction.atomic():
        others = {other.pk: other for other in _locked(row.experiment)}
        row = others.pop(row.pk)
        if seen and seen != row.fingerprint:
            raise Conflict(
                f"{row} was changed after you opened it; nothing was changed. Open it again, and look at its history."
            )
        before = {name: value for name, value in row.values().items() if name in values and values[name] != value}
        if not before:
            raise Refused("Nothing is different; nothing was changed.")
        source, after = _standing(row), {name: values[name] for name in before}
        for name, value in after.items():
            setattr(row, name, value)
        _refuse_unusable(row)
        _make_room(row, list(others.values()), by)
        row.save(update_fields=list(after))
        _note(row, source, "edit", by, differences.told(reason, as_lines(before), as_lines(after)))
    return row


def _locked(experiment: Experiment) -> list[CatalogueLink]:
    """Return the links of an experiment; whoever changes one of them waits for whoever does so already."""
    Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    return list(CatalogueLink.objects.filter(experiment=experiment).select_related("experiment").order_by("pk"))


def _make_room(row: CatalogueLink, others: list[CatalogueLink], by: Any) -> None:
    """Let there be one default: a moment without any, and stages that name none would go to the local one."""
    for other in others:
        if row.is_default and row.active and other.is_default and other.active:
            CatalogueLink.objects.filter(pk=other.pk).update(is_default=False)
            _note(other, _standing(other), "edit", by, f"{row.name} is the default now")


def _refuse_unusable(row: CatalogueLink) -> None:
    """Refuse what the catalogue's own backend would refuse at its first use, in its words."""
    if row.system not in registry.CATALOGUES:
        problem = Problem("system", f"unknown: {row.system}", f"one of {', '.join(registry.CATALOGUES)}")
        raise Refused("It cannot work as it is; nothing was changed.", [problem])
    try:
        if row.system == "local":
            declared.read("local", {}, row.settings)
        registry.CATALOGUES[row.system](row)
        registry.transfers_of(row)
    except errors.Refused as refusal:
        problem = Problem("settings", str(refusal))
        raise Refused("It cannot work as it is; nothing was changed.", [problem]) from refusal


def _standing(row: CatalogueLink) -> str:
    return "active" if row.active else "inactive"


def _note(row: CatalogueLink, source: str, verb: str, by: Any, reason: str) -> None:
    transitions.record(
        [(row.pk, source)], "catalogue", _standing(row), experiment_id=row.experiment_id, actor=by.actor,
        reason=reason.strip(), verb=verb,
    )  # fmt: skip
