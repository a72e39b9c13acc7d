"""The API's view of credentials: which there are, how long they live, and what people do about it (J3)."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import ledger
from core.errors import NotVisible, Problem, Refused
from experiments.viewsets import Document, ReasonInput, ScopedViewSet
from integrations import registry
from integrations.credentials import keeping
from integrations.credentials.kinds import KINDS
from integrations.credentials.models import ROLES
from integrations.models import Credential


class CredentialValues(ReasonInput):
    """What may be said of a credential, also of one that exists."""

    path = serializers.CharField(max_length=400)
    settings = serializers.DictField(child=serializers.CharField(max_length=400), default=dict)
    renewal = serializers.ListField(
        child=serializers.CharField(max_length=400, trim_whitespace=False), default=list, max_length=50
    )
    renewal_seconds = serializers.IntegerField(min_value=1, max_value=32_767, default=60)
    renewers = serializers.CharField(max_length=200, allow_blank=True, default="")
    needs_seconds = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=600)
    renew_seconds = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=3600)


class CredentialInput(CredentialValues):
    """The body that enters a credential."""

    experiment = serializers.CharField()
    name = serializers.SlugField(max_length=40)
    kind = serializers.ChoiceField(choices=list(KINDS))
    role = serializers.ChoiceField(choices=list(ROLES), default="production")
    launcher = serializers.ChoiceField(choices=["", *registry.LAUNCHERS], default="", allow_blank=True)
    host = serializers.CharField(max_length=200, allow_blank=True, default="")
    account = serializers.CharField(max_length=100, allow_blank=True, default="")


class CredentialEdit(CredentialValues):
    """The body that changes a credential, or puts it away: `seen` is the fingerprint that was read."""

    active = serializers.BooleanField(required=False)
    seen = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")


class CredentialView(ScopedViewSet):
    """Credentials, by reference: administrators enter them, operators have them asked and renewed."""

    model = Credential
    more_filters = ("state",)
    filters = {"kind": "kind", "role": "role"}
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "create": "administer", "partial_update": "administer",
        "do_renew": "operate", "do_check": "operate",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return credentials; those that were put away only where they are asked for."""
        rows = super().rows()
        if (state := self.request.query_params.get("state", "")) not in ("", "put_away", "active"):
            hint = "active or put_away; how each of the active ones stands is in its row"
            raise Refused("The list cannot be filtered so.", [Problem("state", f"unknown: {state[:60]}", hint)])
        return rows.filter(active=state == "active") if state else rows

    def document(self, row: Credential) -> Document:
        """Return where it lies and how long it lives; nothing of what is in it is known here."""
        return {
            "ref": row.ref, "experiment": row.experiment.name, "name": row.name, "kind": row.kind, "role": row.role,
            "state": row.condition(), "launcher": row.launcher, "host": row.host, "account": row.account,
            "path": row.path, "settings": row.settings, "renewal": row.command,
            "renewal_seconds": row.renewal_seconds, "renewers": row.who, "needs_seconds": row.needs_seconds,
            "renew_seconds": row.renew_seconds, "begins": row.begins_at, "ends": row.ends_at,
            "unusable": row.unusable, "seen": row.seen_at, "error": row.error, "renewed": row.renewed_at,
            "tried": row.tried_at, "trouble": row.trouble, "active": row.active, "fingerprint": row.fingerprint,
        }  # fmt: skip

    def named(self, ref: str, name: str) -> Credential:
        """Return the visible credential of this name."""
        row: Credential | None = self.rows().filter(experiment__name=ref, name=name).first()
        if row is None:
            raise NotVisible(f"There is no {ref}/{name}, or you may not see it.")
        return row

    def named_permitted(self, ref: str, name: str) -> Credential:
        """Return the credential of this name, if the person may do this to it."""
        row = self.named(ref, name)
        self.permit(row.experiment)
        return row

    def retrieve(self, request: Request, ref: str, name: str = "") -> Response:
        """Return one of them."""
        return Response(self.document(self.named(ref, name)))

    def history(self, request: Request, ref: str, name: str = "") -> Response:
        """Return what was done to it and what happened to it, newest first."""
        row = self.named(ref, name)
        return self.history_page(ledger.history({"credential": [row.pk]}), {("credential", row.pk): row.ref})

    def create(self, request: Request) -> Response:
        """Enter one; what could not work is refused, all of it at once."""
        wanted = self.body(CredentialInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        return self.once(lambda: (201, self.document(keeping.enter(experiment, by=request.user, **wanted))))

    def partial_update(self, request: Request, ref: str, name: str = "") -> Response:
        """Change what is given; `active` false puts it away, and launches go without it."""
        row = self.named_permitted(ref, name)
        wanted = {"reason": "", **self.body(CredentialEdit, partial=True)}
        return Response(self.document(keeping.change(row, by=request.user, **wanted)))

    def do_renew(self, request: Request, ref: str, name: str = "") -> Response:
        """Have it renewed now by its command; the history says what became of it."""
        row = self.named_permitted(ref, name)
        keeping.want_renewal(row, by=request.user, reason=self.reason())
        return Response(self.document(self.named(ref, name)), status=202)

    def do_check(self, request: Request, ref: str, name: str = "") -> Response:
        """Have it asked now how long it lives; `seen` moves on when it has answered."""
        row = self.named_permitted(ref, name)
        keeping.check(row)
        return Response(self.document(self.named(ref, name)), status=202)


_ONE = "credentials/<slug:ref>/<str:name>/"
urlpatterns = [
    path("credentials/", CredentialView.as_view({"get": "list", "post": "create"}), name="credentials-list"),
    path(_ONE, CredentialView.as_view({"get": "retrieve", "patch": "partial_update"}), name="credentials-detail"),
    path(f"{_ONE}history/", CredentialView.as_view({"get": "history"}), name="credentials-history"),
    path(f"{_ONE}renew/", CredentialView.as_view({"post": "do_renew"}), name="credentials-renew"),
    path(f"{_ONE}check/", CredentialView.as_view({"post": "do_check"}), name="credentials-check"),
]
