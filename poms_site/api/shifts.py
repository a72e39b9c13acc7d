"""The API's view of the shift list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.clock import now
from core.errors import Problem, Refused
from experiments.logic import shifts
from experiments.models import Shift, User
from experiments.viewsets import Document, ReasonInput, ScopedViewSet, ref_path

SPAN = timedelta(days=62)


class ShiftInput(serializers.Serializer[Any]):
    """The body that puts somebody on the list."""

    experiment = serializers.CharField()
    person = serializers.CharField(max_length=150)
    begins = serializers.DateTimeField()
    until = serializers.DateTimeField()
    note = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class ShiftView(ScopedViewSet):
    """Who watches when; `now=1` gives only who is on shift."""

    model = Shift
    letter = "w"
    more_filters = ("now", "person")
    rules = {"list": "view", "create": "operate", "do_remove": "operate"}

    def rows(self) -> Any:
        """Return shifts that have not ended long ago."""
        rows = self.get_queryset().select_related("experiment", "user").filter(ends_at__gt=now() - SPAN)
        query = self.request.query_params
        if person := query.get("person"):
            rows = rows.filter(user__username=person)
        if (wanted := query.get("now", "0")) not in ("0", "1"):
            raise Refused("The list cannot be filtered so.", [Problem("now", f"not 0 or 1: {wanted[:20]}")])
        return rows.filter(begins_at__lte=now(), ends_at__gt=now()) if wanted == "1" else rows

    def document(self, row: Shift) -> Document:
        """Return the shift."""
        return {
            "ref": row.ref, "experiment": row.experiment.name, "person": row.user.username,
            "name": row.user.get_full_name() or row.user.username, "begins": row.begins_at, "until": row.ends_at,
            "note": row.note, "now": row.begins_at <= now() < row.ends_at, "entered_by": row.entered_by,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Put somebody on the list."""
        wanted = self.body(ShiftInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)

        def act() -> tuple[int, Document]:
            made = shifts.add(
                experiment, wanted["person"], wanted["begins"], wanted["until"], note=wanted["note"],
                by=cast(User, request.user),
            )  # fmt: skip
            return 201, self.document(made)

        return self.once(act)

    def do_remove(self, request: Request, ref: str) -> Response:
        """Take a shift off the list."""
        reason = self.body(ReasonInput)["reason"]
        row = self.find_permitted(ref)
        shifts.remove(row, by=cast(User, request.user), reason=reason)
        return Response({"ref": ref, "removed": True})


urlpatterns = [
    path("shifts/", ShiftView.as_view({"get": "list", "post": "create"}), name="shifts-list"),
    path(ref_path("shifts", "w", "remove/"), ShiftView.as_view({"post": "do_remove"}), name="shifts-remove"),
]
