"""The server of a catalogue: questions and acts over HTTP, and what their failures mean."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from integrations import http
from integrations.errors import Refused, Unavailable, Unsure

SECONDS = 60.0  # of one call; a task of ours must end within 117 s
MOST_BYTES = 256 * 1024 * 1024
MENDED = 300.0  # seconds until an administrator may have put a setting or a credential right
RENEWED = 60.0  # seconds before its end in which a token is not used any more
UNAUTHORIZED, NOT_FOUND, CONFLICT, TOO_MANY, OVERLOADED = 401, 404, 409, 429, 503
NOTHING_DONE = {TOO_MANY, OVERLOADED, 425}

Headers = Callable[[bool], Mapping[str, str]]  # whether to sign in anew -> headers that say who we are


class Server:
    """One server, spoken to as one account."""

    def __init__(
        self, name: str, url: str, *, headers: Headers | None = None, words: Callable[[http.Answer], str] | None = None,
        stranger: Callable[[http.Answer], bool] | None = None, certificate: str = "",
    ) -> None:  # fmt: skip
        """Take what people call it, where it is, how calls say who we are, and how its refusals are read.

        `stranger` tells whether a refusal is about who we are, rather than what we may; else, HTTP 401 is.
        """
        self.name = name
        self.url = url.rstrip("/")
        self._headers = headers or (lambda anew: {})
        self._words = words or said
        self._stranger = stranger or (lambda answer: answer.status == UNAUTHORIZED)
        self._certificate = certificate

    def ask(self, method: str, path: str, *, expect: Collection[int] = (), **how: Any) -> http.Answer:
        """Ask something that changes nothing: whatever went wrong may be asked again.

        Raises Refused for what it will not answer, with its words, else Unavailable. Statuses of `expect` are returned.
        """
        try:
            answer = self._call(method, path, **how)
        except Unsure as error:
            raise Unavailable(f"{self.name} did not answer: {error}.") from error
        if answer.status >= 500 or answer.status == 408:
            raise Unavailable(f"{self.name} does not serve now (HTTP {answer.status}).", answer.retry_after)
        return self._taken(answer, expect)

    def act(self, method: str, path: str, *, expect: Collection[int] = (), **how: Any) -> http.Answer:
        """Have something done: what broke off, or failed inside the server, may have been done (Unsure)."""
        answer = self._call(method, path, **how)
        if answer.status == 408 or (answer.status >= 500 and answer.status not in NOTHING_DONE):
            raise Unsure(f"{self.name} failed (HTTP {answer.status}): nobody knows what was done.")
        return self._taken(answer, expect)

    def _call(
        self, method: str, path: str, *, send: Any = None, text: str | None = None,
        query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
    ) -> http.Answer:  # fmt: skip
        body = json.dumps(send).encode() if send is not None else None if text is None else text.encode()
        kind = {} if body is None else {"Content-Type": "application/json" if text is None else "text/plain"}
        for anew in (False, True):
            answer = http.call(
                method, f"{self.url}/{path}", body=body, query=query, seconds=SECONDS, cap=MOST_BYTES,
                headers={**kind, **(headers or {}), **self._headers(anew)}, certificate=self._certificate,
            )  # fmt: skip
            if not self._stranger(answer):
                break
        return answer

    def _taken(self, answer: http.Answer, expect: Collection[int]) -> http.Answer:
        if 200 <= answer.status < 300 or answer.status in expect:
            return answer
        if self._stranger(answer):
            raise Unavailable(f"{self.name} does not accept the credential: {self._words(answer)}", MENDED)
        if answer.status in NOTHING_DONE:
            raise Unavailable(f"{self.name} is busy (HTTP {answer.status}).", answer.retry_after)
        if answer.status < 400 or is_page(answer):  # a sign-in page or a proxy, not the server: its address is wrong
            where = answer.headers.get("Location", "")
            raise Unavailable(f"{self.url} is not {self.name}: HTTP {answer.status} {where[:200]}".rstrip(), MENDED)
        raise Refused(f"{self.name}: {self._words(answer)}")

    def senseless(self, what: str) -> Unavailable:
        """Return the error of an answer that cannot be: it says neither yes nor no."""
        return Unavailable(f"{self.name} answered {what}; that makes no sense.")

    def json(self, answer: http.Answer, kind: type | tuple[type, ...]) -> Any:
        """Return the document of an answer to a question, which must be of this kind."""
        try:
            document = json.loads(answer.body)
        except ValueError as error:
            raise self.senseless(f"no JSON ({answer.body[:60]!r})") from error
        if not isinstance(document, kind):
            raise self.senseless(f"a document of another form ({answer.body[:60]!r})")
        return document

    def lines(self, answer: http.Answer, *, begin: bytes = b"") -> Iterator[dict[str, Any]]:
        """Yield the objects of a stream of lines; `begin` stands before each, and each line is whole or it is cut."""
        if not answer.body:
            return
        if not answer.body.endswith(b"\n"):
            raise self.senseless("with a stream that breaks off")
        for line in answer.body[:-1].split(b"\n"):
            if not line.startswith(begin):
                raise self.senseless(f"with a stream of another form ({line[:60]!r})")
            try:
                entry = json.loads(line[len(begin) :])
            except ValueError as error:
                raise self.senseless(f"with a line that is no JSON ({line[:60]!r})") from error
            if not isinstance(entry, dict):
                raise self.senseless(f"with a line that is no object ({line[:60]!r})")
            yield entry


def is_page(answer: http.Answer) -> bool:
    """Tell whether an answer is a page for people."""
    return "html" in answer.headers.get("Content-Type", "").lower() or answer.body.lstrip()[:1] == b"<"


def said(answer: http.Answer) -> str:
    """Return a server's own words on why it refuses: text, or `message` of a JSON object."""
    text = answer.body[:2000].decode(errors="replace").strip()
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("message"), str):
        text = document["message"]
    return text[:400] if text and not is_page(answer) else f"HTTP {answer.status}"


def chunks(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the items in pieces of at most so many."""
    listed = list(items)
    for begin in range(0, len(listed), size):
        yield listed[begin : begin + size]


class Tokens:
    """Tokens that were fetched by this process, by what they were fetched for, until shortly before they end."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def get(self, fetch: Callable[[], tuple[str, float]], *whose: str, anew: bool = False) -> str:
        """Return the token for these words; `fetch` gives a new one and its end (seconds since the epoch)."""
        key = hashlib.sha256("\0".join(whose).encode()).hexdigest()  # a secret may be among them
        with self._lock:
            token, ends = self._kept.get(key, ("", 0.0))
        if token and not anew and time.time() < ends - RENEWED:
            return token
        token, ends = fetch()
        with self._lock:
            self._kept[key] = (token, ends)
        return token

    def forget(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()


TOKENS = Tokens()


def end_of(token: str, otherwise: float) -> float:
    """Return when a JSON web token ends; `otherwise` for one that does not say so. It is not verified: it is ours."""
    try:
        payload = token.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(ends)
    except (IndexError, ValueError, KeyError, TypeError):
        return otherwise
