"""What people do to a schedule that runs: pause it, let it go on, have it look now; always with a reason."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from campaigns.models import Schedule
from core import queue
from core.clock import now
from core.errors import Conflict, Problem, Refused
from submissions.logic import ticking


@transaction.atomic
def pause(schedule: Schedule, *, actor: str, reason: str) -> Schedule:
    """Let nothing be looked for until somebody resumes it; the nominal times meanwhile are recorded as skipped."""
    row = _locked(schedule, reason, "A pause")
    if row.paused_at is not None:
        raise Conflict(f"{row.ref} is paused already by {row.paused_by.removeprefix('user:')}; nothing was changed.")
    _set(row, paused_at=now(), paused_by=actor, pause_reason=reason.strip())
    ticking.note(row, "active", "pause", actor=actor, reason=reason)
    return row


@transaction.atomic
def resume(schedule: Schedule, *, actor: str, reason: str) -> Schedule:
    """Let a paused schedule go on with its next nominal time, which takes in all that came meanwhile."""
    row = _locked(schedule, reason, "A resumption")
    if row.paused_at is None:
        raise Conflict(f"{row.ref} is not paused; nothing was changed.")
    while not ticking.skip_due(row, f"paused by {row.paused_by.removeprefix('user:')}: {row.pause_reason}"):
        pass
    _set(row, paused_at=None, paused_by="", pause_reason="")
    ticking.note(row, "paused", "resume", actor=actor, reason=reason)
    return row


@transaction.atomic
def run_now(schedule: Schedule, *, actor: str, reason: str) -> Schedule:
    """Have it look for new files at once, beside its nominal times; a paused one, too."""
    row = _locked(schedule, reason, "A run")
    if row.asked_at is not None:
        raise Conflict(f"{row.asked_by.removeprefix('user:')} has asked for a run of {row.ref} already.")
    if row.valid_until is not None and row.valid_until <= now():
        raise Refused(
            f"The keep-up request of {row.ref} was not renewed after {row.valid_until:%Y-%m-%d %H:%M} UTC; extend it"
            " first. Nothing was changed."
        )
    _set(row, asked_at=now(), asked_by=actor, look_at=now())
    ticking.note(row, row.condition, "run", actor=actor, reason=reason)
    queue.wake("schedule")
    return row


def _locked(schedule: Schedule, reason: str, what: str) -> Schedule:
    if not reason.strip():
        raise Refused(f"{what} needs a reason.", [Problem("reason", "is empty", "say why, for the next shifter")])
    row = ticking.locked(schedule)
    if row.ended_at is not None:
        raise Conflict(f"{row.ref} has ended; nothing was changed.")
    return row


def _set(row: Schedule, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))
