"""What decided about a run, step by step, with who and why: from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from approvals.models import Request
from campaigns.models import Campaign, Revision
from core.models import Transition
from submissions.models import Command, Hold

EVENTS = 300


@dataclass(frozen=True)
class Event:
    """One line of the history: what, which step, by whom and why."""

    at: datetime
    thing: str
    state: str
    verb: str
    who: str
    by_person: bool
    reason: str
    ref: str = ""


def history_of(campaign: Campaign) -> tuple[list[Event], int]:
    """Return what decided about the run, oldest first: the last EVENTS of them, and how many there are.

    Everything that happened to request, revision, campaign, holds and commands; of batches only what is not
    routine.
    """
    rows = Transition.objects.of_campaign(campaign.pk).filter(_DECISIVE).union(
        _steps("request", Request.objects.filter(campaign=campaign)),
        _steps("revision", Revision.objects.filter(campaign=campaign)),
        _steps("hold", _holds(campaign)),
        _steps("command", Command.objects.filter(submission__campaign=campaign)),
        all=True,
    )  # fmt: skip
    last = list(rows.order_by("-id")[:EVENTS])[::-1]
    numbers = dict(Revision.objects.filter(campaign=campaign).values_list("pk", "number"))
    return [_event(row, campaign, numbers) for row in last], len(last) if len(last) < EVENTS else rows.count()


_DECISIVE = (
    Q(kind="campaign")
    | Q(kind="batch", target__in=("failed", "cancelled"))
    | Q(kind="batch", verb__in=("recover", "relaunch"))
    | Q(kind="submission", target__in=("launch_failed", "unsure", "removed"))
)


def _steps(kind: str, things: QuerySet[Any]) -> QuerySet[Transition]:
    """Return the steps of things of one kind; one kind at a time, so that each is looked up by its index."""
    return Transition.objects.filter(kind=kind, thing_id__in=things.values("pk"))


def _holds(campaign: Campaign) -> QuerySet[Hold]:
    return Hold.objects.filter(Q(campaign=campaign) | Q(stage__campaign=campaign) | Q(batch__stage__campaign=campaign))


_LETTERS = {"campaign": "c", "request": "r", "batch": "b", "submission": "s", "hold": "h", "command": "x"}


def _event(row: Transition, campaign: Campaign, revisions: Mapping[int, int]) -> Event:
    if row.kind == "revision":
        thing = f"revision {revisions[row.thing_id]}"
    else:
        thing = f"{row.kind} {campaign.experiment.name}/{_LETTERS[row.kind]}{row.thing_id}"
    kind, _, name = row.actor.partition(":")
    who = name if kind == "user" else f"POMS, loop {name}" if kind == "loop" else row.actor
    ref = thing.partition(" ")[2] if row.kind in ("campaign", "request", "batch", "submission") else ""
    return Event(row.at, thing, row.target, row.verb, who, kind == "user", row.reason, ref)
