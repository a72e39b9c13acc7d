"""The API's view of reviews: what waits for a reviewer, verdicts on campaigns, and who follows one."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.logic import watching
from campaigns.models import Campaign
from core.errors import Problem, Refused
from experiments.scoping import experiments_for
from experiments.viewsets import Document, ReasonInput, ScopedViewSet, ref_path
from poms_site.api.campaigns import CampaignView
from poms_site.overview import reviews
from submissions.logic import reviewing
from submissions.models import Verdict


class VerdictInput(ReasonInput):
    """The body of a verdict."""

    verdict = serializers.ChoiceField(choices=Verdict.WORDS)


def verdict_document(row: Verdict) -> Document:
    """Return a verdict as the API shows it."""
    return {"verdict": row.verdict, "reason": row.reason, "by": row.by.username, "at": row.at}


class ReviewView(ScopedViewSet):
    """What waits for a reviewer: of one experiment, or of all that the caller may look into."""

    model = Campaign
    rules = {"list": "view"}

    def list(self, request: Request) -> Response:
        """Return it, what holds work up first."""
        query = request.query_params
        if unknown := sorted(set(query) - {"experiment", "limit", "format"}):
            raise Refused("The list cannot be filtered so.", [Problem(name, "unknown filter") for name in unknown])
        where = experiments_for(request.user, "view")
        if name := query.get("experiment"):
            where = where.filter(name=name)
        found = [review.document() for review in reviews.inbox(list(where))]
        return Response({"results": found, "next": None})


class CampaignReviewView(CampaignView):
    """What reviewers say of a campaign, and who follows it."""

    rules = {"verdicts": "view", "do_verdict": "sign_off", "do_watch": "view", "do_unwatch": "view"}

    def verdicts(self, request: Request, ref: str) -> Response:
        """Return all verdicts on it, the one that stands first."""
        rows = Verdict.objects.filter(campaign=self.find_permitted(ref)).select_related("by").order_by("-pk")
        return Response({"results": [verdict_document(row) for row in rows]})

    def do_verdict(self, request: Request, ref: str) -> Response:
        """Say what its results are."""
        row, wanted = self.find_permitted(ref), self.body(VerdictInput)
        made = reviewing.give(row, wanted["verdict"], by=request.user, reason=wanted["reason"])
        return Response({"ref": row.ref, **verdict_document(made)})

    def do_watch(self, request: Request, ref: str) -> Response:
        """Follow it."""
        watching.watch(self.find_permitted(ref), by=request.user)
        return Response({"watching": True})

    def do_unwatch(self, request: Request, ref: str) -> Response:
        """Follow it no longer."""
        watching.unwatch(self.find_permitted(ref), by=request.user)
        return Response({"watching": False})


def _route(tail: str, method: str, action: str) -> Any:
    view = CampaignReviewView.as_view({method: action})
    return path(ref_path("campaigns", "c", f"{tail}/"), view, name=f"campaigns-{tail}")


urlpatterns = [
    path("reviews/", ReviewView.as_view({"get": "list"}), name="reviews-list"),
    _route("verdicts", "get", "verdicts"),
    _route("verdict", "post", "do_verdict"),
    _route("watch", "post", "do_watch"),
    _route("unwatch", "post", "do_unwatch"),
]
