"""The API's view of the queue: its order and forecast, what another order would do, and the change of it (J14, J16)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.models import Campaign
from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.scoping import experiments_for
from experiments.viewsets import Document, ReasonInput, ScopedViewSet
from poms_site.overview.prediction import Span
from poms_site.overview.queue import Proposal, Queue, Queued, propose, queue_of
from poms_site.overview.ranking import require_ranker
from submissions.logic import ordering


class ProposalInput(serializers.Serializer[Any]):
    """The body of preview: other ranks by reference, or references in the order in which they should go first."""

    experiment = serializers.CharField()
    ranks = serializers.DictField(child=serializers.IntegerField(min_value=0, max_value=100), default=dict)
    order = serializers.ListField(child=serializers.CharField(max_length=60), default=list, max_length=2000)


class OrderInput(ProposalInput, ReasonInput):
    """The body of order: the same with the reason, and the ranks that were read, where that matters."""

    read = serializers.DictField(child=serializers.IntegerField(), default=dict)


class QueueView(ScopedViewSet):
    """The queue of each experiment that one may look into."""

    model = Campaign
    rules = {"list": "view", "preview": "view", "order": "view"}

    def list(self, request: Request) -> Response:
        """Return what waits and runs in its order, with what is expected; there is one page."""
        query: Any = request.query_params
        if unknown := sorted(set(query) - {"experiment", "format", "limit"}):
            raise Refused(
                "The list cannot be filtered so.",
                [Problem(name, "unknown filter", "known are experiment, limit") for name in unknown],
            )
        rows = experiments_for(request.user, "view").order_by("name")
        if "experiment" in query:
            rows = rows.filter(name=query["experiment"])
        queues = [queue_of(experiment) for experiment in rows]
        return Response({"results": [_row(queue, row) for queue in queues for row in queue.rows], "next": None})

    def preview(self, request: Request) -> Response:
        """Return what would come of other ranks, or of an order; nothing is changed."""
        proposal, _ = self._proposed(self.body(ProposalInput))
        return Response(_document(proposal))

    def order(self, request: Request) -> Response:
        """Give campaigns other ranks, all or none, with one reason."""
        wanted = self.body(OrderInput)
        proposal, experiment = self._proposed(wanted)
        require_ranker(request.user, experiment, proposal.changed)
        read = {_key(experiment, ref): rank for ref, rank in wanted["read"].items()}
        changed = ordering.reorder(proposal.ranks, actor=self.actor, reason=wanted["reason"], read=read)
        after = propose(queue_of(experiment), {})
        return Response({**_document(after), "changed": [campaign.ref for campaign in changed]})

    def _proposed(self, wanted: dict[str, Any]) -> tuple[Proposal, Experiment]:
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        queue = queue_of(experiment)
        known = {row.campaign.ref for row in queue.rows}
        if unknown := sorted({*wanted["ranks"], *wanted["order"]} - known):
            problems = [Problem("order", f"not in the queue: {ref[:60]}") for ref in unknown[:20]]
            raise Refused("The order cannot be taken; nothing was changed.", problems)
        ranks = {_key(experiment, ref): rank for ref, rank in wanted["ranks"].items()}
        return propose(queue, ranks, [_key(experiment, ref) for ref in wanted["order"]]), experiment


def _key(experiment: Experiment, ref: str) -> int:
    name, _, key = ref.partition("/c")
    if name != experiment.name or not key.isdecimal() or len(key) > 18:
        raise Refused(
            "The order cannot be read; nothing was changed.",
            [Problem("order", f"no campaign of {experiment.name}: {ref[:60]}", f"such as {experiment.name}/c1")],
        )
    return int(key)


def _document(proposal: Proposal) -> Document:
    moved = proposal.delays
    found = []
    for row in proposal.rows:
        key = row.entry.key
        found.append(
            _row(proposal.queue, row, proposal)
            | {"rank_before": row.entry.rank, "later_s": round(moved[key]) if key in moved else 0}
        )
    refs = {row.entry.key: row.campaign.ref for row in proposal.rows}
    return {"ranks": {refs[key]: rank for key, rank in proposal.ranks.items()}, "results": found}


def _row(queue: Queue, row: Queued, proposal: Proposal | None = None) -> Document:
    campaign, key = row.campaign, row.entry.key
    spans = (proposal or queue).predicted.get(key)
    rank = proposal.ranks.get(key, row.entry.rank) if proposal else row.entry.rank
    return {
        "ref": campaign.ref, "experiment": campaign.experiment.name, "name": campaign.name, "state": campaign.state,
        "rank": rank, "points": round(rank + row.bonus, 2), "waits_h": round(row.hours, 2),
        "boosted_until": row.boosted_until, "held": row.held, "jobs_waiting": row.waiting, "jobs_there": row.there,
        "times_from": row.source, "start": _span(queue, spans.start) if spans else None,
        "end": _span(queue, spans.end) if spans else None,
    }  # fmt: skip


def _span(queue: Queue, span: Span) -> Document:
    return {
        name: queue.at + timedelta(seconds=getattr(span, field))
        for name, field in (("early", "early"), ("expected", "median"), ("late", "late"))
    }


urlpatterns = [
    path("queue/", QueueView.as_view({"get": "list"}), name="queue-list"),
    path("queue/preview/", QueueView.as_view({"post": "preview"}), name="queue-preview"),
    path("queue/order/", QueueView.as_view({"post": "order"}), name="queue-order"),
]
