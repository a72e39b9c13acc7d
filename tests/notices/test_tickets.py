"""Tickets: one for each request whatever the service desk does, kept up to date, and no secret anywhere."""

from __future__ import annotations

import pytest

from approvals.logic import deciding, filing
from core import clock, transitions
from core.errors import Refused as NotDone
from core.models import Transition
from integrations.errors import Refused, Unavailable, Unsure
from integrations.models import Desk, Ticket, TicketNote
from integrations.tickets import desk
from integrations.tickets.desk import ticket_of
from integrations.tickets.servicenow import ServiceNow
from tests import builders
from tests.notices.servicenow import PASSWORD, USER, ServiceNowServer
from tests.notices.test_sending import until_killed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def instance(settings, monkeypatch):
    """A service desk that we may call, and the credential that it takes."""
    settings.HTTP_ALLOW = ["127.0.0.1"]
    settings.NOTICE_QUIET_SECONDS = 0
    monkeypatch.setenv("POMS_CREDENTIAL_SNOW", f"{USER}:{PASSWORD}")
    found = ServiceNowServer()
    yield found
    found.server.shutdown()


@pytest.fixture
def now(instance):
    return ServiceNow(instance.url, "snow", "production")


@pytest.fixture
def with_desk(crew, instance):
    values = {"url": instance.url, "credential": "snow", "group": "production"}
    desk.set_desk(crew.experiment, **values, by=crew.administrator, reason="we use it")
    return crew


def due_now() -> None:
    Ticket.objects.filter(due_at__isnull=False).update(due_at=clock.due())


# --- The system ---------------------------------------------------------------------------------------------------


def test_a_ticket_is_opened_once_read_noted_and_closed(instance, now):
    seen = now.open("poms.demo.r1", "a title", "what it is about")
    assert now.open("poms.demo.r1", "a title", "what it is about") == seen
    row = instance.only()
    assert (row["short_description"], row["description"], row["assignment_group"]) == (
        "a title",
        "what it is about",
        "production",
    )
    assert (seen.number, seen.standing) == (row["number"], "new")
    now.note(seen.sys_id, "approved", mark="poms 1-2")
    now.note(seen.sys_id, "approved", mark="poms 1-2", again=True)
    assert row["work_notes"].count("approved") == 1
    assert now.close(seen.sys_id, "done").standing == "resolved"
    calls = len(instance.calls)
    assert now.close(seen.sys_id, "done").standing == "resolved"
    assert len(instance.calls) == calls + 1, "it only looked"
    assert now.read(seen.sys_id).standing == "resolved"
    assert now.read("0" * 32) is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [(401, Unavailable), (403, Unavailable), (429, Unavailable), (503, Unavailable), (500, Unsure), (502, Unsure), (400, Refused),
     ("cut", Unsure), ("half", Unsure), ("empty", Unsure), ("html", Unsure)],
)  # fmt: skip
def test_every_fault_is_one_of_the_three_errors(instance, now, fault, error):
    key = now.open("poms.demo.r1", "t", "d").sys_id
    for verb in (
        lambda: now.open("poms.demo.r2", "t", "d"), lambda: now.note(key, "t", mark="m"), lambda: now.close(key, "t"),
        lambda: now.read(key),
    ):  # fmt: skip
        instance.faults = [fault]
        with pytest.raises(error) as raised:
            verb()
        assert PASSWORD not in str(raised.value)
        assert type(raised.value) is error
    if fault == 429:
        assert raised.value.retry_after == 77


@pytest.mark.parametrize("fault", ["hang", "cut", "half", "empty", 500])
def test_an_answer_that_is_lost_after_the_ticket_was_made_makes_no_second_one(instance, now, fault):
    instance.faults = [None, fault]
    with pytest.raises(Unsure):
        now.open("poms.demo.r1", "t", "d")
    seen = now.open("poms.demo.r1", "t", "d")
    assert instance.only()["number"] == seen.number


def test_a_correlation_id_cannot_be_another_query(now):
    for wild in ("a^ORnumber=INC1", "a=b", "a b", ""):
        with pytest.raises(Refused):
            now.open(wild, "t", "d")


def test_a_credential_that_is_missing_is_said_by_name_only(instance, monkeypatch, tmp_path):
    with pytest.raises(Unavailable, match="POMS_CREDENTIAL_OTHER"):
        ServiceNow(instance.url, "other").read("0" * 32)
    file = tmp_path / "secret"
    file.write_text(f"{USER}:{PASSWORD}\n")
    monkeypatch.setenv("POMS_CREDENTIAL_OTHER_FILE", str(file))
    assert ServiceNow(instance.url, "other").read("0" * 32) is None


# --- The desk -------------------------------------------------------------------------------------------------------


