"""The inbox, the choices and the outbox as people see them."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.models import Transition
from integrations.models import Book, Desk, Message, Notice, Webhook
from integrations.notices import choosing, outbox
from integrations.notices.kinds import KINDS
from integrations.notices.outbox import Draft


def told(user, experiment, n=1, **values):
    """Tell somebody of so many things, one notice each."""
    made = []
    for _ in range(n):
        given = {
            "kind": "decide",
            "key": f"k{Notice.objects.count()}",
            "subject": "r1 waits",
            "link": "/e/demo/requests/r1/",
        }
        made += outbox.enter([Draft(user, experiment, **{**given, **values})])
    return made


# --- The inbox -----------------------------------------------------------------------------------------------------


def test_the_inbox_shows_ones_own_notices_and_the_frame_how_many_are_unread(cast, as_, text):
    told(
        cast.approver,
        cast.experiment,
        3,
        lines=[{"ref": "demo/r1", "title": "muons", "link": "/x/", "said": "please <b>"}],
    )
    page = as_(cast.approver).get("/notices/")
    assert "Notices 3 unread" in text(page)
    assert text(page).count("r1 waits") == 6  # once as a link, once in the label of its button
    assert "please &lt;b&gt;" in text(page)
    other = as_(cast.operator).get("/notices/")
    assert "r1 waits" not in text(other) and "unread" not in re.sub(
        r"<form class=\"filters.*?</form>", "", other.content.decode(), flags=re.S
    )
    assert "Nobody has told you anything yet" in text(other)


def test_what_one_may_no_longer_see_is_gone_from_the_inbox(cast, as_, text):
    told(cast.approver, cast.other)
    assert "r1 waits" not in text(as_(cast.approver).get("/notices/"))


def test_one_marks_ones_own_notices_as_read_and_nobody_elses(cast, as_):
    mine, theirs = told(cast.approver, cast.experiment, 2), told(cast.operator, cast.experiment)
    browser = as_(cast.approver)
    browser.post("/notices/", {"key": theirs[0].pk})
    assert Notice.objects.filter(read_at=None).count() == 3
    browser.post("/notices/", {"key": mine[0].pk})
    assert list(Notice.objects.exclude(read_at=None)) == [mine[0]]
    browser.post("/notices/", {"key": "1x"})
    assert Notice.objects.filter(read_at=None).count() == 2
    browser.post("/notices/")
    assert list(Notice.objects.filter(read_at=None)) == theirs


def test_a_long_inbox_is_cut_into_pages_and_costs_the_same(cast, as_, text):
    told(cast.approver, cast.experiment, 3)
    browser = as_(cast.approver)
    browser.get("/notices/")

    def cost():
        with CaptureQueriesContext(connection) as queries:
            page = browser.get("/notices/")
        return len(queries), page

    few, _ = cost()
    told(cast.approver, cast.experiment, 120)
    many, page = cost()
    assert many == few <= 16
    assert "99+" in text(page)
    older = re.search(r'href="(\?after=\d+)"', page.content.decode())[1]
    assert text(browser.get(f"/notices/{older}")).count("Mark as read") == 50


@pytest.mark.parametrize("query", ["unread=1", "kind=decide", "experiment=demo", "after=5"])
def test_the_inbox_can_be_narrowed(cast, as_, query):
    told(cast.approver, cast.experiment)
    assert as_(cast.approver).get(f"/notices/?{query}").status_code == 200


@pytest.mark.parametrize("query", ["unread=2", "kind=unheard", "after=x", "experiment=%00"])
def test_a_filter_that_cannot_be_is_refused(cast, as_, query):
    assert as_(cast.approver).get(f"/notices/?{query}").status_code == 422


# --- Choices --------------------------------------------------------------------------------------------------------


def test_choices_are_kept_and_shown(cast, as_, text):
    browser = as_(cast.operator)
    body = {
        "kind-decided": "none",
        "digest_hour": "17",
        "zone": "America/Chicago",
        "webhook": "https://hooks.example.org/x",
    }
    assert browser.post("/account/notices/", body).status_code == 303
    row = choosing.choices_of(cast.operator)
    assert (row.how("decided"), row.how("decide"), row.digest_hour, row.zone) == (
        "none",
        "at_once",
        17,
        "America/Chicago",
    )
    page = browser.get("/account/notices/").content.decode()
    assert re.search(r'name="kind-decided" value="none" checked', page)
    assert '<option value="17" selected>17:00</option>' in page
    hook = Webhook.objects.get()
    assert hook.secret in page
    browser.post("/account/notices/", {**body, "webhook": "https://hooks.example.org/y"})
    assert Webhook.objects.get().secret != hook.secret
    browser.post("/account/notices/", {**body, "webhook": ""})
    assert not Webhook.objects.exists()


def test_every_kind_stands_on_the_page_with_its_default(cast, as_):
    page = as_(cast.nobody).get("/account/notices/").content.decode()
    for kind in KINDS:
        assert f'name="kind-{kind.key}" value="{kind.default}" checked' in page


@pytest.mark.parametrize(
    "body",
    [{"kind-decided": "sometimes"}, {"zone": "Mars/Olympus"}, {"digest_hour": "24"}, {"digest_hour": "noon"},
     {"digest_hour": "99999999999999999999"}, {"webhook": "http://example.org"}, {"webhook": "https://" + "x" * 500},
     {"zone": "../../etc/passwd"}, {"webhook": "javascript:alert(1)"}],
)  # fmt: skip
def test_a_choice_that_cannot_be_is_refused_and_nothing_kept(cast, as_, body):
    answer = as_(cast.operator).post("/account/notices/", {"kind-decide": "none", **body})
    assert answer.status_code == 422
    assert "were not kept" in answer.content.decode()
    assert choosing.choices_of(cast.operator).how("decide") == "at_once"
    assert not Webhook.objects.exists()


def test_a_test_goes_to_the_inbox_and_out(cast, as_, text, settings):
    settings.MAIL_HOST = "mail.example.org"
    cast.operator.email = "operator@example.org"
    cast.operator.save()
    answer = as_(cast.operator).post("/account/notices/", {"test": "1"}, follow=True)
    assert "A test is in your inbox and goes out by mail." in text(answer)
    assert Message.objects.get().due_at is not None


# --- The outbox -----------------------------------------------------------------------------------------------------


def test_the_outbox_shows_what_became_of_messages_and_lets_them_be_tried_again(cast, as_, text, settings):
    settings.MAIL_HOST = "mail.example.org"
    cast.approver.email = "approver@example.org"
    cast.approver.save()
    told(cast.approver, cast.experiment)
    Message.objects.update(outcome="failed", error="550 no such user", due_at=None)
    browser = as_(cast.administrator)
    page = text(browser.get("/e/demo/outbox/"))
    assert "refused for good" in page and "550 no such user" in page and "Try again what did not go out" in page
    assert "550" not in text(browser.get("/e/other/outbox/"))
    assert browser.post("/e/demo/outbox/", {"do": "again"}).status_code == 303
    row = Message.objects.get()
    assert (row.outcome, row.tries) == ("", 0) and row.due_at is not None


def test_a_digest_shows_only_what_is_about_this_experiment(cast, as_, text, settings):
    settings.MAIL_HOST = "mail.example.org"
    cast.supervisor.email = "s@example.org"
    cast.supervisor.save()
    choosing.choose(cast.supervisor, kinds={"decide": "digest"})
    told(cast.supervisor, cast.experiment, subject="about demo")
    told(cast.supervisor, cast.other, subject="about other")
    page = text(as_(cast.administrator).get("/e/demo/outbox/"))
    assert "about demo" in page and "about other" not in page


def test_without_a_mail_server_the_pages_say_so(cast, as_, text):
    assert "No mail server is set" in text(as_(cast.administrator).get("/e/demo/outbox/"))
    assert "No mail server is set" in text(as_(cast.operator).get("/account/notices/"))


def test_administrators_set_webhook_and_desk_with_a_reason_that_is_kept(cast, as_):
    browser = as_(cast.administrator)
    body = {"do": "webhook", "url": "https://hooks.example.org/demo", "reason": "our chat"}
    assert browser.post("/e/demo/outbox/", {**body, "reason": ""}).status_code == 422
    assert not Webhook.objects.exists()
    assert browser.post("/e/demo/outbox/", body).status_code == 303
    assert Webhook.objects.get(experiment=cast.experiment).url == body["url"]
    body = {
        "do": "desk",
        "desk_url": "https://lab.service-now.com",
        "credential": "snow",
        "group": "ops",
        "reason": "we use it",
    }
    assert browser.post("/e/demo/outbox/", body).status_code == 303
    assert Desk.objects.get(experiment=cast.experiment).credential == "snow"
    body = {
        "do": "book",
        "book_url": "https://dbweb.example.gov/ECL/demo/E",
        "credential": "ecl",
        "category": "Production",
        "reason": "we use it",
    }
    assert browser.post("/e/demo/outbox/", body).status_code == 303
    assert Book.objects.get(experiment=cast.experiment).category == "Production"
    verbs = ["set_webhook", "set_desk", "set_logbook"]
    assert Transition.objects.filter(kind="experiment", verb__in=verbs).count() == 3


@pytest.mark.parametrize(
    "body",
    [{}, {"do": "nothing"}, {"do": "webhook", "url": "http://10.0.0.1/"}, {"do": "desk", "desk_url": "https://x", "credential": "user:pw"},
     {"do": "desk", "desk_url": "ftp://x", "credential": "c"}, {"do": "desk", "desk_url": "https://x"},
     {"do": "book", "book_url": "https://x", "credential": "ecl"}],
)  # fmt: skip
def test_what_cannot_be_set_is_refused_and_stays_as_it_was_typed(cast, as_, body):
    answer = as_(cast.administrator).post("/e/demo/outbox/", {"reason": "to try", **body})
    assert answer.status_code == 422
    if len(body) > 1:
        assert "to try" in answer.content.decode()
    assert not Webhook.objects.exists() and not Desk.objects.exists() and not Book.objects.exists()
