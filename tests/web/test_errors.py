"""What goes wrong is answered by a page that says so, with the headers that keep strangers' code out."""

from __future__ import annotations

import re

import pytest
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from django.test import Client

from experiments.logic import tokens
from poms_site.web import errors
from poms_site.web.home import HomePage, StylePage

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser():
    """Somebody's browser that nobody signed in, and that sends the tokens of forms or does not."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.mark.parametrize(
    "address",
    ["/nowhere/", "/e/demo/nowhere/", "/e/demo/campaigns/c0/", "/e/demo/jobs/j01/", "/docs/nosuch/", "/apix/", "/e//"],
)
def test_an_address_that_nothing_serves_is_answered_by_a_page(cast, as_, browser, text, address):
    for client in (as_(cast.experimenter), browser):
        answer = client.get(address)
        if answer.status_code == 302:  # a campaign by its name: one signs in first
            assert client is browser
            continue
        assert answer.status_code == 404, address
        assert "Nothing here" in text(answer)
        assert b"<html" in answer.content


def test_a_method_that_a_page_does_not_serve_is_refused(cast, as_):
    client = as_(cast.operator)
    for method, address in (("post", "/"), ("put", "/e/demo/"), ("delete", "/e/demo/campaigns/"), ("patch", "/style/")):
        answer = getattr(client, method)(address)
        assert (answer.status_code, answer["Allow"]) == (405, "GET"), address
    assert as_(cast.operator).head("/").status_code == 200


# --- Forms that are not ours ------------------------------------------------------------------------------------


def test_a_form_without_its_token_is_refused_with_what_to_do(cast, world, browser, text):
    browser.force_login(cast.operator)
    campaign = world.own.objects["campaign"]
    answer = browser.post(f"/e/demo/campaigns/c{campaign.pk}/cancel/", {"reason": "x"})
    assert answer.status_code == 403
    assert "nothing was changed. Go back, load the page again and repeat it." in text(answer)
    campaign.refresh_from_db()
    assert campaign.state != "cancelled"
    page = browser.get(f"/e/demo/campaigns/c{campaign.pk}/cancel/").content.decode()
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)[1]
    sent = {"reason": "x", "csrfmiddlewaretoken": token}
    assert browser.post(f"/e/demo/campaigns/c{campaign.pk}/cancel/", sent).status_code == 303


# --- Ours to blame ----------------------------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """Let the home page and the page of components fail as they are told."""

    def by(error):
        def get(self, request, **kwargs):
            raise error

        for page in (HomePage, StylePage):
            monkeypatch.setattr(page, "get", get)

    return by


def test_a_mistake_of_ours_is_said_from_memory(cast, as_, broken, text, monkeypatch):
    broken(ValueError("secret of the inside"))
    client = as_(cast.experimenter)
    monkeypatch.setattr("django.template.loader.render_to_string", None)  # templates may be what is broken
    for address in ("/", "/style/", "/?part=live"):
        answer = client.get(address)
        assert answer.status_code == 500
        assert "POMS made a mistake" in text(answer)
        assert f"Request {answer['X-Request-Id']}" in text(answer)
        assert "secret" not in text(answer)
        assert "Traceback" not in text(answer)
        assert "Retry-After" not in answer


@pytest.fixture
def away(monkeypatch):
    """Let the database be away: every statement fails as it does then."""

    def now():
        def execute(self, sql, params=None):
            raise OperationalError("server closed the connection: password=hunter2")

        monkeypatch.setattr(CursorWrapper, "execute", execute)

    return now


def test_a_database_that_is_away_is_said_from_memory(world, cast, as_, away, text):
    client = as_(cast.experimenter)
    key = world.own.ref("campaign").rpartition("/")[2]
    away()
    for address in (
        "/",
        "/e/demo/",
        f"/e/demo/campaigns/{key}/",
        f"/e/demo/campaigns/{key}/?part=live",
        "/nowhere/",
        "/search/?q=x",
    ):
        answer = client.get(address)
        assert answer.status_code == 503, address
        assert answer["Retry-After"] == "5"
        assert "Not available now" in text(answer)
        assert f"Request {answer['X-Request-Id']}" in text(answer)
        assert "hunter2" not in text(answer)
    assert client.post(f"/e/demo/campaigns/{key}/cancel/", {"reason": "x"}).status_code == 503


def test_the_api_gets_a_document_where_a_person_gets_a_page(world, cast, away):
    _, secret = tokens.issue(cast.experimenter, "test")
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})
    away()
    for address in ("/api/v1/campaigns/", "/api/v1/me/"):
        answer = client.get(address)
        assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (
            503,
            "application/problem+json",
            "5",
        )
        assert answer.json()["title"]
        assert "hunter2" not in answer.content.decode()


def test_an_error_outside_any_view_is_answered_in_the_callers_form(rf):
    for away, status in ((ValueError("x"), 500), (OperationalError("x"), 503)):
        try:
            raise away
        except type(away):
            page, document = errors.broken(rf.get("/e/demo/")), errors.broken(rf.get("/api/v1/me/"))
        assert (page.status_code, document.status_code) == (status, status)
        assert page["Content-Type"].startswith("text/html")
        assert document["Content-Type"] == "application/problem+json"
        assert ("Retry-After" in page) == ("Retry-After" in document) == (status == 503)


# --- Headers ----------------------------------------------------------------------------------------------------


def test_every_answer_forbids_strangers_code_and_frames(world, cast, as_, browser, broken):
    client = as_(cast.guest)
    answers = [
        client.get("/"), client.get("/e/demo/"), client.get("/nowhere/"), client.get("/e/demo/campaigns/"),
        client.get("/docs/"), client.get("/?part=live"), browser.get("/sign-in/"), browser.post("/sign-in/"),
    ]  # fmt: skip
    broken(ValueError("x"))
    answers.append(client.get("/"))
    assert {answer.status_code for answer in answers} == {200, 403, 404, 500}
    for answer in answers:
        policy = dict(rule.strip().split(" ", 1) for rule in answer["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'self'",) * 3
        assert (policy["frame-ancestors"], policy["object-src"]) == ("'none'", "'none'")
        assert (policy["form-action"], policy["base-uri"]) == ("'self'", "'self'")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Referrer-Policy"] == "same-origin"
        assert answer["X-Request-Id"]


def test_no_page_has_script_or_style_of_its_own(world, cast, as_):
    client = as_(cast.operator)
    keys = {
        name: world.own.ref(name).rpartition("/")[2] for name in world.own.objects if name not in ("jobtype", "setup")
    }
    for address in (
        "/", "/style/", "/search/?q=tiny", "/e/demo/", "/e/demo/requests/", f"/e/demo/requests/{keys['draft']}/",
        "/e/demo/requests/new/", "/e/demo/campaigns/", f"/e/demo/campaigns/{keys['campaign']}/", "/e/demo/jobs/",
        f"/e/demo/jobs/{keys['job']}/", f"/e/demo/batches/{keys['live']}/", f"/e/demo/submissions/{keys['running']}/",
        f"/e/demo/campaigns/{keys['campaign']}/history/", "/e/demo/files/", "/e/demo/sites/", "/nowhere/",
    ):  # fmt: skip
        page = client.get(address).content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), address
        assert not re.search(r"<[^>]+\son\w+=", page), address
        assert not re.search(r"<[^>]+\sstyle=|<style|javascript:", page), address


# --- Signing in and out -------------------------------------------------------------------------------------------

FAIR = {"username": "experimenter", "password": "x"}


@pytest.mark.parametrize(
    ("wanted", "led"),
    [
        ("/e/demo/jobs/?state=held", "/e/demo/jobs/?state=held"), ("http://testserver/e/demo/", "http://testserver/e/demo/"),
        ("https://evil.example/", "/"), ("//evil.example/", "/"), ("http:///evil.example", "/"), ("///evil.example", "/"),
        ("\\\\evil.example", "/"), ("/\\evil.example", "/"), ("javascript:alert(1)", "/"), ("data:text/html,x", "/"),
        ("http://testserver@evil.example/", "/"), ("http://testserver.evil.example/", "/"), ("ftp://testserver/", "/"),
        ("\thttps://evil.example", "/"), ("", "/"),
    ],
)  # fmt: skip
def test_signing_in_leads_to_this_host_only(cast, wanted, led):
    for sent in (
        lambda c: c.post("/sign-in/", {**FAIR, "next": wanted}),
        lambda c: c.post(f"/sign-in/?next={wanted}", FAIR),
    ):
        client = Client()
        answer = sent(client)
        if "?" in wanted and answer["Location"] != led:
            continue  # a query within a query is the first one's
        assert (answer.status_code, answer["Location"]) == (303, led)
        again = client.get("/sign-in/", {"next": wanted})
        assert (again.status_code, again["Location"]) == (302, led)


def test_a_wrong_password_is_refused_without_saying_what_was_wrong(cast, text):
    answers = [
        Client().post("/sign-in/", {**FAIR, **wrong, "next": "/e/demo/"})
        for wrong in ({"password": "y"}, {"username": "nosuch"}, {"username": "a\0b"}, {"username": ""})
    ]
    assert [answer.status_code for answer in answers] == [422] * 4
    said = [" ".join(re.findall(r'role="alert">.*?</p>', a.content.decode(), re.DOTALL)) for a in answers[:2]]
    assert said[0] == said[1] != ""
    assert 'value="/e/demo/"' in answers[0].content.decode()
    assert all("sessionid" not in answer.cookies for answer in answers)


def test_somebody_who_is_no_longer_active_cannot_sign_in(cast):
    cast.experimenter.is_active = False
    cast.experimenter.save()
    assert Client().post("/sign-in/", FAIR).status_code == 422


def test_the_session_has_another_key_after_signing_in(cast):
    client = Client()
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    client.cookies["sessionid"] = planted = session.session_key
    assert client.post("/sign-in/", FAIR).status_code == 303
    assert client.cookies["sessionid"].value not in ("", planted)
    old = Client()
    old.cookies["sessionid"] = planted
    assert old.get("/").status_code == 302


def test_signing_out_is_done_by_a_form_only(cast, as_):
    client = as_(cast.experimenter)
    assert client.get("/sign-out/").status_code == 405
    assert client.get("/").status_code == 200
    answer = client.post("/sign-out/")
    assert (answer.status_code, answer["Location"]) == (303, "/sign-in/")
    assert client.get("/").status_code == 302
    assert Client().post("/sign-out/").status_code == 303


def test_the_sign_in_page_is_kept_by_nobody(cast):
    assert "no-store" in Client().get("/sign-in/")["Cache-Control"]


def test_demo_accounts_are_shown_only_where_the_installation_names_them(cast, settings, tmp_path):
    settings.DEMO_ACCOUNTS = None
    assert b"Demo accounts" not in Client().get("/sign-in/").content
    file = tmp_path / "demo.json"
    settings.DEMO_ACCOUNTS = file
    assert b"Demo accounts" not in Client().get("/sign-in/").content
    file.write_text('{"users": {"approver": {"username": "anna", "password": "pa&ss", "token": "tok"}}}')
    page = Client().get("/sign-in/").content.decode()
    assert "<code>anna</code>" in page
    assert "pa&amp;ss" in page
    assert "tok<" not in page
