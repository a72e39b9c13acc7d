"""Exclusions: what eats an experiment's jobs, with the evidence; and how a batch system is guarded (D2)."""

from __future__ import annotations

import math
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import NotVisible, PomsError, Problem, Refused
from experiments.queries import is_administrator
from integrations.models import BatchSystem
from poms_site.overview.sites import examples_of
from poms_site.web import errors, verbs
from poms_site.web.acting import typed
from poms_site.web.listing import Filter, by, listed
from poms_site.web.page import Page
from poms_site.web.things import address, find, key_path
from poms_site.web.work import steps_of
from submissions.logic import excluding
from submissions.models import Exclusion, Guard
from submissions.models.exclusion import LEVELS, MODES
from submissions.states import EXCLUSION

FILTERS = (
    Filter("state", "state", by("state"), EXCLUSION.choices()),
    Filter("level", "level", by("level"), [(level, level) for level in LEVELS]),
    Filter("system", "batch system", by("system__name")),
    Filter("name", "name", by("name")),
)
FIELDS = ("system", "level", "name", "hours", "reason")
GUARD_FIELDS = ("system", "mode", "cap", "hours", "reason", "seen")


class ExclusionsPage(Page):
    """Everything that was ever watched or excluded for an experiment, and the form that excludes by hand."""

    rules = {"get": "view", "post": "watch"}
    place = "sites"
    help = "/docs/guide/black-holes/"
    api = "exclusions-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        return self._list({})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Exclude a node or site."""
        asked = typed(request, *FIELDS)
        try:
            made = excluding.exclude(
                self.here, asked["system"], asked["level"], asked["name"], hours=number("hours", asked["hours"]),
                actor=request.user.actor, reason=asked["reason"],  # type: ignore[union-attr]  # the rule asked for somebody
            )  # fmt: skip
        except PomsError as error:
            return self._list(asked, error)
        messages.success(request, f"{made} is excluded until {made.until:%Y-%m-%d %H:%M} UTC.")
        return HttpResponseRedirect(address(made.ref), status=303)

    def _list(self, asked: dict[str, str], error: PomsError | None = None) -> HttpResponse:
        rows = Exclusion.objects.visible_to(self.request.user).filter(experiment=self.here)
        context = {
            "list": listed(self.request, rows.select_related("experiment", "system"), FILTERS), "asked": asked,
            "systems": BatchSystem.objects.filter(active=True).order_by("name"), "error": error and error.detail,
            "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/exclusions.html", context, status=errors.status_of(error) if error else 200)


class ExclusionPage(Page):
    """One exclusion: this place against the same campaigns elsewhere, jobs that failed, and what was done."""

    rules = {"get": "view"}
    place = "sites"
    help = "/docs/guide/black-holes/"
    api = "exclusions-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it; it lives."""
        self.row = find(request.user, self.here, key)
        return self.live("web/exclusion.html", "web/_exclusion.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        return {
            "row": row, "verbs": verbs.offered("e", row, self.held), "evidence": row.evidence,
            "examples": examples_of(row), "steps": steps_of({"exclusion": [row.pk]}, self.here.name),
            "concerned": Exclusion.objects.filter(verdict=row.verdict).values("experiment").distinct().count(),
        }  # fmt: skip


class GuardPage(Page):
    """How a batch system is guarded: everybody sees it, administrators of the whole service say it."""

    rules = {"get": "view", "post": "administer"}
    place = "sites"
    help = "/docs/operate/black-holes/"
    api = "guards-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it with the form."""
        return self._form(self._guard(request.GET.get("system", "")), {})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Change it."""
        asked = typed(request, *GUARD_FIELDS)
        guard = self._guard(asked["system"])
        try:
            excluding.set_guard(
                guard.system, by=request.user, reason=asked["reason"], seen=asked["seen"], mode=asked["mode"],
                cap=int(number("cap", asked["cap"])), hours=number("hours", asked["hours"]),
            )  # fmt: skip
        except PomsError as error:
            return self._form(guard, asked, error)
        messages.success(request, f"{guard.system.name}: from the next look on, the guard goes by this.")
        return HttpResponseRedirect(reverse("sites", args=[self.here.name]), status=303)

    def _guard(self, name: str) -> Guard:
        systems = BatchSystem.objects.order_by("-active", "name")
        system = (systems.filter(name=name) if name else systems).first()
        if system is None:
            raise NotVisible(f"There is no batch system {name}, or you may not see it.")
        return Guard.objects.select_related("system").filter(system=system).first() or Guard(system=system)

    def _form(self, guard: Guard, asked: dict[str, str], error: PomsError | None = None) -> HttpResponse:
        context = {
            "guard": guard, "asked": asked or {**guard.values(), "seen": guard.fingerprint if guard.pk else ""},
            "modes": MODES, "whole": is_administrator(self.request.user), "error": error and error.detail,
            "problems": error.problems if error else (), "steps": steps_of({"guard": [guard.pk or 0]}, "all"),
        }  # fmt: skip
        return self.show("web/guard.html", context, status=errors.status_of(error) if error else 200)


def number(name: str, text: str) -> float:
    """Return a number of a form."""
    try:
        found = float(text)
    except ValueError as error:
        raise Refused("Nothing was changed.", [Problem(name, f"no number: {text[:20]}", "such as 24")]) from error
    if not math.isfinite(found):
        raise Refused("Nothing was changed.", [Problem(name, f"no number: {text[:20]}", "such as 24")])
    return found


urlpatterns = [
    path("e/<slug:experiment>/exclusions/", ExclusionsPage.as_view(), name="exclusions"),
    path("e/<slug:experiment>/guard/", GuardPage.as_view(), name="guard"),
    key_path("", ExclusionPage.as_view(), "exclusion", "e"),
]
