"""The shift list: a week as a calendar, who is on shift now, and the form that puts somebody on it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.clock import now
from core.errors import PomsError, Problem, Refused
from experiments.logic import shifts
from experiments.models import Shift, User
from experiments.queries import on_shift, shifts_of
from poms_site.web import errors
from poms_site.web.acting import typed
from poms_site.web.page import Page

DAY = timedelta(days=1)
FIELDS = ("person", "begins", "until", "note")


class ShiftsPage(Page):
    """Who watches when; times are in UTC."""

    rules = {"get": "view", "post": "operate"}
    place = "shifts"
    help = "/docs/guide/shifts/"
    api = "shifts-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a week of it."""
        return self._week({})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Put somebody on the list."""
        asked = typed(request, *FIELDS)
        try:
            begins, until = (_moment(name, asked[name]) for name in ("begins", "until"))
            by = cast(User, request.user)
            made = shifts.add(self.here, asked["person"], begins, until, note=asked["note"], by=by)
        except PomsError as error:
            return self._week(asked, error)
        messages.success(request, f"{made}.")
        year, week, _ = begins.isocalendar()
        return HttpResponseRedirect(f"{reverse('shifts', args=[self.here.name])}?week={year}-W{week:02}", status=303)

    def _week(self, asked: dict[str, str], error: PomsError | None = None) -> HttpResponse:
        first = _monday(self.request.GET.get("week", ""))
        begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
        rows = list(shifts_of(self.here, begin, begin + 7 * DAY))
        days = [
            {"day": begin + n * DAY, "today": begin + n * DAY <= now() < begin + (n + 1) * DAY,
             "shifts": [row for row in rows if _touches(row, begin + n * DAY)]}
            for n in range(7)
        ]  # fmt: skip
        context = {
            "days": days, "now_on": on_shift(self.here), "rows": rows, "asked": asked, "error": error and error.detail,
            "problems": error.problems if error else (), "before": _name(first - 7 * DAY),
            "after": _name(first + 7 * DAY), "week": _name(first),
        }  # fmt: skip
        return self.show("web/shifts.html", context, status=errors.status_of(error) if error else 200)


def _touches(row: Shift, day: datetime) -> bool:
    return row.begins_at < day + DAY and row.ends_at > day


def _monday(text: str) -> date:
    """Return the Monday of a week such as 2026-W49; of the present one where none is named."""
    if not text:
        today = now().date()
        return today - timedelta(days=today.weekday())
    found = re.fullmatch(r"([0-9]{4})-W([0-9]{2})", text)
    try:
        return date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else date.fromisoformat(text)
    except ValueError as error:
        wrong = Problem("week", f"no week: {text[:40]}", "such as 2026-W49")
        raise Refused("The week cannot be read.", [wrong]) from error


def _name(monday: date) -> str:
    year, week, _ = monday.isocalendar()
    return f"{year}-W{week:02}"


def _moment(name: str, text: str) -> datetime:
    """Return a time as a form sends it, in UTC."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        wrong = Problem(name, f"no time: {text[:40] or 'nothing'}", "such as 2026-12-01T06:00, in UTC")
        raise Refused("The shift was not entered.", [wrong]) from error


urlpatterns = [path("e/<slug:experiment>/shifts/", ShiftsPage.as_view(), name="shifts")]
