"""Services: entered and changed with a reason; one that could not be looked at is refused."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from core import differences, queue, transitions
from core.errors import Conflict, Problem, Refused
from experiments.models import Experiment, User
from integrations import errors
from integrations.declared import as_lines
from integrations.probes.kinds import BY_HAND, PROBES, probe_of
from integrations.probes.models import GATES, Service

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
LONGEST_S = 86_400


def add(experiment: Experiment | None, name: str, kind: str, *, by: Any, reason: str, **values: Any) -> Service:
    """Enter a service of an experiment, or of all; raises Refused for what cannot work, Conflict for a taken name."""
    row = Service(experiment=experiment, name=name, kind=kind, **values)
    if not _NAME.fullmatch(name):
        raise Refused("Nothing was changed.", [Problem("name", f"cannot be {name[:60]!r}", "lower case, such as sam")])
    _refuse_unusable(row, reason)
    with transaction.atomic():
        _lock(experiment)
        if Service.objects.filter(experiment=experiment, name=name).exists():
            problem = Problem("name", "is taken", "change the one that exists, or choose another name")
            raise Conflict(f"There is a service {name} already; nothing was changed.", [problem])
        row.save(force_insert=True)
        _note(row, "", "create", by.actor, reason)
        queue.wake("check")
    return row


def change(row: Service, *, by: Any, reason: str, seen: str = "", **values: Any) -> Service:
    """Change what may be changed of a service; `seen` is the fingerprint of what the person had before them."""
    with transaction.atomic():
        row = Service.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=row.pk)
        if seen and seen != row.fingerprint:
            raise Conflict(f"{row} was changed after you opened it; nothing was changed. Open it again.")
        before = {name: value for name, value in row.values().items() if name in values and values[name] != value}
        if not before:
            raise Refused("Nothing is different; nothing was changed.")
        for name in before:
            setattr(row, name, values[name])
        _refuse_unusable(row, reason)
        row.save(update_fields=list(before))
        after = {name: getattr(row, name) for name in before}
        told = differences.told(reason, as_lines(before), as_lines(after))
        _note(row, row.state, "edit", by.actor, told)
        Service.objects.filter(pk=row.pk).update(look_at=Now())
        queue.wake("check")
    return row


def appoint(row: Service, people: list[User], *, by: Any, reason: str) -> None:
    """Say who provides a service: they see it, and say when it is down."""
    with transaction.atomic():
        row.providers.set(people)
        names = ", ".join(sorted(person.username for person in people)) or "nobody"
        _note(row, row.state, "appoint", by.actor, f"{reason.strip()} (provided by {names})")


def _lock(experiment: Experiment | None) -> None:
    if experiment is not None:
        Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)


def _refuse_unusable(row: Service, reason: str) -> None:
    problems = []
    if not reason.strip():
        problems.append(Problem("reason", "is empty", "say why; it is kept in the history"))
    if row.kind not in PROBES and row.kind != BY_HAND:
        problems.append(Problem("kind", f"unknown: {row.kind[:40]}", f"one of {', '.join((*PROBES, BY_HAND))}"))
    if row.gates not in dict(GATES):
        problems.append(Problem("gates", f"unknown: {row.gates[:40]}", f"one of {', '.join(dict(GATES))}"))
    if row.gated and row.gates in ("everything", "nothing"):
        problems.append(Problem("gated", f"{row.gates} has no name", "batch, host or catalogue has"))
    for field, most in (("every_s", LONGEST_S), ("downs", 100), ("ups", 100)):
        if not 1 <= getattr(row, field) <= most:
            problems.append(Problem(field, f"not between 1 and {most}", "a whole number"))
    if not isinstance(row.settings, dict):
        problems.append(Problem("settings", "is no set of names and values", 'such as {"url": "https://…"}'))
    if problems:
        raise Refused("It cannot work as it is; nothing was changed.", problems)
    if row.kind == BY_HAND:
        if row.settings:
            raise Refused("Nothing was changed.", [Problem("settings", "none are known for what nobody looks at")])
        return
    try:
        probe_of(row)
    except errors.Refused as refusal:
        raise Refused("It cannot work as it is; nothing was changed.", [Problem("settings", str(refusal))]) from refusal


def _note(row: Service, source: str, verb: str, actor: str, reason: str) -> None:
    transitions.record(
        [(row.pk, source)], "outside_service", row.state, experiment_id=row.experiment_id, actor=actor,
        reason=reason.strip(), verb=verb,
    )  # fmt: skip
