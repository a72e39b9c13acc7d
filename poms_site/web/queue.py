"""The queue of an experiment as a board: its order, what is expected of everybody, and what another order would do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import Conflict, PomsError, Refused
from poms_site.overview.charts import Window, day_of, time_ticks
from poms_site.overview.prediction import Predicted
from poms_site.overview.queue import Proposal, Queue, Queued, decided, propose, queue_of
from poms_site.overview.ranking import RANKS, may_rank, require_ranker
from poms_site.overview.words import count, span
from poms_site.web import errors, live
from poms_site.web.acting import typed
from poms_site.web.page import Page
from submissions.logic import ordering

MOVES = ("top", "up", "down")
LEAST = 60.0  # seconds; who ends earlier or later by less is not told so
PLAYED_SECONDS = 20.0  # for how long the queue is shown as it was played, where nobody has changed an order since


@dataclass(frozen=True)
class Bar:
    """What is expected of a campaign, in percent of the axis: from start to end, and where the end may be."""

    begin: float
    width: float
    early: float
    spread: float


@dataclass(frozen=True)
class Line:
    """One campaign on the board."""

    row: Queued
    rank: int
    may: bool
    at: datetime
    expected: Predicted | None
    bar: Bar | None
    before: Bar | None
    moved: str  # by how much it would end later or earlier

    @property
    def key(self) -> str:
        """Return the key that its fields are named by: c12."""
        return f"c{self.row.entry.key}"

    @property
    def points(self) -> float:
        """Return what it would go by."""
        return self.rank + self.row.bonus

    @property
    def start(self) -> datetime | None:
        """Return when it is expected to start."""
        return self._moment(self.expected.start.median if self.expected else None)

    @property
    def end(self) -> datetime | None:
        """Return when it is expected to end."""
        return self._moment(self.expected.end.median if self.expected else None)

    @property
    def earliest(self) -> datetime | None:
        """Return before when it ends in one of ten cases."""
        return self._moment(self.expected.end.early if self.expected else None)

    @property
    def latest(self) -> datetime | None:
        """Return after when it ends in one of ten cases."""
        return self._moment(self.expected.end.late if self.expected else None)

    def _moment(self, seconds: float | None) -> datetime | None:
        return None if seconds is None else self.at + timedelta(seconds=seconds)

    @property
    def changed(self) -> bool:
        """Tell whether another rank is proposed."""
        return self.rank != self.row.entry.rank

    @property
    def later(self) -> bool:
        """Tell whether it would end later."""
        return self.moved.endswith("later")


class Board(Page):
    """What showing and keeping share: the proposal of the form, and the board."""

    place = "queue"
    help = "/docs/guide/queue/"

    def proposed(self) -> Proposal:
        """Return what the form proposes: ranks that were typed, and then an order or one move."""
        queue = queue_of(self.here)
        ranks = {int(name[6:]): ordering.rank_of(value) for name, value in _fields(self.request.POST, "rank")}
        proposal = propose(queue, ranks)
        keys = [row.entry.key for row in proposal.rows]
        order = _keys(self.request.POST.get("order", ""))
        if not order and (move := self.request.POST.get("move", "")):
            order = _moved(keys, move)
        return propose(queue, ranks, order) if order else proposal

    def board(
        self, proposal: Proposal, *, asked: dict[str, str] | None = None, error: PomsError | None = None
    ) -> HttpResponse:
        """Show the board with a proposal, and what was refused."""
        may = may_rank(self.request.user, self.here, [row.campaign for row in proposal.rows])
        lines, window = _lines(proposal, may)
        context = {
            "lines": lines, "ticks": time_ticks(window, 6), "day": day_of(window), "proposal": proposal,
            "queue": proposal.queue, "ranks": bool(RANKS & self.held), "asked": asked or {},
            "slots": sorted(proposal.queue.slots.items()),
            "error": error and error.detail, "problems": error.problems if error else (), "told": _told(proposal),
        }  # fmt: skip
        return self.show("web/queue.html", context, status=errors.status_of(error) if error else 200)


class QueuePage(Board):
    """The board. A POST says what a proposal would do and changes nothing."""

    rules = {"get": "view", "post": "view"}
    api = "queue-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the queue as it is: played once for all who look."""
        queue: Queue = live.shared(
            ("queue", self.here.pk), PLAYED_SECONDS, lambda: queue_of(self.here),
            after=live.last_act(request), made_from=decided(), late=120.0,
        )  # fmt: skip
        return self.board(propose(queue, {}))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show what a proposal would do."""
        return self.board(self.proposed(), asked=typed(request, "reason"))


class OrderPage(Board):
    """The proposal is kept."""

    rules = {"post": "view"}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Change all ranks or none; where the queue has changed meanwhile, show it anew with the proposal."""
        user: Any = request.user
        require_ranker(user, self.here, [])
        proposal, asked = self.proposed(), typed(request, "reason")
        require_ranker(user, self.here, proposal.changed)
        read = {int(name[5:]): ordering.rank_of(value) for name, value in _fields(request.POST, "was")}
        try:
            if not proposal.ranks:
                raise Refused("Nothing would change: move a campaign or type another rank first.")
            changed = ordering.reorder(proposal.ranks, actor=user.actor, reason=asked["reason"], read=read)
        except (Refused, Conflict) as error:
            return self.board(proposal, asked=asked, error=error)
        messages.success(request, f"{count(len(changed), 'rank')} changed. What waits goes in the new order.")
        return HttpResponseRedirect(reverse("queue", args=[self.here.name]), status=303)


