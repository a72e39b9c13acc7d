"""The API's view of an experiment's outbox: webhook, service desk, logbook, and what did not get there."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.models import Experiment
from experiments.viewsets import ReasonInput, ScopedViewSet
from integrations.logbooks import book
from integrations.models import Message
from integrations.notices import choosing
from integrations.tickets import desk
from poms_site.overview.outgoing import outgoing, try_again


class OutboxInput(ReasonInput):
    """The body that sets an address of an experiment's; an empty one takes it away."""

    experiment = serializers.CharField(max_length=60)
    url = serializers.CharField(max_length=400, allow_blank=True)


class DeskInput(OutboxInput):
    """The body that sets the service desk: `credential` is a name, never the secret itself."""

    credential = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    group = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")


class LogbookInput(OutboxInput):
    """The body that sets the logbook: `credential` is a name, never the secret itself."""

    credential = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    category = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")


class AgainInput(serializers.Serializer[Any]):
    """The body that has tried again what did not get there."""

    experiment = serializers.CharField(max_length=60)


class OutboxView(ScopedViewSet):
    """What goes out about an experiment."""

    model = Message
    rules = dict.fromkeys(("list", "webhook", "desk", "logbook", "again"), "administer")

    def list(self, request: Request) -> Response:
        """Return webhook, service desk and logbook of an experiment, and how many messages did not get there."""
        experiment = self._permitted(request.query_params.get("experiment"))
        return Response(outgoing(experiment, request.user))

    def webhook(self, request: Request) -> Response:
        """Set where notices of an experiment are posted."""
        wanted = self.body(OutboxInput)
        experiment = self._permitted(wanted["experiment"])
        choosing.set_webhook(experiment, wanted["url"], by=request.user, reason=wanted["reason"])
        return Response(outgoing(experiment, request.user))

    def desk(self, request: Request) -> Response:
        """Set where tickets of an experiment are opened."""
        wanted = self.body(DeskInput)
        experiment = self._permitted(wanted.pop("experiment"))
        desk.set_desk(experiment, by=request.user, **wanted)
        return Response(outgoing(experiment, request.user))

    def logbook(self, request: Request) -> Response:
        """Set where entries of an experiment are written."""
        wanted = self.body(LogbookInput)
        experiment = self._permitted(wanted.pop("experiment"))
        book.set_book(experiment, by=request.user, **wanted)
        return Response(outgoing(experiment, request.user))

    def again(self, request: Request) -> Response:
        """Have what did not get there tried anew."""
        experiment = self._permitted(self.body(AgainInput)["experiment"])
        return Response({"experiment": experiment.name, "again": try_again(experiment, request.user)})

    def _permitted(self, name: Any) -> Experiment:
        experiment = self.experiment_named(name)
        self.permit(experiment)
        return experiment


urlpatterns = [
    path("outbox/", OutboxView.as_view({"get": "list"}), name="outbox-list"),
    *(
        path(f"outbox/{word}/", OutboxView.as_view({"put": word}), name=f"outbox-{word}")
        for word in ("webhook", "desk", "logbook")
    ),
    path("outbox/again/", OutboxView.as_view({"post": "again"}), name="outbox-again"),
]
