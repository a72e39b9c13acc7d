"""Logbook entries: one for each key whatever the logbook does, signed as ECL wants it, and no secret anywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core import clock
from core.errors import Refused as NotDone
from core.models import Transition
from integrations.errors import Refused, Unavailable, Unsure
from integrations.logbooks import book
from integrations.logbooks.ecl import ECL
from integrations.models import Book, LogbookEntry
from poms_site.overview import notices
from tests.notices.test_sending import until_killed
from tests.stand_ins.ecl import PASSWORD, USER, ECLServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings, monkeypatch):
    """A logbook that we may call, and the credential that it takes."""
    settings.HTTP_ALLOW = ["127.0.0.1"]
    monkeypatch.setenv("POMS_CREDENTIAL_ECL", f"{USER}:{PASSWORD}")
    found = ECLServer()
    yield found
    found.stop()


@pytest.fixture
def ecl(server):
    return ECL(server.book, "ecl", "Production & shifts")


@pytest.fixture
def with_book(crew, server):
    values = {"url": server.book, "credential": "ecl", "category": "Production"}
    book.set_book(crew.experiment, **values, by=crew.administrator, reason="we use it")
    return crew


def due_now() -> None:
    LogbookEntry.objects.filter(due_at__isnull=False).update(due_at=clock.due())


def wanted(crew, key="shift", text="Three jobs failed."):
    return book.want(crew.experiment, "demo/f1", key, text, actor=crew.shifter.actor, link="/e/demo/failures/f1/")


# --- The system ---------------------------------------------------------------------------------------------------


def test_an_entry_is_written_once_and_says_what_it_was_told(server, ecl):
    since = clock.now() - timedelta(days=3)
    text = "a < b & c > d — Müonen\x00"
    seen = ecl.write(text, mark="poms-1", since=since)
    assert ecl.write(text, mark="poms-1", since=since) == seen
    entry = server.only()
    assert (entry.get("category"), entry.get("author")) == ("Production & shifts", USER)
    assert server.text(int(seen.number)) == "a < b & c > d — Müonen�\n[poms-1]"
    assert seen.link == f"{server.book}/show?e={seen.number}"
    assert server.calls[0].query["a"] == "5days"


@pytest.mark.parametrize(
    ("fault", "error"),
    [(401, Unavailable), (403, Unavailable), (429, Unavailable), (503, Unavailable), (500, Unsure), (400, Refused), (302, Refused),
     ("cut", Unsure), ("half", Unsure), ("html", Unsure)],
)  # fmt: skip
def test_every_fault_is_one_of_the_three_errors(server, ecl, fault, error):
    server.fail(fault)
    with pytest.raises(error) as raised:
        ecl.write("t", mark="poms-1", since=clock.now())
    assert type(raised.value) is error
    assert PASSWORD not in str(raised.value)
    if fault == 429:
        assert raised.value.retry_after == 77


@pytest.mark.parametrize("fault", ["hang", "cut", "half", 500])
def test_an_answer_that_is_lost_after_the_entry_was_written_makes_no_second_one(server, ecl, fault):
    server.fail(fault, "xml_post" if fault != 500 else "xml_search")
    if fault in ("hang", "cut"):
        with pytest.raises(Unsure):
            ecl.write("t", mark="poms-1", since=clock.now())
    elif fault == 500:
        with pytest.raises(Unsure):
            ecl.write("t", mark="poms-1", since=clock.now())
        assert not server.entries, "nothing is written where the search was not answered"
    else:
        with pytest.raises(Unsure):
            ecl.write("t", mark="poms-1", since=clock.now())
    seen = ecl.write("t", mark="poms-1", since=clock.now())
    assert list(server.entries) == [int(seen.number)]


def test_a_server_that_takes_an_entry_and_does_not_keep_it_is_not_believed(server, ecl):
    server.fail("html", "xml_post")
    with pytest.raises(Unsure, match="does not find it"):
        ecl.write("t", mark="poms-1", since=clock.now())


def test_a_wrong_password_is_said_by_the_name_of_the_credential_only(server, ecl, monkeypatch):
    monkeypatch.setenv("POMS_CREDENTIAL_ECL", f"{USER}:other")
    with pytest.raises(Unavailable, match="credential ecl is not accepted"):
        ecl.write("t", mark="poms-1", since=clock.now())
    monkeypatch.setenv("POMS_CREDENTIAL_ECL", "token")
    with pytest.raises(Unavailable, match="no user:password"):
        ecl.write("t", mark="poms-1", since=clock.now())
    assert not server.entries


def test_a_mark_cannot_be_another_query(ecl):
    for wild in ("a&st=", "a b", ""):
        with pytest.raises(Refused):
            ecl.write("t", mark=wild, since=clock.now())


# --- The book -------------------------------------------------------------------------------------------------------


def test_an_entry_that_was_wanted_is_written_by_the_loop(with_book, server, settings):
    settings.PUBLIC_URL = "https://poms.example.org"
    entry = wanted(with_book)
    assert wanted(with_book, text="again").pk == entry.pk, "one key, one entry"
    assert notices.notify() >= 1
    entry.refresh_from_db()
    assert (entry.due_at, entry.error, list(server.entries)) == (None, "", [int(entry.number)])
    assert server.text(int(entry.number)).startswith(
        "Three jobs failed.\nhttps://poms.example.org/e/demo/failures/f1/\n[poms-"
    )
    wanted(with_book, key="the next shift")
    book.bring_up_to_date()
    assert len(server.entries) == 2


@pytest.mark.parametrize("fault", [401, 429, 500, 503, "cut", "half"])
def test_what_fails_is_tried_again_later_and_makes_one_entry(with_book, server, fault):
    entry = wanted(with_book)
    server.fail(fault, "xml_post")
    book.bring_up_to_date()
    entry.refresh_from_db()
    assert entry.error and entry.due_at is not None and entry.number == ""
    assert book.bring_up_to_date() == 0, "it waits"
    due_now()
    book.bring_up_to_date()
    entry.refresh_from_db()
    assert (entry.error, entry.due_at, [int(entry.number)]) == ("", None, list(server.entries))


def test_a_worker_killed_after_the_act_makes_no_second_entry(with_book, server, mailbox, settings):
    wanted(with_book)
    until_killed("notify.after_entry", settings)
    assert len(server.entries) == 1
    due_now()
    book.bring_up_to_date()
    assert [int(LogbookEntry.objects.get().number)] == list(server.entries)


def test_what_is_refused_waits_for_a_person(with_book, server):
    entry = wanted(with_book)
    server.fail(400, "xml_post")
    book.bring_up_to_date()
    entry.refresh_from_db()
    assert entry.due_at is None and "answered 400: as told" in entry.error
    assert book.try_again(with_book.experiment) == 1
    book.bring_up_to_date()
    assert len(server.entries) == 1


def test_no_logbook_no_text_no_entry(crew, server):
    with pytest.raises(NotDone, match="has no logbook"):
        wanted(crew)
    book.set_book(
        crew.experiment, url=server.book, credential="ecl", category="Production", by=crew.administrator, reason="x"
    )
    with pytest.raises(NotDone):
        wanted(crew, text=" ")
    assert "hidden" not in wanted(crew, text="password=hidden12345").text
    book.set_book(crew.experiment, url="", credential="", category="", by=crew.administrator, reason="no longer")
    book.bring_up_to_date()
    assert LogbookEntry.objects.get().error == "the experiment has no logbook any more"


@pytest.mark.parametrize(
    ("values", "fields"),
    [({"credential": "poms:s3cret"}, ["credential"]), ({"url": "ftp://x"}, ["book_url"]), ({"category": ""}, ["category"]),
     ({"reason": " "}, ["reason"]), ({"credential": ""}, ["credential"])],
)  # fmt: skip
def test_what_cannot_be_set_is_refused(crew, server, values, fields):
    given = {"url": server.book, "credential": "ecl", "category": "Production", "reason": "x"} | values
    with pytest.raises(NotDone) as raised:
        book.set_book(crew.experiment, by=crew.administrator, **given)
    assert [problem.field for problem in raised.value.problems] == fields
    assert "s3cret" not in str(raised.value) and not Book.objects.exists()


def test_who_set_the_logbook_and_why_is_kept(with_book):
    step = Transition.objects.get(kind="experiment", verb="set_logbook")
    assert (step.actor, "we use it" in step.reason) == ("user:administrator", True)
