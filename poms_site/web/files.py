"""Files of the catalogue: the list, a file with its parents, and its content where it can be shown safely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse
from django.urls import path

from core.errors import NotVisible
from integrations import registry
from integrations.models import File
from poms_site.overview.words import printable
from poms_site.web.listing import Filter, by, by_key, listed
from poms_site.web.page import Page
from submissions.models import Output
from submissions.queries import made_as, slices_with, uses_of

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
TEXTS = (".json", ".txt", ".log", ".csv", ".ini", ".md", ".yaml", ".yml")
PREVIEW = 64 * 1024
MOST_USES = 50


def _put_out_by(rows: Any, value: str) -> Any:
    made = by_key("stage__campaign_id", "c")(Output.objects.all(), value)
    return rows.filter(name__in=made.values("name"), experiment_id__in=made.values("experiment_id"))


FILTERS = (
    Filter("name_has", "name has", by("name__icontains")),
    Filter("dataset", "dataset", by("datasets__name")),
    Filter("campaign", "campaign", _put_out_by),
)


class FilesPage(Page):
    """All files of an experiment's catalogue."""

    rules = {"get": "view"}
    place = "files"
    help = "/docs/guide/pages/#files"
    api = "files-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = File.objects.visible_to(request.user).filter(experiment=self.here)
        return self.show("web/files.html", {"list": listed(request, rows, FILTERS)})


class FilePage(Page):
    """One file: what is known of it, what it was made from and by which job, and what is in it."""

    rules = {"get": "view"}
    place = "files"
    help = "/docs/guide/pages/#a-file"

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show it."""
        row = found(self, name)
        output = made_as(self.here.pk, name)
        place = registry.catalogue(self.here).place(row.path)
        kind = Path(name).suffix.lower()
        text = ""
        if place is not None and kind in TEXTS:
            with place.open("rb") as file:
                text = printable(file.read(PREVIEW).decode(errors="replace"))
        return self.show(
            "web/file.html",
            {
                "row": row, "output": output, "parents": row.parents.select_related("parent")[:100], "text": text,
                "children": row.children.select_related("child")[:100], "there": place is not None,
                "picture": place is not None and kind in PICTURES, "metadata": sorted(row.metadata.items()),
                "uses": uses_of(self.here.pk, name)[:MOST_USES],
                "waits_in": slices_with(self.here.pk, name)[:MOST_USES],
            },
        )  # fmt: skip


class FileContent(Page):
    """The bytes of a file: pictures are shown, everything else is only handed over."""

    rules = {"get": "view"}

    def get(self, request: HttpRequest, name: str) -> HttpResponse | FileResponse:
        """Send it; a file of an experiment is nobody's page, so it can run nothing here."""
        row = found(self, name)
        place = registry.catalogue(self.here).place(row.path)
        if place is None:
            raise NotVisible(f"The catalogue knows {name}, but it is not on this machine.")
        kind = PICTURES.get(place.suffix.lower())
        response = FileResponse(
            place.open("rb"), as_attachment=kind is None, filename=place.name,
            content_type=kind or "application/octet-stream",
        )  # fmt: skip
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "private, max-age=60"
        return response


def found(page: Page, name: str) -> File:
    """Return the visible file of this name."""
    row = File.objects.visible_to(page.request.user).filter(experiment=page.here, name=name).first()
    if row is None:
        raise NotVisible(f"There is no file {name} in {page.here.name}, or you may not see it.")
    return row


urlpatterns = [
    path("e/<slug:experiment>/files/", FilesPage.as_view(), name="files"),
    path("e/<slug:experiment>/files/<str:name>/", FilePage.as_view(), name="file"),
    path("e/<slug:experiment>/files/<str:name>/content/", FileContent.as_view(), name="file-content"),
]
