"""What all stand-ins share: a server on a free port that counts its calls and fails as it is told."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_query: str = ""

    def json(self) -> Any:
        """Return the body as a document."""
        return json.loads(self.body)


@dataclass
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Fault = int | str | Callable[[Reply], Reply]


class StandIn:
    """Serves what `answer` says. Faults are met by the next calls whose path has their text, each once.

    A fault is a status (nothing is done), `html` (a page of a proxy, nothing is done), `hang` or `cut` (the work is done,
    no answer comes), `half` (the answer breaks off), or what makes another answer of the right one.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.faults: list[tuple[str, Fault]] = []
        self.lock = threading.RLock()
        self.ended = threading.Event()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer_call(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                call = Call(str(self.command), unquote(parts.path), dict(parse_qsl(parts.query, True)),
                            {name.lower(): value for name, value in self.headers.items()}, self.rfile.read(size), parts.query)  # fmt: skip
                fault = stand_in.meet(call)
                if isinstance(fault, int):
                    return self.say(Reply(fault, b"as told", {"Retry-After": "77", "Content-Type": "text/plain"}))
                if fault == "html":
                    return self.say(Reply(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}))
                with stand_in.lock:
                    reply = stand_in.answer(call)
                if fault == "hang":
                    stand_in.ended.wait(30)
                    return None
                if fault == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return None
                if callable(fault):
                    reply = fault(reply)
                return self.say(reply, half=fault == "half")

            do_GET = do_POST = do_PUT = do_DELETE = answer_call  # noqa: N815 - as http.server calls them

            def say(self, reply: Reply, half: bool = False) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: len(reply.body) // 2] if half else reply.body)
                if half:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, call: Call) -> Reply:
        """Do what a call asks for."""
        raise NotImplementedError

    def fail(self, fault: Fault, path: str = "", times: int = 1) -> None:
        """Let the next calls of a path fail."""
        self.faults += [(path, fault)] * times

    def meet(self, call: Call) -> Fault | None:
        """Count a call and return the fault that it meets."""
        with self.lock:
            self.calls.append(call)
            for entry in self.faults:
                if entry[0] in call.path:
                    self.faults.remove(entry)
                    return entry[1]
        return None

    def asked(self, path: str) -> int:
        """Return how many calls had this in their path."""
        return sum(path in call.path for call in self.calls)

    def stop(self) -> None:
        """End the server, and whatever hangs."""
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()


def document(value: Any, status: int = 200, kind: str = "application/json") -> Reply:
    """Return an answer with a document."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": kind})


def words(text: str, status: int = 200) -> Reply:
    """Return an answer with text."""
    return Reply(status, text.encode(), {"Content-Type": "text/plain"})
