"""Whose failures are: the rules in force, what a person says instead, and what helps; each with its reason."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.db.models import Q

from core.clock import now
from core.errors import Conflict, Problem, Refused
from core.transitions import record
from experiments.models import Experiment
from integrations.models import Service
from submissions import routing
from submissions.models import Failure, Route
from submissions.routing import Rule
from submissions.signatures import CAUSES, Signature

MOST_RULES = 200
LONGEST_FIX = 4000
LONGEST_LINK = 600
BY_RULE = "rule"
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?")  # nothing else becomes a link on a page


class Rules:
    """The rules and services of one experiment, read once for many failures."""

    def __init__(self, experiment: Experiment) -> None:
        """Read the rules that stand, the experiment's own before those of all, and the services that they may name.

        Those that POMS brings come last, so that any rule goes before them.
        """
        rows = standing().filter(Q(experiment=experiment) | Q(experiment=None))
        own = sorted(rows, key=lambda row: (row.experiment_id is None, row.place, row.pk))
        self.rules = [*(Rule(row.service, row.cause, row.pattern, row.pk) for row in own), *routing.DEFAULTS]
        self.services = services_of(experiment)

    def owner(self, signature: Signature) -> tuple[Service | None, str]:
        """Return to which service a failure goes, None for the experiment, and by which rule."""
        rule, service = routing.first(self.rules, signature, self.services)
        return service, f"{BY_RULE}:{rule.key or 'of POMS'}" if rule else ""


def standing() -> Any:
    """Return the rules that stand."""
    return Route.objects.filter(ended_at=None).select_related("experiment")


def services_of(experiment: Experiment) -> dict[str, Service]:
    """Return the services that a rule may name: the experiment's own before those of all, names before gates."""
    rows = Service.objects.filter(Q(experiment=experiment) | Q(experiment=None), active=True).order_by("pk")
    ranked = sorted(rows, key=lambda row: row.experiment_id is None)
    found: dict[str, Service] = {}
    for word in ("name", "gates"):
        for row in ranked:
            found.setdefault(getattr(row, word), row)
    return {name: row for name, row in found.items() if name not in ("nothing", "everything")}


# --- What people say ------------------------------------------------------------------------------------------------


def give(failure: Failure, owner: str, *, by: Any, reason: str) -> None:
    """Say whose a failure is: a service by its name, or the experiment; rules say nothing more of this one."""
    problems = [] if reason.strip() else [Problem("reason", "is empty", "say why; it is kept in the history")]
    known = services_of(failure.experiment)
    service = None if owner == failure.experiment.name else known.get(owner)
    if service is None and owner != failure.experiment.name:
        names = ", ".join([failure.experiment.name, *sorted({row.name for row in known.values()})])
        problems.append(Problem("owner", f"unknown: {owner[:60]}", f"one of {names}"))
    if problems:
        raise Refused("Nothing was changed.", problems)
    with transaction.atomic():
        Failure.objects.filter(pk=failure.pk).update(service=service, routed_by=by.actor)
        told = f"it goes to {owner}"
        _record(failure, "route", by.actor, f"{told}: {reason.strip()}")


def explain(failure: Failure, fix: str, *, by: Any, reason: str = "") -> None:
    """Say what helps against a failure; nothing takes back what was said."""
    if len(fix) > LONGEST_FIX:
        raise Refused("Nothing was changed.", [Problem("fix", f"is longer than {LONGEST_FIX} characters")])
    fix = fix.strip()
    with transaction.atomic():
        Failure.objects.filter(pk=failure.pk).update(
            fix=fix, fix_by=by.actor if fix else "", fix_at=now() if fix else None
        )
        why = f" ({reason.strip()})" if reason.strip() else ""
        _record(failure, "fix", by.actor, f"what helps: {fix}{why}" if fix else f"nothing is known to help{why}")


def link(failure: Failure, address: str, *, by: Any, reason: str) -> None:
    """Keep the address of a ticket that somebody opened elsewhere; an empty one takes it away."""
    address = address.strip()
    if address and (not _ADDRESS.fullmatch(address) or len(address) > LONGEST_LINK):
        raise Refused(
            "Nothing was changed.",
            [Problem("link", f"is no address: {address[:60]}", "https://… as a browser shows it")],
        )
    with transaction.atomic():
        Failure.objects.filter(pk=failure.pk).update(ticket_link=address)
        _record(failure, "link", by.actor, f"{address or 'no ticket elsewhere any more'}: {reason.strip()}")


def note(failure: Failure, verb: str, *, by: Any, reason: str) -> None:
    """Write into the history that something was done about a failure outside: a ticket, an entry in the logbook."""
    _record(failure, verb, by.actor, reason)


def _record(failure: Failure, verb: str, actor: str, reason: str) -> None:
    record(
        [(failure.pk, "seen")], Failure.KIND, "seen", experiment_id=failure.experiment_id, actor=actor, reason=reason,
        verb=verb,
    )  # fmt: skip


# --- The rules ------------------------------------------------------------------------------------------------------


def add(
    experiment: Experiment | None, *, cause: str = "", pattern: str = "", service: str = "", place: int = 100, by: Any,
    reason: str,
) -> Route:  # fmt: skip
    """Set a rule of an experiment, or of all; it decides about failures that are seen for the first time."""
    problems = []
    if not reason.strip():
        problems.append(Problem("reason", "is empty", "say why; it is kept in the history"))
    if cause and cause not in CAUSES:
        problems.append(Problem("cause", f"unknown: {cause[:40]}", f"one of {', '.join(CAUSES)}"))
    if wrong := routing.problem_of(pattern):
        problems.append(Problem("pattern", wrong, r"such as samweb|metacat"))
    if not cause and not pattern:
        problems.append(Problem("pattern", "is empty, and so is the cause", "say which failures the rule speaks of"))
    if len(service) > 40:
        problems.append(Problem("service", "is longer than 40 characters", "the name of a service, such as sam"))
    if not 0 <= place <= 10_000:
        problems.append(Problem("place", "not between 0 and 10 000", "lower ones are asked first"))
    if standing().filter(experiment=experiment).count() >= MOST_RULES:
        problems.append(Problem("experiment", f"has {MOST_RULES} rules already", "take some back first"))
    if problems:
        raise Refused("The rule was not set.", problems)
    with transaction.atomic():
        row = Route.objects.create(
            experiment=experiment, cause=cause, pattern=pattern, service=service, place=place, actor=by.actor,
            reason=reason.strip(),
        )  # fmt: skip
        record([(row.pk, "")], "route", "standing", experiment_id=row.experiment_id, actor=by.actor,
               reason=f"{row}: {reason.strip()}", verb="route")  # fmt: skip
    return row


def remove(row: Route, *, by: Any, reason: str) -> None:
    """Take a rule back; failures that it has routed stay where they are."""
    if not reason.strip():
        raise Refused("Nothing was changed.", [Problem("reason", "is empty", "say why; it is kept in the history")])
    with transaction.atomic():
        if not Route.objects.filter(pk=row.pk, ended_at=None).update(ended_at=now()):
            raise Conflict(f"The rule {row.ref} has been taken back already; nothing was changed.")
        record([(row.pk, "standing")], "route", "removed", experiment_id=row.experiment_id, actor=by.actor,
               reason=reason.strip(), verb="remove")  # fmt: skip
