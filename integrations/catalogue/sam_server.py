"""The server of SAM: questions and acts over HTTP, and what its answers and failures mean (protocols 1.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from integrations import http
from integrations.catalogue.server import MENDED, is_page, said
from integrations.credentials import authorization
from integrations.errors import Refused, Unavailable, Unsure

SECONDS = 30.0  # of one call
LONG = 100.0  # of one that lists or writes much; a task of ours must end within 117 s
MOST_BYTES = 512 * 1024 * 1024
LONGEST_IN_ADDRESS = 1024  # characters of dimensions; longer ones are posted
A_BLOCK = 256 * 1024  # characters of a long list that are taken apart together
BUSY = {408, 425, 429}

T = TypeVar("T")
Fields: TypeAlias = "Mapping[str, str | Sequence[str]]"


class NotThere(Refused):
    """SAM has nothing of this name."""


class Conflict(Refused):
    """There is something of this name already."""


class SamServer:
    """One experiment's service, spoken to as one account."""

    def __init__(self, url: str, *, credential: str = "", certificate: str = "") -> None:
        """Take where it is, and the name of a bearer token or the path of a certificate with its key."""
        self.url = url.rstrip("/")
        self.credential = credential
        self.certificate = certificate

    def ask(self, method: str, path: str, *, long: bool = False, **sent: Any) -> http.Answer:
        """Ask something that changes nothing, or that may be done twice: whatever breaks off is Unavailable."""
        try:
            return self._call(method, path, long=long, **sent)
        except Unsure as error:
            raise Unavailable(f"SAM did not answer: {error}") from error

    def act(self, method: str, path: str, *, long: bool = False, **sent: Any) -> http.Answer:
        """Have something done; raises Unsure where it broke off and may have been done."""
        return self._call(method, path, long=long, **sent)

    def about(self, verb: str, dims: str, *, long: bool = False, **query: str) -> http.Answer:
        """Ask files/<verb> about a dimension query."""
        if len(dims) > LONGEST_IN_ADDRESS:
            return self.ask("POST", f"files/{verb}", query=query, form={"dims": dims}, long=long)
        return self.ask("GET", f"files/{verb}", query={**query, "dims": dims}, long=long)

    def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, form: Fields | None = None,
        send: Any = None, long: bool = False,
    ) -> http.Answer:  # fmt: skip
        headers = {"Accept": "application/json, text/plain"}
        body = None
        if form is not None:
            body = urlencode(form, doseq=True).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif send is not None:
            body, headers["Content-Type"] = json.dumps(send).encode(), "application/json"
        if self.credential:
            headers["Authorization"] = authorization(self.credential)
        if self.certificate and not Path(self.certificate).is_file():
            raise Unavailable(f"The certificate {self.certificate} cannot be read.", MENDED)
        answer = http.call(
            method, path if "://" in path else f"{self.url}/{path}", body=body, headers=headers, query=query,
            seconds=LONG if long else SECONDS, cap=MOST_BYTES, certificate=self.certificate,
        )  # fmt: skip
        return _judged(answer, self.url)


def _judged(answer: http.Answer, url: str) -> http.Answer:
    status = answer.status
    if status >= 500 or status in BUSY:
        raise Unavailable(f"SAM does not serve now (HTTP {status}): {said(answer)}", answer.retry_after)
    if status == 401:
        raise Unavailable(f"SAM does not accept who we are: {said(answer)}", MENDED)
    if 300 <= status < 400 or is_page(answer):  # a sign-in page, a proxy, or an address that has moved
        where = answer.headers.get("Location", "")
        raise Unavailable(f"{url} is not SAM: HTTP {status} {where[:200]}".rstrip(), MENDED)
    if status == 404:
        raise NotThere(f"SAM: {said(answer)}")
    if status == 409:
        raise Conflict(f"SAM: {said(answer)}")
    if status >= 400:
        raise Refused(f"SAM: {said(answer)}")
    return answer


# --- What answers say -----------------------------------------------------------------------------------------------


def senseless(answer: http.Answer) -> Unavailable:
    """Return the error of an answer that cannot be; it says neither yes nor no."""
    return Unavailable(f"SAM answered {answer.body[:80]!r}; that makes no sense here.")


def number(answer: http.Answer) -> int:
    """Read a number and nothing else."""
    digits = answer.body.strip()
    if not digits.isdigit():
        raise senseless(answer)
    return int(digits)


def lines(answer: http.Answer) -> list[str]:
    """Read lines; the last one ends, or the answer is cut off."""
    return _text(answer).split("\n")[:-1]


def columns(answer: http.Answer, number: int) -> Iterator[list[list[str]]]:
    """Read lines of so many fields with tabs between them, by columns, so many lines at a time as a cache holds.

    There may be millions of them. The end of each line is made a field of its own, so that one look tells whether
    every line has its fields.
    """
    text, begin, width = _text(answer), 0, number + 1
    while begin < len(text):
        end = text.find("\n", begin + A_BLOCK) + 1 or len(text)
        table = text[begin:end].replace("\n", "\t\n\t").split("\t")[:-1]
        if len(table) % width or set(table[number::width]) != {"\n"}:
            raise senseless(answer)
        yield [table[place::width] for place in range(number)]
        begin = end


def _text(answer: http.Answer) -> str:
    body = answer.body
    if body and (body[-1:] != b"\n" or body[:1] in b"{["):
        raise senseless(answer)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise senseless(answer) from error


def document(answer: http.Answer, kind: type[T]) -> T:
    """Read a JSON document of this kind."""
    try:
        found = json.loads(answer.body)
    except ValueError as error:
        raise senseless(answer) from error
    if not isinstance(found, kind):
        raise senseless(answer)
    return found


def segment(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")
