"""An FTS that answers with its status page as the real one does (protocols 11): what failed, waits, or is new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.stand_ins.serving import Call, Reply, StandIn, document, words


class FtsServer(StandIn):
    """One service below `/fts`: files are dropped, wait, fail, and are on no list any more once they are done."""

    def __init__(self) -> None:
        self.new: list[str] = []
        self.pending: list[str] = []
        self.errors: dict[str, str] = {}
        super().__init__()
        self.address = f"{self.url}/fts"

    def answer(self, call: Call) -> Reply:
        """Give the page."""
        if (call.method, call.path) != ("GET", "/fts/status"):
            return words("Not Found", 404)
        if call.query.get("format") != "json":
            return Reply(200, b"<html>FTS status</html>", {"Content-Type": "text/html"})
        return document({
            "errorstates": [{"name": name, "msg": text} for name, text in self.errors.items()],
            "pendingstates": [{"name": name, "msg": "waiting for tape label"} for name in self.pending],
            "newstates": [{"name": name, "msg": ""} for name in self.new],
        })  # fmt: skip

    def finish(self, *names: str) -> None:
        """Bring files to their end."""
        self.new = [name for name in self.new if name not in names]
        self.pending = [name for name in self.pending if name not in names]
        self.errors = {name: text for name, text in self.errors.items() if name not in names}


@contextmanager
def serving() -> Iterator[FtsServer]:
    """Serve on a free port until the block ends."""
    server = FtsServer()
    try:
        yield server
    finally:
        server.stop()
