"""What all views of the API share: objects by reference, starting at visible_to, and the declared rule."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from django.db import models
from django.urls import path
from django.urls.converters import get_converters, register_converter
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core import idempotency, ledger
from core.errors import NotVisible, Problem, Refused
from core.redaction import refuse_secrets
from experiments.models import Experiment
from experiments.rules import rule_of
from experiments.scoping import experiments_for, require

Document = dict[str, Any]


def whole(name: str, text: str, hint: str = "") -> int:
    """Return a whole number of a query string; what is none is refused with the parameter's name."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refused("The address cannot be read.", [Problem(name, f"expected a whole number, not {text[:60]}", hint)])
    return int(text)


class KeysetPage(CursorPagination):
    """Pages by key, newest first; `limit` up to 500."""

    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 500
    ordering: Any = "-pk"

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the place that the cursor names; one that no answer ever gave is refused."""
        try:
            cursor = super().decode_cursor(request)
            known = cursor is None or cursor.position is None or re.fullmatch(r"[0-9]{1,18}", str(cursor.position))
        except NotFound:
            known = None
        if not known:
            given = request.query_params[self.cursor_query_param][:60]
            raise Refused("The page cannot be read.", [Problem("cursor", f"no cursor: {given}", "begin without one")])
        return cursor

    def get_page_size(self, request: Request) -> int | None:
        """Return how many rows were asked for, at most 500."""
        limit = request.query_params.get(self.page_size_query_param)
        if limit is not None and not whole("limit", limit, "1 to 500"):
            raise Refused("The page cannot be read.", [Problem("limit", "a page has at least one row", "1 to 500")])
        return super().get_page_size(request)

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page and the cursor of the next one."""
        return Response({"results": data, "next": self._cursor_in(self.get_next_link())})

    def cursor_at(self, key: int) -> str | None:
        """Return the cursor of the page that begins below a key, for whoever has been asked for a page."""
        below = Cursor(offset=0, reverse=False, position=str(key))  # type: ignore[arg-type]  # its stub says int; it reads a text
        return self._cursor_in(self.encode_cursor(below))

    def _cursor_in(self, link: str | None) -> str | None:
        found = re.search(r"[?&]cursor=([^&]+)", link) if link else None
        return unquote(found[1]) if found else None


class NewestFirst(KeysetPage):
    """Pages of the ledger."""

    ordering = ("-txid", "-id")


