"""Credentials: what an experiment's launches run with, how long each lives, and who can renew it (J3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core import ledger
from core.clock import now
from core.errors import NotVisible, PomsError
from integrations.credentials import keeping
from integrations.credentials.kinds import KINDS
from integrations.models import Credential
from poms_site.overview.words import span
from poms_site.web import errors
from poms_site.web.acting import typed
from poms_site.web.page import Page


@dataclass(frozen=True)
class Shown:
    """One credential as pages show it."""

    row: Credential
    at: datetime

    @property
    def state(self) -> str:
        """Return how it stands."""
        return self.row.condition(self.at)

    @property
    def word(self) -> str:
        """Return what it is."""
        return KINDS[self.row.kind].word

    @property
    def left(self) -> str:
        """Return how much life it has, in words."""
        if self.row.ends_at is None or self.row.unusable:
            return ""
        seconds = (self.row.ends_at - self.at).total_seconds()
        return f"{span(seconds)} left" if seconds > 0 else f"over for {span(-seconds)}"

    @property
    def share(self) -> float | None:
        """Return how much of its whole life is left, in percent; None where nobody knows."""
        row = self.row
        if row.ends_at is None or row.begins_at is None or row.unusable:
            return None
        whole = max(1.0, (row.ends_at - row.begins_at).total_seconds())
        return round(min(1.0, max(0.0, (row.ends_at - self.at).total_seconds() / whole)) * 100, 1)

    @property
    def place(self) -> str:
        """Return where it lies."""
        row = self.row
        return f"{row.account}@{row.host}" if row.account else row.host or "the worker"


class CredentialsPage(Page):
    """The credentials of an experiment."""

    rules = {"get": "view"}
    place = "credentials"
    help = "/docs/operate/credentials/"
    api = "credentials-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show them; the page lives."""
        return self.live("web/credentials.html", "web/_credentials.html", self._facts, {})

    def _facts(self) -> dict[str, Any]:
        at = now()
        rows = Credential.objects.visible_to(self.request.user).filter(experiment=self.here)
        return {"shown": [Shown(row, at) for row in rows.select_related("experiment").order_by("-active", "name")]}


class CredentialPage(Page):
    """One credential; a POST has it asked or renewed now."""

    rules = {"get": "view", "post": "operate"}
    place = "credentials"
    help = "/docs/operate/credentials/#renewing"

    def get(self, request: HttpRequest, name: str, **kwargs: Any) -> HttpResponse:
        """Show it."""
        return self._page(self._named(name))

    def post(self, request: HttpRequest, name: str, **kwargs: Any) -> HttpResponse:
        """Have it asked, or renewed with the reason; the loop does it, and the page shows what came of it."""
        row, asked = self._named(name), typed(request, "do", "reason")
        try:
            if asked["do"] == "check":
                keeping.check(row)
                said = f"{row} is asked now."
            else:
                keeping.want_renewal(row, by=request.user, reason=asked["reason"])
                said = f"{row} is being renewed."
        except PomsError as error:
            return self._page(row, asked, error)
        messages.success(request, f"{said} Look again in a moment.")
        return HttpResponseRedirect(reverse("credential", args=[self.here.name, row.name]), status=303)

    def _named(self, name: str) -> Credential:
        rows = Credential.objects.visible_to(self.request.user).filter(experiment=self.here, name=name)
        row = rows.select_related("experiment").first()
        if row is None:
            raise NotVisible(f"There is no {self.here.name}/{name}, or you may not see it.")
        return row

    def _page(
        self, row: Credential, asked: dict[str, str] | None = None, error: PomsError | None = None
    ) -> HttpResponse:
        context = {
            "one": Shown(row, now()), "row": row, "steps": ledger.history({"credential": [row.pk]})[:30],
            "variables": sorted(row.environment), "asked": asked or {}, "error": error and error.detail,
            "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/credential.html", context, status=errors.status_of(error) if error else 200)


urlpatterns = [
    path("e/<slug:experiment>/credentials/", CredentialsPage.as_view(), name="credentials"),
    path("e/<slug:experiment>/credentials/<slug:name>/", CredentialPage.as_view(), name="credential"),
]
