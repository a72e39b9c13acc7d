"""How long a session lasts: absolutely, and without a person's doing; and what becomes of a form sent after its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from core.clock import now
from experiments.logic import sessions
from experiments.models import User
from poms_site.addresses import client_address
from poms_site.middleware import GetResponse

PART = "part"  # of the query string by which a page's own script asks for its live part
BEGAN, SEEN, KEPT = "began", "seen", "kept"  # keys of a session
SEEN_STEP = 60.0  # seconds; an act is noted at most so often
MOST_KEPT = 300_000  # characters of a form
# Never kept beyond their own request.
NOT_KEPT = ("csrfmiddlewaretoken", "password", "pem")


@dataclass(frozen=True)
class KeptForm:
    """What somebody had typed and sent when their session was over; it waits in the session for them to sign in."""

    user: int
    address: str
    fields: list[tuple[str, list[str]]]
    lost: bool = False  # files, or more than is kept


class SessionLimits:
    """End a session after its time, without a person's doing, or because its person ended all of them."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Sign out whoever is over their time; note that somebody does something, if it is not the page itself."""
        if request.user.is_authenticated:
            if why := ending(request):
                end(request, why)
            elif not is_poll(request):
                _note_act(request)
        return self.get_response(request)


def is_poll(request: HttpRequest) -> bool:
    """Tell whether a page's own script asks for the live part only: that is no act of a person."""
    return request.GET.get(PART) == "live"


def ending(request: HttpRequest) -> str:
    """Return why a session is over: `time`, `idle`, `everywhere`; empty while it is not."""
    at, user = now(), request.user
    began = float(request.session.get(BEGAN, at.timestamp()))
    seen = float(request.session.get(SEEN, began))
    since = getattr(user, "sessions_since", None)
    if since is not None and began <= since.timestamp():
        return "everywhere"
    if at.timestamp() - began > settings.SESSION_HOURS * 3600:
        return "time"
    if at.timestamp() - seen > settings.SESSION_IDLE_MINUTES * 60:
        return "idle"
    return ""


WHY = {
    "time": "after {hours} hours, as every session is",
    "idle": "after {minutes} minutes in which you did nothing",
    "everywhere": "because all your sessions were ended",
}


def told(why: str) -> str:
    """Return the sentence about a session that is over."""
    if why not in WHY:
        return ""
    hours, minutes = f"{settings.SESSION_HOURS:g}", f"{settings.SESSION_IDLE_MINUTES:g}"
    return f"You were signed out {WHY[why].format(hours=hours, minutes=minutes)}."


def begin(request: HttpRequest, user: User, *, how: str) -> None:
    """Sign somebody in: a new session key, the clock started, and a line in the ledger."""
    login(request, user)
    request.session[BEGAN] = request.session[SEEN] = now().timestamp()
    sessions.signed_in(user, how=how, address=client_address(request))


def end(request: HttpRequest, why: str) -> None:
    """Sign out, and remember for this request who it was and why."""
    user: Any = request.user
    sessions.signed_out(user, how=why, address=client_address(request))
    logout(request)
    request.session_over = (why, user.pk)  # type: ignore[attr-defined]  # ours, on Django's request


def sign_in_address(request: HttpRequest) -> str:
    """Return where somebody without a session goes, and how they come back; a form that they sent is kept for them."""
    why, user = getattr(request, "session_over", ("", 0))
    if why and request.method == "POST":
        _keep(request, user)
    query = [(name, value) for name, values in request.GET.lists() if name != PART for value in values]
    target = f"{request.path}?{urlencode(query)}" if query else request.path
    return f"{reverse('sign-in')}?{urlencode({'next': target, **({'ended': why} if why else {})})}"


def kept(request: HttpRequest) -> KeptForm | None:
    """Return the form that waits for this person, if one does."""
    found = request.session.get(KEPT)
    if not found or found["user"] != request.user.pk:
        return None
    return KeptForm(found["user"], found["address"], [(n, v) for n, v in found["fields"]], found["lost"])


def drop_kept(request: HttpRequest) -> None:
    """Forget the form that waited."""
    request.session.pop(KEPT, None)


def _keep(request: HttpRequest, user: int) -> None:
    """Keep what was typed in the new, empty session of the same browser: it is shown only to the same person."""
    fields = [(name, values) for name, values in request.POST.lists() if name not in NOT_KEPT]
    size = sum(len(name) + sum(map(len, values)) for name, values in fields)
    lost = bool(request.FILES) or size > MOST_KEPT
    fields = fields if size <= MOST_KEPT else []
    if fields or lost:
        request.session[KEPT] = {"user": user, "address": request.get_full_path(), "fields": fields, "lost": lost}


def _note_act(request: HttpRequest) -> None:
    at = now().timestamp()
    request.session.setdefault(BEGAN, at)
    if request.method == "POST" and request.session.get(KEPT, {}).get("address") == request.get_full_path():
        drop_kept(request)  # it has been sent now
    if at - float(request.session.get(SEEN, 0.0)) > SEEN_STEP:
        request.session[SEEN] = at
