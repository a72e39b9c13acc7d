"""The loop `alarm`: administrators are told once of a loop that does nothing any longer, and of rows that are parked.

It writes the notices itself, beside the loop `notify`, so that they stand in inboxes also while that one is stuck.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from core.clock import now
from core.locking import session_lock
from core.models import Heartbeat, Trouble
from experiments.models import User
from experiments.queries import administrators
from integrations.models import Notice
from integrations.notices import outbox
from integrations.notices.outbox import Draft
from poms_site.overview import loops
from poms_site.overview.words import count, moment, shortened

LOOP, KIND, OF = "alarm", "alarm", "trouble"
AWAY = timedelta(minutes=5)
MOST_LISTED = 20
LONGEST_SAID = 300


def alarm() -> int:
    """Tell each administrator what they have not been told yet; return how many notices that were."""
    with session_lock(LOOP) as got, transaction.atomic():
        if not got:
            return 0
        stuck = [] if _has_been_away() else [entry for entry in loops.standings() if entry.is_stuck]
        parked = loops.named(Trouble.objects.filter(next_at=None).order_by("pk"))
        if not stuck and not parked:
            return 0
        drafts = [draft for user in administrators() for draft in (*_of_loops(user, stuck), *_of_rows(user, parked))]
        return len(outbox.enter(drafts))


def _has_been_away() -> bool:
    """Tell whether this loop itself has just come back: then so have the others, which only have not begun yet."""
    ended = Heartbeat.objects.filter(loop=LOOP).values_list("ended_at", flat=True).first()
    return ended is None or now() - ended > AWAY


def _of_loops(user: User, stuck: Iterable[loops.Standing]) -> list[Draft]:
    """Return what is to be told of loops: once an episode, which ends with a pass that begins and ends."""
    drafts = [
        Draft(
            user, None, KIND, f"{entry.word}:{entry.loop.name}:{entry.stuck_since or ''}",
            subject=f"The loop {entry.loop.name} is {entry.word}: {WHY[entry.word]} {_when(entry.stuck_since)}",
            link=f"/loops/#loop-{entry.loop.name}",
            lines=[_line("", entry.loop.name, shortened(entry.beat.last_error, LONGEST_SAID))] if entry.beat else [],
        )
        for entry in stuck
    ]  # fmt: skip
    told = Notice.objects.filter(recipient=user, kind=KIND, key__in=[draft.key for draft in drafts])
    known = set(told.values_list("key", flat=True))
    return [draft for draft in drafts if draft.key not in known]


WHY = {
    loops.LATE: "nobody has begun it since",
    loops.FAILING: "its passes have failed one after the other since",
}


def _of_rows(user: User, parked: list[loops.Stuck]) -> list[Draft]:
    """Return what is to be told of parked rows: those of one look in one notice, each row once while it is parked."""
    keys = [entry.row.pk for entry in parked]
    told = Notice.objects.filter(recipient=user, kind=KIND, of=OF, things__overlap=keys)
    known = {key for things in told.values_list("things", flat=True) for key in things}
    new = [entry for entry in parked if entry.row.pk not in known]
    if not new:
        return []
    first = new[0]
    alone = f"{first.ref} is parked: {first.row.loop} could not step {first.of}"
    return [
        Draft(
            user, None, KIND, f"parked:{first.ref}", link="/loops/#troubles",
            subject=alone if len(new) == 1 else f"{count(len(new), 'row')} are parked: loops could not step them",
            of=OF, things=[entry.row.pk for entry in new],
            lines=[
                _line(entry.ref, f"{entry.row.loop}: {entry.of}", shortened(entry.row.error, LONGEST_SAID))
                for entry in new[:MOST_LISTED]
            ],
        )
    ]  # fmt: skip


def _when(at: datetime | None) -> str:
    return moment(at) if at else "it first began"


def _line(ref: str, title: str, said: str) -> dict[str, str]:
    return {"ref": ref, "title": title, "link": "/loops/", "said": said, "by": ""}
