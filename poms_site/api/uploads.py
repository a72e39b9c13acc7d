"""The API's view of uploads: one's own area in an experiment, as bytes and not as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.rules import SIGNED_IN
from experiments.viewsets import Document, ScopedViewSet
from integrations.models import Upload
from integrations.uploads import keeping
from poms_site.overview.handing_over import as_file

PIECE = 1 << 16


class UploadView(ScopedViewSet):
    """Files that come with the launches of somebody's analysis; each person has their own."""

    model = Upload
    filters = {"name": "name", "person": "user__username"}
    rules = {"list": SIGNED_IN, "create": "define_own", "content": "define_own", "remove": "define_own"}

    def rows(self) -> Any:
        """Return one's own, and those of experiments that one operates."""
        return self.get_queryset().select_related("experiment", "user")

    def document(self, row: Upload) -> Document:
        """Return everything but the bytes."""
        return {
            "experiment": row.experiment.name, "person": row.user.username, "name": row.name, "size": row.size,
            "sha256": row.digest, "uploaded": row.uploaded_at,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Keep the body as a file: `?experiment=` and `?name=` say where; it takes the place of one of its name."""
        experiment = self._experiment()
        raw = request._request
        declared = int(raw.META.get("CONTENT_LENGTH") or 0)
        made = keeping.keep(experiment, request.user, self._name(), _pieces(raw, declared), declared=declared)
        return Response(self.document(made) | {"room": keeping.room_of(experiment, request.user)}, status=201)

    def content(self, request: Request) -> HttpResponse:
        """Return the bytes of one's own file."""
        row = keeping.found(self._experiment(), request.user, self._name())
        return as_file(row.name, keeping.content_of(row.digest))

    def remove(self, request: Request) -> Response:
        """Take a file away."""
        keeping.remove(self._experiment(), request.user, self._name())
        return Response({"name": self._name(), "removed": True})

    def _experiment(self) -> Experiment:
        experiment = self.experiment_named(self.request.query_params.get("experiment"))
        self.permit(experiment)
        return experiment

    def _name(self) -> str:
        name = str(self.request.query_params.get("name", ""))
        if not name:
            raise Refused("No file is named.", [Problem("name", "is missing", "?experiment=demo&name=my_fit.C")])
        return name


def _pieces(raw: Any, length: int) -> Iterator[bytes]:
    """Yield a body piece by piece, no further than it was announced."""
    left = length
    while left > 0 and (piece := raw.read(min(PIECE, left))):
        left -= len(piece)
        yield piece
    if left:
        raise Refused("Nothing was kept.", [Problem("file", f"broke off, {left} bytes are missing", "send it again")])


urlpatterns = [
    path("uploads/", UploadView.as_view({"get": "list", "post": "create"}), name="uploads-list"),
    path("uploads/content/", UploadView.as_view({"get": "content"}), name="uploads-content"),
    path("uploads/remove/", UploadView.as_view({"post": "remove"}), name="uploads-remove"),
]
