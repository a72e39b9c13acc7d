"""Lists: filters from the query string shown as chips, and pages by key, so that page 1000 costs what page 1 costs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, F, Q
from django.http import HttpRequest

from core.errors import Problem, Refused
from submissions import queries

SIZE = 50
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}\+00:00")  # as _place writes it


@dataclass(frozen=True)
class Filter:
    """One thing to filter by: its name in the address, its word, and how it narrows rows."""

    name: str
    word: str
    narrow: Callable[[Any, str], Any]
    choices: Sequence[tuple[str, str]] = ()
    more: bool = False  # whether the form shows it among those that are asked for seldom
    always: bool = False  # whether it narrows, with an empty value, also where nothing is asked
    keyed: bool = False  # whether an index of its own finds the rows, however old they are

    def apply(self, rows: Any, value: str) -> Any:
        """Return the rows that fit; a value that nothing can have is refused with those that are known."""
        if value and self.choices and value not in (known := [key for key, _ in self.choices]):
            wrong = Problem(self.name, f"unknown: {value[:60]}", ", ".join(known))
            raise Refused("The list cannot be filtered so.", [wrong])
        return self.narrow(rows, value)


def by(lookup: str) -> Callable[[Any, str], Any]:
    """Return how to narrow by a field."""
    return lambda rows, value: rows.filter(**{lookup: value})


def by_key(lookup: str, letter: str) -> Callable[[Any, str], Any]:
    """Return how to narrow by the key of a thing, given as c1, demo/c1 or 1."""

    def narrow(rows: Any, value: str) -> Any:
        found = re.fullmatch(rf"(?:[a-z][a-z0-9_-]*/)?{letter}?([0-9]{{1,18}})", value)
        if not found:
            hint = f"such as {letter}1"
            raise Refused("The list cannot be filtered so.", [Problem("filter", f"no reference: {value[:60]}", hint)])
        return rows.filter(**{lookup: int(found[1])})

    return narrow


@dataclass
class Field:
    """One filter as the form shows it."""

    name: str
    word: str
    value: str
    choices: Sequence[tuple[str, str]]
    more: bool = False


@dataclass
class Chip:
    """One filter that is on, and where it is off."""

    word: str
    value: str
    without: str


@dataclass
class Listed:
    """One page of a list."""

    rows: list[Any]
    fields: list[Field]
    chips: list[Chip]
    next: str
    first: str
    looked: int = 0  # through how many rows it looked, where it stopped before their end
    query: list[tuple[str, str]] = field(default_factory=list)

    def address(self, **words: str) -> str:
        """Return the address of this list from its beginning with some words of it otherwise; an empty one goes."""
        changed = {**dict(self.query), **words}
        return _address([(name, value) for name, value in changed.items() if value])

    @property
    def seldom(self) -> list[Field]:
        """Return the filters that are asked for seldom."""
        return [field for field in self.fields if field.more]

    @property
    def is_seldom(self) -> bool:
        """Tell whether one of those is on."""
        return any(field.value for field in self.seldom)

    @property
    def csv(self) -> str:
        """Return where this list is a file of comma-separated values."""
        return self.address(export="csv")

    @property
    def parquet(self) -> str:
        """Return where this list is a Parquet file."""
        return self.address(export="parquet")

    @property
    def is_filtered(self) -> bool:
        """Tell whether any filter is on."""
        return bool(self.chips)


def listed(
    request: HttpRequest, rows: Any, filters: Sequence[Filter], *, order: str = "-pk", also: Sequence[str] = (),
    within: int = 0,
) -> Listed:  # fmt: skip
    """Return the page of rows that the address asks for; `also` names further words of the address to keep.

    `order` is `-pk` (newest first), a field (smallest or oldest first, then by key), or one with a minus (the other way
    round); it is never null in the rows. A page of the newest looks through about `within` rows for those that fit,
    unless a keyed filter is on: what is rare would cost a walk through years.
    """
    asked = _asked(request)
    keep = [(name, asked[name]) for name in [f.name for f in filters] + list(also) if name in asked]
    on = [entry for entry in filters if entry.name in asked or entry.always]
    everything = rows
    rows = _after(rows, order, asked["after"]) if "after" in asked else rows
    floor = None
    if within and order == "-pk" and on and not any(entry.keyed for entry in on):
        floor = queries.looked_down_to(rows, within)
    for entry in on:
        rows = entry.apply(rows, asked.get(entry.name, ""))
    rows = rows.filter(pk__gt=floor) if floor is not None else rows
    # With a keyed filter a sum, so that its index finds the rows: no walk down all keys until some fit.
    newest: Any = (F("pk") + 0).desc() if any(entry.keyed for entry in on) else "-pk"
    ordered = rows.order_by(newest) if order == "-pk" else rows.order_by(order, "-pk" if order[:1] == "-" else "pk")
    if within:
        # The keys first: what stands beside a row is fetched for those on the page, not for all that are put in order.
        keys = list(ordered.values_list("pk", flat=True)[: SIZE + 1])
        known = everything.in_bulk(keys[:SIZE])
        page, more = [known[key] for key in keys[:SIZE] if key in known], len(keys) > SIZE
    else:
        page = list(ordered[: SIZE + 1])
        page, more = page[:SIZE], len(page) > SIZE
    chips = [
        Chip(f.word, dict(f.choices).get(asked[f.name], asked[f.name]), _address(keep, without=f.name))
        for f in filters
        if f.name in asked
    ]
    place = _place(page[-1], order) if more and page else str(floor + 1) if floor is not None else ""
    return Listed(
        page,
        [Field(f.name, f.word, asked.get(f.name, ""), f.choices, f.more) for f in filters],
        chips,
        _address([*keep, ("after", place)]) if place else "",
        _address(keep) if "after" in asked else "",
        within if place and not more else 0,
        keep,
    )


def narrowed(request: HttpRequest, rows: Any, filters: Sequence[Filter]) -> Any:
    """Return the rows that fit the filters of the address."""
    asked = _asked(request)
    for entry in filters:
        if entry.name in asked or entry.always:
            rows = entry.apply(rows, asked.get(entry.name, ""))
    return rows


def _asked(request: HttpRequest) -> dict[str, str]:
    return {name: str(value).strip() for name, value in request.GET.items() if str(value).strip()}


def _address(query: Sequence[tuple[str, str]], without: str = "") -> str:
    return "?" + urlencode([(name, value) for name, value in query if name != without])


def _place(row: Any, order: str) -> str:
    if order == "-pk":
        return str(row.pk)
    value = getattr(row, order.lstrip("-"))
    return f"{value.isoformat() if isinstance(value, datetime) else value}~{row.pk}"


def _after(rows: Any, order: str, place: str) -> Any:
    at, _, key = place.rpartition("~")
    try:
        if order == "-pk":
            return rows.filter(pk__lt=_whole(place))
        name, way = order.lstrip("-"), "lt" if order[0] == "-" else "gt"
        then = _read(rows.model._meta.get_field(name), at)
        return rows.filter(Q(**{f"{name}__{way}": then}) | Q(**{name: then, f"pk__{way}": _whole(key)}))
    except ValueError as error:
        wrong = Problem("after", f"no place in this list: {place[:60]}", "begin without it")
        raise Refused("The page cannot be read.", [wrong]) from error


def _read(field: Any, text: str) -> Any:
    """Return the value of a field as `_place` wrote it; raise ValueError for what it never wrote."""
    if isinstance(field, DateTimeField):
        if not _MOMENT.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text)
    try:
        value = field.to_python(text)
    except ValidationError as error:
        raise ValueError(text) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)
