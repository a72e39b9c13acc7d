"""The banner that people accept before they see anything, where the installation has one; each acceptance is kept."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from experiments.logic.sessions import banner
from poms_site.middleware import GetResponse, problem
from poms_site.sessions import is_poll

ACCEPTED = "consent"  # key of a session
EXEMPT = ("sign-in", "sign-in-provider", "sign-in-back", "sign-out", "consent", "security-txt")


def is_wanting(request: HttpRequest) -> bool:
    """Tell whether this session has yet to accept the present text."""
    return bool(settings.CONSENT_TEXT) and request.session.get(ACCEPTED) != banner()


class ConsentBanner:
    """Let a session see nothing before its person has accepted the banner; tokens were made by somebody who had."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponse | None:
        """Answer with the banner, or with where it is."""
        if not request.user.is_authenticated or not is_wanting(request):
            return None
        if request.resolver_match is not None and request.resolver_match.url_name in EXEMPT:
            return None
        place = reverse("consent")
        if request.path.startswith("/api/"):
            if request.headers.get("Authorization", "").lower().startswith("bearer "):
                return None  # a token speaks here, or nobody: such a header never falls back to the session
            return problem(403, "Not allowed", f"Accept the terms of use at {place} first; nothing was changed.")
        if is_poll(request) or request.headers.get("HX-Request") == "true":
            return HttpResponse(status=401, headers={"HX-Redirect": place})
        back = request.get_full_path() if request.method == "GET" else reverse("home")
        return HttpResponseRedirect(f"{place}?{urlencode({'next': back})}")
