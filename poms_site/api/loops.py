"""The API's view of the loops and of the rows that they could not step: for administrators of the whole service."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core import queue
from core.errors import Problem, Refused
from core.models import Trouble
from experiments.rules import SIGNED_IN
from experiments.viewsets import Document, ScopedViewSet
from poms_site.overview import loops, restorations
from submissions.models import Restoration

PARKED = {"1": True, "0": False}


class LoopView(ScopedViewSet):
    """How each loop stands; all of them in one answer."""

    rules = {"list": SIGNED_IN}

    def list(self, request: Request) -> Response:
        """Return them, and how many bells hang that no worker has answered."""
        loops.permit(request.user)
        found = [loop_document(entry) for entry in loops.standings()]
        return Response({"results": found, "next": None, "bells_waiting": queue.waiting()})


class TroubleView(ScopedViewSet):
    """Rows that loops could not step."""

    model = Trouble
    rules = {"list": SIGNED_IN, "do_retry": SIGNED_IN}
    filters = {"loop": "loop", "kind": "kind"}
    more_filters = ("parked",)

    def rows(self) -> Any:
        """Return all of them, or those that wait for a person (parked=1) or do not (parked=0)."""
        rows, asked = Trouble.objects.all(), self.request.query_params.get("parked")
        if asked is None:
            return rows
        if asked not in PARKED:
            problem = Problem("parked", f"unknown: {asked[:60]}", "1 or 0")
            raise Refused("The filter cannot be read.", [problem])
        return rows.filter(next_at__isnull=PARKED[asked])

    def documents(self, rows: Any) -> list[Document]:
        """Return the rows with the references of what they are of."""
        return [trouble_document(entry) for entry in loops.named(rows)]

    def list(self, request: Request) -> Response:
        """Return a page of them."""
        loops.permit(request.user)
        return super().list(request)

    def do_retry(self, request: Request, key: int) -> Response:
        """Have one tried again now."""
        loops.permit(request.user)
        return Response(trouble_document(loops.retry(key, by=request.user, reason=self.reason())))


class RestorationView(ScopedViewSet):
    """What was done after restores of the database, the newest first."""

    model = Restoration
    rules = {"list": SIGNED_IN}

    def rows(self) -> Any:
        """Return all of them."""
        return Restoration.objects.order_by("-began_at")

    def documents(self, rows: Any) -> list[Document]:
        """Return each with what it waits for and the launches that the database had forgotten."""
        return [restoration_document(restorations.standing(row)) for row in rows]

    def list(self, request: Request) -> Response:
        """Return a page of them."""
        loops.permit(request.user)
        return super().list(request)


def restoration_document(entry: restorations.Standing) -> Document:
    """Return a restoration as the API shows it."""
    row = entry.row
    return {
        "began_at": row.began_at, "back_to": row.back_to, "why": row.why, "ended_at": row.ended_at,
        "ended_by": row.ended_by, "waits_for": entry.waits_for, "asked": row.asked, "silent": row.silent,
        "counts": entry.counts,
        "launches": [
            {"uuid": one.row.uuid, "fate": one.row.fate, "work": one.work, "units": one.inputs,
             "found_at": one.row.found_at, "job_ids": one.row.job_ids, "why": one.row.why}
            for one in entry.strays
        ],
    }  # fmt: skip


def loop_document(entry: loops.Standing) -> Document:
    """Return how a loop stands as the API shows it."""
    beat = entry.beat
    return {
        "name": entry.loop.name, "state": entry.word, "period": entry.loop.period,
        "late_after": entry.late_after.total_seconds(), "began_at": beat.started_at if beat else None,
        "ended_at": beat.ended_at if beat else None, "seconds": entry.seconds, "worker": beat.worker if beat else "",
        "steps": beat.steps if beat else 0, "errors": beat.errors if beat else 0,
        "failed_in_a_row": beat.failed_in_a_row if beat else 0, "last_error": beat.last_error if beat else "",
        "waiting": entry.waiting, "parked": entry.parked,
    }  # fmt: skip


def trouble_document(entry: loops.Stuck) -> Document:
    """Return a trouble as the API shows it."""
    row = entry.row
    return {
        "ref": entry.ref, "loop": row.loop, "of": entry.of, "kind": row.kind, "state": entry.state, "tries": row.tries,
        "error": row.error, "next_try": row.next_at, "last_try": row.updated_at,
    }  # fmt: skip


urlpatterns = [
    path("loops/", LoopView.as_view({"get": "list"}), name="loops-list"),
    path("restorations/", RestorationView.as_view({"get": "list"}), name="restorations-list"),
    path("troubles/", TroubleView.as_view({"get": "list"}), name="troubles-list"),
    path("troubles/t<int:key>/retry/", TroubleView.as_view({"post": "do_retry"}), name="troubles-retry"),
]
