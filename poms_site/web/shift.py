"""The shift page: must I act? What happened since one looked last, in groups, each with the verb that helps."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from core.clock import now
from core.errors import Problem, Refused
from experiments.logic import looking
from experiments.models import Experiment, User
from experiments.queries import on_shift
from experiments.rules import SIGNED_IN
from experiments.scoping import experiments_for
from integrations.logbooks import book
from poms_site.overview.shift import Watched, watched
from poms_site.overview.shift_log import write_entry
from poms_site.web import live
from poms_site.web.page import Page

FRESH_SECONDS = 20.0


class ShiftPage(Page):
    """One experiment: what broke, what is stuck, what ends, what waits, what rules did."""

    rules = {"get": "view", "post": "view"}
    place = "shift"
    help = "/docs/guide/shift/"
    api = "shift-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it; the page lives."""
        may_log = "watch" in self.held and book.book_of(self.here) is not None
        context = {"may_log": may_log, "at": now()}
        return self.live("web/shift.html", "web/_shift.html", self._facts, context)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Mark what is shown as read, or write it into the logbook."""
        if request.POST.get("do") == "log":
            entry = write_entry(cast(User, request.user), self.here)
            there = f": {entry.link}" if entry.link else "; it will be there in a moment"
            messages.success(request, f"It goes into the logbook of {self.here.name}{there}.")
        else:
            looking.mark_read(cast(User, request.user), self.experiments(), _shown_at(request))
            messages.success(request, "Marked as read: what comes now will be new.")
        return HttpResponseRedirect(request.path, status=303)

    def experiments(self) -> list[Experiment]:
        """Return what the page is about."""
        return [self.here]

    def _facts(self) -> dict[str, Any]:
        (one,) = self.watched()
        return {"one": one, "now_on": on_shift(self.here)}

    def watched(self) -> list[Watched]:
        """Return what the person is told, no older than they can notice: a page that lives asks often."""
        rows, user = self.experiments(), self.request.user
        key = ("shift", user.pk, tuple(row.pk for row in rows))
        found: list[Watched] = live.shared(
            key, FRESH_SECONDS, lambda: watched(user, rows), after=live.last_act(self.request), late=60.0
        )
        return found

    def live_key(self) -> tuple[str, ...]:
        """Since when one is told, and what waits, is everybody's own."""
        return (f"user:{self.request.user.pk}",)


class AllShiftPage(ShiftPage):
    """All experiments into which one may look: a line each, fine or needs somebody."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it; the page lives."""
        return self.live("web/shift_all.html", "web/_shift_all.html", self._facts, {"at": now()})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Mark what is shown of all of them as read."""
        if request.POST.get("do") == "log":
            raise Refused("Nothing was written.", [Problem("do", "a logbook is one experiment's", "open its page")])
        return super().post(request, **kwargs)

    def experiments(self) -> list[Experiment]:
        """Return all that one may look into."""
        return list(experiments_for(self.request.user, "view").order_by("name"))

    def _facts(self) -> dict[str, Any]:
        rows = self.watched()
        needing = [row for row in rows if row.needs_somebody]
        return {"needing": needing, "fine": [row for row in rows if not row.needs_somebody]}


def _shown_at(request: HttpRequest) -> datetime | None:
    """Return when the page was made that somebody has read: what came since is not read."""
    try:
        found = datetime.fromisoformat(request.POST.get("at", ""))
    except ValueError:
        return None
    return found if found.tzinfo else None


urlpatterns = [
    path("shift/", AllShiftPage.as_view(), name="shift-all"),
    path("e/<slug:experiment>/shift/", ShiftPage.as_view(), name="shift"),
]
