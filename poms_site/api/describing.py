"""Describes the API for OpenAPI: names of operations, what each takes, how it answers, and an example of both."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, ClassVar, cast

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from experiments.rules import OWN_TOKEN, PUBLIC, rule_of
from poms_site.api.examples import JSON, Example, examples, shape
from poms_site.api.taking import Taken, taken

PROBLEM = "application/problem+json"
PREFIX = "/api/v1/"
ACTIONS = {"get": ("list", "show"), "post": ("create", "create"), "patch": ("change", "change"), "put": ("set", "set")}
FILES = "application/octet-stream"

_text: dict[str, Any] = {"type": "string"}
_entry = {
    "type": "object", "properties": {"field": _text, "message": _text, "hint": _text, "line": {"type": "integer"}},
    "required": ["field", "message"],
}  # fmt: skip
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "What was refused, and what to do (RFC 9457).",
    "properties": {
        "type": _text, "title": _text, "status": {"type": "integer"}, "detail": _text,
        "errors": {"type": "array", "items": _entry},
    },
    "required": ["type", "title", "status", "detail", "errors"],
}  # fmt: skip


class Bearer(OpenApiAuthenticationExtension):
    """Tokens, as the description names them."""

    target_class = "poms_site.api.auth.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return how a token is sent."""
        return {"type": "http", "scheme": "bearer", "description": "A token of `poms token create`: poms_…"}


class Certificate(OpenApiAuthenticationExtension):
    """Client certificates of service accounts, as the description names them."""

    target_class = "poms_site.api.auth.CertificateAuthentication"
    name = "certificate"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return that the connection itself says who it is."""
        return {"type": "mutualTLS", "description": "The certificate of a service account, where that is set up."}


@cache
def names() -> dict[str, str]:
    """Return the name of each route by its path as OpenAPI writes it: /api/v1/campaigns/{ref}/hold/."""
    found = {}
    waiting: list[tuple[str, URLPattern | URLResolver]] = [("/", entry) for entry in get_resolver().url_patterns]
    while waiting:
        prefix, entry = waiting.pop()
        address = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            waiting += [(address, inner) for inner in entry.url_patterns]
        else:
            found[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", address)] = str(entry.name)
    return found


def operation_name(route: str, method: str) -> str:
    """Return the name of an operation: campaigns_list, campaigns_show, campaigns_hold, select_job_kill."""
    noun, _, verb = route.rpartition("-")
    listed, one = ACTIONS[method.lower()]
    if verb in ("list", "detail"):
        return f"{noun}_{listed if verb == 'list' else one}".replace("-", "_")
    # Two routes serve a second method beside the one that gives them their name.
    return (route if method.lower() in ("get", "post") or verb == "definition" else f"{route}_{one}").replace("-", "_")


class Once(SchemaGenerator):
    """Makes the description once for a process: it is the same for all who ask, and takes seconds."""

    kept: ClassVar[dict[str, Any]] = {}

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        """Return the description."""
        if not public:
            return cast("dict[str, Any]", super().get_schema(request=request, public=public))
        if not Once.kept:
            Once.kept = super().get_schema(request=None, public=True)
        return Once.kept


class Described(AutoSchema):
    """The description of one operation, from the code of its view and its example."""

    @property
    def taken(self) -> Taken:
        """Return what the operation takes."""
        view: Any = type(self.view)
        return taken(view, self._action)

    @property
    def _action(self) -> str:
        return getattr(self.view, "action", None) or self.method.lower()

    @property
    def _own_name(self) -> str:
        return operation_name(names()[self.path], self.method)

    def get_operation_id(self) -> str:
        """Return its name."""
        return self._own_name

    def get_request_serializer(self) -> Any:
        """Return the form of its body, as the view reads it; the first, where it reads one of several."""
        found = self.taken
        return found.forms[0](partial=found.partial) if found.forms and self.method != "GET" else None

    def get_response_serializers(self) -> Any:
        """Return nothing: answers are described by their examples."""

    def get_override_parameters(self) -> list[Any]:
        """Return the words of the query string and the headers that the view reads."""
        found, kept = self.taken, examples().get(self._own_name, Example())
        query = [
            OpenApiParameter(name, str, OpenApiParameter.QUERY, required=name in kept.query and name not in _FREE)
            for name in found.query
            if name != "format"
        ]
        return query + [OpenApiParameter(name, str, OpenApiParameter.HEADER) for name in found.headers]

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with its answers and its example."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        kept = examples().get(self._own_name, Example())
        for parameter in operation.get("parameters", ()):
            given = kept.path if parameter["in"] == "path" else kept.query
            if parameter["name"] in given:
                parameter["example"] = given[parameter["name"]]
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"][JSON]["schema"]
            if others := self.taken.forms[1:]:
                more = [self.resolve_serializer(form(), "request").ref for form in others]
                schema = {"anyOf": [schema, *more]}
            operation["requestBody"]["content"] = {JSON: {"schema": schema, "example": kept.body or {}}}
        elif self._own_name == "uploads_create":
            bytes_ = {"schema": {"type": "string", "format": "binary"}, "example": kept.body}
            operation["requestBody"] = {"content": {FILES: bytes_}, "required": True}
        if rule_of(type(self.view), self._action) in (PUBLIC, OWN_TOKEN):
            operation["security"] = [{}]
        problem = {"schema": PROBLEM_SCHEMA}
        operation["responses"] = {
            str(kept.status): {"description": SAYS.get(kept.status, "Refused."), "content": {kept.type: _answer(kept)}},
            "default": {"description": "A problem document: why it was refused.", "content": {PROBLEM: problem}},
        }  # fmt: skip
        return operation


SAYS = {200: "Done, or what was asked for.", 201: "Made.", 202: "Asked for: it is done outside, and can be followed."}
_FREE = ("limit", "cursor")


def _answer(kept: Example) -> dict[str, Any]:
    if kept.type == PROBLEM:
        return {"schema": PROBLEM_SCHEMA, "example": kept.answer}
    if kept.type == JSON:
        return {"schema": shape(kept.answer, whole=True), "example": kept.answer}
    binary = {"format": "binary"} if kept.answer is None else {}
    return {"schema": {"type": "string", **binary}, **({"example": kept.answer} if kept.answer else {})}
