"""Live parts of pages: rendered once for many readers, answered to polls with an ETag, 304 when nothing changed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import structlog
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from poms_site.sessions import PART

log = structlog.get_logger()

FRESH_SECONDS = 2.0
STALE_SECONDS = 10.0  # how old a thing may be that is shown while somebody else makes it anew
MOST_KEPT = 1000
MOST_BEHIND = 2  # things that are made at once while nobody waits for them

Make = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Piece:
    """A rendered part and its tag."""

    html: SafeString
    etag: str


class _Kept:
    """What was made, by key, with when its making began (seconds of the epoch) and from what; one lock a key."""

    def __init__(self) -> None:
        self.things: OrderedDict[Hashable, tuple[float, Hashable, Any]] = OrderedDict()
        self.locks: dict[Hashable, threading.Lock] = {}
        self.guard = threading.Lock()

    def lock(self, key: Hashable) -> threading.Lock:
        with self.guard:
            return self.locks.setdefault(key, threading.Lock())

    def make(self, key: Hashable, made_from: Hashable, make: Callable[[], Any]) -> Any:
        """Make a thing, keep it, and return it; whoever calls this holds the key's lock."""
        begun = time.time()
        thing = make()
        with self.guard:
            self.things[key] = (begun, made_from, thing)
            self.things.move_to_end(key)
            while len(self.things) > MOST_KEPT:
                old, _ = self.things.popitem(last=False)
                self.locks.pop(old, None)
        return thing


_kept = _Kept()
_behind = ThreadPoolExecutor(MOST_BEHIND, thread_name_prefix="live")


def forget() -> None:
    """Drop what is kept, for tests."""
    _kept.things.clear()
    _kept.locks.clear()


def shared(
    key: Hashable, seconds: float, make: Callable[[], Any], *, after: float = 0.0, made_from: Hashable = None,
    late: float = 0.0,
) -> Any:  # fmt: skip
    """Return what `make` gave at most so many seconds ago for this key, and from the same things.

    The key names all that it depends on but what is `made_from`: what that was before it changed is of no use to
    anybody, and is replaced. What takes long is shown for `late` seconds, and made anew behind the reader's back.

    Of many who ask at once one makes it; the others get what there was, if it is not too old, or wait. What was begun
    before `after` (seconds of the epoch) is nobody's: a person does not see the state from before their own act.
    """

    def known(most: float) -> tuple[float, Hashable, Any] | None:
        found = _kept.things.get(key)
        if found is None or found[1] != made_from:
            return None
        return found if found[0] > max(after, time.time() - most) else None

    if found := known(seconds):
        return found[2]
    lock = _kept.lock(key)
    free = lock.acquire(blocking=False)
    if found := known(late):
        if free:
            _behind.submit(_make_behind, key, made_from, make, lock)
        return found[2]
    if not free:
        if found := known(max(seconds, STALE_SECONDS)):
            return found[2]
        lock.acquire()
    try:
        if found := known(seconds):
            return found[2]
        return _kept.make(key, made_from, make)
    except BaseException:
        if key not in _kept.things:
            _kept.locks.pop(key, None)  # nothing is kept for it that would take the lock along
        raise
    finally:
        lock.release()


def _make_behind(key: Hashable, made_from: Hashable, make: Callable[[], Any], lock: threading.Lock) -> None:
    """Make a thing anew while readers get the one that is kept; where that fails, the next reader begins it again."""
    try:
        _kept.make(key, made_from, make)
    except Exception:
        log.exception("live.not_made_anew", key=str(key))
    finally:
        connection.close()  # this thread's own
        lock.release()


def piece(key: Hashable, template: str, make: Make, *, after: float = 0.0) -> Piece:
    """Return a part, rendered at most FRESH_SECONDS ago for this key."""

    def rendered() -> Piece:
        html = render_to_string(template, make())
        return Piece(html, f'W/"{hashlib.sha256(html.encode()).hexdigest()[:24]}"')

    found: Piece = shared((template, key), FRESH_SECONDS, rendered, after=after)
    return found


def acted(request: HttpRequest) -> None:
    """Remember that the person has just changed something, so that no older part is shown to them."""
    request.session["acted"] = time.time()


def last_act(request: HttpRequest) -> float:
    """Return when the person changed something last, in seconds of the epoch; 0 if never in this session."""
    return float(request.session.get("acted", 0.0))


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
