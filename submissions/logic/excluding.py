"""Exclusions: what new submissions are kept from, by a rule's finding or a person's word, and how they end (D2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction

from core import differences, transitions
from core.clock import now
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.models import Experiment
from experiments.queries import is_administrator
from integrations.declared import as_lines
from integrations.models import BatchSystem
from submissions.logic import holding
from submissions.models import Exclusion, Guard, Node, Submission
from submissions.models.exclusion import MODES
from submissions.states import STANDING

LONGEST_H = 24 * 30
PLACES = ("node", "site")
WHOLE = "How a batch system is guarded concerns all experiments: it needs an administrator in the whole service."


# --- What launches ask ----------------------------------------------------------------------------------------------


def avoid(submissions: Iterable[Submission]) -> None:
    """Note on each submission that is about to be launched what is excluded for it now, and choose canaries.

    Of a place on probation one submission is chosen, whose jobs alone may run there. Where a stage wants some sites
    only, and all of them are excluded, none is avoided: its jobs would wait for ever.
    """
    rows = list(submissions)
    standing = _standing(rows) if rows else {}
    for row in rows:
        out = [place for place in standing.get((row.system, row.experiment_id), ()) if not _may_try(place, row)]
        wanted = set(row.jobs_file.get("slots", {}).get("sites", ()))
        found = {f"{level}s": sorted(place.name for place in out if place.level == level) for level in PLACES}
        if wanted and wanted <= set(found["sites"]):
            found["sites"] = []
        kept = {name: values for name, values in found.items() if values}
        if kept != row.avoided:
            Submission.objects.filter(pk=row.pk).update(avoided=kept)
            row.avoided = kept


def _standing(rows: Sequence[Submission]) -> Mapping[tuple[str, int], list[Exclusion]]:
    places = Exclusion.objects.filter(
        state__in=("excluded", "on_probation"), level__in=PLACES, system__name__in={row.system for row in rows},
        experiment__in={row.experiment_id for row in rows},
    ).select_related("system").order_by("pk")  # fmt: skip
    found: dict[tuple[str, int], list[Exclusion]] = defaultdict(list)
    for place in places:
        found[place.system.name, place.experiment_id].append(place)
    return found


def _may_try(place: Exclusion, row: Submission) -> bool:
    """Tell whether a submission is the canary of a place; the first that could run there becomes it."""
    if place.state != "on_probation" or place.name in row.jobs_file.get("avoid", ()):
        return False
    if place.canary_id is None:
        free = Exclusion.objects.filter(pk=place.pk, state="on_probation", canary=None)
        if free.update(canary=row):
            place.canary = row
    return place.canary_id == row.pk


# --- What people say ------------------------------------------------------------------------------------------------


def exclude(
    experiment: Experiment, system: str, level: str, name: str, *, hours: float, actor: str, reason: str
) -> Exclusion:
    """Keep an experiment's new submissions from a node or site for some hours, as a person asks."""
    row = BatchSystem.objects.filter(name=system).first()
    problems = _problems(hours, reason)
    if row is None:
        known = ", ".join(BatchSystem.objects.order_by("name").values_list("name", flat=True)) or "none"
        problems.append(Problem("system", f"unknown: {system[:30]}", f"known are {known}"))
    if level not in PLACES:
        problems.append(Problem("level", f"unknown: {level[:20]}", "node or site"))
    if not 0 < len(name.strip()) <= 100 or "," in name:
        problems.append(Problem("name", "is empty, too long, or has a comma", "such as fnpc1234.fnal.gov"))
    elif row is not None and level in PLACES and _is_last(experiment, row, level, name.strip()):
        problems.append(Problem("name", f"no other {level} of {system} would be left", "hold what should not run"))
    if problems or row is None:
        raise Refused("Nothing was excluded.", problems)
    until = now() + timedelta(hours=hours)
    said: dict[str, Any] = {"until": until, "hours": hours}
    with transaction.atomic():
        watched = Exclusion.objects.filter(
            experiment=experiment, system=row, level=level, name=name.strip(), state="watched"
        ).first()  # fmt: skip
        if watched is not None:
            transitions.move(watched, "excluded", expect="watched", actor=actor, reason=reason.strip(), **said)
            return watched
        made = Exclusion(
            experiment=experiment, system=row, level=level, name=name.strip(), state="excluded", reason=reason.strip(),
            actor=actor, state_since=now(), since=now(), **said,
        )  # fmt: skip
        try:
            with transaction.atomic():
                made.save(force_insert=True)
        except IntegrityError as error:
            raise Conflict(f"{level} {name} is excluded already for {experiment.name}; nothing was changed.") from error
        transitions.created(made, actor=actor, reason=reason.strip())
    return made


