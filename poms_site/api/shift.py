"""The API's view of the shift page: what happened since one looked last."""

from __future__ import annotations

from typing import Any, cast

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Problem, Refused
from experiments.logic import looking
from experiments.models import Experiment, User
from experiments.scoping import experiments_for
from experiments.viewsets import Document, ScopedViewSet
from poms_site.overview.incidents import Item
from poms_site.overview.shift import Watched, watched
from poms_site.overview.shift_log import write_entry


class OfExperimentInput(serializers.Serializer[Any]):
    """The body that names an experiment."""

    experiment = serializers.CharField(max_length=60)


class ShiftPageView(ScopedViewSet):
    """What broke, is stuck, ends, waits, and what rules did, in each experiment into which one may look."""

    model = Experiment
    rules = {"list": "view", "read": "view", "log": "watch"}

    def list(self, request: Request) -> Response:
        """Return the experiments, those that need somebody first; there are few, so there is one page."""
        if unknown := sorted(set(request.query_params) - {"experiment", "format", "limit"}):
            hint = "known are experiment, limit"
            raise Refused(
                "The list cannot be filtered so.", [Problem(name, "unknown filter", hint) for name in unknown]
            )
        rows = experiments_for(request.user, "view").order_by("name")
        if "experiment" in request.query_params:
            rows = rows.filter(name=request.query_params["experiment"])
        return Response({"results": [_watched(one) for one in watched(request.user, list(rows))], "next": None})

    def read(self, request: Request) -> Response:
        """Mark what happened in an experiment as read."""
        experiment = self._named()
        looking.mark_read(cast(User, request.user), [experiment])
        (one,) = watched(request.user, [experiment])
        return Response(_watched(one))

    def log(self, request: Request) -> Response:
        """Write it into the experiment's electronic logbook; the same twice is one entry."""
        entry = write_entry(cast(User, request.user), self._named())
        return Response({"experiment": entry.experiment.name, "number": entry.number, "link": entry.link,
                         "text": entry.text}, status=202)  # fmt: skip

    def _named(self) -> Experiment:
        experiment = self.experiment_named(self.body(OfExperimentInput)["experiment"])
        self.permit(experiment)
        return experiment


def _watched(one: Watched) -> Document:
    return {
        "experiment": one.experiment.name, "title": one.experiment.title, "needs_somebody": one.needs_somebody,
        "since": one.since, "running": one.running, "items": [_item(item) for item in one.items],
    }  # fmt: skip


def _item(item: Item) -> Document:
    return {
        "section": item.section, "state": item.state, "title": item.title, "text": item.text, "count": item.n,
        "last": item.last, "urgent": item.urgent, "help": vars(item.help) if item.help else None,
        "folded": item.folded,
    }  # fmt: skip


urlpatterns = [
    path("shift/", ShiftPageView.as_view({"get": "list"}), name="shift-list"),
    path("shift/read/", ShiftPageView.as_view({"post": "read"}), name="shift-read"),
    path("shift/log/", ShiftPageView.as_view({"post": "log"}), name="shift-log"),
]
