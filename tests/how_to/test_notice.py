"""The page "How to add a notice", followed once: a rule that tells operators, and a logbook that is a file."""

from __future__ import annotations

from threading import Thread

import pytest

from core import clock
from core.errors import Refused
from integrations.errors import Unavailable
from integrations.logbooks import book
from integrations.models import Book, LogbookEntry, Notice
from poms_site.overview import notices
from submissions.logic import acting
from tests import builders
from tests.approvals.desk import filed
from tests.how_to.called_off import RULE
from tests.how_to.file_logbook import ROW, FileLogbook

pytestmark = pytest.mark.django_db(transaction=True)


# --- A rule -------------------------------------------------------------------------------------------------------


@pytest.fixture
def rule(monkeypatch) -> None:
    monkeypatch.setattr(notices, "RULES", (*notices.RULES, RULE))


def test_operators_are_told_that_a_campaign_was_cancelled_by_somebody_else(crew, mailbox, caught_up, rule):
    campaign = builders.approved_campaign(crew)
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    acting.cancel(campaign, actor=crew.approver.actor, reason="the calibration is wrong")
    caught_up()
    assert sorted(mailbox.to) == ["experimenter@example.org", "operator@example.org"]
    assert set(mailbox.subjects()) == {f"[POMS demo] c{campaign.pk} was cancelled: tiny"}
    told = Notice.objects.get(recipient=crew.operator, kind="operator")
    assert told.lines[0]["said"] == "the calibration is wrong"


def test_nobody_is_told_of_the_own_act_nor_of_what_never_began(crew, mailbox, caught_up, rule):
    mine = builders.approved_campaign(crew)
    waits = filed(crew, builders.definition(campaign="other")).campaign
    acting.cancel(mine, actor=crew.operator.actor, reason="my own")
    acting.cancel(waits, actor=crew.approver.actor, reason="it was not approved")
    caught_up()
    assert not Notice.objects.filter(recipient=crew.operator, kind="operator").exists()


# --- A logbook ----------------------------------------------------------------------------------------------------


@pytest.fixture
def known(monkeypatch) -> None:
    monkeypatch.setitem(book.SYSTEMS, "file", ROW["file"])


def test_an_entry_is_written_once_whoever_writes_it_how_often(tmp_path):
    there = FileLogbook(str(tmp_path / "book.txt"), "", "Production")
    since = clock.now()
    first = there.write("Three jobs failed.", mark="poms-1", since=since)
    writers = [
        Thread(target=there.write, args=("Again.",), kwargs={"mark": "poms-2", "since": since}) for _ in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert there.write("Three jobs failed.", mark="poms-1", since=since) == first
    assert there.write("Again.", mark="poms-2", since=since).number == "2"
    text = (tmp_path / "book.txt").read_text()
    assert text == "Production\nThree jobs failed.\n[poms-1]\nProduction\nAgain.\n[poms-2]\n"


def test_a_file_that_cannot_be_written_is_tried_again(tmp_path):
    with pytest.raises(Unavailable, match="cannot be written"):
        FileLogbook(str(tmp_path / "nowhere" / "book.txt"), "", "x").write("t", mark="poms-1", since=clock.now())


def test_an_experiment_gets_it_by_its_row_alone(crew, known, tmp_path):
    file = tmp_path / "book.txt"
    book.set_book(crew.experiment, system="file", url=str(file), credential="", category="Production",
                  by=crew.administrator, reason="we have no ECL")  # fmt: skip
    book.want(crew.experiment, "demo/f1", "shift", "Three jobs failed.", actor=crew.shifter.actor)
    assert book.bring_up_to_date() == 1
    entry = LogbookEntry.objects.get()
    assert (entry.number, entry.error, entry.due_at) == ("1", "", None)
    assert file.read_text() == f"Production\nThree jobs failed.\n[{entry.mark}]\n"


def test_what_it_cannot_use_is_refused_where_it_is_entered(crew, known):
    for system, url, field in (("file", "/nowhere/at/all/book.txt", "book_url"), ("stone", "/x", "system")):
        with pytest.raises(Refused) as raised:
            book.set_book(
                crew.experiment, system=system, url=url, credential="", category="x", by=crew.administrator, reason="x"
            )
        assert [problem.field for problem in raised.value.problems] == [field]
    assert not Book.objects.exists()


def test_an_administrator_can_choose_it(crew, known, client, tmp_path):
    client.force_login(crew.administrator)
    assert '<option value="file">file</option>' in client.get("/e/demo/outbox/").content.decode()
    body = {
        "do": "book",
        "system": "file",
        "book_url": str(tmp_path / "book.txt"),
        "category": "x",
        "reason": "we have no ECL",
    }
    assert client.post("/e/demo/outbox/", body).status_code == 303
    assert Book.objects.get().system == "file"
    assert '<option value="file" selected>file</option>' in client.get("/e/demo/outbox/").content.decode()
