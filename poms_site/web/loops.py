"""Loops: how each stands, and the rows that they could not step; for administrators of the whole service."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core import queue
from core.errors import PomsError
from experiments.rules import SIGNED_IN
from poms_site.overview import loops, restorations
from poms_site.web import errors
from poms_site.web.page import Page

MOST_SHOWN = 200


class LoopsPage(Page):
    """Every loop with its last pass, and every trouble."""

    rules = {"get": SIGNED_IN}
    place = "loops"
    help = "/docs/operate/observing/#loops"
    api = "loops-list"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them; the page lives."""
        loops.permit(request.user)
        return self.live("web/loops.html", "web/_loops.html", self._facts, {})

    def _facts(self) -> dict[str, Any]:
        rows = loops.parked_first()
        return {
            "standings": loops.standings(), "stuck": loops.named(rows[:MOST_SHOWN]), "troubles": rows.count(),
            "bells": queue.waiting(), "restoration": restorations.latest(),
        }  # fmt: skip


class RetryPage(Page):
    """Have a row tried again now."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}
    place = "loops"
    help = "/docs/operate/observing/#troubles"

    def get(self, request: HttpRequest, key: int) -> HttpResponse:
        """Ask for the reason."""
        loops.permit(request.user)
        return self._ask(loops.stuck(key), "")

    def post(self, request: HttpRequest, key: int) -> HttpResponse:
        """Do it, and go back to the loops."""
        loops.permit(request.user)
        found, reason = loops.stuck(key), request.POST.get("reason", "")
        try:
            loops.retry(key, by=request.user, reason=reason)
        except PomsError as error:
            return self._ask(found, reason, error)
        return HttpResponseRedirect(reverse("loops"), status=303)

    def _ask(self, found: loops.Stuck, reason: str, error: PomsError | None = None) -> HttpResponse:
        context = {
            "entry": found, "reason": reason, "error": error.detail if error else "",
            "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/trouble_retry.html", context, status=errors.status_of(error) if error else 200)


urlpatterns = [
    path("loops/", LoopsPage.as_view(), name="loops"),
    path("loops/troubles/t<int:key>/retry/", RetryPage.as_view(), name="trouble-retry"),
]
