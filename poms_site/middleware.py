"""Middleware: a request id in every log line and answer, and a limit on bodies before they are read."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, JsonResponse

FORM_AROUND = 64 * 1024  # of a file that a form sends
GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestId:
    """Give each request an id: the caller's X-Request-Id if it is a plain word, else a fresh one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        request_finished.connect(_forget_id, dispatch_uid="poms.request_id")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bind the id to the log context for the time of the request and return it in the answer.

        The request lasts until its answer is sent: Django logs a refusal after all middleware, and a stream is made
        even later.
        """
        given = request.headers.get("X-Request-Id", "")
        request_id = given if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]  # ours, on Django's request
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


def _forget_id(**kwargs: Any) -> None:
    structlog.contextvars.unbind_contextvars("request_id")


class BodyLimit:
    """Refuse a body that is larger than POMS ever takes, by its announced length, with a clear answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer 413 (or 411 for a body of unknown length) or pass the request on."""
        limit = settings.BODY_LIMIT
        if re.fullmatch(r"/(api/v1|e/[a-z0-9_-]+)/uploads/", request.path):  # what has a quota of its own
            limit = max(limit, settings.UPLOAD_QUOTA + FORM_AROUND)
        length = request.META.get("CONTENT_LENGTH") or "0"
        if request.META.get("HTTP_TRANSFER_ENCODING") and not request.META.get("CONTENT_LENGTH"):
            return problem(411, "Length required", "Send the body with a Content-Length; nothing was read.")
        if not length.isdigit() or int(length) > limit:
            size = f"{int(length) / 1e6:.1f} MB" if length.isdigit() else "of unknown length"
            return problem(
                413,
                "Too large",
                f"The body is {size}; POMS takes at most {limit / 1e6:.1f} MB. Nothing was changed."
                " A definition has at most 256 KiB; put data files into a catalogue and name the dataset.",
            )
        return self.get_response(request)


def problem(status: int, title: str, detail: str) -> JsonResponse:
    """Return a problem document (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": []}
    return JsonResponse(body, status=status, content_type="application/problem+json")
