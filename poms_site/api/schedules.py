"""The API's view of schedules: what keeps up, its calendar, and what people do to it (T7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.urls import path
from django.utils.dateparse import parse_datetime
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import queries
from campaigns.models import Schedule
from core import ledger
from core.clock import now
from core.errors import Problem, Refused
from experiments.viewsets import Document, ScopedViewSet, ref_path, routes
from poms_site.overview import calendar
from submissions import latency
from submissions.logic import pausing

SHOWN = 20
LONGEST = timedelta(days=366)


def entry_document(entry: calendar.Entry) -> Document:
    """Return one time of a calendar as the API shows it."""
    return {
        "at": entry.at, "local": entry.local.isoformat(), "outcome": entry.outcome, "inputs": entry.inputs,
        "known": entry.known, "reason": entry.reason, "asked_by": entry.asked_by,
    }  # fmt: skip


class ScheduleView(ScopedViewSet):
    """Schedules: when stages that keep up look for new files."""

    model = Schedule
    letter = "k"
    more_filters = ("state",)
    filters = {"campaign": "stage__campaign_id", "stage": "stage__name"}
    launches = frozenset({"do_run"})
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "calendar": "view", "do_pause": "watch",
        "do_resume": "watch", "do_run": "watch",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return schedules with their stages."""
        return self.get_queryset().select_related("experiment", "stage__campaign__experiment")

    def list(self, request: Request) -> Response:
        """Return a page of them, of one state if it is asked for."""
        word = request.query_params.get("state", "")
        if word and word not in queries.CONDITIONS:
            where = Problem("state", f"unknown: {word[:60]}", ", ".join(queries.CONDITIONS))
            raise Refused("The list cannot be filtered so.", [where])
        return self.page(queries.schedules_that(self.rows(), word) if word else self.rows())

    def document(self, row: Schedule) -> Document:
        """Return what it is and where it stands."""
        return {
            "ref": row.ref, "campaign": row.stage.campaign.ref, "stage": row.stage.name, "state": row.condition,
            "schedule": row.expression, "zone": row.zone, "start": row.starts_at, "end": row.ends_at,
            "catch_up": row.catch_up, "catch_up_cap": row.cap, "overlap": row.overlap, "since": row.since,
            "next": None if row.ended_at else row.next_at, "tries": row.tries, "why": row.why,
            "paused": row.paused_at, "paused_by": row.paused_by, "pause_reason": row.pause_reason,
            "valid_until": row.valid_until, "asked": row.asked_at, "objective": row.objective, "ended": row.ended_at,
        }  # fmt: skip

    def retrieve(self, request: Request, ref: str) -> Response:
        """Return one schedule with its objective, its backlog and the times around now."""
        row = self.find(ref)
        found = calendar.in_time(row)
        standing = found and {
            "standing": found.word, "share": found.standing.share, "in_time": found.standing.in_time,
            "late": found.standing.late, "waiting": found.standing.backlog, "oldest": found.standing.oldest,
        }  # fmt: skip
        return Response({
            **self.document(row), "backlog": latency.backlog_of(row), "in_time": standing,
            "past": [entry_document(entry) for entry in calendar.past(row, SHOWN)],
            "coming": [entry_document(entry) for entry in calendar.coming(row, SHOWN)],
        })  # fmt: skip

    def calendar(self, request: Request, ref: str) -> Response:
        """Return the times between `from` and `to`, oldest first: seven days around now; at most 500 on each side."""
        row = self.find(ref)
        begin = _moment(request, "from", now() - calendar.AROUND)
        end = _moment(request, "to", now() + calendar.AROUND)
        if not begin < end <= begin + LONGEST:
            raise Refused("The calendar cannot be shown.", [Problem("to", "is not within a year after from")])
        entries = calendar.past(row, since=begin, until=end)[::-1]
        entries += calendar.coming(row, calendar.MOST, since=begin, until=end)
        return Response({"zone": row.zone, "results": [entry_document(entry) for entry in entries]})

    def history(self, request: Request, ref: str) -> Response:
        """Return what was done to it, newest first."""
        row = self.find(ref)
        return self.history_page(ledger.history({"schedule": [row.pk]}), {("schedule", row.pk): ref})

    def do_pause(self, request: Request, ref: str) -> Response:
        """Let nothing be looked for until somebody resumes it."""
        return self._acted(ref, pausing.pause)

    def do_resume(self, request: Request, ref: str) -> Response:
        """Let it go on."""
        return self._acted(ref, pausing.resume)

    def do_run(self, request: Request, ref: str) -> Response:
        """Have it look for new files at once."""
        return self._acted(ref, pausing.run_now, status=202)

    def _acted(self, ref: str, act: Any, status: int = 200) -> Response:
        act(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)), status=status)


def _moment(request: Request, name: str, otherwise: datetime) -> datetime:
    """Return a moment of the query string, with its zone; raises Refused."""
    text = request.query_params.get(name, "")
    if not text:
        return otherwise
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        where = Problem(name, f"no moment with its zone: {text[:40]}", "such as 2026-11-01T08:00:00Z")
        raise Refused("The calendar cannot be shown.", [where])
    return found


urlpatterns = [
    *routes("schedules", ScheduleView, "pause", "resume", "run"),
    path(ref_path("schedules", "k", "calendar/"), ScheduleView.as_view({"get": "calendar"}), name="schedules-calendar"),
]
