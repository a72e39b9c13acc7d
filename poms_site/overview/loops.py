"""How the loops stand: when each began last, what went wrong, the rows that it could not step; a row tried again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q

from approvals.models import Request
from campaigns.models import Campaign, Schedule, Stage
from core import loops, queue, transitions
from core.clock import now
from core.errors import NotAllowed, NotVisible, Problem, Refused
from core.models import Heartbeat, Trouble
from experiments.queries import is_administrator
from integrations.models import Credential, Service
from submissions.models import Batch, Command, EveryJob, Exclusion, Hold, Reproduction, Submission

# A pass may last as long as a task (117 s), and while it lasts no other begins.
LATE_PERIODS, LATE_GRACE = 3, timedelta(seconds=120)
MOST_FAILED = 2  # passes in a row: so many a restart of the database costs
LATE, FAILING = "late", "failing"
WAITING, PARKED = "waiting", "parked"

# The kinds of rows that loops step, and what their references need beside them; others go by kind and number.
THINGS: dict[str, tuple[Any, str]] = {
    "request": (Request, "experiment"), "campaign": (Campaign, "experiment"), "stage": (Stage, "campaign__experiment"),
    "schedule": (Schedule, "experiment"), "batch": (Batch, "experiment"), "submission": (Submission, "experiment"),
    "job": (EveryJob, "experiment"), "command": (Command, "experiment"), "hold": (Hold, "experiment"),
    "exclusion": (Exclusion, "experiment"), "reproduction": (Reproduction, "experiment"),
    "service": (Service, "experiment"), "credential": (Credential, "experiment"),
}  # fmt: skip
_PAGED = re.compile(r"((?!all/)[a-z][a-z0-9_-]*/[a-z][0-9]+)(/\S+)?")  # demo/c1, and a stage of it


@dataclass(frozen=True)
class Standing:
    """How one loop stands now; `beat` is empty where it has never begun."""

    loop: loops.Loop
    beat: Heartbeat | None
    at: datetime
    waiting: int = 0
    parked: int = 0

    @property
    def late_after(self) -> timedelta:
        """Return after how long without a beginning it is late."""
        return LATE_PERIODS * timedelta(seconds=self.loop.period) + LATE_GRACE

    @property
    def is_late(self) -> bool:
        """Tell whether it should have begun long ago; one that has never begun has nobody's clock running yet."""
        begun = self.beat.started_at if self.beat else None
        return begun is not None and self.at - begun > self.late_after

    @property
    def is_failing(self) -> bool:
        """Tell whether its last passes have failed in a row."""
        return self.beat is not None and self.beat.failed_in_a_row > MOST_FAILED

    @property
    def is_stuck(self) -> bool:
        """Tell whether somebody should look: it does not do its work any longer."""
        return self.is_late or self.is_failing

    @property
    def stuck_since(self) -> datetime | None:
        """Return the last sign of life before it was stuck; it stays the same until the loop has recovered."""
        if self.beat is None:
            return None
        return self.beat.started_at if self.is_late else self.beat.ended_at

    @property
    def is_passing(self) -> bool:
        """Tell whether a pass is under way: the last one that began has neither ended nor failed."""
        beat = self.beat
        if beat is None or beat.started_at is None or beat.failed_in_a_row:
            return False
        return beat.ended_at is None or beat.ended_at < beat.started_at

    @property
    def word(self) -> str:
        """Return in a word how it stands."""
        if self.beat is None or self.beat.started_at is None:
            return "never begun"
        if self.is_late:
            return LATE
        if self.is_failing:
            return FAILING
        return "passing" if self.is_passing else "on time"

    @property
    def seconds(self) -> float | None:
        """Return how long the last pass took, none while one is under way or after one that failed."""
        beat = self.beat
        if beat is None or beat.started_at is None or beat.ended_at is None or beat.ended_at < beat.started_at:
            return None
        return (beat.ended_at - beat.started_at).total_seconds()


@dataclass(frozen=True)
class Stuck:
    """A row that a loop could not step, with the reference by which people know it."""

    row: Trouble
    of: str

    @property
    def ref(self) -> str:
        """Return the reference of the trouble itself, such as t17."""
        return f"t{self.row.pk}"

    @property
    def state(self) -> str:
        """Return whether it is tried again by itself, or waits for a person."""
        return PARKED if self.row.next_at is None else WAITING

    @property
    def page_of(self) -> str:
        """Return the reference of what has a page; of a stage, its campaign."""
        found = _PAGED.fullmatch(self.of)
        return found[1] if found else ""


def standings() -> list[Standing]:
    """Return how each loop stands, in the order in which they are registered."""
    beats = {beat.loop: beat for beat in Heartbeat.objects.all()}
    rows = Trouble.objects.values("loop").annotate(
        waiting=Count("pk", filter=Q(next_at__isnull=False)), parked=Count("pk", filter=Q(next_at=None))
    )
    counts = {row["loop"]: (row["waiting"], row["parked"]) for row in rows}
    at = now()
    return [Standing(loop, beats.get(loop.name), at, *counts.get(loop.name, (0, 0))) for loop in loops.all_loops()]


def parked_first() -> Any:
    """Return the troubles, those that wait for a person first, the newest of each first."""
    return Trouble.objects.order_by(F("next_at").asc(nulls_first=True), "-updated_at")


def named(rows: Iterable[Trouble]) -> list[Stuck]:
    """Return troubles with the references of what they are of; what is gone or has none goes by kind and number."""
    rows = list(rows)
    refs: dict[tuple[str, int], str] = {}
    for kind in {row.kind for row in rows} & set(THINGS):
        model, beside = THINGS[kind]
        keys = [row.thing_id for row in rows if row.kind == kind]
        found = model._base_manager.filter(pk__in=keys).select_related(beside)
        refs.update({(kind, thing.pk): thing.ref for thing in found})
    return [Stuck(row, refs.get((row.kind, row.thing_id), f"{row.kind} {row.thing_id}")) for row in rows]


def stuck(key: int) -> Stuck:
    """Return one trouble; raises NotVisible for one that is not, or is over."""
    return _one(Trouble.objects.all(), key)


def _one(rows: Any, key: int) -> Stuck:
    row = rows.filter(pk=key).first()
    if row is None:
        raise NotVisible(f"There is no trouble t{key}, or you may not see it; a row that is stepped is in none.")
    return named([row])[0]


def permit(user: Any) -> None:
    """Raise NotAllowed unless the person administers the whole service: loops step the rows of all experiments."""
    if not is_administrator(user):
        raise NotAllowed("Loops are of all experiments: this needs the role administrator in the whole service.")


def retry(key: int, *, by: Any, reason: str) -> Stuck:
    """Have a row tried again now, parked or not; its loop is rung, and the ledger keeps who wanted it and why.

    How often it was tried is kept, so that a row whose cause is not mended is parked again after one more try.
    """
    permit(by)
    if not reason.strip():
        raise Refused("It needs a reason.", [Problem("reason", "is empty", "say why; it is kept in the history")])
    with transaction.atomic():
        found = _one(Trouble.objects.select_for_update(), key)
        row = found.row
        transitions.record(
            [(row.pk, found.state)], "trouble", WAITING, experiment_id=None, actor=by.actor,
            reason=f"{row.loop}, {found.of}: {reason.strip()}", verb="retry",
        )  # fmt: skip
        row.next_at = now()
        row.save(update_fields=["next_at"])
        if row.loop in {loop.name for loop in loops.all_loops()}:
            queue.wake(row.loop)
    return found
