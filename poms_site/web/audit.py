"""The ledger as a whole on a page: verified a piece at a time by who looks over all experiments."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from core import audit
from core.errors import NotAllowed, Problem, Refused
from core.models import Seal
from experiments.queries import OVERSEERS, oversees
from experiments.rules import SIGNED_IN
from poms_site.web.page import Page

A_PIECE = 5  # seals that are recomputed for one page


class AuditPage(Page):
    """How far the ledger is sealed, and a piece of it verified where that is asked for."""

    rules = {"get": SIGNED_IN}
    place = "audit"
    help = "/docs/guide/pages/#the-ledger"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the seals; with `after`, verify those that follow."""
        if not oversees(request.user):
            roles = " or ".join(OVERSEERS)
            raise NotAllowed(f"The ledger is of all experiments: to verify it needs the role {roles}.")
        asked = request.GET.get("after", "")
        if asked and not (asked.isdecimal() and len(asked) < 19):
            raise Refused("The ledger was not verified.", [Problem("after", f"no number: {asked[:20]}")])
        context: dict[str, Any] = {
            "last": Seal.objects.order_by("-to_txid").first(), "first": Seal.objects.order_by("to_txid").first(),
            "verified": audit.verify(int(asked), seals=A_PIECE) if asked else None,
        }  # fmt: skip
        return self.show("web/audit.html", context)


urlpatterns = [path("audit/", AuditPage.as_view(), name="audit")]
