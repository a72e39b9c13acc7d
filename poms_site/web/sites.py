"""Sites: where an experiment's jobs run, when one ran there last, how they fared, and what is excluded (M4, D2)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from poms_site.overview.sites import DAYS, RECENT, exclusions_of, guards_of, nodes_of, sites_of
from poms_site.web import live
from poms_site.web.page import Page


class SitesPage(Page):
    """The sites of an experiment's jobs."""

    rules = {"get": "view"}
    place = "sites"
    help = "/docs/guide/pages/#sites"
    api = "sites-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show them; the page lives."""
        return self.live("web/sites.html", "web/_sites.html", self._facts, {})

    def _facts(self) -> dict[str, Any]:
        return live.shared(("sites", self.here.pk), 10.0, self._ask, late=60.0)

    def _ask(self) -> dict[str, Any]:
        standing = exclusions_of(self.here)
        return {
            "sites": sites_of(self.here), "nodes": nodes_of(self.here), "recent": RECENT, "days": DAYS,
            "standing": standing, "guards": guards_of(self.here, standing),
        }  # fmt: skip


urlpatterns = [path("e/<slug:experiment>/sites/", SitesPage.as_view(), name="sites")]