def release(row: Exclusion, *, actor: str, reason: str) -> None:
    """Undo an exclusion, or say that what is watched is well: new submissions may go there; its hold is released."""
    if not reason.strip():
        raise Refused("Nothing was changed.", [Problem("reason", "is empty", "say why; it is kept in the history")])
    with transaction.atomic():
        transitions.move(
            row, "undone", expect=STANDING, actor=actor, reason=reason.strip(), until=None, canary=None
        )  # fmt: skip
        # A hold on the whole batch system is of all experiments: others may release it, one of them may not by this.
        if row.level == "campaign" and row.hold is not None and row.hold.released_at is None:
            holding.release(row.hold, actor=actor, reason=reason.strip())


def extend(row: Exclusion, hours: float, *, actor: str, reason: str) -> None:
    """Exclude for so many hours from now on, instead of what was to come."""
    if problems := _problems(hours, reason):
        raise Refused("Nothing was changed.", problems)
    with transaction.atomic():
        locked = Exclusion.objects.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
        if locked.level not in PLACES or locked.state not in ("excluded", "on_probation"):
            raise Conflict(f"{row} is {locked.state.replace('_', ' ')}; only what is excluded can be so for longer.")
        until = now() + timedelta(hours=hours)
        why = f"until {until:%Y-%m-%d %H:%M} UTC: {reason.strip()}"
        also: dict[str, Any] = {"until": until, "hours": hours, "canary": None}
        if locked.state == "on_probation":
            transitions.move(row, "excluded", expect="on_probation", actor=actor, reason=why, **also)
            return
        Exclusion.objects.filter(pk=row.pk).update(**also)
        note(locked, "extend", actor, why)


def note(row: Exclusion, verb: str, actor: str, reason: str) -> None:
    """Write into the ledger what was done to an exclusion that stays as it is."""
    transitions.record(
        [(row.pk, row.state)], "exclusion", row.state, experiment_id=row.experiment_id, actor=actor, reason=reason,
        verb=verb,
    )  # fmt: skip


def set_guard(system: BatchSystem, *, by: Any, reason: str, seen: str = "", **values: Any) -> Guard:
    """Say whether the guard of a batch system acts, how much it may exclude, and for how long at first."""
    if not is_administrator(by):
        raise NotAllowed(WHOLE)
    problems = [] if reason.strip() else [Problem("reason", "is empty", "say why; it is kept in the history")]
    if values.get("mode", "act") not in dict(MODES):
        problems.append(Problem("mode", f"unknown: {str(values['mode'])[:20]}", "observe or act"))
    if not 1 <= values.get("cap", 10) <= 50:
        problems.append(Problem("cap", "not between 1 and 50", "percent of the nodes"))
    if not 0 < values.get("hours", 1) <= LONGEST_H:
        problems.append(Problem("hours", f"not between 0 and {LONGEST_H}", "such as 1"))
    if problems:
        raise Refused("Nothing was changed.", problems)
    with transaction.atomic():
        Guard.objects.get_or_create(system=system)
        row = Guard.objects.select_for_update(of=("self",)).select_related("system").get(system=system)
        if seen and seen != row.fingerprint:
            raise Conflict(f"The {row} was changed after you opened it; nothing was changed. Open it again.")
        before = {name: value for name, value in row.values().items() if name in values and values[name] != value}
        if not before:
            raise Refused("Nothing is different; nothing was changed.")
        source = row.mode
        for name in before:
            setattr(row, name, values[name])
        row.save(update_fields=list(before))
        told = differences.told(reason, as_lines(before), as_lines({name: values[name] for name in before}))
        transitions.record(
            [(row.pk, source)], "guard", row.mode, experiment_id=None, actor=by.actor, reason=told, verb="edit"
        )  # fmt: skip
    return row


def _problems(hours: float, reason: str) -> list[Problem]:
    problems = [] if reason.strip() else [Problem("reason", "is empty", "say why, for the next shifter")]
    if not 0 < hours <= LONGEST_H:
        problems.append(Problem("hours", f"not between 0 and {LONGEST_H}", "such as 24"))
    return problems


def _is_last(experiment: Experiment, system: BatchSystem, level: str, name: str) -> bool:
    """Tell whether no other node or site would be left, as far as the pool is known."""
    known = Node.objects.filter(system=system).exclude(**{"name" if level == "node" else "site": name})
    out = Exclusion.objects.filter(
        experiment=experiment, system=system, level=level, state__in=("excluded", "on_probation")
    ).values("name")  # fmt: skip
    known = known.exclude(**{"name__in" if level == "node" else "site__in": out})
    return Node.objects.filter(system=system).exists() and not known.exists()
