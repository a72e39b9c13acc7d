"""The API's view of the local catalogue."""

from __future__ import annotations

from typing import Any

from django.urls import path

from experiments.viewsets import Document, ScopedViewSet
from integrations.models import File


class FileView(ScopedViewSet):
    """Files of the local catalogue."""

    model = File
    filters = {"name": "name", "dataset": "datasets__name"}
    rules = {"list": "view"}

    def rows(self) -> Any:
        """Return files with their parents."""
        return self.get_queryset().select_related("experiment").prefetch_related("parents__parent")

    def document(self, row: File) -> Document:
        """Return the file with its metadata and parents."""
        return {
            "experiment": row.experiment.name, "name": row.name, "path": row.path, "size": row.size,
            "checksum": row.checksum, "events": row.events, "metadata": row.metadata, "created": row.created_at,
            "parents": [link.parent.name for link in row.parents.all()],
        }  # fmt: skip


urlpatterns = [path("files/", FileView.as_view({"get": "list"}), name="files-list")]
