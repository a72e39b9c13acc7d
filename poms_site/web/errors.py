"""Pages for what went wrong: what happened, what was kept, what to do; the last two need nothing that may be broken."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader

from core import errors
from core.redaction import redacted
from integrations import errors as outside
from poms_site.middleware import problem
from poms_site.web import frame

log = structlog.get_logger()

TITLES = {
    403: "Not allowed", 404: "Nothing here", 409: "It changed meanwhile", 422: "That cannot be done",
    429: "Too much at once", 503: "Not available now",
}  # fmt: skip
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.NotVisible, 404), (errors.NotAllowed, 403), (errors.Conflict, 409), (errors.NotAvailable, 503),
    (errors.TooMany, 429),
    (errors.Refused, 422), (outside.Refused, 422), (outside.OutsideError, 503), (Http404, 404), (PermissionDenied, 403),
)  # fmt: skip


def status_of(error: Exception) -> int:
    """Return the HTTP status of a refusal."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def detail_of(error: Exception) -> str:
    """Return what a person should read of an error."""
    if isinstance(error, errors.PomsError):
        return error.detail
    return "There is nothing at this address." if isinstance(error, Http404) else str(error) or "Not allowed."


def error_page(request: HttpRequest, error: Exception, page: Any = None) -> HttpResponse:
    """Return the page of a refusal, in the frame where the person is signed in."""
    status = status_of(error)
    context = {
        **frame.context(request, page), "status": status, "title": TITLES[status], "detail": redacted(detail_of(error)),
        "problems": [replace(entry, message=redacted(entry.message)) for entry in getattr(error, "problems", ())],
        "address": redacted(request.get_full_path()),
    }  # fmt: skip
    return told(render(request, "web/error.html", context, status=status), error)


def told(response: HttpResponse, error: Exception | None) -> HttpResponse:
    """Return an answer to a refusal, which says when to come again where the refusal does."""
    if isinstance(error, errors.TooMany):
        response["Retry-After"] = str(error.wait)
    elif isinstance(error, outside.Unavailable):
        response["Retry-After"] = str(max(1, round(error.retry_after)))
    return response


def nothing_here(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that no page serves (handler404)."""
    return error_page(request, Http404())


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a refusal that no page caught (handler403)."""
    return error_page(request, PermissionDenied(str(exception)))


def broken(request: HttpRequest) -> HttpResponse:
    """Answer an error of ours from memory, for database and templates may be what is broken (handler500)."""
    away = isinstance(sys.exc_info()[1], OperationalError)
    status, again = (503, {"Retry-After": "5"}) if away else (500, {})
    number = getattr(request, "request_id", "")
    if request.path.startswith("/api/"):
        what = "The database does not answer now" if away else "POMS made a mistake; it is written in the log"
        title = "Not available" if away else "Internal error"
        answer: HttpResponse = problem(status, title, f"{what}. Request {number}." if number else f"{what}.")
    else:
        answer = HttpResponse((_UNAVAILABLE if away else _BROKEN).replace(_NUMBER, number), status=status)
    for name, value in again.items():
        answer[name] = value
    return answer


def bad_csrf(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose token does not fit (CSRF_FAILURE_VIEW)."""
    log.warning("web.csrf", reason=reason, path=request.path)
    text = "This form was opened before you signed in, or in another window; nothing was changed. Go back, load the"
    return error_page(request, PermissionDenied(f"{text} page again and repeat it."))


# Read once, when the site starts: they are shown when nothing else may work.
_NUMBER = "[request]"  # stands in them for the request's id, which is a plain word
_BROKEN = loader.render_to_string("500.html")
_UNAVAILABLE = loader.render_to_string("503.html")
