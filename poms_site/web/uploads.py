"""One's upload area in an experiment: what comes with the launches of one's analysis, and how much room is left."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import PomsError, Problem, Refused
from integrations.models import Upload
from integrations.uploads import keeping
from poms_site.overview.handing_over import as_file
from poms_site.web import errors
from poms_site.web.acting import typed
from poms_site.web.page import Page


class UploadsPage(Page):
    """One's own files there."""

    rules = {"get": "define_own", "post": "define_own"}
    place = "files"
    help = "/docs/guide/uploads/"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show them."""
        return self._list()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Keep files, or take one away."""
        try:
            told = self._do(request)
        except PomsError as error:
            return self._list(error)
        messages.success(request, told)
        return HttpResponseRedirect(reverse("uploads", args=[self.here.name]), status=303)

    def _do(self, request: HttpRequest) -> str:
        asked = typed(request, "do", "name")
        if asked["do"] == "remove":
            keeping.remove(self.here, request.user, asked["name"])
            return f"{asked['name']}: removed."
        files = request.FILES.getlist("file")
        if not files:
            raise Refused("Nothing was kept.", [Problem("file", "none was chosen", "choose one or several")])
        for file in files:
            keeping.keep(self.here, request.user, str(file.name), file.chunks(), declared=file.size)
        return f"Kept: {', '.join(str(file.name) for file in files)}."

    def _list(self, error: PomsError | None = None) -> HttpResponse:
        user: Any = self.request.user
        rows = Upload.objects.filter(experiment=self.here, user=user).order_by("name")
        context = {
            "rows": rows, "room": keeping.room_of(self.here, user), "quota": settings.UPLOAD_QUOTA,
            "error": error and error.detail, "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/uploads.html", context, status=errors.status_of(error) if error else 200)


class UploadContentPage(Page):
    """The bytes of one of them; only handed over, never shown."""

    rules = {"get": "define_own"}

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Send it."""
        row = keeping.found(self.here, request.user, name)
        return as_file(row.name, keeping.content_of(row.digest))


urlpatterns = [
    path("e/<slug:experiment>/uploads/", UploadsPage.as_view(), name="uploads"),
    path("e/<slug:experiment>/uploads/<str:name>/", UploadContentPage.as_view(), name="upload-content"),
]