def test_a_request_gets_a_ticket_that_says_what_became_of_it(with_desk, instance, caught_up):
    crew = with_desk
    request = filing.file(builders.request(crew, title="muons please"), by=crew.experimenter)
    caught_up()
    row, ticket = instance.only(), ticket_of(request.ref)
    assert row["correlation_id"] == f"poms.demo.r{request.pk}"
    assert row["short_description"] == f"POMS {request.ref}: muons please"
    assert (ticket.number, ticket.due_at, ticket.error) == (row["number"], None, "")
    deciding.send_back(request, by=crew.approver, reason="halve the events")
    request.refresh_from_db()
    filing.file(request, by=crew.experimenter)
    caught_up()
    deciding.approve(request, by=crew.approver, reason="looks right")
    caught_up()
    request.refresh_from_db()
    campaign = request.campaign
    transitions.move(campaign, "running", expect="approved", actor="loop:plan", reason="begins")
    transitions.move(campaign, "succeeded", expect="running", actor="loop:plan", reason="all stages ended")
    caught_up()
    notes = row["work_notes"]
    for words in (
        "Returned by approver: halve the events",
        "Approved by approver: looks right",
        "Campaign succeeded, by plan",
    ):
        assert notes.count(words) == 1, notes
    assert notes.index("Campaign succeeded") < notes.index("Approved") < notes.index("Returned"), "newest first"
    assert row["state"] == "6"
    assert ticket_of(request.ref).standing == "resolved"
    assert len(instance.rows) == 1


def test_without_a_desk_there_are_no_tickets(crew, instance, caught_up):
    filing.file(builders.request(crew), by=crew.experimenter)
    caught_up()
    assert not Ticket.objects.exists() and instance.calls == []


@pytest.mark.parametrize("fault", [401, 429, 500, 503, "cut", "half"])
def test_what_fails_is_tried_again_later_and_makes_one_ticket(with_desk, instance, caught_up, fault):
    request = filing.file(builders.request(with_desk), by=with_desk.experimenter)
    instance.faults = [None, fault]
    caught_up()
    ticket = ticket_of(request.ref)
    assert ticket.error and ticket.due_at is not None and ticket.number == ""
    due_now()
    caught_up()
    ticket.refresh_from_db()
    assert (ticket.error, ticket.due_at, ticket.number) == ("", None, instance.only()["number"])
    assert instance.only()["work_notes"].count("Filed by experimenter") == 1


def test_a_note_whose_answer_was_lost_is_not_said_twice(with_desk, instance, caught_up):
    request = filing.file(builders.request(with_desk), by=with_desk.experimenter)
    instance.faults = [None, None, "cut"]
    caught_up()
    assert instance.only()["work_notes"].count("Filed") == 1
    assert TicketNote.objects.get().told_at is None
    due_now()
    caught_up()
    assert instance.only()["work_notes"].count("Filed") == 1
    assert TicketNote.objects.get().told_at is not None
    assert ticket_of(request.ref).due_at is None


def test_what_is_refused_waits_for_a_person(with_desk, instance, caught_up):
    request = filing.file(builders.request(with_desk), by=with_desk.experimenter)
    instance.faults = [None, 400]
    caught_up()
    ticket = ticket_of(request.ref)
    assert ticket.due_at is None and "fault 400: as told" in ticket.error
    assert desk.try_again(with_desk.experiment) == 1
    caught_up()
    assert ticket_of(request.ref).number == instance.only()["number"]


@pytest.mark.parametrize("point", ["notify.after_ticket", "notify.after_note"])
def test_a_worker_killed_after_the_act_makes_no_second_ticket_and_no_second_note(
    with_desk, instance, mailbox, caught_up, settings, point
):
    filing.file(builders.request(with_desk), by=with_desk.experimenter)
    until_killed(point, settings)
    assert len(instance.rows) == 1
    due_now()
    caught_up()
    assert instance.only()["work_notes"].count("Filed") == 1
    assert Ticket.objects.get().number == instance.only()["number"]


def test_only_the_name_of_the_credential_is_kept(crew, instance):
    with pytest.raises(NotDone) as raised:
        desk.set_desk(
            crew.experiment, url=instance.url, credential="poms:s3cret", group="", by=crew.administrator, reason="x"
        )
    assert [problem.field for problem in raised.value.problems] == ["credential"]
    assert "s3cret" not in str(raised.value)
    assert not Desk.objects.exists()


def test_what_a_desk_cannot_be_is_refused_by_its_kind(crew, instance):
    good = {"url": instance.url, "credential": "snow", "group": "", "reason": "x"}
    for wrong, field in (
        ({"system": "stone"}, "system"),
        ({"url": "ftp://x"}, "desk_url"),
        ({"credential": " "}, "credential"),
    ):
        with pytest.raises(NotDone) as raised:
            desk.set_desk(crew.experiment, by=crew.administrator, **{**good, **wrong})
        assert [problem.field for problem in raised.value.problems] == [field]
    assert not Desk.objects.exists()


def test_who_changed_the_desk_and_why_is_kept(with_desk):
    step = Transition.objects.get(kind="experiment", verb="set_desk")
    assert (step.actor, "we use it" in step.reason) == ("user:administrator", True)
    desk.set_desk(with_desk.experiment, url="", credential="", group="", by=with_desk.administrator, reason="no longer")
    assert desk.open_for([with_desk.experiment.pk]) == set()
