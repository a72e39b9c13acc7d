"""Live parts of pages: rendered once for many readers, answered to polls with an ETag, 304 when nothing changed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

FRESH_SECONDS = 2.0
MOST_PIECES = 500
PART = "part"

Make = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Piece:
    """A rendered part and its tag."""

    html: SafeString
    etag: str
    made: float  # when its facts began to be read, in seconds of the epoch


class _Kept:
    """Pieces by key, the latest used last; one lock a key, so that many readers wait for one rendering."""

    def __init__(self) -> None:
        self.pieces: OrderedDict[Hashable, Piece] = OrderedDict()
        self.facts: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self.locks: dict[Hashable, threading.Lock] = {}
        self.guard = threading.Lock()

    def fresh(self, key: Hashable, after: float) -> Piece | None:
        found = self.pieces.get(key)
        return found if found is not None and found.made > max(after, time.time() - FRESH_SECONDS) else None

    def lock(self, key: Hashable) -> threading.Lock:
        with self.guard:
            return self.locks.setdefault(key, threading.Lock())

    def keep(self, key: Hashable, piece: Piece) -> None:
        with self.guard:
            self.pieces[key] = piece
            self.pieces.move_to_end(key)
            while len(self.pieces) > MOST_PIECES:
                old, _ = self.pieces.popitem(last=False)
                self.locks.pop(old, None)


_kept = _Kept()


def forget() -> None:
    """Drop what is kept, for tests."""
    _kept.pieces.clear()
    _kept.facts.clear()
    _kept.locks.clear()


def piece(key: Hashable, template: str, make: Make, *, after: float = 0.0) -> Piece:
    """Return a part, rendered at most FRESH_SECONDS ago for this key (which names all that it depends on).

    One that was made before `after` (seconds of the epoch) is made anew: nobody sees the state from before their own
    act.
    """
    if found := _kept.fresh((template, key), after):
        return found
    with _kept.lock((template, key)):
        if found := _kept.fresh((template, key), after):
            return found
        begun = time.time()
        try:
            html = mark_safe(render_to_string(template, make()))  # noqa: S308 - a template's own output
        except BaseException:
            _kept.locks.pop((template, key), None)  # nothing is kept for it that would take the lock along
            raise
        made = Piece(html, f'W/"{hashlib.sha256(html.encode()).hexdigest()[:24]}"', begun)
        _kept.keep((template, key), made)
        return made


def remember(key: Hashable, seconds: float, make: Callable[[], Any]) -> Any:
    """Return what `make` gave at most so many seconds ago for this key: for what costs much and changes little."""
    with _kept.lock(key):
        found = _kept.facts.get(key)
        if found is None or time.monotonic() - found[0] > seconds:
            found = (time.monotonic(), make())
            _kept.facts[key] = found
            _kept.facts.move_to_end(key)
            while len(_kept.facts) > MOST_PIECES:
                old, _ = _kept.facts.popitem(last=False)
                _kept.locks.pop(old, None)
        return found[1]


def acted(request: HttpRequest) -> None:
    """Remember that the person has just changed something, so that no older part is shown to them."""
    request.session["acted"] = time.time()


def last_act(request: HttpRequest) -> float:
    """Return when the person changed something last, in seconds of the epoch; 0 if never in this session."""
    return float(request.session.get("acted", 0.0))


def is_poll(request: HttpRequest) -> bool:
    """Tell whether a page's own script asks for the live part only."""
    return request.GET.get(PART) == "live"


def asked(request: HttpRequest) -> list[tuple[str, str]]:
    """Return what the query string asks for, without the mark of a poll."""
    return [(name, str(value)) for name, value in request.GET.items() if name != PART]


def address(request: HttpRequest) -> str:
    """Return where the live part of this page is polled."""
    return f"?{urlencode([*asked(request), (PART, 'live')])}"


def answer(request: HttpRequest, piece: Piece) -> HttpResponse:
    """Answer a poll: the part, or 304 where the reader has it already."""
    known = [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]
    response: HttpResponse
    response = HttpResponseNotModified() if piece.etag in known else HttpResponse(piece.html)
    response["ETag"] = piece.etag
    response["Cache-Control"] = "private, no-cache"
    return response
