"""A service that answers over HTTP: its status, and a text that must stand in the answer."""

from __future__ import annotations

import time

from integrations import errors, http
from integrations.probes.base import DOWN, UP, Asked, Look, Setting, read

SETTINGS = (
    Setting("url", "the address that is asked, such as https://sam.example.org/status"),
    Setting("status", "the status that it must have; empty: any below 400", "", whole=True),
    Setting("text", "a text that must stand in the answer", ""),
)
CAP = 256 * 1024


class Http:
    """Asks an address. It is anybody's, so only what integrations.http lets through is called."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings; one that can be no address is refused."""
        found = read(SETTINGS, asked.settings)
        self.url, self.status, self.text = found["url"], found["status"], found["text"]
        http.check(self.url)

    def look(self, *, was_down: bool) -> Look:
        """Ask it once. One that does not answer is down; an address that we do not call raises Refused."""
        began = time.monotonic()
        try:
            answer = http.call("GET", self.url, cap=CAP)
        except (errors.Unavailable, errors.Unsure) as error:
            return Look(DOWN, str(error))
        figures = {"status": answer.status, "ms": round(1000 * (time.monotonic() - began))}
        good = answer.status == self.status if self.status else answer.status < 400
        if not good:
            wanted = f", not {self.status}" if self.status else ""
            return Look(DOWN, f"it answers with status {answer.status}{wanted}", figures)
        if self.text and self.text.encode() not in answer.body:
            return Look(DOWN, f"it answers, but {self.text[:60]!r} does not stand in the answer", figures)
        return Look(UP, f"it answers with status {answer.status}", figures)
