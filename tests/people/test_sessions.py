"""Sessions: how long they last, what ends them, what becomes of a form that comes too late; tries, banner, account."""

from __future__ import annotations

import html
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from approvals.models import Request
from core.clock import now, shifted
from core.models import Transition
from experiments.logic import sessions as ledger
from experiments.logic import tokens
from experiments.models import ApiToken, Consent, SignInTally
from poms_site import sessions
from tests import builders

pytestmark = pytest.mark.django_db


def entered(name: str = "operator", **more: Any) -> Client:
    """Return a browser in which somebody has signed in by the form."""
    client = Client(**more)
    assert client.post("/sign-in/", {"username": name, "password": "x"}).status_code == 303
    return client


def text(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def steps(**wanted: Any) -> list[tuple[str, str]]:
    rows = Transition.objects.filter(kind="session", **wanted).order_by("id")
    return [(step.verb, step.actor) for step in rows]


# --- How long -------------------------------------------------------------------------------------------------------


def test_a_session_ends_after_eight_hours_whatever_is_done(cast):
    client = entered()
    for minutes in range(0, 480, 20):
        with shifted(timedelta(minutes=minutes)):
            assert client.get("/account/").status_code == 200, minutes
    with shifted(timedelta(hours=8, minutes=1)):
        answer = client.get("/account/")
        assert answer.headers["Location"] == "/sign-in/?next=%2Faccount%2F&ended=time"
        page = text(client.get(answer.headers["Location"]))
    assert "You were signed out after 8 hours, as every session is. Sign in again, and you come back" in page
    assert steps() == [("sign_in", "user:operator"), ("sign_out", "user:operator")]


def test_a_session_ends_after_half_an_hour_without_a_person(cast):
    client = entered()
    with shifted(timedelta(minutes=29)):
        assert client.get("/account/").status_code == 200
    with shifted(timedelta(minutes=58)):
        assert client.get("/account/").status_code == 200
    with shifted(timedelta(minutes=89)):
        answer = client.get("/account/")
    assert "ended=idle" in answer.headers["Location"]
    assert "after 30 minutes in which you did nothing" in text(client.get(answer.headers["Location"]))


def test_a_page_that_renews_itself_keeps_no_session_alive(cast):
    client = entered()
    for minutes in range(0, 30, 5):
        with shifted(timedelta(minutes=minutes)):
            assert client.get("/e/demo/jobs/?part=live").status_code == 200
    with shifted(timedelta(minutes=31)):
        answer = client.get("/e/demo/jobs/?part=live&state=failed")
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in/?next=%2Fe%2Fdemo%2Fjobs%2F%3Fstate%3Dfailed&ended=idle"


def test_the_limits_are_settings(cast, settings):
    settings.SESSION_HOURS, settings.SESSION_IDLE_MINUTES = 1.0, 2.0
    client = entered()
    with shifted(timedelta(minutes=3)):
        answer = client.get("/account/")
    assert "after 2 minutes" in text(client.get(answer.headers["Location"]))


def test_the_api_and_the_admin_obey_the_same_limits(cast):
    api, admin = entered("administrator"), entered("administrator")
    with shifted(timedelta(minutes=31)):
        assert api.get("/api/v1/me/").status_code in (401, 403)
        assert admin.get("/admin/").headers["Location"] == "/sign-in/?next=%2Fadmin%2F&ended=idle"


def test_a_session_from_before_the_limits_gets_a_beginning(cast):
    client = Client()
    client.force_login(cast.operator)
    assert client.get("/account/").status_code == 200
    assert client.session[sessions.BEGAN] == pytest.approx(now().timestamp(), abs=60)
    with shifted(timedelta(minutes=31)):
        assert client.get("/account/").status_code == 302


def test_somebody_signs_out_everywhere_and_comes_back_in(cast):
    here, there = entered(), entered()
    theirs = entered("shifter")
    _, secret = tokens.issue(cast.operator, "cron")
    answer = here.post("/account/sign-out-everywhere/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in/?ended=everywhere")
    gone = there.get("/account/")
    assert gone.headers["Location"] == "/sign-in/?next=%2Faccount%2F&ended=everywhere"
    assert here.get("/account/").status_code == 302
    assert theirs.get("/account/").status_code == 200
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.get("/api/v1/me/").status_code == 200
    with shifted(timedelta(seconds=1)):
        again = entered()
        assert again.get("/account/").status_code == 200
    assert ("sign_out_everywhere", "user:operator") in steps()


# --- What was typed -------------------------------------------------------------------------------------------------


def late(cast: Any, name: str = "experimenter") -> tuple[Client, str, dict[str, str]]:
    """Somebody types for an hour, then sends."""
    client = entered(name)
    typed = {"title": "what took an hour to write <b>", "production_stage": "mc", "definition": builders.definition()}
    with shifted(timedelta(minutes=60)):
        answer = client.post("/e/demo/requests/new/", typed)
    assert answer.status_code == 302
    return client, answer.headers["Location"], typed


def test_a_form_that_comes_too_late_is_kept_and_sent_again(cast):
    builders.login_setup(cast)
    client, where, typed = late(cast)
    assert "What you typed is kept" in text(client.get(where))
    assert not Request.objects.exists()
    with shifted(timedelta(minutes=61)):
        answer = client.post(
            "/sign-in/", {"username": "experimenter", "password": "x", "next": "/e/demo/requests/new/"}
        )
        assert answer.headers["Location"] == "/continue/"
        page = client.get("/continue/").content.decode()
        assert "what took an hour to write &lt;b&gt;" in page
        assert 'action="/e/demo/requests/new/"' in page
        sent = {name: html.unescape(a or b) for name, a, b in
                re.findall(r'name="(\w+)" (?:rows="10">\n(.*?)</textarea>|value="(.*?)">)', page, re.DOTALL)
                if name in typed}  # fmt: skip
        assert sent == typed
        assert client.post("/e/demo/requests/new/", sent).status_code == 303
        assert Request.objects.get().title == typed["title"]
        assert "Nothing is kept here" in text(client.get("/continue/"))


def test_what_one_person_typed_is_shown_to_nobody_else(cast):
    client, _where, _ = late(cast)
    assert client.post("/sign-in/", {"username": "operator", "password": "x"}).headers["Location"] == "/"
    page = client.get("/continue/").content.decode()
    assert "an hour" not in page
    assert "Nothing is kept here" in page


def test_it_can_be_left_and_a_password_is_never_kept(cast):
    client, _where, _ = late(cast)
    assert client.post("/sign-in/", {"username": "experimenter", "password": "x"}).headers["Location"] == "/continue/"
    assert client.post("/continue/").status_code == 303
    assert "Nothing is kept here" in text(client.get("/continue/"))
    other = entered()
    with shifted(timedelta(hours=1)):
        other.post("/account/tokens/", {"name": "x", "password": "secret word", "csrfmiddlewaretoken": "t"})
    kept = str(Session.objects.order_by("-expire_date").first().get_decoded())
    assert "secret word" not in "".join(str(row.get_decoded()) for row in Session.objects.all())
    assert kept


def test_more_than_can_be_kept_is_said(cast):
    client = entered("experimenter")
    with shifted(timedelta(hours=1)):
        client.post("/e/demo/requests/new/", {"title": "x", "definition": "y" * (sessions.MOST_KEPT + 1)})
    assert client.post("/sign-in/", {"username": "experimenter", "password": "x"}).headers["Location"] == "/continue/"
    assert "were not kept" in text(client.get("/continue/"))


def test_a_form_from_another_site_is_not_kept(cast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.experimenter)
    client.get("/account/")
    with shifted(timedelta(hours=1)):
        answer = client.post("/e/demo/requests/new/", {"title": "forged"})
    assert answer.status_code == 403
    assert "forged" not in "".join(str(row.get_decoded()) for row in Session.objects.all())


# --- Tries ----------------------------------------------------------------------------------------------------------


def wrong(client: Client, name: str = "operator", **more: Any) -> Any:
    return client.post("/sign-in/", {"username": name, "password": "not this"}, **more)


def test_after_too_many_tries_none_is_looked_at(cast, client, settings):
    settings.SIGN_IN_TRIES = 3
    assert [wrong(client).status_code for _ in range(3)] == [422] * 3
    blocked = client.post("/sign-in/", {"username": "Operator ", "password": "x"})
    assert blocked.status_code == 429
    assert 1 <= int(blocked.headers["Retry-After"]) <= 15 * 60
    assert "Too many tries" in text(blocked)
    assert client.post("/sign-in/", {"username": "shifter", "password": "x"}).status_code == 303
    with shifted(timedelta(minutes=16)):
        assert client.post("/sign-out/").status_code == 303
        assert client.post("/sign-in/", {"username": "operator", "password": "x"}).status_code == 303


def test_one_address_tries_many_names(cast, settings):
    settings.SIGN_IN_TRIES = 2
    client = Client(REMOTE_ADDR="10.0.0.1")
    answers = [wrong(client, f"name{number}").status_code for number in range(12)]
    assert answers == [422] * 10 + [429] * 2
    assert wrong(Client(REMOTE_ADDR="10.0.0.2"), "name0").status_code == 422
    forged = wrong(client, "name77", headers={"X-Forwarded-For": "10.0.0.3"})
    assert forged.status_code == 429


def test_behind_a_trusted_proxy_the_forwarded_address_counts(cast, settings):
    settings.SIGN_IN_TRIES, settings.TRUSTED_PROXIES = 1, ["10.9.0.0/16"]
    client = Client(REMOTE_ADDR="10.9.0.1")
    for number in range(5):
        wrong(client, f"a{number}", headers={"X-Forwarded-For": "forged, 192.0.2.1, 10.9.0.2"})
    assert wrong(client, "b", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
    assert wrong(client, "c", headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 422


def test_only_wrong_tries_add_up(cast, settings):
    settings.SIGN_IN_TRIES = 3
    for _ in range(20):
        entered()
    assert not SignInTally.objects.filter(tries__gt=0).exists()


@pytest.mark.django_db(transaction=True)
def test_a_hundred_at_once_are_counted_as_a_hundred(real_cast, settings):
    settings.SIGN_IN_TRIES = 7
    waits: list[float] = []

    def guess() -> None:
        for _ in range(10):
            waits.append(ledger.count_try("operator", "10.0.0.1"))
        connection.close()

    threads = [threading.Thread(target=guess) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not wait for wait in waits) == 7


def test_refusals_are_in_the_ledger_and_no_word_of_what_was_typed(cast, client):
    wrong(client)
    wrong(client, "my secret password in the wrong field")
    wrong(client, "a\0b")
    assert steps() == [("refuse", "user:operator"), ("refuse", "nobody"), ("refuse", "nobody")]
    assert not Transition.objects.filter(reason__contains="secret password").exists()
    assert not SignInTally.objects.filter(key__contains="secret").exists()


def test_coming_and_going_is_in_the_ledger_with_the_address(cast):
    client = entered(REMOTE_ADDR="192.0.2.7")
    client.post("/sign-out/")
    client.post("/sign-out/")
    assert steps() == [("sign_in", "user:operator"), ("sign_out", "user:operator")]
    assert "192.0.2.7" in Transition.objects.filter(kind="session").first().reason


@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example"])
def test_next_leads_nowhere_else(cast, client, evil):
    answer = client.post("/sign-in/", {"username": "operator", "password": "x", "next": evil})
    assert answer.headers["Location"] == "/"


# --- The banner -----------------------------------------------------------------------------------------------------


@pytest.fixture
def banner(settings) -> str:
    settings.CONSENT_TEXT = "This is a computer of the laboratory.\n\nUse is <watched>."
    return ledger.banner()


def test_nothing_is_seen_before_the_banner_is_accepted(cast, banner):
    client = entered()
    answer = client.get("/e/demo/jobs/?state=failed")
    assert answer.headers["Location"] == "/consent/?next=%2Fe%2Fdemo%2Fjobs%2F%3Fstate%3Dfailed"
    for url in ("/", "/account/", "/admin/", "/docs/", "/search/?q=x", "/style/"):
        assert client.get(url).headers["Location"].startswith("/consent/"), url
    assert client.post("/account/tokens/", {"name": "x", "days": 1}).status_code == 302
    assert client.get("/e/demo/jobs/?part=live").headers["HX-Redirect"] == "/consent/"
    refused = client.get("/api/v1/me/")
    assert (refused.status_code, "Accept the terms" in refused.json()["detail"]) == (403, True)
    assert client.get("/api/v1/me/", headers={"Authorization": "Basic eDp5"}).status_code == 403
    assert client.get("/api/v1/me/", headers={"Authorization": "Bearer x"}).status_code == 401
    page = client.get("/consent/").content.decode()
    assert "Use is &lt;watched&gt;." in page
    assert 'class="side"' not in page
    assert not ApiToken.objects.exists()


def test_accepting_is_kept_with_time_text_and_address(cast, banner):
    client = entered(REMOTE_ADDR="192.0.2.7")
    answer = client.post("/consent/", {"version": banner, "next": "/account/"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/")
    kept = Consent.objects.get()
    assert (kept.user, kept.version, kept.address) == (cast.operator, banner, "192.0.2.7")
    assert ("accept", "user:operator") in steps()
    assert client.get("/account/").status_code == 200
    client.post("/sign-out/")
    assert entered().get("/account/").status_code == 302  # each session anew


def test_what_was_not_shown_is_not_accepted(cast, banner, settings):
    client = entered()
    settings.CONSENT_TEXT = "Another text."
    assert client.post("/consent/", {"version": banner}).headers["Location"] == "/consent/"
    assert not Consent.objects.exists()
    assert client.post("/consent/", {"version": ledger.banner(), "next": "//evil.example"}).headers["Location"] == "/"
    settings.CONSENT_TEXT = "A third."
    assert client.get("/account/").headers["Location"].startswith("/consent/")


def test_ways_out_stay_open_and_tokens_keep_which_text_was_accepted(cast, banner):
    client = entered()
    assert client.post("/sign-out/").status_code == 303
    client = entered()
    client.post("/consent/", {"version": banner})
    assert client.post("/account/tokens/", {"name": "cron", "days": 5}).status_code == 201
    assert ApiToken.objects.get().consent == banner
    _, secret = tokens.issue(cast.operator, "old")
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert api.get("/api/v1/me/").status_code == 200
    assert Client().get("/docs/").status_code == 200


# --- Your account, and the foot of each page ------------------------------------------------------------------------


def test_a_token_is_made_on_the_page_and_shown_once(cast):
    client = entered()
    answer = client.post("/account/tokens/", {"name": "cron", "days": "7", "scopes": ["read"], "experiments": ["demo"]})
    assert answer.status_code == 201
    assert "no-store" in answer.headers["Cache-Control"]
    secret = re.search(r"poms_[\w-]{40,}", answer.content.decode())[0]
    assert tokens.holder(secret) == cast.operator
    page = client.get("/account/").content.decode()
    assert secret not in page
    assert "only in demo" in page
    made = ApiToken.objects.get(name="cron")
    assert made.permissions == ["view", "view_overview"]
    assert client.post("/account/tokens/revoke/", {"token": made.pk}).status_code == 303
    assert tokens.holder(secret) is None


@pytest.mark.parametrize(("body", "says"), [
    ({"name": "", "days": 7}, "required"), ({"name": "x", "days": 0}, "greater than or equal to 1"),
    ({"name": "x", "days": 91}, "less than or equal to 90"), ({"name": "x", "days": "soon"}, "whole number"),
    ({"name": "x", "days": 7, "scopes": ["king"]}, "king is not one"),
    ({"name": "x", "days": 7, "experiments": ["other"]}, "other is not one"),
    ({"name": "x", "days": 7, "account": "nightly@other"}, "Select a valid choice"), ({"name": "  ", "days": 7}, "required"),
])  # fmt: skip
def test_a_token_that_cannot_be_made_is_explained_beside_its_field(cast, body, says):
    answer = entered().post("/account/tokens/", body)
    assert (answer.status_code, says in answer.content.decode()) == (422, True)
    assert not ApiToken.objects.exists()


def test_the_page_makes_tokens_for_service_accounts_of_ones_own(cast):
    builders.service_account(cast, owner=cast.operator)
    client = entered()
    assert "nightly@demo" in client.get("/account/").content.decode()
    client.post("/account/tokens/", {"name": "cron", "days": 7, "account": "nightly@demo"})
    assert ApiToken.objects.get().user.username == "nightly@demo"
    assert "nightly@demo" not in entered("shifter").get("/account/").content.decode()


def test_nobody_revokes_what_is_not_theirs(cast):
    token, _ = tokens.issue(cast.shifter, "theirs")
    for given in (str(token.pk), "", "x", "-1", "9" * 30, "\u0663"):
        assert entered().post("/account/tokens/revoke/", {"token": given}).status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None


def test_the_foot_names_what_the_installation_has(cast, client, settings):
    assert "Privacy" not in client.get("/sign-in/").content.decode()
    assert client.get("/.well-known/security.txt").status_code == 404
    settings.PRIVACY_URL, settings.INCIDENT_CONTACT = "https://example.org/privacy", "security@example.org"
    settings.SECURITY_TXT = "Contact: mailto:security@example.org"
    page = client.get("/sign-in/").content.decode()
    assert 'href="https://example.org/privacy"' in page
    assert 'href="mailto:security@example.org"' in page
    answer = client.get("/.well-known/security.txt")
    assert (answer.content, answer.headers["Content-Type"]) == (
        b"Contact: mailto:security@example.org\n", "text/plain; charset=utf-8"
    )  # fmt: skip
