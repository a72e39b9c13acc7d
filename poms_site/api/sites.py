"""The API's view of sites: where jobs ran, and when one ran there last (M4)."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.scoping import experiments_for
from experiments.viewsets import Document, ScopedViewSet
from poms_site.overview.sites import PlaceFacts, nodes_of, sites_of


class SiteView(ScopedViewSet):
    """Sites, or with `by=node` nodes, of the latest jobs of each experiment that one may look into."""

    model = Experiment
    rules = {"list": "view"}
    more_filters = ("by",)

    def list(self, request: Request) -> Response:
        """Return them, the one used last first; there are few, so there is one page."""
        query: Any = request.query_params
        if unknown := sorted(set(query) - {"experiment", "by", "format", "limit"}):
            raise Refused(
                "The list cannot be filtered so.",
                [Problem(name, "unknown filter", "known are by, experiment, limit") for name in unknown],
            )
        by = query.get("by", "site")
        if by not in ("site", "node"):
            raise Refused("The list cannot be read.", [Problem("by", f"unknown: {by[:60]}", "site or node")])
        rows = experiments_for(request.user, "view").order_by("name")
        if "experiment" in query:
            rows = rows.filter(name=query["experiment"])
        ask = sites_of if by == "site" else nodes_of
        found = [_place(experiment.name, by, place) for experiment in rows for place in ask(experiment)]
        return Response({"results": found, "next": None})


def _place(experiment: str, by: str, place: PlaceFacts) -> Document:
    return {
        "experiment": experiment, "name": place.name, "kind": by, "running": place.running,
        "succeeded": place.succeeded, "failed": place.failed,
        "jobs": place.jobs, "last_start": place.last_start, "last_end": place.last_end,
    }  # fmt: skip


urlpatterns = [path("sites/", SiteView.as_view({"get": "list"}), name="sites-list")]
