"""Errors as problem documents (RFC 9457): what happened, what was kept, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import DataError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from core import errors
from core.errors import Problem
from core.redaction import redacted, redacted_deep
from integrations import errors as outside

log = structlog.get_logger()

_STATUS: tuple[tuple[type[errors.PomsError], int, str], ...] = (
    (errors.NotVisible, 404, "Not found"),
    (errors.NotAllowed, 403, "Not allowed"),
    (errors.Conflict, 409, "Conflict"),
    (errors.NotAvailable, 503, "Not available"),
    (errors.TooMany, 429, "Too many"),
    (errors.Refused, 422, "Refused"),
)


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception into a problem document; what nobody expected is left to become a 500."""
    if isinstance(error, errors.PomsError):
        status, title = next((s, t) for kind, s, t in _STATUS if isinstance(error, kind))
        response = problem(status, title, error.detail, error.problems)
        if isinstance(error, errors.TooMany):
            response["Retry-After"] = str(error.wait)
        return response
    if isinstance(error, outside.OutsideError):
        status = 422 if isinstance(error, outside.Refused) else 503
        response = problem(status, "An outside system did not do it", str(error))
        if isinstance(error, outside.Unavailable):
            response["Retry-After"] = str(max(1, round(error.retry_after)))
        return response
    if isinstance(error, OperationalError):
        log.exception("api.database_unavailable")
        response = problem(503, "Not available", "The database does not answer now; nothing was changed. Try again.")
        response["Retry-After"] = "5"
        return response
    if isinstance(error, DataError):
        # The net below the checks of length and range: PostgreSQL names neither field nor line.
        log.exception("api.value_does_not_fit")
        return problem(
            422, "Refused", f"A value does not fit: {str(error).strip().splitlines()[0]}. Nothing was changed."
        )
    if isinstance(error, (Http404, PermissionDenied)):
        missing = isinstance(error, Http404)
        return problem(404 if missing else 403, "Not found" if missing else "Not allowed", str(error) or "Not allowed.")
    if isinstance(error, exceptions.ValidationError):
        found = list(_flatten("", error.detail))
        return problem(422, "Refused", "The body has errors; nothing was changed.", found)
    if isinstance(error, exceptions.APIException):
        return _from_framework(error)
    return None


def problem(status: int, title: str, detail: str, problems: Any = ()) -> Response:
    """Return a problem document."""
    body = {
        "type": "about:blank", "title": title, "status": status, "detail": redacted(detail),
        "errors": [redacted_deep(entry.as_dict()) for entry in problems],
    }  # fmt: skip
    return Response(body, status=status, content_type="application/problem+json")


def _from_framework(error: exceptions.APIException) -> Response:
    status = error.status_code
    detail = str(error.detail)
    if isinstance(error, exceptions.ParseError):
        detail = f"The body cannot be read: {detail}. Send a JSON object; nothing was changed."
    if isinstance(error, exceptions.UnsupportedMediaType):
        detail = f"{detail} Send Content-Type: application/json."
    if isinstance(error, exceptions.NotAuthenticated):
        detail = "Sign in, or send Authorization: Bearer with a token."
    response = problem(status, str(error.default_detail).rstrip("."), detail)
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(round(wait))
    return response


def _flatten(where: str, detail: Any) -> Iterator[Problem]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _flatten(f"{where}.{key}" if where else str(key), value)
    elif isinstance(detail, list):
        for value in detail:
            yield from _flatten(where, value)
    else:
        yield Problem(where or "body", str(detail))
