"""Schedules: what keeps up, and for each a calendar of the times that were and that come (T7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.dateparse import parse_datetime

from campaigns import queries
from campaigns.models import Schedule
from core.errors import Problem, Refused
from poms_site.overview import calendar
from poms_site.web import verbs
from poms_site.web.listing import Filter, by, by_key, listed
from poms_site.web.page import Page
from poms_site.web.things import find, key_path
from poms_site.web.work import steps_of
from submissions import latency

FILTERS = (
    Filter("state", "state", queries.schedules_that, [(word, word) for word in queries.CONDITIONS]),
    Filter("campaign", "campaign", by_key("stage__campaign_id", "c")),
    Filter("stage", "stage", by("stage__name")),
)
PAST, AHEAD = 50, 10


class SchedulesPage(Page):
    """All schedules of an experiment."""

    rules = {"get": "view"}
    place = "schedules"
    help = "/docs/guide/keep-up/"
    api = "schedules-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = Schedule.objects.visible_to(request.user).filter(experiment=self.here)
        found = listed(request, rows.select_related("experiment", "stage__campaign__experiment"), FILTERS)
        return self.show("web/schedules.html", {"list": found})


class SchedulePage(Page):
    """One schedule: whether it keeps up, what became of its times, and which come."""

    rules = {"get": "view"}
    place = "schedules"
    help = "/docs/guide/keep-up/"
    api = "schedules-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it; it lives."""
        self.row = find(request.user, self.here, key)
        self.before = _moment(request.GET.get("before", ""))
        return self.live("web/schedule.html", "web/_schedule.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        past = calendar.past(self.row, PAST + 1, until=self.before)
        return {
            "row": self.row, "verbs": verbs.offered("k", self.row, self.held), "in_time": calendar.in_time(self.row),
            "backlog": latency.backlog_of(self.row), "past": past[:PAST], "before": self.before,
            "earlier": past[PAST - 1].at.isoformat() if len(past) > PAST else "",
            "coming": calendar.coming(self.row, AHEAD)[::-1] if self.before is None else (),
            "steps": steps_of({"schedule": [self.row.pk]}, self.here.name),
        }  # fmt: skip


def _moment(text: str) -> datetime | None:
    """Return the moment before which times are shown; None where the address names none."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        where = Problem("before", f"no moment with its zone: {text[:40]}", "such as 2026-11-01T08:00:00Z")
        raise Refused("The calendar cannot be shown.", [where])
    return found


urlpatterns = [
    path("e/<slug:experiment>/schedules/", SchedulesPage.as_view(), name="schedules"),
    key_path("", SchedulePage.as_view(), "schedule", "k"),
]
