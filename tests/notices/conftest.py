"""What the tests of notices share: a real mail server, a real receiver of webhooks, and the loop run by hand."""

from __future__ import annotations

import email
import email.policy
import json
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import connection

from core.ledger import oldest_running
from experiments.models import User
from integrations.models import LedgerPlace, Message
from poms_site.overview import notices
from tests.cast import Cast
from tests.ports import free_port


class Mailbox:
    """What a mail server got, and what it says to whom: `answers` maps an address to an SMTP reply."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.to: list[str] = []
        self.answers: dict[str, str] = {}
        self.after_data = "250 OK"
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - as aiosmtpd calls it
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
        if self.after_data.startswith("250"):
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            self.to += envelope.rcpt_tos
        return self.after_data

    def subjects(self) -> list[str]:
        return [str(found["Subject"]) for found in self.mails]


@pytest.fixture
def mailbox(settings) -> Iterator[Mailbox]:
    """A real mail server on a free port, and our settings lead to it."""
    box = Mailbox()
    box.port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=box.port)
    server.start()
    settings.MAIL_HOST, settings.MAIL_PORT = "127.0.0.1", box.port
    settings.MAIL_FROM, settings.PUBLIC_URL = "poms@poms.example.org", "https://poms.example.org"
    settings.NOTICE_QUIET_SECONDS = 0
    yield box
    server.stop()


class Receiver:
    """An HTTP server that keeps what it got; `answer` is what it says."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.wait = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.got.append((self.path, dict(self.headers), body))
                time.sleep(receiver.wait)
                status, headers, body = receiver.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    """A real receiver of webhooks, which this installation allows."""
    settings.HTTP_ALLOW = ["127.0.0.1"]
    found = Receiver()
    yield found
    found.server.shutdown()


@pytest.fixture
def crew(real_cast: Cast) -> Cast:
    """Everybody, with addresses; what happened before is told to nobody."""
    for user in real_cast.people.values():
        user.email = f"{user.username}@example.org"
    User.objects.bulk_update(real_cast.people.values(), ["email"])
    begin()
    return real_cast


def begin() -> None:
    """Put our place at the end of the ledger."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        txid = cursor.fetchone()[0]
    LedgerPlace.objects.update_or_create(reader="notify", defaults={"txid": txid, "last_id": 0})


def due_now() -> None:
    """Let what waits be due."""
    from core import clock

    Message.objects.filter(due_at__isnull=False).update(due_at=clock.due())


@pytest.fixture
def told() -> Callable[..., None]:
    """Run the loop by hand until something holds: other tests' open transactions hold the feed back."""

    def run(until: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "it was not told in time"
            notices.notify()
            time.sleep(0.02)

    return run


@pytest.fixture
def caught_up() -> Callable[[], None]:
    """Run the loop by hand until it has heeded all that is in the ledger now."""

    def run(seconds: float = 120) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            mark = cursor.fetchone()[0]
        deadline = time.monotonic() + seconds
        # In one pass: what a pass finds together is told together.
        while oldest_running() <= mark:
            assert time.monotonic() < deadline, "somebody's transaction stays open"
            time.sleep(0.02)
        notices.notify()

    return run