class ReasonInput(serializers.Serializer[Any]):
    """The body of a verb."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)


class FiniteField(serializers.FloatField):
    """A number; what JSON cannot carry back (nan, inf) is none."""

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        value = super().to_internal_value(data)
        if not math.isfinite(value):
            self.fail("invalid")
        return value


class ScopedViewSet(viewsets.GenericViewSet[Any]):
    """A noun of the API. Subclasses name the model, its letter, the rule of each action, and `document`."""

    model: Any = None
    rules: dict[str, str] = {}
    launches: frozenset[str] = frozenset()  # actions that make something run; one may do so many a minute
    letter = ""
    filters: dict[str, str] = {}
    more_filters: tuple[str, ...] = ()
    pagination_class = KeysetPage

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse an address that no database text can hold, after the caller was let in."""
        super().initial(request, *args, **kwargs)
        for name, value in [*request.query_params.items(), *kwargs.items()]:
            if "\0" in str(value):
                raise Refused("The address cannot be read.", [Problem(name, "has a NUL character")])

    def get_queryset(self) -> Any:
        """Start every query where access is decided."""
        return self.model.objects.visible_to(self.request.user)

    def document(self, row: Any) -> Document:
        """Return what the API shows of a row."""
        raise NotImplementedError

    def documents(self, rows: Any) -> Any:
        """Return what the API shows of the rows of a list."""
        return [self.document(row) for row in rows]

    def rows(self) -> Any:
        """Return the visible rows with what `document` needs beside them."""
        return self.get_queryset().select_related("experiment")

    def find(self, ref: str) -> Any:
        """Return the visible row of a reference such as demo/c1; what is not visible does not exist."""
        experiment, _, key = ref.partition("/")
        row = self.rows().filter(experiment__name=experiment, pk=int(key[1:])).first()
        if row is None:
            raise NotVisible(f"There is no {ref}, or you may not see it.")
        return row

    def permit(self, experiment: Experiment) -> None:
        """Raise NotAllowed unless the person holds the permission that the action's rule names."""
        require(self.request.user, str(rule_of(self, self.action)), experiment)

    def find_permitted(self, ref: str) -> Any:
        """Return the row of a reference on which the person may do this action."""
        row = self.find(ref)
        self.permit(row.experiment)
        return row

    def experiment_named(self, name: Any) -> Experiment:
        """Return the experiment of a body or query, if the person may see it."""
        row = experiments_for(self.request.user, "view_overview").filter(name=str(name or "")).first()
        if row is None:
            names = ", ".join(experiments_for(self.request.user, "view").values_list("name", flat=True))
            raise Refused(
                "The experiment is missing or unknown; nothing was changed.",
                [Problem("experiment", f"unknown: {name or '(none given)'}", f"one of {names}" if names else "")],
            )
        return row

    def body(self, form: type[serializers.Serializer[Any]], *, partial: bool = False) -> dict[str, Any]:
        """Return the validated body; unknown fields are refused, so that a slip of the pen is not lost."""
        data = self._json()
        if not isinstance(data, dict):
            raise Refused("The body is not a JSON object.", [Problem("body", "expected {…}")])
        refuse_secrets(data.items())
        filled = form(data=data, partial=partial)
        filled.is_valid(raise_exception=True)
        unknown = sorted(set(data) - set(filled.fields))
        if unknown:
            known = ", ".join(filled.fields)
            raise Refused(
                "The body has unknown fields; nothing was changed.",
                [Problem(name, "unknown field", f"known are {known}") for name in unknown],
            )
        return dict(filled.validated_data)

    def _json(self) -> Any:
        """Return the parsed body; one that could be read but not answered is refused."""
        try:
            data = self.request.data
            json.dumps(data, ensure_ascii=False).encode()
        except RecursionError as error:
            raise Refused("The body is nested too deep.", [Problem("body", "expected {…} of plain fields")]) from error
        except UnicodeEncodeError as error:
            where = Problem("body", f"half a character: {error.object[error.start]!a}", "send UTF-8")
            raise Refused("The body has text that is no Unicode.", [where]) from error
        return data

    def reason(self) -> str:
        """Return the reason that a verb was given."""
        return str(self.body(ReasonInput)["reason"])

    @property
    def actor(self) -> str:
        """Return who is asking, as the ledger names people."""
        user: Any = self.request.user
        return str(user.actor)

    def once(self, act: Callable[[], tuple[int, Any]]) -> Response:
        """Create something; a repeated Idempotency-Key gets the first answer again."""
        key = self.request.headers.get("Idempotency-Key", "")
        if not key:
            status, answer = act()
            return Response(answer, status=status)
        if not re.fullmatch(r"[!-~]{1,200}", key):
            expected = Problem("Idempotency-Key", "expected 1 to 200 printable ASCII characters", "a UUID will do")
            raise Refused("The Idempotency-Key cannot be kept; nothing was changed.", [expected])

        def plain() -> tuple[int, Any]:
            """Return what is kept as it is sent, so that a repetition is the same to the last digit."""
            status, answer = act()
            return status, json.loads(JSONRenderer().render(answer))

        raw = self.request._request.body
        status, answer = idempotency.once(
            self.request.user, key, f"{self.request.method} {self.request.path}", raw, plain
        )
        return Response(answer, status=status)

    def page(self, rows: models.QuerySet[Any]) -> Response:
        """Return one page of rows, filtered by the query string."""
        page = self.paginate_queryset(self.narrowed(rows))
        return self.get_paginated_response(self.documents(page or []))

    def narrowed(self, rows: models.QuerySet[Any], also: Sequence[str] = ("cursor", "limit")) -> models.QuerySet[Any]:
        """Return the rows that the query string asks for; unknown words of it are refused, but for those of `also`."""
        query = self.request.query_params
        known = ("experiment", "format", *also, *self.filters, *self.more_filters)
        if unknown := sorted(set(query) - set(known)):
            hint = f"known are {', '.join(sorted(known))}"
            raise Refused(
                "The list cannot be filtered so.", [Problem(name, "unknown filter", hint) for name in unknown]
            )
        if (experiment := query.get("experiment")) and hasattr(self.model, "experiment"):
            rows = rows.filter(experiment__name=experiment)
        for name, field in self.filters.items():
            if name in query:
                rows = rows.filter(**{field: self._wanted(name, field, query[name])})
        return rows

    def _wanted(self, name: str, field: str, value: str) -> Any:
        """Return what a filter looks for: a key, given as a reference or bare, a state, or a word."""
        if name == "stage":
            return value.rpartition("/")[2]  # demo/c1/gen; its campaign is a filter of its own
        if field.endswith("__contains"):
            return [value]
        if field.endswith("_id"):
            reference = re.fullmatch(rf"[a-z][a-z0-9_-]*/{name[0]}([0-9]{{1,18}})", value)
            return whole(name, reference[1] if reference else value, f"such as demo/{name[0]}1")
        if field == "state" and value not in (known := self.model.STATES.states):
            raise Refused("The filter cannot be read.", [Problem(name, f"unknown: {value[:60]}", ", ".join(known))])
        return value

    def list(self, request: Request) -> Response:
        """Return a page of what is visible."""
        return self.page(self.rows())

    def retrieve(self, request: Request, ref: str) -> Response:
        """Return one object."""
        return Response(self.document(self.find(ref)))

    def history(self, request: Request, ref: str) -> Response:
        """Return a page of the transitions of one object, newest first (M8)."""
        row = self.find(ref)
        return self.history_page(ledger.history({row.STATES.kind: [row.pk]}), {(row.STATES.kind, row.pk): ref})

    def history_page(self, steps: Any, refs: dict[tuple[str, int], str]) -> Response:
        """Return a page of transitions; `refs` names the things that they are of."""
        pages = NewestFirst()
        page: Any = pages.paginate_queryset(steps, self.request, view=self) or []
        shown = [transition_document(s, refs.get((s.kind, s.thing_id), f"{s.kind}/{s.thing_id}")) for s in page]
        return pages.get_paginated_response(shown)


