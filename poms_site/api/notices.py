"""The API's view of notices: one's own, and how one wants to be told."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Problem, Refused
from experiments.rules import SIGNED_IN
from experiments.viewsets import Document, ScopedViewSet
from integrations.models import Notice
from integrations.notices import choosing, outbox
from integrations.notices.kinds import KINDS


class ReadInput(serializers.Serializer[Any]):
    """The body that marks notices as read: those named, or without names all."""

    ids = serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=500, required=False)


class ChoicesInput(serializers.Serializer[Any]):
    """The body that changes one's choices; what is not in it stays."""

    kinds = serializers.DictField(child=serializers.CharField(max_length=20), required=False)
    digest_hour = serializers.IntegerField(min_value=0, max_value=23, required=False)
    zone = serializers.CharField(max_length=60, required=False)
    webhook = serializers.CharField(max_length=400, allow_blank=True, required=False)


class NoticeView(ScopedViewSet):
    """One's own notices, newest first."""

    model = Notice
    filters = {"kind": "kind"}
    more_filters = ("unread",)
    rules = dict.fromkeys(("list", "read", "choices", "choose", "test"), SIGNED_IN)

    def rows(self) -> Any:
        """Return one's own notices of what one may see, all or the unread ones."""
        rows = self.get_queryset().select_related("experiment")
        unread = self.request.query_params.get("unread", "0")
        if unread not in ("0", "1"):
            raise Refused("The list cannot be filtered so.", [Problem("unread", f"unknown: {unread[:60]}", "0 or 1")])
        return rows.filter(read_at=None) if unread == "1" else rows

    def document(self, row: Notice) -> Document:
        """Return a notice."""
        return {
            "id": row.pk, "at": row.created_at, "kind": row.kind, "subject": row.subject,
            "experiment": row.experiment.name if row.experiment else None, "ref": row.ref or None,
            "count": len(row.things), "lines": row.lines, "actor": row.actor,
            "link": f"{settings.PUBLIC_URL}{row.link}", "read": row.read_at,
        }  # fmt: skip

    def read(self, request: Request) -> Response:
        """Mark notices as read."""
        return Response({"read": outbox.mark_read(request.user, self.body(ReadInput).get("ids"))})

    def choices(self, request: Request) -> Response:
        """Return how one is told, of each kind."""
        return Response(choices_document(request.user))

    def choose(self, request: Request) -> Response:
        """Change how one is told."""
        wanted = self.body(ChoicesInput)
        choosing.choose(request.user, kinds=wanted.pop("kinds", {}), **wanted)
        return Response(choices_document(request.user))

    def test(self, request: Request) -> Response:
        """Send a test notice to oneself, on every channel that one has."""
        self.body(serializers.Serializer)
        made = outbox.enter_test(request.user)
        made.refresh_from_db()
        return Response(self.document(made), status=201)


def choices_document(user: Any) -> Document:
    """Return a person's choices as the API shows them; the secret is there for who verifies the signatures."""
    row, hook = choosing.choices_of(user), choosing.webhook_of(user)
    return {
        "kinds": {kind.key: row.how(kind.key) for kind in KINDS}, "digest_hour": row.digest_hour, "zone": row.zone,
        "email": user.email, "mail_server": bool(settings.MAIL_HOST), "webhook": hook.url if hook else "",
        "webhook_secret": hook.secret if hook else "",
    }  # fmt: skip


urlpatterns = [
    path("notices/", NoticeView.as_view({"get": "list"}), name="notices-list"),
    path("notices/read/", NoticeView.as_view({"post": "read"}), name="notices-read"),
    path("notices/choices/", NoticeView.as_view({"get": "choices", "put": "choose"}), name="notices-choices"),
    path("notices/test/", NoticeView.as_view({"post": "test"}), name="notices-test"),
]
