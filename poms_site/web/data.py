"""Data: the datasets that campaigns read, one of any catalogue as it is now, and what a query finds."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from core.errors import NotAvailable, PomsError, Problem, Refused
from integrations import registry
from integrations.errors import OutsideError
from integrations.errors import Refused as OutsideRefused
from integrations.models import Dataset
from poms_site.overview import dataset
from poms_site.web import errors
from poms_site.web.page import Page

SHOWN = 20
MOST = 500


class DataPage(Page):
    """The datasets of an experiment; with a name one of them, with a query what it finds."""

    rules = {"get": "view"}
    place = "files"
    help = "/docs/guide/queries/"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show them; the catalogue is asked only where somebody asks for one dataset, or for a query."""
        asked = {name: request.GET.get(name, "").strip()[:4000] for name in ("name", "dimensions", "catalogue")}
        error: PomsError | None = None
        found: dict[str, Any] = {}
        try:
            found = self._found(asked)
        except OutsideRefused as refusal:
            error = Refused("It cannot be asked so.", [Problem("dimensions", str(refusal), "")])
        except OutsideError as silent:
            error = NotAvailable(f"The catalogue cannot be asked: {silent}. Try again in a while.")
        local = Dataset.objects.visible_to(request.user).filter(experiment=self.here).order_by("-pk")[:MOST]
        context = {
            "asked": asked, "read": dataset.read(request.user, self.here.name), "local": local, **found,
            "error": error and error.detail, "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/data.html", context, status=errors.status_of(error) if error else 200)

    def _found(self, asked: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if name := asked["name"]:
            found["size"] = dataset.seen(registry.catalogue(self.here, asked["catalogue"]), name)
            found["uses"] = dataset.uses(self.here, name)
        if dimensions := asked["dimensions"]:
            names = sorted(registry.catalogue(self.here, asked["catalogue"]).query(dimensions))
            found |= {"count": len(names), "names": names[:SHOWN]}
        return found


urlpatterns = [path("e/<slug:experiment>/data/", DataPage.as_view(), name="data")]
