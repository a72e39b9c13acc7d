"""A small service on a real port that fails as it is told, and real processes of `poms`."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pty
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

TOKEN = "poms_test_token"


@dataclass
class Answer:
    """What the service says once; `drop` closes the connection unanswered after taking the request."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def problem(status: int, title: str, detail: str = "", errors: list | None = None, **headers: str) -> Answer:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": errors or []}
    return Answer(body, status, {"Content-Type": "application/problem+json", **headers})


class Service:
    """Answers by script: each path has its answers in order, the last one stays."""

    Answer = Answer
    problem = staticmethod(problem)
    token = TOKEN

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.scripts: dict[tuple[str, str], list[Answer]] = {}
        self.lock = threading.Lock()
        self.server: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                service.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Tests read `asked` instead."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, *answers: Any) -> None:
        """Say what is answered at a path below /api/v1/; a bare object is a 200."""
        self.scripts[method, f"/api/v1/{path}"] = [a if isinstance(a, Answer) else Answer(a) for a in answers]

    def pages(self, path: str, *pages: list) -> None:
        """Serve a list in pages, with cursors p1, p2, …"""
        self.on("GET", path, {"pages": pages})

    def paths(self, method: str) -> list[str]:
        return [asked.path.removeprefix("/api/v1/") for asked in self.asked if asked.method == method]

    def keys(self) -> list[str]:
        return [asked.headers["idempotency-key"] for asked in self.asked if asked.method == "POST"]

    def handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        split = urlsplit(request.path)
        data = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        asked = Asked(
            request.command,
            unquote(split.path),
            dict(parse_qsl(split.query)),
            {name.lower(): value for name, value in request.headers.items()},
            json.loads(data) if data else None,
        )
        with self.lock:
            self.asked.append(asked)
            script = self.scripts.get((asked.method, asked.path))
            if asked.headers.get("authorization") != f"Bearer {TOKEN}":
                answer = problem(401, "Unauthorized", "The token is not known")
            elif not script:
                answer = problem(404, "Not found", f"There is nothing at {asked.path}")
            else:
                answer = script.pop(0) if len(script) > 1 else script[0]
        time.sleep(answer.delay)
        if answer.drop:
            request.close_connection = True
            return
        body = answer.body
        if isinstance(body, dict) and "pages" in body:
            number = int(asked.query.get("cursor", "p0")[1:])
            following = f"p{number + 1}" if number + 1 < len(body["pages"]) else None
            body = {"results": body["pages"][number], "next": following}
        content = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # A test of impatience has left.
            self.send(request, answer, data, content)

    @staticmethod
    def send(request: http.server.BaseHTTPRequestHandler, answer: Answer, data: bytes, content: str) -> None:
        request.send_response(answer.status)
        for name, value in {"Content-Type": content, **answer.headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


@pytest.fixture
def service():
    made = Service()
    yield made
    made.stop()


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Poms:
    """Runs the real command."""

    def __init__(self, url: str, home: Path, compiled: Path) -> None:
        self.executable = Path(sys.executable).parent / "poms"
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("POMS_", "XDG_", "PYTHON"))}
        self.env = {
            **plain,
            "HOME": str(home),
            "POMS_URL": url,
            "POMS_TOKEN": TOKEN,
            "POMS_RETRY_SECONDS": "0",
            # Compiled once for all tests: without it each start would compile its libraries anew.
            "PYTHONPYCACHEPREFIX": str(compiled),
            "TERM": "xterm-256color",
            "COLUMNS": "160",
            "LC_ALL": "C.UTF-8",
        }
        self.env.pop("NO_COLOR", None)

    def __call__(self, *arguments: str, stdin: str | None = None, **env: str | None) -> Result:
        done = subprocess.run(
            [self.executable, *arguments],
            env=self._env(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            timeout=120,
            text=True,
            encoding="utf-8",
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **env: str | None) -> subprocess.Popen:
        return subprocess.Popen(
            [self.executable, *arguments],
            env=self._env(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def at_terminal(self, *arguments: str, typed: str = "", late: bool = False, **env: str | None) -> Result:
        """Run it at a terminal, whose text is in `out`; with `late` each line waits for its question."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [self.executable, *arguments], env=self._env(env), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        lines = typed.splitlines(keepends=True)
        if not late:
            os.write(ours, typed.encode())
            lines = []
        shown = b""
        while True:
            if lines and shown.endswith(b": "):
                os.write(ours, lines.pop(0).encode())
                shown += b"\n"
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says EIO when the last one at the other end has left.
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        return Result(process.wait(60), shown.decode("utf-8", "replace").replace("\r\n", "\n"), "")

    def _env(self, changes: dict[str, str | None]) -> dict[str, str]:
        return {name: value for name, value in {**self.env, **changes}.items() if value is not None}


@pytest.fixture
def poms(service, tmp_path, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    home = tmp_path / "home of a person"
    home.mkdir()
    return Poms(service.url, home, shared / "compiled")