def _fields(sent: Any, word: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in sent.items() if re.fullmatch(rf"{word}-c[1-9][0-9]{{0,17}}", name)]


def _keys(text: str) -> list[int]:
    return [int(word[1:]) for word in text.split(",") if re.fullmatch(r"c[1-9][0-9]{0,17}", word)]


def _moved(keys: Sequence[int], move: str) -> list[int]:
    """Return the order after one move, such as c12:up."""
    key, _, where = move.partition(":")
    found = _keys(key)
    if where not in MOVES or not found or found[0] not in keys:
        raise Refused("The move cannot be read.")
    order, at = list(keys), keys.index(found[0])
    order.pop(at)
    order.insert({"top": 0, "up": max(0, at - 1), "down": at + 1}[where], found[0])
    return order


def _told(proposal: Proposal) -> str:
    """Return in one sentence what the proposal would do."""
    if not proposal.ranks:
        return ""
    moved = proposal.delays.values()
    later, earlier = (sum(1 for by in moved if by * sign > LEAST) for sign in (1, -1))
    ends = f"{count(earlier, 'campaign')} would end earlier, {later} later." if earlier or later else (
        "By what is known now nobody would end earlier or later.")  # fmt: skip
    return f"{count(len(proposal.ranks), 'rank')} would change. {ends}"


def _lines(proposal: Proposal, may: set[int]) -> tuple[list[Line], Window]:
    at = proposal.queue.at
    spans = [*proposal.queue.predicted.values(), *proposal.predicted.values()]
    longest = max((span.end.late for span in spans), default=3600.0)
    window = Window(at, at + timedelta(seconds=max(60.0, longest * 1.02)))
    moved = proposal.delays
    lines = []
    for row in proposal.rows:
        key = row.entry.key
        now_, then = proposal.queue.predicted.get(key), proposal.predicted.get(key)
        by = moved.get(key, 0.0)
        before = _bar(now_, window) if proposal.ranks and now_ != then else None
        told = f"{span(abs(by))} {'later' if by > 0 else 'earlier'}" if abs(by) > LEAST else ""
        rank = proposal.ranks.get(key, row.entry.rank)
        lines.append(Line(row, rank, key in may, at, then, _bar(then, window), before, told))
    return lines, window


def _bar(expected: Predicted | None, window: Window) -> Bar | None:
    if expected is None:
        return None
    begin, end, early, late = (
        window.share(window.begin + timedelta(seconds=seconds))
        for seconds in (expected.start.median, expected.end.median, expected.end.early, expected.end.late)
    )
    return Bar(begin, max(0.3, round(end - begin, 2)), early, max(0.1, round(late - early, 2)))


urlpatterns = [
    path("e/<slug:experiment>/queue/", QueuePage.as_view(), name="queue"),
    path("e/<slug:experiment>/queue/order/", OrderPage.as_view(), name="queue-save"),
]
