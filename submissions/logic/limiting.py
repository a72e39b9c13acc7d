"""Limits: how much may be under way at once, set and taken back by people, with the reason (J10, J16)."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from core import queue
from core.clock import now
from core.errors import Conflict, Problem, Refused
from core.transitions import record
from experiments.models import Experiment
from integrations import registry
from integrations.models import LaunchHost
from submissions.models import Limit
from submissions.models.control import LIMITS

MOST = 10**9


def limit(
    kind: str, most: int, *, experiment: Experiment | None, system: str = "", host: str = "", actor: str, reason: str
) -> Limit:
    """Set a limit of an experiment, of a batch system, or of both, or of a launch host of an experiment."""
    problems = []
    if not reason.strip():
        problems.append(Problem("reason", "is empty", "say why, for whoever wonders why so little runs"))
    if kind not in LIMITS:
        problems.append(Problem("kind", f"unknown: {kind[:40]}", f"one of {', '.join(LIMITS)}"))
    if not 0 <= most <= MOST:
        problems.append(Problem("most", "not between 0 and 10⁹", "a whole number"))
    if experiment is None and not system:
        problems.append(Problem("experiment", "is missing", "name an experiment, a batch system, or both"))
    known = registry.batch_systems()
    if system and system not in known:
        problems.append(Problem("system", f"unknown: {system[:40]}", f"one of {', '.join(known)}"))
    if host and kind in ("jobs", "idle"):
        problems.append(Problem("kind", "nobody counts jobs by their launch host", "launches, submissions or scripts"))
    found = _host(experiment, host) if host and experiment else None
    if host and found is None:
        problems.append(Problem("host", f"no launch host {host[:60]} of that experiment", "as login set-ups name it"))
    if problems:
        raise Refused("The limit was not set.", problems)
    row = Limit(
        kind=kind, most=most, experiment=experiment, system=system, host=found, actor=actor, reason=reason.strip()
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _record(row, "standing", "limit", actor, f"{row}: {reason.strip()}")
            queue.wake("launch")
    except IntegrityError as error:
        standing = Limit.objects.filter(
            kind=kind, experiment=experiment, system=system, host=found, ended_at=None
        ).first()
        if standing is None:
            raise
        hint = f"remove {standing.ref} first"
        raise Conflict("Such a limit stands; nothing was changed.", [Problem("kind", str(standing), hint)]) from error
    return row


def remove(row: Limit, *, actor: str, reason: str) -> None:
    """Take a limit back."""
    if not reason.strip():
        raise Refused("Nothing was changed.", [Problem("reason", "is empty", "say why; it is kept in the history")])
    with transaction.atomic():
        if not Limit.objects.filter(pk=row.pk, ended_at=None).update(ended_at=now(), ended_by=actor):
            raise Conflict(f"The limit {row.ref} has been taken back already; nothing was changed.")
        _record(row, "removed", "remove", actor, reason.strip())
        queue.wake("launch")


def _host(experiment: Experiment, name: str) -> LaunchHost | None:
    return LaunchHost.objects.filter(experiment=experiment, name=name, active=True).order_by("pk").first()


def _record(row: Limit, to: str, verb: str, actor: str, reason: str) -> None:
    source = "standing" if to == "removed" else ""
    record([(row.pk, source)], "limit", to, experiment_id=row.experiment_id, actor=actor, reason=reason, verb=verb)


def standing(**narrowed: Any) -> list[Limit]:
    """Return the limits that stand."""
    return list(Limit.objects.filter(ended_at=None, **narrowed).select_related("experiment", "host").order_by("pk"))
