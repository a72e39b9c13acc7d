"""The shift list: who watches an experiment when."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from core.clock import now
from core.errors import Conflict, NotVisible, Problem, Refused
from core.transitions import record
from experiments.models import Experiment, Shift, User
from experiments.roles import roles_with
from experiments.scoping import may

LONGEST = timedelta(days=31)


@transaction.atomic
def add(experiment: Experiment, username: str, begins: datetime, ends: datetime, *, note: str = "", by: User) -> Shift:
    """Put somebody on the list from one time to another."""
    person = User.objects.filter(username=username, is_active=True).first()
    problems = []
    if person is None or not may(person, "watch", experiment):
        roles = " or ".join(role.replace("_", " ") for role in roles_with("watch"))
        text = f"{username[:60] or 'nobody'} may not watch {experiment.name}"
        problems.append(Problem("person", text, f"somebody with the role {roles} there"))
    if ends <= begins:
        problems.append(Problem("until", "is not after the beginning", "when the next one takes over"))
    elif ends - begins > LONGEST:
        problems.append(Problem("until", f"is more than {LONGEST.days} days later", "enter it in parts"))
    elif ends <= now():
        problems.append(Problem("until", "is over already", "nobody can be told to watch what was"))
    if len(note) > 200:
        problems.append(Problem("note", "is longer than 200 characters"))
    if problems or person is None:
        raise Refused("The shift was not entered.", problems)
    try:
        with transaction.atomic():
            made = Shift.objects.create(
                experiment=experiment, user=person, begins_at=begins, ends_at=ends, note=note.strip(),
                entered_by=by.actor,
            )  # fmt: skip
    except IntegrityError as error:
        raise Conflict(f"{username} has a shift that begins then; nothing was changed.") from error
    _record(experiment, "add_shift", by, f"{made}, until {ends:%Y-%m-%d %H:%M} UTC")
    return made


@transaction.atomic
def remove(shift: Shift, *, by: User, reason: str = "") -> None:
    """Take somebody off the list again; why is kept where it is said."""
    told = f"no longer: {shift}"
    if reason.strip():
        told += f"; {reason.strip()}"
    if not shift.delete()[0]:
        raise NotVisible("There is no such shift any more.")
    _record(shift.experiment, "remove_shift", by, told)


def _record(experiment: Experiment, verb: str, by: User, reason: str) -> None:
    record(
        [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk, actor=by.actor,
        reason=reason, verb=verb,
    )  # fmt: skip
