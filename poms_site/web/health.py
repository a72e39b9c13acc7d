"""/healthz and /readyz: what load balancers ask; they need no session, no host name, no https and no database."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import View

from experiments.rules import PUBLIC
from poms_site.middleware import GetResponse
from poms_site.readiness import unready

WELL = "well"


class Health(View):
    """The process serves: nothing is touched to say so."""

    rules = {"get": PUBLIC}

    def get(self, request: HttpRequest) -> HttpResponse:
        """Say it."""
        return _said("")


class Readiness(View):
    """The process can do its work, or why not."""

    rules = {"get": PUBLIC}

    def get(self, request: HttpRequest) -> HttpResponse:
        """Ask the database."""
        return _said(unready())


def _said(why_not: str) -> HttpResponse:
    answer = HttpResponse(f"{why_not or WELL}\n", content_type="text/plain; charset=utf-8")
    answer["Cache-Control"] = "no-store"
    answer["X-Content-Type-Options"] = "nosniff"  # SecurityMiddleware, which says so elsewhere, is not passed
    if why_not:
        answer.status_code = 503
        answer["Retry-After"] = "5"
    return answer


urlpatterns = [
    path("healthz", Health.as_view(), name="healthz"),
    path("readyz", Readiness.as_view(), name="readyz"),
]


class Probes:
    """Answer these two before anything is asked of host names, https, sessions or the consent banner."""

    ANSWERS = {f"/{entry.pattern}": entry.callback for entry in urlpatterns}

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a probe, or pass the request on."""
        view = self.ANSWERS.get(request.path_info)
        return view(request) if view else self.get_response(request)
