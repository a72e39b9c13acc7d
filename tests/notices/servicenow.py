"""A stand-in for a ServiceNow instance: the Table API of incidents as it is on the wire, and it fails as it is told."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "poms", "s3cret"
TABLE = "/api/now/table/incident"


class ServiceNowServer:
    """Keeps incidents. `faults` are what the next calls meet: a status, `hang` and `cut` after the work was done,
    `half` (an answer that breaks off), `empty` (no result), `html` (a page of a proxy)."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.faults: list[Any] = []
        self.lock = Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer_call(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sent = json.loads(body) if body else {}
                with stand_in.lock:
                    stand_in.calls.append((str(self.command), self.path, sent))
                    fault = stand_in.faults.pop(0) if stand_in.faults else None
                if isinstance(fault, int):
                    words = {"error": {"message": f"fault {fault}", "detail": "as told"}, "status": "failure"}
                    return self.say(fault, words, {"Retry-After": "77"} if fault == 429 else {})
                if fault == "html":
                    return self.write(200, b"<html>Proxy</html>", {"Content-Type": "text/html"})
                wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if self.headers.get("Authorization") != f"Basic {wanted}":
                    return self.say(401, {"error": {"message": "User Not Authenticated"}, "status": "failure"})
                status, answer = stand_in.do(str(self.command), self.path, sent)
                if fault == "hang":
                    time.sleep(12)
                    return None
                if fault == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return None
                if fault == "half":
                    return self.write(status, json.dumps(answer).encode()[:20], {}, announce=5000)
                if fault == "empty":
                    return self.say(status, {})
                return self.say(status, answer)

            do_GET = do_POST = do_PATCH = answer_call  # noqa: N815 - as http.server calls them

            def say(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
                self.write(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

            def write(self, status: int, body: bytes, headers: dict[str, str], announce: int | None = None) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(announce or len(body)))
                self.end_headers()
                self.wfile.write(body)
                if announce:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def do(self, method: str, path: str, sent: dict[str, Any]) -> tuple[int, Any]:
        """Do one call and return status and answer."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        key = parts.path.removeprefix(TABLE).strip("/")
        with self.lock:
            if method == "POST" and not key:
                made = {"sys_id": uuid.uuid4().hex, "number": f"INC{10001 + len(self.rows):07}", "state": "1",
                        "work_notes": "", **sent}  # fmt: skip
                self.rows[made["sys_id"]] = made
                return 201, {"result": made}
            if method == "GET" and not key:
                found = re.fullmatch(r"(\w+)=(.*)", query["sysparm_query"])
                assert found
                rows = [row for row in self.rows.values() if row.get(found[1]) == found[2]]
                return 200, {"result": [self._some(row, query) for row in rows[: int(query["sysparm_limit"])]]}
            if key not in self.rows:
                return 404, {"error": {"message": "No Record found", "detail": ""}, "status": "failure"}
            row = self.rows[key]
            if method == "PATCH":
                notes = sent.pop("work_notes", "")
                row["work_notes"] = f"{notes}\n\n{row['work_notes']}" if notes else row["work_notes"]
                row.update(sent)
            return 200, {"result": self._some(row, query)}

    def _some(self, row: dict[str, str], query: dict[str, str]) -> dict[str, str]:
        """Return the fields that were asked for; journals are empty unless their display value is."""
        shown = {**row, "work_notes": row["work_notes"] if query.get("sysparm_display_value") == "true" else ""}
        names = query.get("sysparm_fields", "")
        return {name: shown.get(name, "") for name in names.split(",")} if names else shown

    def only(self) -> dict[str, str]:
        """Return the one incident that there is."""
        (row,) = self.rows.values()
        return row
