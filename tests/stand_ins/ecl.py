"""A stand-in for ECL: its XML API as it is on the wire (protocols 10.4), signatures checked."""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree

from tests.stand_ins.serving import Call, Reply, StandIn

USER, PASSWORD = "poms", "s3cret"
BASE = "/ECL/demo/E"


class ECLServer(StandIn):
    """Keeps entries by their number. Who signs wrong, or signs twice with one salt, gets 403."""

    def __init__(self) -> None:
        self.entries: dict[int, ElementTree.Element] = {}
        self.salts: set[str] = set()
        super().__init__()

    @property
    def book(self) -> str:
        """Return the address that is set in POMS."""
        return f"{self.url}{BASE}"

    def answer(self, call: Call) -> Reply:
        """Do what a call asks for."""
        if not self._signed(call):
            return Reply(403, b"Signature does not match")
        if call.path == f"{BASE}/xml_post" and call.method == "POST":
            if call.headers.get("content-type") != "text/xml":
                return Reply(400, b"not XML")
            entry = ElementTree.fromstring(call.body)
            number = 4001 + len(self.entries)
            self.entries[number] = entry
            return _xml("<ok/>")
        if call.path == f"{BASE}/xml_search":
            assert re.fullmatch(r"\d+days", call.query["a"])
            found = [n for n in sorted(self.entries, reverse=True) if call.query["st"] in self.text(n)]
            rows = "".join(f'<entry id="{number}"/>' for number in found[: int(call.query["l"])])
            return _xml(f"<entries>{rows}</entries>")
        return Reply(404, b"no such page")

    def text(self, number: int) -> str:
        """Return what stands in an entry."""
        return self.entries[number].findtext("form/field") or ""

    def only(self) -> ElementTree.Element:
        """Return the one entry that there is."""
        (entry,) = self.entries.values()
        return entry

    def _signed(self, call: Call) -> bool:
        signed = f"{call.raw_query}:{PASSWORD}:".encode() + call.body
        fits = call.headers.get("x-signature") == hashlib.md5(signed).hexdigest()
        fresh = bool(call.query.get("salt")) and call.query["salt"] not in self.salts
        self.salts.add(call.query.get("salt", ""))
        return fits and fresh and call.headers.get("x-user") == USER and call.headers.get("x-signature-method") == "md5"


def _xml(text: str) -> Reply:
    return Reply(200, f'<?xml version="1.0"?>{text}'.encode(), {"Content-Type": "text/xml"})
