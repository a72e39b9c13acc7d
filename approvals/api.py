"""The API's view of requests."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response

from approvals import feasibility
from approvals.logic import deciding, filing
from approvals.models import Request
from core.errors import Problem, Refused
from experiments.viewsets import Document, FiniteField, ScopedViewSet, routes


class RequestInput(serializers.Serializer[Any]):
    """The body that makes or changes a request."""

    experiment = serializers.CharField()
    title = serializers.CharField(max_length=200)
    production_stage = serializers.CharField(max_length=40)
    definition = serializers.CharField(max_length=256 * 1024, trim_whitespace=False)
    dataset = serializers.CharField(max_length=400, allow_blank=True, required=False)
    release = serializers.CharField(max_length=100, allow_blank=True, required=False)
    priority = serializers.IntegerField(min_value=0, max_value=100, required=False)
    hours_per_file = FiniteField(min_value=0, allow_null=True, required=False)
    special = serializers.CharField(max_length=8000, allow_blank=True, required=False)
    free_text = serializers.CharField(max_length=8000, allow_blank=True, required=False)


class DecisionInput(serializers.Serializer[Any]):
    """The body of a decision; `revision` is the hash of what the approver has read."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    revision = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)


class RequestView(ScopedViewSet):
    """Requests: what somebody wants processed, and what was decided."""

    model = Request
    letter = "r"
    filters = {
        "state": "state", "production_stage": "production_stage", "campaign": "campaign_id",
        "requester": "requester__username", "title_has": "title__icontains",
    }  # fmt: skip
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "create": "file_request",
        "partial_update": "file_request", "do_check": "file_request", "do_file": "file_request",
        "do_withdraw": "file_request", "do_approve": "decide_request", "do_return": "decide_request",
        "do_reject": "decide_request",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return requests with their people, campaign, checks and decisions."""
        beside = ("experiment", "requester", "campaign__experiment", "revision")
        return self.get_queryset().select_related(*beside).prefetch_related("checks", "decisions__approver")

    def document(self, row: Request) -> Document:
        """Return the request with its last check report and its decisions."""
        return {
            "ref": row.ref, "experiment": row.experiment.name, "title": row.title, "state": row.state,
            "since": row.state_since, "requester": row.requester.username, "production_stage": row.production_stage,
            "priority": row.priority, "campaign": row.campaign.ref if row.campaign else None,
            "campaign_state": row.campaign.state if row.campaign else None,
            "revision": row.revision.digest if row.revision else None, "definition": row.definition,
            "dataset": row.dataset, "release": row.release, "hours_per_file": row.hours_per_file,
            "special": row.special, "free_text": row.free_text, "created": row.created_at, "filed": row.filed_at,
            "checks": [
                {"check": c.check_name, "result": c.result, "text": c.text, "hint": c.hint, "at": c.at}
                for c in sorted(row.checks.all(), key=lambda c: c.position)
            ],
            "decisions": [
                {"who": d.approver.username, "verdict": d.verdict, "reason": d.reason, "at": d.at}
                for d in sorted(row.decisions.all(), key=lambda d: d.pk)
            ],
        }  # fmt: skip

    def create(self, request: HttpRequest) -> Response:
        """Make a draft."""
        wanted = self.body(RequestInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)

        def act() -> tuple[int, Document]:
            made = filing.draft(experiment, requester=request.user, **wanted)
            return 201, self.document(self.find(made.ref))

        return self.once(act)

    def partial_update(self, request: HttpRequest, ref: str) -> Response:
        """Change a draft or a returned request."""
        row = self.find_permitted(ref)
        wanted = self.body(RequestInput, partial=True)
        if "experiment" in wanted:
            hint = "clone the request into the other experiment"
            raise Refused("A request stays in its experiment.", [Problem("experiment", "cannot be changed", hint)])
        filing.edit(row, by=request.user, **wanted)
        return Response(self.document(self.find(ref)))

    def do_check(self, request: HttpRequest, ref: str) -> Response:
        """Run the check report."""
        lines = filing.check(self.find_permitted(ref))
        shown = [{"check": x.check, "result": x.result, "text": x.text, "hint": x.hint} for x in lines]
        return Response({"verdict": feasibility.verdict(lines), "lines": shown})

    def do_file(self, request: HttpRequest, ref: str) -> Response:
        """Put the request on the approvers' desk."""
        filing.file(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_withdraw(self, request: HttpRequest, ref: str) -> Response:
        """Take the request back."""
        filing.withdraw(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_approve(self, request: HttpRequest, ref: str) -> Response:
        """Approve the revision that the request proposes."""
        row, wanted = self.find_permitted(ref), self.body(DecisionInput)
        deciding.approve(row, by=request.user, reason=wanted["reason"] or "approved", digest=wanted["revision"])
        return Response(self.document(self.find(ref)))

    def do_return(self, request: HttpRequest, ref: str) -> Response:
        """Return the request for correction."""
        row, wanted = self.find_permitted(ref), self.body(DecisionInput)
        deciding.send_back(row, by=request.user, reason=wanted["reason"], digest=wanted["revision"])
        return Response(self.document(self.find(ref)))

    def do_reject(self, request: HttpRequest, ref: str) -> Response:
        """Turn the request down."""
        row, wanted = self.find_permitted(ref), self.body(DecisionInput)
        deciding.reject(row, by=request.user, reason=wanted["reason"], digest=wanted["revision"])
        return Response(self.document(self.find(ref)))


urlpatterns = routes("requests", RequestView, "check", "file", "withdraw", "approve", "return", "reject", create=True)
