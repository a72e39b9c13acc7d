"""Loop `latency`: say, in the ledger, when a schedule's objective will be missed, before it is (T7).

Notices and the feed of events are made from the ledger, so this is all that has to be done about it.
"""

from __future__ import annotations

from django.db import transaction

from campaigns import keepup
from campaigns.keepup.objective import AT_RISK, MET, MISSED
from campaigns.models import Schedule
from core.clock import now
from core.loops import careful
from submissions import latency
from submissions.logic import ticking

ACTOR = "loop:latency"
VERBS = {AT_RISK: "warn", MISSED: "miss", MET: "meet"}


def warn_some() -> int:
    """Judge the objective of every schedule that runs and has one; return 0, for nothing is left to be done."""
    for row in Schedule.objects.filter(ended_at=None).exclude(objective="").order_by("pk"):
        with careful("latency", "schedule", row.pk):
            warn(row)
    return 0


def warn(schedule: Schedule) -> None:
    """Write down where the objective of a schedule stands otherwise than was said last."""
    objective, at = keepup.read_objective(schedule.objective), now()
    found = latency.standing_of(schedule, objective, at)
    word = found.word(objective)
    if word == (schedule.standing or MET):
        return
    with transaction.atomic():
        row = ticking.locked(schedule)
        if row.standing != schedule.standing or row.ended_at is not None:
            return
        Schedule.objects.filter(pk=row.pk).update(standing=word)
        ticking.note(row, row.condition, VERBS[word], actor=ACTOR, reason=told(found, objective))


def told(found: keepup.Standing, objective: keepup.Objective) -> str:
    """Return how an objective stands, in a sentence."""
    share = "none known yet" if found.share is None else f"{found.share:.1f}% in time"
    oldest = f", the oldest since {found.oldest:%Y-%m-%d %H:%M} UTC" if found.oldest else ""
    return f"{objective}: {share}, {found.late} late, {found.backlog} in time to be done yet{oldest}"
