"""A failure brought outside: one ticket in ServiceNow and one entry in ECL, whatever becomes of the answers."""

from __future__ import annotations

import pytest

from core import clock
from core.clock import now
from core.errors import Conflict
from core.models import Transition
from integrations.logbooks import book
from integrations.models import LogbookEntry, Ticket
from poms_site.overview import notices
from submissions.logic import escalating
from submissions.models import Failure, Signature
from tests.notices.test_logbook import server, with_book  # noqa: F401 - fixtures
from tests.notices.test_tickets import instance, with_desk  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def failure(crew) -> Failure:
    signature = Signature.objects.create(digest="d", title="Stale file handle", cause="service")
    return Failure.objects.create(
        experiment=crew.experiment, signature=signature, first_at=now(), last_at=now(), jobs=412, core_s=3.6e6
    )


def due_now() -> None:
    Ticket.objects.filter(due_at__isnull=False).update(due_at=clock.due())
    LogbookEntry.objects.filter(due_at__isnull=False).update(due_at=clock.due())


@pytest.mark.parametrize("fault", ["cut", "half", 500])
def test_one_ticket_about_a_failure_also_after_a_lost_answer(with_desk, instance, fault):  # noqa: F811 - fixtures
    row = failure(with_desk)
    escalating.open_ticket(row, by=with_desk.shifter, reason="please mount it again")
    with pytest.raises(Conflict):
        escalating.open_ticket(row, by=with_desk.operator, reason="once more")
    instance.faults = [None, fault]
    notices.notify()
    due_now()
    notices.notify()
    incident = instance.only()
    assert incident["correlation_id"] == f"poms.demo.f{row.pk}"
    assert incident["short_description"] == f"POMS {row.ref}: Stale file handle"
    assert "412 jobs of demo, 1000.0 core-hours" in incident["description"]
    assert "shifter: please mount it again" in incident["description"]
    assert Ticket.objects.get().number == incident["number"]
    assert [step.verb for step in Transition.objects.filter(kind="failure")] == ["ticket"]


@pytest.mark.parametrize("fault", ["cut", "half", 500])
def test_one_logbook_entry_about_a_failure_also_after_a_lost_answer(with_book, server, fault):  # noqa: F811 - fixtures
    row = failure(with_book)
    for _ in range(2):
        escalating.write_entry(row, "dCache is mounted again", by=with_book.shifter)
    server.fail(fault, "xml_post")
    notices.notify()
    due_now()
    notices.notify()
    (number,) = server.entries
    assert server.text(number).startswith("shifter: dCache is mounted again\n\nStale file handle\n412 jobs of demo")
    assert int(LogbookEntry.objects.get().number) == number
    assert book.bring_up_to_date() == 0
