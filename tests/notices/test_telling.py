"""Who is told what by which mail: once, never of one's own act, never of what one may not see."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.logic import deciding, filing
from core import transitions
from experiments.logic import membership
from experiments.models import ApiToken, User
from integrations.models import LedgerPlace, Message, Notice
from integrations.notices import choosing
from poms_site.overview import notices
from tests import builders

pytestmark = pytest.mark.django_db(transaction=True)


def filed(crew, **values):
    return filing.file(builders.request(crew, **values), by=crew.experimenter)


def test_a_filed_request_is_told_to_the_approvers_of_its_stage_by_one_mail(crew, mailbox, caught_up):
    request = filed(crew, title="muons please")
    caught_up()
    assert mailbox.to == ["approver@example.org"]
    (mail,) = mailbox.mails
    key = f"r{request.pk}"
    assert mail["Subject"] == f"[POMS demo] {key} waits for your decision: muons please"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "POMS demo <demo.poms.example.org>"
    assert mail["List-Unsubscribe"] == "<https://poms.example.org/account/notices/>"
    assert mail["In-Reply-To"] == mail["References"] == f"<demo.{key}@poms.example.org>"
    for part in ("plain", "html"):
        body = mail.get_body([part]).get_content()
        assert f"https://poms.example.org/e/demo/requests/{key}/" in body
        assert "filed for approval" in body
    row = Message.objects.get()
    assert (row.outcome, row.due_at, row.message_id) == ("sent", None, mail["Message-ID"])
    caught_up()
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize(
    ("verb", "act", "says"),
    [("approve", deciding.approve, "is approved"), ("return", deciding.send_back, "was returned to you"),
     ("reject", deciding.reject, "was rejected")],
)  # fmt: skip
def test_a_decision_is_told_to_the_requester_and_nobody_else(crew, mailbox, caught_up, verb, act, says):
    request = filed(crew)
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    act(request, by=crew.approver, reason="because of the calibration")
    caught_up()
    assert mailbox.to == ["experimenter@example.org"]
    assert mailbox.subjects() == [f"[POMS demo] r{request.pk} {says}: tiny"]
    assert "because of the calibration" in mailbox.mails[0].get_body(["plain"]).get_content()


def test_nobody_is_told_of_an_act_of_their_own(crew, mailbox, caught_up):
    membership.join(crew.experimenter, "approver", crew.experiment)
    membership.register_approver(crew.experimenter, crew.experiment, "mc")
    request = filed(crew)
    filing.withdraw(request, by=crew.experimenter, reason="no longer")
    caught_up()
    assert mailbox.to == ["approver@example.org"]
    assert not Notice.objects.filter(recipient=crew.experimenter).exists()


def test_who_corrects_somebody_elses_request_and_takes_it_back_tells_the_requester(crew, mailbox, caught_up):
    request = filed(crew)
    filing.withdraw(request, by=crew.operator, reason="twice the same")
    caught_up()
    assert f"[POMS demo] r{request.pk} was withdrawn: tiny" in mailbox.subjects()


def test_everybody_of_a_registered_group_is_told_once(crew, mailbox, caught_up):
    from django.contrib.auth.models import Group

    from experiments.models import Approver

    Approver.objects.create(
        experiment=crew.experiment, production_stage="mc", group=Group.objects.get(name="demo/operator")
    )
    Approver.objects.create(
        experiment=crew.experiment, production_stage="mc", group=Group.objects.get(name="demo/approver")
    )
    filed(crew)
    caught_up()
    assert sorted(mailbox.to) == ["approver@example.org", "operator@example.org"]


def test_a_campaigns_end_is_told_to_its_owner_and_an_unsure_launch_to_operators(crew, mailbox, caught_up):
    campaign = builders.approved_campaign(crew)
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    transitions.move(campaign, "running", expect="approved", actor="loop:plan", reason="begins")
    transitions.move(campaign, "failed", expect="running", actor="loop:plan", reason="2 batches failed for good")
    caught_up()
    assert mailbox.subjects() == [f"[POMS demo] c{campaign.pk} has failed: tiny"]
    assert mailbox.to == ["experimenter@example.org"]


def test_an_unsure_launch_is_told_to_the_operators(crew, mailbox, caught_up, settings, tmp_path):
    from submissions.logic import planning
    from submissions.models import Submission

    settings.LOCAL_LAUNCHES = tmp_path
    campaign = builders.approved_campaign(crew)
    planning.plan(campaign.stages.get(name="gen").pk)
    submission = Submission.objects.order_by("pk").first()
    transitions.move(submission, "launching", expect="pending", actor="loop:launch", reason="claimed")
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    transitions.move(submission, "unsure", expect="launching", actor="loop:launch", reason="no answer for 10 min")
    caught_up()
    assert mailbox.to == ["operator@example.org"]
    assert mailbox.subjects() == [f"[POMS demo] s{submission.pk} may have run: say whether it did: tiny, stage gen"]


def test_what_is_rejected_before_it_began_is_told_once_not_also_as_a_cancelled_campaign(crew, mailbox, caught_up):
    deciding.reject(filed(crew), by=crew.approver, reason="done last year")
    caught_up()
    assert len([to for to in mailbox.to if to == "experimenter@example.org"]) == 1


# --- Who may not see it ------------------------------------------------------------------------------------------


def test_who_may_not_see_the_experiment_is_not_told(crew, mailbox, caught_up):
    membership.register_approver(crew.stranger, crew.experiment, "mc")
    crew.approver.is_active = False
    crew.approver.save()
    filed(crew)
    caught_up()
    assert mailbox.mails == []
    assert not Notice.objects.exists()


def test_who_may_no_longer_see_it_when_it_is_sent_is_not_told(crew, mailbox, caught_up, settings):
    from experiments.models import Membership

    filed(crew)
    settings.MAIL_PORT = 1  # nobody listens there
    caught_up()
    message = Message.objects.get()
    assert "does not answer" in message.error
    membership.leave(Membership.objects.get(user=crew.approver))
    settings.MAIL_PORT = mailbox.port
    Message.objects.update(due_at="2020-01-01T00:00Z")
    caught_up()
    message.refresh_from_db()
    assert (message.outcome, mailbox.mails) == ("withheld", [])
    assert not Notice.objects.visible_to(crew.approver).exists()


# --- One mail for many things ---------------------------------------------------------------------------------------


def test_a_bulk_action_makes_one_mail_that_lists_what_it_did(crew, mailbox, caught_up, told, settings):
    rows = [filed(crew, text=builders.definition(campaign=f"c{n}"), title=f"number {n}") for n in range(25)]
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    # Transactions of other databases of the server hold the feed back, so that its end comes a moment later.
    settings.NOTICE_QUIET_SECONDS = 5
    for row in rows:
        deciding.send_back(row, by=crew.approver, reason="halve the events")
    told(lambda: bool(mailbox.mails))
    caught_up()
    assert mailbox.subjects() == ["[POMS demo] 25 of your requests were returned to you"]
    text = mailbox.mails[0].get_body(["plain"]).get_content()
    assert text.count("halve the events") == 20
    assert "and 5 more" in text
    assert "number 19" in text and "number 20" not in text
    assert Notice.objects.get(recipient=crew.experimenter).things == [row.pk for row in rows]


def test_an_act_is_told_when_it_has_been_quiet_for_a_while(crew, mailbox, caught_up, settings):
    settings.NOTICE_QUIET_SECONDS = 3600
    first = filed(crew)
    caught_up()
    assert not Notice.objects.exists()
    second = filed(crew, text=builders.definition(campaign="b"))
    settings.NOTICE_QUIET_SECONDS = 0
    caught_up()
    assert Notice.objects.get(recipient=crew.approver).things == [first.pk, second.pk]


def test_filing_by_two_people_makes_two_notices(crew, mailbox, caught_up):
    filing.file(builders.request(crew), by=crew.experimenter)
    filing.file(builders.request(crew, builders.definition(campaign="b")), by=crew.operator)
    caught_up()
    assert Notice.objects.filter(recipient=crew.approver).count() == 2


# --- Choices and digests -------------------------------------------------------------------------------------------


def test_none_is_none_and_a_digest_gathers_a_day_into_one_mail(crew, mailbox, caught_up):
    choosing.choose(crew.approver, kinds={"decide": "none"})
    choosing.choose(crew.experimenter, kinds={"decided": "digest"}, digest_hour=3, zone="America/Chicago")
    for n in range(3):
        row = filed(crew, text=builders.definition(campaign=f"c{n}"), title=f"number {n}")
        (deciding.approve if n else deciding.reject)(row, by=crew.approver, reason="a reason")
    caught_up()
    assert mailbox.mails == []
    assert not Notice.objects.filter(recipient=crew.approver).exists()
    digest = Message.objects.get()
    assert digest.digest_at == digest.due_at
    assert digest.digest_at.astimezone(ZoneInfo("America/Chicago")).hour == 3
    Message.objects.update(due_at="2020-01-01T00:00Z")
    caught_up()
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[POMS demo] Your day: 2 notices"
    assert "rejected" in mail.get_body(["plain"]).get_content()
    assert mail["References"] is None
    deciding.reject(filed(crew, text=builders.definition(campaign="z")), by=crew.approver, reason="a reason")
    caught_up()
    assert Message.objects.count() == 2, "what comes after a digest has gone out is in the next one"


def test_without_a_mail_server_notices_are_kept_and_said_to_be(crew, mailbox, caught_up, settings):
    from integrations.notices import outbox

    settings.MAIL_HOST = ""
    filed(crew)
    caught_up()
    row = Message.objects.get()
    assert (row.outcome, row.error, row.due_at) == ("kept", "no mail server is set", None)
    assert Notice.objects.filter(recipient=crew.approver).count() == 1
    assert outbox.try_again(Message.objects.all()) == 0
    settings.MAIL_HOST = "127.0.0.1"
    caught_up()
    assert mailbox.mails == [], "old mail does not go out by itself"
    assert outbox.try_again(Message.objects.all()) == 1
    caught_up()
    assert len(mailbox.mails) == 1


def test_who_has_no_address_finds_it_in_the_inbox_only(crew, mailbox, caught_up):
    User.objects.update(email="")
    filed(crew)
    caught_up()
    assert Notice.objects.filter(recipient=crew.approver).count() == 1
    assert not Message.objects.exists()


# --- The reader ----------------------------------------------------------------------------------------------------


def test_an_installation_that_begins_tells_nothing_of_what_was_before(crew, mailbox, caught_up):
    before = filed(crew)
    caught_up()
    Notice.objects.all().delete()
    LedgerPlace.objects.all().delete()
    notices.compose()
    after = filed(crew, text=builders.definition(campaign="b"))
    caught_up()
    assert [row.things for row in Notice.objects.filter(recipient=crew.approver)] == [[after.pk]], before.pk


def test_an_idle_pass_costs_a_few_statements_and_writes_nothing(crew, mailbox, caught_up):
    filed(crew)
    caught_up()
    place = LedgerPlace.objects.get()
    with CaptureQueriesContext(connection) as queries:
        assert notices.notify() == 0
    said = [entry["sql"] for entry in queries]
    assert len(said) <= 9, said
    assert not [sql for sql in said if sql.startswith(("INSERT", "UPDATE", "DELETE"))]
    assert LedgerPlace.objects.get().txid == place.txid


def test_a_token_that_ends_soon_is_told_once(crew, mailbox, caught_up):
    from datetime import timedelta

    from core.clock import now
    from experiments.logic import tokens

    token, _ = tokens.issue(crew.operator, "nightly", days=30)
    tokens.issue(crew.operator, "short", days=2)
    ApiToken.objects.filter(pk=token.pk).update(expires_at=now() + timedelta(days=3))
    ApiToken.objects.filter(pk=token.pk).update(created_at=now() - timedelta(days=27))
    for _ in range(2):
        LedgerPlace.objects.update(looked_at=None)
        caught_up()
    (notice,) = Notice.objects.filter(recipient=crew.operator)
    assert notice.subject.startswith("The token nightly (poms_")
