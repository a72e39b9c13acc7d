"""What goes out goes out at least once under one name, waits while the other side is away, and lets nothing in."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
import sys
import time
from threading import Thread

import pytest
from django.conf import settings as conf
from django.db import connection

from approvals.logic import filing
from integrations import http
from integrations.errors import Refused, Unavailable, Unsure
from integrations.models import LedgerPlace, Message, Notice
from integrations.notices import choosing, outbox
from integrations.notices import email as mail_server
from poms_site.overview import notices
from tests import builders
from tests.notices.conftest import due_now
from tests.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def filed(crew, **values):
    return filing.file(builders.request(crew, **values), by=crew.experimenter)


def killed_at(point: str, settings) -> int:
    """Run the loop once in a process of its own that is killed at a point; return how the process ended."""
    # The address of the tests' server, with the database of this test in place of the first one.
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    environment = {
        **os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "poms_site.settings", "POMS_CRASHPOINT": point,
        "POMS_MAIL_HOST": settings.MAIL_HOST, "POMS_MAIL_PORT": str(settings.MAIL_PORT), "POMS_BELL": "0",
        "POMS_MAIL_FROM": settings.MAIL_FROM, "POMS_PUBLIC_URL": settings.PUBLIC_URL, "POMS_SECRET_KEY": conf.SECRET_KEY,
        "POMS_NOTICE_QUIET_SECONDS": "0", "POMS_HTTP_ALLOW": ",".join(settings.HTTP_ALLOW),
    }  # fmt: skip
    command = [sys.executable, "manage.py", "reconcile", "notify", "--once"]
    done = subprocess.run(command, cwd=conf.BASE_DIR, env=environment, capture_output=True, timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def until_killed(point: str, settings, seconds: float = 120) -> None:
    """Run the loop in processes of their own until one has reached the point: the feed may be held back for a while."""
    deadline = time.monotonic() + seconds
    while killed_at(point, settings) == 0:
        assert time.monotonic() < deadline, f"{point} was never reached"


# --- Crashes -------------------------------------------------------------------------------------------------------


def test_a_process_killed_after_sending_sends_again_under_the_same_message_id(crew, mailbox, caught_up, settings):
    filed(crew)
    until_killed("notify.after_send", settings)
    assert len(mailbox.mails) == 1
    assert Message.objects.get().outcome == ""
    caught_up()
    assert len(mailbox.mails) == 1, "its lease has not ended"
    due_now()
    caught_up()
    assert len(mailbox.mails) == 2
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 1
    assert (Message.objects.get().outcome, Message.objects.get().tries) == ("sent", 2)


def test_a_process_killed_before_sending_loses_nothing(crew, mailbox, caught_up, settings):
    filed(crew)
    until_killed("notify.after_claim", settings)
    assert mailbox.mails == []
    due_now()
    caught_up()
    assert len(mailbox.mails) == 1


def test_a_process_killed_while_it_writes_notices_writes_none_and_the_next_one_all(crew, mailbox, caught_up, settings):
    filed(crew)
    place = LedgerPlace.objects.get()
    # Dates are looked for first of all, which is written down as well.
    LedgerPlace.objects.update(looked_at="2100-01-01T00:00Z")
    until_killed("notify.before_commit", settings)
    assert not Notice.objects.exists()
    assert LedgerPlace.objects.get().txid == place.txid
    caught_up()
    assert len(mailbox.mails) == 1


def test_many_workers_at_once_send_each_mail_once(crew, mailbox, settings, caught_up):
    for n in range(30):
        outbox.enter_test(crew.people[("approver", "operator", "shifter")[n % 3]])

    def work():
        try:
            while outbox.send(notices.may_see):
                pass
        finally:
            connection.close()

    workers = [Thread(target=work) for _ in range(4)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert len(mailbox.mails) == 30
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 30


# --- A mail server that refuses ---------------------------------------------------------------------------------------


def test_a_refusal_for_good_ends_this_mail_only(crew, mailbox):
    mailbox.answers["approver@example.org"] = "550 5.1.1 no such user"
    for who in ("approver", "operator"):
        outbox.enter_test(crew.people[who])
    outbox.send(notices.may_see)
    assert mailbox.to == ["operator@example.org"]
    failed = Message.objects.get(recipient=crew.approver)
    assert (failed.outcome, failed.due_at) == ("failed", None)
    assert "550" in failed.error and "no such user" in failed.error
    mailbox.answers.clear()
    assert outbox.try_again(Message.objects.all()) == 1
    outbox.send(notices.may_see)
    assert mailbox.to == ["operator@example.org", "approver@example.org"]


def test_a_mail_that_is_refused_for_now_goes_later_and_holds_up_no_other(crew, mailbox):
    mailbox.answers["approver@example.org"] = "450 4.2.1 greylisted, come back"
    for who in ("approver", "operator"):
        outbox.enter_test(crew.people[who])
    outbox.send(notices.may_see)
    assert mailbox.to == ["operator@example.org"]
    row = Message.objects.get(recipient=crew.approver)
    assert row.outcome == "" and "greylisted" in row.error and row.due_at is not None
    assert outbox.send(notices.may_see) == 0, "not before its time"
    mailbox.answers.clear()
    due_now()
    outbox.send(notices.may_see)
    assert mailbox.to[-1] == "approver@example.org"


def test_a_server_that_is_away_is_asked_once_and_everything_goes_when_it_is_back(crew, mailbox, settings, monkeypatch):
    settings.MAIL_PORT = free_port()
    tried, opening = [], mail_server._open
    monkeypatch.setattr(mail_server, "_open", lambda: tried.append(1) or opening())
    for _ in range(50):
        outbox.enter_test(crew.operator)
    assert outbox.send(notices.may_see)
    assert tried == [1]
    while outbox.send(notices.may_see):
        pass
    assert not Message.objects.exclude(outcome="").exists()
    assert Message.objects.filter(error__contains="does not answer").count() == 50
    settings.MAIL_PORT = mailbox.port
    due_now()
    while outbox.send(notices.may_see):
        pass
    assert len(mailbox.mails) == 50


def test_a_content_that_the_server_refuses_ends_the_mail(crew, mailbox):
    mailbox.after_data = "554 5.7.1 looks like spam"
    outbox.enter_test(crew.operator)
    outbox.send(notices.may_see)
    assert Message.objects.get().outcome == "failed"


def test_what_is_tried_for_days_is_given_up_and_said_to_be(crew, mailbox, settings):
    settings.MAIL_PORT = free_port()
    outbox.enter_test(crew.operator)
    Message.objects.update(tries=outbox.MOST_TRIES)
    outbox.send(notices.may_see)
    assert Message.objects.get().outcome == "failed"
    assert Message.objects.get().error.startswith("given up after 121 tries: ")


@pytest.mark.parametrize("tls", ["starttls", "loud"])
def test_a_server_that_cannot_do_what_is_set_keeps_everything_waiting(crew, mailbox, settings, tls):
    settings.MAIL_TLS = tls
    outbox.enter_test(crew.operator)
    outbox.send(notices.may_see)
    row = Message.objects.get()
    assert (row.outcome, mailbox.mails) == ("", [])
    assert row.error


# --- Text that would be something else ----------------------------------------------------------------------------


WILD = ["a\r\nBcc: everybody@example.org", "b\nSubject: other", "c\x00d\x1b[31m", "é ü 中 \u202egnp", "\ud800 half", "x" * 190,
        "<script>alert(1)</script>"]  # fmt: skip


@pytest.mark.parametrize("title", WILD)
def test_a_title_adds_no_header_and_no_markup(crew, mailbox, title):
    outbox.enter([
        outbox.Draft(crew.operator, crew.experiment, "operator", "k", f"r1 waits: {title}".replace("\x00", " ").replace("\ud800", "\ufffd"),
                     lines=[{"ref": "demo/r1", "title": title.replace("\x00", " ").replace("\ud800", "\ufffd"), "link": "/x/", "said": "s"}])
    ])  # fmt: skip
    outbox.send(notices.may_see)
    assert mailbox.to == ["operator@example.org"]
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None
    assert len(mail.get_all("Subject")) == 1
    assert str(mail["Subject"]).startswith("[POMS demo] r1 waits: ")
    assert "<script>" not in mail.get_body(["html"]).get_content()


@pytest.mark.parametrize("address", ["a@b\r\nBcc: c@d", "no address", "@", "a b@c", "a@b, c@d"])
def test_an_address_that_is_none_ends_its_own_mail(crew, mailbox, address):
    crew.approver.email = address
    crew.approver.save()
    outbox.enter_test(crew.approver)
    outbox.enter_test(crew.operator)
    outbox.send(notices.may_see)
    assert mailbox.to == ["operator@example.org"]
    assert Message.objects.get(recipient=crew.approver).outcome == "failed"


# --- Webhooks -----------------------------------------------------------------------------------------------------


def test_a_webhook_gets_a_signed_document_once(crew, mailbox, receiver, caught_up):
    choosing.choose(crew.approver, kinds={"decide": "digest"}, webhook=receiver.url)
    choosing.set_webhook(crew.experiment, receiver.url, by=crew.administrator, reason="our chat")
    request = filed(crew)
    caught_up()
    caught_up()
    assert [found["to"] for found in receiver.documents()] == ["approver", None]
    for (_, headers, body), whose in zip(
        receiver.got, ({"user": crew.approver}, {"experiment": crew.experiment}), strict=True
    ):
        from integrations.models import Webhook

        secret = Webhook.objects.get(**whose).secret
        wanted = hmac.new(
            secret.encode(), f"{headers['X-POMS-Timestamp']}.".encode() + body, hashlib.sha256
        ).hexdigest()
        assert headers["X-POMS-Signature"] == f"sha256={wanted}"
    found = receiver.documents()[0]
    assert found["kind"] == "decide" and found["ref"] == request.ref and found["count"] == 1
    assert found["delivery"] == receiver.got[0][1]["X-POMS-Delivery"]


def test_a_webhook_repeats_under_the_same_delivery_after_a_kill(crew, mailbox, receiver, settings, caught_up):
    choosing.set_webhook(crew.experiment, receiver.url, by=crew.administrator, reason="our chat")
    choosing.choose(crew.approver, kinds={"decide": "none"})
    filed(crew)
    until_killed("notify.after_send", settings)
    due_now()
    caught_up()
    assert len(receiver.got) == 2
    assert len({found["delivery"] for found in receiver.documents()}) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [((500, {}, b""), ""), ((429, {"Retry-After": "120"}, b""), ""), ((410, {}, b""), "failed"), ((404, {}, b""), "failed"),
     ((302, {"Location": "http://127.0.0.1/elsewhere"}, b""), "failed"), ((200, {}, b"x" * 2_000_000), "")],
)  # fmt: skip
def test_what_a_webhook_answers_decides_what_becomes_of_the_message(crew, receiver, answer, outcome):
    choosing.choose(crew.operator, kinds={}, webhook=receiver.url)
    crew.operator.email = ""
    receiver.answer = answer
    outbox.enter_test(crew.operator)
    outbox.send(notices.may_see)
    row = Message.objects.get()
    assert row.outcome == outcome and row.error
    assert len(receiver.got) == 1, "a redirect is not followed"


def test_a_webhook_that_hangs_holds_up_only_its_own(crew, receiver, mailbox, settings):
    choosing.choose(crew.operator, kinds={}, webhook=receiver.url)
    receiver.wait = 12
    for _ in range(3):
        outbox.enter_test(crew.operator)
    while outbox.send(notices.may_see):
        pass
    assert len(mailbox.mails) == 3
    assert len(receiver.got) == 1
    waiting = Message.objects.filter(channel="webhook", outcome="")
    assert waiting.count() == 3 and not waiting.filter(error="").exists()


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "https://user:pw@example.org/", "ftp://example.org/", "https://", "file:///etc/passwd", "https://a b/",
     "http://127.0.0.1:1/", "http://[::1]:1/", "https://x\r\ny/", "https://[zz/"],
)  # fmt: skip
def test_an_address_that_we_never_call_is_refused_when_it_is_set(crew, url):
    from core.errors import Refused as NotDone

    with pytest.raises(NotDone):
        choosing.choose(crew.operator, kinds={}, webhook=url)


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data/",
     "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://0.0.0.0/", "https://192.168.1.1/", "https://2130706433/",
     "https://[fe80::1]/", "https://224.0.0.1/"],
)  # fmt: skip
def test_an_address_inside_our_network_is_not_called(settings, url):
    with pytest.raises(Refused, match="not on the public internet"):
        http.call("GET", url)


def test_a_name_that_changes_its_mind_is_called_where_it_was_looked_at(settings, receiver, monkeypatch):
    """What was looked up first is what is connected to; a second look-up, which would say otherwise, is not made."""
    import socket

    real, asked = socket.getaddrinfo, []

    def fickle(host, port, *args, **kwargs):
        if host == "fickle.example.org":
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "10.255.255.1", port, *args, **kwargs)
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", fickle)
    settings.HTTP_ALLOW = ["fickle.example.org", "127.0.0.1"]
    with pytest.raises((Unavailable, Unsure)):  # it speaks no TLS; what counts is where we went
        http.call("GET", f"https://fickle.example.org:{receiver.server.server_port}/")
    assert len(asked) == 1


def test_an_answer_that_drips_is_not_waited_for(receiver, settings):
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def drip():
            line, _ = server.accept()
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            for _ in range(40):
                try:
                    line.sendall(b"x" * 20_000)
                except OSError:
                    return
                time.sleep(0.2)

        Thread(target=drip, daemon=True).start()
        with pytest.raises(Unsure, match="did not end"):
            http.call("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", seconds=1)
