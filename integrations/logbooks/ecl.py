"""ECL, the Electronic Collaboration Logbook: entries by its XML API (protocols 10.4)."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape, quoteattr

from core.clock import now
from core.errors import Problem
from integrations import http
from integrations.credentials import secret
from integrations.errors import Refused, Unavailable, Unsure
from integrations.logbooks.base import EntrySeen
from integrations.notices.choosing import address_problems

_SAFE = re.compile(r"[A-Za-z0-9._-]+")  # in a query as in a text it stands for itself
# Not by a parser of XML: an entry of somebody else's with a stray sign in it would make the whole answer unreadable.
_ENTRY = re.compile(r"<entry\b[^>]*?\bid\s*=\s*[\"'](\d{1,18})[\"']")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class ECL:
    """One experiment's logbook, as one account."""

    # What an administrator sets; of the credential only the name.
    SETTINGS: Mapping[str, str] = {
        "url": "the logbook, such as https://dbweb.example.gov/ECL/demo/E",
        "credential": "name of the credential: user:password",
        "category": "in which entries stand",
    }
    SECRET = ("credential",)

    def __init__(self, url: str, credential: str, category: str) -> None:
        """Take where it is, the name of the credential, and where entries stand."""
        self.url = url.rstrip("/")
        self.credential = credential
        self.category = category

    @staticmethod
    def problems(url: str, credential: str, category: str) -> list[Problem]:
        """Return what is wrong with an address that nobody calls, no credential, or no category."""
        found = address_problems("book_url", url)
        if not credential:
            found.append(Problem("credential", "is empty", "the name of a credential, not the secret itself"))
        if not category:
            found.append(Problem("category", "is empty", "one that the logbook has"))
        return found

    def write(self, text: str, *, mark: str, since: datetime) -> EntrySeen:
        """Return the entry that bears a mark; look for it first, so that a lost answer makes no second one.

        What the server says to a new entry is written down nowhere, so it is looked for afterwards as well.
        """
        if not _SAFE.fullmatch(mark):
            raise Refused(f"{mark!r} cannot be a mark.")
        if found := self._find(mark, since):
            return found
        self._call("POST", "xml_post", {}, self._entry(f"{text}\n[{mark}]"))
        if found := self._find(mark, since):
            return found
        raise Unsure(f"{self.url} took an entry and does not find it.")

    def _find(self, mark: str, since: datetime) -> EntrySeen | None:
        # A search for a piece of text is slow over a whole logbook; days are counted from now.
        days = max(1, (now() - since) // timedelta(days=1) + 2)
        answer = self._call("GET", "xml_search", {"a": f"{days}days", "st": mark, "l": "1", "o": "ids"})
        said = answer.body.decode(errors="replace")
        if "<entries" not in said:
            raise Unsure(f"{self.url} answered a search with something else than entries.")
        found = _ENTRY.search(said)
        return EntrySeen(found[1], f"{self.url}/show?e={quote(found[1])}") if found else None

    def _entry(self, text: str) -> bytes:
        user, _ = self._account()
        clean = _NO_XML.sub("�", text)
        return (
            f'<entry category={quoteattr(self.category)} author={quoteattr(user)} formatted="no" private="no">'
            f'<form name="default"><field name="text">{escape(clean)}</field></form></entry>'
        ).encode()

    def _account(self) -> tuple[str, str]:
        user, colon, password = secret(self.credential).partition(":")
        if not colon or not user:
            raise Unavailable(f"The credential {self.credential} is no user:password.", 300)
        return user, password

    def _call(self, method: str, verb: str, query: Mapping[str, str], body: bytes | None = None) -> http.Answer:
        user, password = self._account()
        asked = urlencode({**query, "salt": str(uuid.uuid4())})
        signed = asked.encode() + b":" + password.encode() + b":" + (body or b"")
        signature = hashlib.md5(signed).hexdigest()  # noqa: S324 - the protocol's
        headers = {
            "X-User": user, "X-Signature-Method": "md5", "X-Signature": signature,
            **({"Content-Type": "text/xml"} if body is not None else {}),
        }  # fmt: skip
        answer = http.call(method, f"{self.url}/{verb}?{asked}", body=body, headers=headers)
        said = f"{self.url} answered {answer.status}"
        if answer.status in (401, 403):  # an administrator mends it, and nothing was done
            raise Unavailable(f"{said}: the credential {self.credential} is not accepted.", 300)
        if answer.status in {429, 503}:
            raise Unavailable(f"{said}.", answer.retry_after)
        if answer.status >= 500:
            raise Unsure(f"{said}: nobody knows what was done.")
        if not 200 <= answer.status < 300:
            where = answer.headers.get("Location", "")
            words = f"it wants us at {where}" if where else answer.body[:200].decode(errors="replace")
            raise Refused(f"{said}: {words}")
        return answer
