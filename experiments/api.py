"""The API's view of people: who am I, my experiments, my tokens, the overview that guests see."""

from __future__ import annotations

from typing import Any, cast

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotVisible
from experiments.logic import sessions, tokens
from experiments.models import ApiToken, Experiment, Membership, User
from experiments.rules import SIGNED_IN
from experiments.scoping import experiments_for
from experiments.viewsets import Document, ScopedViewSet


class TokenInput(serializers.Serializer[Any]):
    """The body that makes a token."""

    name = serializers.CharField(max_length=60)
    days = serializers.IntegerField(default=30)
    scopes = serializers.ListField(child=serializers.CharField(max_length=60), default=list, max_length=30)
    experiments = serializers.ListField(child=serializers.CharField(max_length=60), default=list, max_length=100)
    account = serializers.CharField(max_length=150, default="", allow_blank=True)


class MeView(ScopedViewSet):
    """The person who asks."""

    model = Experiment
    rules = {"list": SIGNED_IN}

    def list(self, request: Request) -> Response:
        """Return name, roles and experiments."""
        user: Any = request.user
        held = Membership.objects.filter(user=user, active=True).select_related("experiment").order_by("pk")
        return Response(
            {
                "username": user.username,
                "name": user.get_full_name() or user.username,
                "roles": [{"experiment": m.experiment and m.experiment.name, "role": m.role} for m in held],
                "experiments": [e.name for e in experiments_for(user, "view_overview")],
                "scopes": None if user.narrowed_to.permissions is None else sorted(user.narrowed_to.permissions),
            }
        )


class ExperimentView(ScopedViewSet):
    """The experiments that one may see."""

    model = Experiment
    rules = {"list": "view_overview"}

    def rows(self) -> Any:
        """Return the visible experiments."""
        return self.get_queryset()

    def document(self, row: Experiment) -> Document:
        """Return name and title."""
        return {"name": row.name, "title": row.title, "restricted": row.restricted}


class TokenView(ScopedViewSet):
    """One's own API tokens."""

    model = ApiToken
    rules = {"list": SIGNED_IN, "create": SIGNED_IN, "revoke": SIGNED_IN}

    def rows(self) -> Any:
        """Return one's own tokens and those of one's service accounts."""
        return self.get_queryset().select_related("user")

    def document(self, row: ApiToken) -> Document:
        """Return everything but the secret, which is not kept."""
        return {
            "id": row.pk, "name": row.name, "prefix": row.prefix, "created": row.created_at, "expires": row.expires_at,
            "revoked": row.revoked_at, "used": row.used_at, "account": row.user.username, "scopes": row.permissions,
            "experiments": names_of(row.only_experiments),
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Make a token; its secret is in this answer and nowhere else, so no Idempotency-Key keeps it."""
        wanted, by = self.body(TokenInput), cast(User, request.user)
        narrowing = tokens.narrowed(by, wanted["scopes"], wanted["experiments"])
        holder = tokens.holder_for(by, wanted["account"])
        consent = sessions.accepted(by)
        token, secret = tokens.issue(holder, wanted["name"], days=wanted["days"], narrowing=narrowing, consent=consent)
        token.refresh_from_db()
        return Response({**self.document(token), "token": secret}, status=201)

    def revoke(self, request: Request, pk: int) -> Response:
        """End one of one's tokens."""
        token = self.get_queryset().filter(pk=pk).first()
        if token is None:
            raise NotVisible("You have no such token.")
        tokens.revoke(token, by=cast(User, request.user))
        token.refresh_from_db()
        return Response(self.document(token))


def names_of(keys: list[int] | None) -> list[str] | None:
    """Return the names of the experiments to which a token is narrowed."""
    if keys is None:
        return None
    return list(Experiment.objects.filter(pk__in=keys).order_by("name").values_list("name", flat=True))


urlpatterns = [
    path("me/", MeView.as_view({"get": "list"}), name="me"),
    path("experiments/", ExperimentView.as_view({"get": "list"}), name="experiments-list"),
    path("tokens/", TokenView.as_view({"get": "list", "post": "create"}), name="tokens-list"),
    path("tokens/<int:pk>/revoke/", TokenView.as_view({"post": "revoke"}), name="tokens-revoke"),
]
