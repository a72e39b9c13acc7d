"""The page of reports: what it shows to whom, its files, and that a report comes once by mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.clock import now
from experiments.logic import membership
from experiments.models import User
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem, Choices, Message, Notice
from poms_site.overview import report_mails
from poms_site.overview.notices import may_see
from poms_site.overview.periods import latest_over
from poms_site.web import live
from submissions.logic import merging, planning, tallying
from submissions.models import Failure, Sighting, Signature, Submission
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def lived(cast):
    """A campaign some of whose jobs ended today and yesterday."""
    builders.approved_campaign(cast)
    planning.plan_some()
    tallying.tally_some()
    row = Submission.objects.first()
    system = BatchSystem.objects.create(name="local")
    at = now().timestamp()
    seen = [
        JobSeen("1.0@x", str(row.uuid), "succeeded", 1, at, wall_s=3600.0),
        JobSeen("2.0@x", str(row.uuid), "failed", 1, at, wall_s=1800.0, exit_code=7),
        JobSeen("3.0@x", str(row.uuid), "succeeded", 1, at - 86_400, wall_s=3600.0),
    ]
    merging.merge(system.pk, seen, source="test")
    signature = Signature.objects.create(digest="d", title="exit code 7", cause="software", exit_code=7)
    own = {"experiment": cast.experiment, "first_at": now(), "last_at": now(), "jobs": 1}
    failure = Failure.objects.create(signature=signature, **own)
    Sighting.objects.create(failure=failure, stage=row.batch.stage, day=now().date(), jobs=1, core_s=1800)
    live.forget()
    return row


def test_the_page_says_how_a_period_went_against_the_one_before(cast, client, lived):
    client.force_login(cast.supervisor)
    text = client.get("/reports/?period=day").content.decode()
    assert "Demo" in text and "Other" in text, "supervisors see all experiments"
    assert "exit code 7" in text
    assert "−50.0 points" in text and "worse" in text
    assert f"/e/demo/campaigns/c{lived.campaign_id}?stage=gen" in text or "?stage=gen" in text
    own = client.get("/e/demo/reports/?period=day").content.decode()
    assert "By experiment" not in own and "50.0 %" in own


def test_who_sees_one_experiment_reads_of_no_other(cast, client, lived):
    client.force_login(cast.stranger)
    text = client.get("/reports/?period=all").content.decode()
    assert "exit code 7" not in text and ">Demo<" not in text
    assert client.get("/e/demo/reports/").status_code == 404


@pytest.mark.parametrize("query", ["period=month", "on=yesterday", "on=9999-12-31", "on=0001-01-01", "as=xls"])
def test_what_no_report_is_of_is_refused(cast, client, query):
    client.force_login(cast.operator)
    assert client.get(f"/reports/?{query}").status_code == 422
    assert client.get(f"/api/v1/reports/?{query}").status_code == 422


def test_it_comes_as_csv_and_as_pdf(cast, client, lived):
    client.force_login(cast.operator)
    day = now().date().isoformat()
    table = client.get(f"/e/demo/reports/?period=day&on={day}&as=csv")
    assert table["Content-Disposition"] == f'attachment; filename="poms-demo-{day}.csv"'
    assert f"day,{day},{day}" in table.content.decode() and ",succeeded,1," in table.content.decode()
    assert table.content == client.get(f"/api/v1/reports/?experiment=demo&period=day&on={day}&as=csv").content
    paper = client.get(f"/e/demo/reports/?period=day&on={day}&as=pdf")
    assert paper["Content-Type"] == "application/pdf" and paper.content.startswith(b"%PDF-")


def test_accounting_is_linked_not_repeated(cast, client, settings):
    settings.DASHBOARDS = ["Gratia=https://gratia.example.org/", "FIFEMON=https://fifemon.example.org/d/{experiment}",
                           "bad=javascript:alert(1)"]  # fmt: skip
    client.force_login(cast.operator)
    own, every = (client.get(address).content.decode() for address in ("/e/demo/reports/", "/reports/"))
    assert 'href="https://fifemon.example.org/d/demo"' in own and 'href="https://gratia.example.org/"' in own
    assert "fifemon" not in every and "gratia" in every and "javascript:alert" not in own


def test_who_ticks_it_gets_the_week_once_by_mail(cast, client, lived, settings):
    settings.MAIL_HOST = "mail.example.org"
    User.objects.update(email="somebody@example.org")
    client.force_login(cast.operator)
    assert client.post("/reports/", {"week": "1"}).status_code == 303
    assert Choices.objects.get(user=cast.operator).kinds == {"report_week": "at_once", "report_day": "none"}
    week = latest_over("week", now())
    drafts = report_mails.due(week.until + timedelta(hours=2))
    assert [(d.recipient, d.key) for d in drafts] == [(cast.operator, week.name)]
    from integrations.notices import outbox

    outbox.enter(drafts)
    assert report_mails.due(week.until + timedelta(hours=3)) == []
    notice = Notice.objects.get(kind="report_week")
    assert notice.lines[0]["ref"] == "demo" and week.title in notice.subject
    assert Message.objects.filter(notices=notice, channel="mail").count() == 1
    assert may_see(cast.operator, notice)
    membership.leave(cast.operator.memberships.get())
    assert not may_see(cast.operator, notice), "who has left the experiment meanwhile gets none"
    client.post("/reports/", {})
    assert Choices.objects.get(user=cast.operator).how("report_week") == "none"


def test_nothing_is_sent_before_the_last_reports_of_jobs_can_have_come(cast):
    Choices.objects.create(user=cast.operator, kinds={"report_day": "digest"})
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    assert report_mails.due(midnight + timedelta(minutes=59)) == []
    (draft,) = report_mails.due(midnight + timedelta(minutes=61))
    assert (draft.key, draft.subject) == ("2026-11-30", "Monday, 30 November 2026: no job ended")