def transition_document(step: Any, ref: str) -> Document:
    """Return a transition as the API shows it."""
    return {
        "at": step.at, "of": ref, "kind": step.kind, "from": step.source, "to": step.target, "verb": step.verb,
        "actor": step.actor, "reason": step.reason,
    }  # fmt: skip


def ref_path(noun: str, letter: str, tail: str = "") -> str:
    """Return the pattern of a path with a reference in it: campaigns/<c_ref:ref>/hold/."""
    name = f"{letter}_ref"
    if name not in get_converters():
        converter = type(
            f"{letter.upper()}Ref", (),
            {"regex": rf"[a-z][a-z0-9_-]*/{letter}[1-9][0-9]{{0,17}}",
             "to_python": lambda self, value: value, "to_url": lambda self, value: value},
        )  # fmt: skip
        register_converter(converter, name)
    return f"{noun}/<{name}:ref>/{tail}"


def routes(noun: str, view: type[ScopedViewSet], *verbs: str, create: bool = False, history: bool = True) -> list[Any]:
    """Return the addresses of a noun: list, one object, its history, and a POST for each verb."""
    listed: dict[str, Any] = {"get": "list", **({"post": "create"} if create else {})}
    single: dict[str, Any] = {
        "get": "retrieve",
        **({"patch": "partial_update"} if hasattr(view, "partial_update") else {}),
    }
    found = [
        path(f"{noun}/", view.as_view(listed), name=f"{noun}-list"),
        path(ref_path(noun, view.letter), view.as_view(single), name=f"{noun}-detail"),
    ]
    if history:
        address = ref_path(noun, view.letter, "history/")
        found.append(path(address, view.as_view({"get": "history"}), name=f"{noun}-history"))
    for verb in verbs:
        address = ref_path(noun, view.letter, f"{verb}/")
        found.append(path(address, view.as_view({"post": f"do_{verb}"}), name=f"{noun}-{verb}"))
    return found
