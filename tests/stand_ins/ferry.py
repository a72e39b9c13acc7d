"""A FERRY that answers over HTTP in the real one's form, and fails when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Ferry:
    """What it knows, what it was asked, and how it fails: status, failure, half, html, slow, drip, missing or redirect."""

    def __init__(self) -> None:
        self.members: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.fails = ""
        self.status = 500
        self.url = ""

    def lists(self, experiment: str, role: str, *people: str) -> None:
        """Let people hold a role of an affiliation; each as `name` or `name:Full Name`."""
        self.members[experiment, role] = [_entry(text) for text in people]

    def groups_in(self, experiment: str, kind: str, *people: str) -> None:
        """Let people be in a group of an experiment."""
        self.groups[experiment, kind] = [_entry(text) for text in people]

    def answer(self, call: str, query: dict[str, str]) -> dict[str, Any]:
        """Return FERRY's document for a call."""
        if call == "getAffiliationMembersRoles":
            unit, role = query.get("unitname", ""), query.get("role", "")
            rows = self.members.get((unit, role), [])
            return _said({} if self.fails == "missing" else {unit: rows})
        if call == "getGroupMembers":
            return _said(self.groups.get((query.get("groupname", ""), query.get("grouptype", "")), []))
        return _said([], f"{call} is not a method")


def _entry(text: str) -> dict[str, Any]:
    name, _, full = text.partition(":")
    return {"username": name, "fullname": full or name.title(), "commonname": f"CN={name}", "uid": 4711}


def _said(output: Any, error: str = "") -> dict[str, Any]:
    return {
        "ferry_status": "failure" if error else "success", "ferry_error": [error] if error else [], "ferry_output": output
    }  # fmt: skip


@contextmanager
def running() -> Iterator[Ferry]:
    """Serve on a free port until the block ends."""
    ferry = Ferry()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            call = parts.path.rpartition("/")[2]
            ferry.asked.append((call, query, self.headers.get("Authorization", "")))
            body = json.dumps(ferry.answer(call, query)).encode()
            if ferry.fails == "failure":
                body = json.dumps(_said([], "the unit is locked")).encode()
            elif ferry.fails == "half":
                body = body[: len(body) // 2]
            elif ferry.fails == "html":
                body = b"<html>Gateway</html>"
            elif ferry.fails == "slow":
                time.sleep(3)
            self.send_response({"status": ferry.status, "redirect": 302}.get(ferry.fails, 200))
            self.send_header("Content-Type", "application/json")
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(body) + (5 if ferry.fails == "cut" else 0)))
            self.end_headers()
            for piece in [body[at : at + 1] for at in range(len(body))] if ferry.fails == "drip" else [body]:
                self.wfile.write(piece)
                if ferry.fails == "drip":
                    self.wfile.flush()
                    time.sleep(0.1)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ferry.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield ferry
    finally:
        server.shutdown()
        server.server_close()
