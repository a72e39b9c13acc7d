"""The one view of all old calls: signs in by token or certificate, finds the call, answers in the old shape."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, QueryDict
from django.urls import re_path, reverse
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from core.errors import NotVisible, Problem, Refused
from experiments.logic import pacing
from experiments.rules import SIGNED_IN
from poms_site.api.auth import CertificateAuthentication, TokenAuthentication
from poms_site.api.errors import answer
from poms_site.old_calls import answers
from poms_site.old_calls.asked import Asked
from poms_site.old_calls.launching import Held
from poms_site.old_calls.table import CALLS, GONE

# These addresses are printed for people too; their browsers are led to our page of the submission.
FOR_PEOPLE = ("submission_details", "list_launch_file")


REPORTS = ("update_submission", "update_submissions")
LAUNCHES = ("launch_jobs", "launch_campaign", "launch_recovery_for")


class _Launches(BaseThrottle):
    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a launch; raises TooMany."""
        pacing.launch(request.user)
        return True


class Elsewhere(Exception):
    """A browser without a token is led to a page, which asks it to sign in."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class OldCallView(APIView):
    """An old call, by its name in the address.

    A session counts for nothing here: some calls change something by GET, which no other site may have a browser do.
    """

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}
    authentication_classes = (TokenAuthentication, CertificateAuthentication)
    parser_classes = (FormParser, MultiPartParser)
    schema = None

    def get_throttles(self) -> list[BaseThrottle]:
        """Count calls and launches as the API does, but never what agents and wrappers say of work that runs."""
        method = self.kwargs.get("method")
        if method in REPORTS:
            return []
        return [_Launches()] if method in LAUNCHES else super().get_throttles()

    def get(self, request: Request, **path: str) -> HttpResponse:
        """Answer what only asks, and the few calls that wrappers send so."""
        return self._answer(request, path)

    def post(self, request: Request, **path: str) -> HttpResponse:
        """Answer a call."""
        return self._answer(request, path)

    def _answer(self, request: Request, path: dict[str, str]) -> HttpResponse:
        method = path["method"]
        if method in GONE:
            return answers.refusal(f"There is no {method} any more. {GONE[method]}", 410)
        call = CALLS.get(method)
        if call is None:
            raise NotVisible(f"There is no call {method[:60]}.")
        allowed = request.method == "POST" or (call.by_get and request.method == "GET") or call.permission == "view"
        if not allowed:
            raise MethodNotAllowed(str(request.method), detail=f"{method} changes something; send it by POST.")
        fields = request.query_params.copy()
        sent: Any = request.data
        for name, values in sent.lists() if isinstance(sent, QueryDict) else ():
            if name not in request.FILES:
                fields.setlist(name, values)
        if wrong := [name for name, values in fields.lists() if any("\0" in text for text in (name, *values))]:
            raise Refused("Nothing was done.", [Problem(wrong[0].replace("\0", ""), "has a NUL character")])
        asked = Asked(request.user, method, fields, request.FILES, path)
        asked.permission = call.permission
        return call.answer(asked)

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> Any:
        """Lead a person's browser to the page; refuse everybody else."""
        given = request.query_params.get("submission_id", "")
        reads = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
        if reads and self.kwargs.get("method") in FOR_PEOPLE and given.isdecimal() and len(given) < 19:
            raise Elsewhere(f"{reverse('search')}?{urlencode({'q': f's{given}'})}")
        super().permission_denied(request, message, code)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Take every Accept: the shape of an answer is the call's own."""
        return JSONRenderer(), "application/json"

    def get_exception_handler(self) -> Any:
        """Return what turns refusals into texts."""
        return _told


def _told(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    if isinstance(error, Elsewhere):
        return answers.see_other(error.address)
    found = answer(error, context)
    if found is None:
        return None
    lines = [found.data["detail"]]
    for problem in found.data["errors"]:
        hint = f" ({problem['hint']})" if problem["hint"] else ""
        lines.append(f"{problem['field']}: {problem['message']}{hint}")
    status = 423 if isinstance(error, Held) else found.status_code
    response = answers.refusal("\n".join(lines), status)
    for name in ("WWW-Authenticate", "Retry-After"):
        if name in found.headers:
            response[name] = found.headers[name]
    return response


# The base in old configurations ends in a slash, and the client adds another.
_METHOD = r"^poms/+(?P<method>[A-Za-z_]{1,60})"
_PLACE = r"/(?P<experiment>[a-z][a-z0-9_-]{0,59})/(?P<role>[a-z-]{1,40})(?:/(?P<username>[\w.@-]{1,150}))?"
urlpatterns = [
    re_path(rf"{_METHOD}/?$", OldCallView.as_view(), name="old-call"),
    re_path(rf"{_METHOD}{_PLACE}/?$", OldCallView.as_view(), name="old-call-page"),
]
