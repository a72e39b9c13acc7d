"""The failure atlas: what fails, whose it is and what helps; the rules behind it; and what a provider gets of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import PomsError, Problem, Refused
from experiments.rules import SIGNED_IN
from poms_site.overview import failures as atlas
from poms_site.web import errors, verbs
from poms_site.web.acting import typed
from poms_site.web.listing import Filter, listed
from poms_site.web.page import Page
from poms_site.web.things import find, key_path
from poms_site.web.work import steps_of
from submissions import routing as rules
from submissions.logic import routing
from submissions.models import Failure, Route
from submissions.signatures import CAUSES


def _by(name: str) -> Callable[[Any, str], Any]:
    return lambda rows, value: rows.filter(atlas.NARROW[name](value))


FILTERS = (
    Filter("cause", "cause", _by("cause"), [(cause, cause) for cause in CAUSES]),
    Filter("owner", "goes to", _by("owner")),
    Filter("campaign", "campaign", _by("campaign")),
    Filter("site", "site", _by("site")),
    Filter("release", "release", _by("release")),
    Filter("text", "text", _by("text")),
    Filter("fix", "what helps", _by("fix"), [("known", "is known"), ("unknown", "is not known")]),
)


class FailuresPage(Page):
    """The failures of an experiment by signature, the latest first."""

    rules = {"get": "view"}
    place = "failures"
    help = "/docs/guide/failures/"
    api = "failures-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = Failure.objects.filter(experiment=self.here, jobs__gt=0)
        found = listed(request, rows.select_related("experiment", "signature", "service"), FILTERS, order="-last_at")
        trends, sites = atlas.trends_of(found.rows), atlas.sites_of(found.rows)
        for row in found.rows:
            row.trend, row.places = trends[row.pk], sites.get(row.pk, [])
        return self.show("web/failures.html", {"list": found, "days": atlas.DAYS})


class FailurePage(Page):
    """One failure: its evidence, where it was seen, what helps, and what was done about it."""

    rules = {"get": "view"}
    place = "failures"
    help = "/docs/guide/failures/#a-failure"
    api = "failures-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        row = find(request.user, self.here, key)
        ticket, entries = atlas.ticket_and_entries(row)
        context = {
            "row": row, "verbs": verbs.offered("f", row, self.held), "seen": atlas.seen_by(row),
            "trend": atlas.trends_of([row])[row.pk], "days": atlas.DAYS, "examples": atlas.examples_of(row),
            "tail": atlas.tail_of(row), "elsewhere": atlas.elsewhere(row, request.user), "ticket": ticket,
            "entries": entries, "says": CAUSES[row.signature.cause],
            "steps": steps_of({Failure.KIND: [row.pk]}, self.here.name),
        }  # fmt: skip
        return self.show("web/failure.html", context)


class RoutesPage(Page):
    """The rules by which failures are given to services: the experiment's own, those of all, and those of POMS."""

    rules = {"get": "view", "post": "administer"}
    place = "failures"
    help = "/docs/guide/failures/#rules"
    api = "routes-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show them in the order in which they are asked."""
        return self._page()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Set one more of the experiment's own."""
        asked = typed(request, "cause", "pattern", "service", "place", "reason")
        try:
            place = asked["place"] or "100"
            if not place.isdecimal() or len(place) > 5:
                raise Refused("The rule was not set.", [Problem("place", f"no whole number: {place[:20]}")])
            routing.add(
                self.here, cause=asked["cause"], pattern=asked["pattern"], service=asked["service"], place=int(place),
                by=request.user, reason=asked["reason"],
            )  # fmt: skip
        except PomsError as error:
            return self._page(asked, error)
        messages.success(request, "The rule is set; it decides about failures that are seen for the first time.")
        return HttpResponseRedirect(reverse("routes", args=[self.here.name]), status=303)

    def _page(self, asked: dict[str, str] | None = None, error: PomsError | None = None) -> HttpResponse:
        standing = routing.standing().filter(Q(experiment=self.here) | Q(experiment=None))
        rows = sorted(standing, key=lambda row: (row.experiment_id is None, row.place, row.pk))
        known = routing.services_of(self.here)
        offered = [(row, verbs.offered("o", row, self.held) if row.experiment_id else [], self._is_dead(row, known))
                   for row in rows]  # fmt: skip
        context = {
            "rows": offered, "defaults": [(rule, rule.service not in known) for rule in rules.DEFAULTS],
            "causes": CAUSES, "services": sorted({row.name for row in known.values()}), "asked": asked or {},
            "error": error and errors.detail_of(error), "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/routes.html", context, status=errors.status_of(error) if error else 200)

    @staticmethod
    def _is_dead(row: Route, known: dict[str, Any]) -> bool:
        return bool(row.service) and row.service not in known


class ProvidedPage(Page):
    """What somebody who provides services sees: how they are, what is planned, and the failures that go to them."""

    rules = {"get": SIGNED_IN}
    place = "provided"
    help = "/docs/guide/failures/#for-providers-of-a-service"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it."""
        rows = atlas.provided_by(request.user)
        every: list[Any] = [failure for row in rows for failure in row.failures]
        trends, sites = atlas.trends_of(every), atlas.sites_of(every)
        for failure in every:
            failure.trend, failure.places = trends[failure.pk], sites.get(failure.pk, [])
        return self.show("web/provided.html", {"rows": rows, "days": atlas.DAYS})


urlpatterns = [
    path("provided/", ProvidedPage.as_view(), name="provided"),
    path("e/<slug:experiment>/failures/", FailuresPage.as_view(), name="failures"),
    path("e/<slug:experiment>/routes/", RoutesPage.as_view(), name="routes"),
    key_path("", FailurePage.as_view(), "failure", "f"),
]
