"""Live parts: rendered once for many readers, 304 where nothing changed, and never shared across permissions."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from django.contrib.sessions.backends.signed_cookies import SessionStore

from campaigns.models import Campaign
from poms_site.web import live
from poms_site.web.page import Page

PART = "web/_problems.html"
POLL = {"part": "live"}


def told(word):
    return {"problems": [{"field": "a", "message": word}]}


def test_many_readers_wait_for_one_rendering():
    made, readers = [], 24
    begin = threading.Barrier(readers)

    def make():
        made.append(1)
        time.sleep(0.1)
        return told("once")

    def read(_):
        begin.wait()
        return live.piece(("key",), PART, make)

    with ThreadPoolExecutor(readers) as pool:
        pieces = list(pool.map(read, range(readers)))
    assert len(made) == 1
    assert {piece.etag for piece in pieces} == {pieces[0].etag}
    assert "once" in pieces[0].html


def test_a_rendering_that_fails_is_tried_again_and_leaves_nothing_behind():
    def fail():
        raise ValueError("not now")

    for _ in range(3):
        with pytest.raises(ValueError, match="not now"):
            live.piece(("key",), PART, fail)
    assert not live._kept.locks
    assert "well" in live.piece(("key",), PART, lambda: told("well")).html


def test_each_key_and_each_template_has_its_own_part():
    live.piece(("one",), PART, lambda: told("one"))
    assert "two" in live.piece(("two",), PART, lambda: told("two")).html
    assert "one" in live.piece(("one",), PART, lambda: told("changed")).html
    assert live.piece(("one",), "web/_pager.html", lambda: {"list": None}).html.strip() == ""


def test_the_latest_parts_are_kept_and_no_more(monkeypatch):
    monkeypatch.setattr(live, "MOST_KEPT", 10)
    for n in range(20):
        live.piece((n,), PART, lambda: told("x"))
        live.shared((n,), 60, lambda n=n: n)
    assert len(live._kept.things) == 10
    assert len(live._kept.locks) <= 11
    assert live.shared((19,), 60, lambda: "anew") == 19
    assert live.shared((0,), 60, lambda: "anew") == "anew"


def test_what_is_remembered_is_made_again_after_its_time():
    made = iter(range(10))
    assert [live.shared("a", 60, lambda: next(made)) for _ in range(3)] == [0, 0, 0]
    assert [live.shared("b", 0.0, lambda: next(made)) for _ in range(2)] == [1, 2]
    live.shared("c", 0.05, lambda: next(made))
    time.sleep(0.06)
    assert live.shared("c", 0.05, lambda: next(made)) == 4


def test_what_was_made_from_something_else_is_of_no_use_and_is_replaced():
    made = iter(range(10))
    got = [live.shared("a", 60, lambda: next(made), made_from=source) for source in ("old", "old", "new", "new", "old")]
    assert got == [0, 0, 1, 1, 2]
    assert len(live._kept.things) == 1


def test_what_takes_long_is_made_anew_behind_the_readers_back():
    made, go_on, done = iter(range(10)), threading.Event(), threading.Event()

    def slow():
        assert go_on.wait(10)
        return next(made)

    def ask(make=slow, **more):
        return live.shared("key", 0.0, make, late=60, **more)

    go_on.set()
    assert ask() == 0, "who comes first waits"
    go_on.clear()
    assert [ask() for _ in range(5)] == [0] * 5, "it is begun once, and nobody waits"
    go_on.set()
    live._behind.submit(done.set)
    assert done.wait(10)
    live._behind.submit(lambda: None).result(10)
    assert ask(after=time.time()) >= 2, "one's own act is seen at once"
    assert ask(made_from="something else") >= 3


def test_what_cannot_be_made_anew_is_begun_again_by_the_next_reader(caplog):
    def fail():
        raise ValueError("the database is away")

    def ask(make):
        found = live.shared("key", 0.0, make, late=60)
        for _ in range(live.MOST_BEHIND):
            live._behind.submit(time.sleep, 0.05).result(10)
        return found

    assert ask(lambda: "old") == "old"
    assert ask(fail) == "old"
    assert "the database is away" in caplog.text
    assert ask(lambda: "new") == "old"
    assert ask(lambda: "newer") == "new"


def test_while_one_makes_it_anew_the_others_get_what_there_was_unless_they_changed_it():
    live.shared("key", 60, lambda: "old")
    began, go_on = threading.Event(), threading.Event()

    def slow():
        began.set()
        assert go_on.wait(10)
        return "new"

    with ThreadPoolExecutor(2) as pool:
        maker = pool.submit(live.shared, "key", 0.0, slow)
        assert began.wait(10)
        assert live.shared("key", 0.0, lambda: "never") == "old"
        changed = pool.submit(live.shared, "key", 60, lambda: "mine", after=time.time())
        time.sleep(0.05)
        assert not changed.done()
        go_on.set()
        assert (maker.result(10), changed.result(10)) == ("new", "mine")


@pytest.mark.django_db
def test_nobody_sees_the_state_from_before_their_own_act(world, cast, as_):
    campaign = world.own.objects["campaign"]
    address = f"/e/demo/campaigns/c{campaign.pk}/"
    shifter, other = as_(cast.shifter), as_(cast.experimenter)
    for reader in (shifter, other):
        assert "the disk is full" not in reader.get(address).content.decode()
    shifter.post(f"{address}release/", {"reason": "to hold it anew"})
    shifter.post(f"{address}hold/", {"reason": "the disk is full"})
    assert "the disk is full" in shifter.get(address).content.decode()


@pytest.mark.django_db
def test_a_poll_is_answered_304_until_something_changes(world, cast, as_, monkeypatch):
    client, campaign = as_(cast.experimenter), world.own.objects["campaign"]
    address = f"/e/demo/campaigns/c{campaign.pk}/"
    whole = client.get(address)
    first = client.get(address, POLL)
    assert (first.status_code, first["Cache-Control"]) == (200, "private, no-cache")
    assert first.content in whole.content
    assert b"<html" not in first.content
    again = client.get(address, POLL, headers={"If-None-Match": f'"other", {first["ETag"]}'})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    Campaign.objects.filter(pk=campaign.pk).update(name="renamed-meanwhile")
    assert client.get(address, POLL, headers={"If-None-Match": first["ETag"]}).status_code == 304
    monkeypatch.setattr(live, "FRESH_SECONDS", 0.0)
    changed = client.get(address, POLL, headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, b"renamed-meanwhile" in changed.content) == (200, True)


@pytest.mark.django_db
def test_a_part_is_asked_for_anew_where_the_address_asks_for_something_else(world, cast, as_):
    client, campaign = as_(cast.experimenter), world.own.objects["campaign"]
    address = f"/e/demo/campaigns/c{campaign.pk}/"
    by_files, by_jobs = (client.get(address, {"by": way, **POLL}) for way in ("files", "jobs"))
    assert by_files["ETag"] != by_jobs["ETag"]
    assert b'hx-get="?by=jobs&amp;part=live"' in client.get(address, {"by": "jobs"}).content


@pytest.mark.django_db
def test_two_people_with_different_permissions_never_share_a_part(world, cast, rf, settings, tmp_path):
    (tmp_path / "planted.html").write_text("{% if 'operate' in may %}<b>secret</b>{% else %}plain{% endif %}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [*settings.TEMPLATES[0]["DIRS"], tmp_path]}]
    made = []

    class Planted(Page):
        rules = {"get": "view"}

        def get(self, request, **kwargs):
            return self.live("base.html", "planted.html", lambda: {"n": made.append(1)}, {})

    def poll(user):
        request = rf.get("/planted/", POLL)
        request.user, request.session = user, SessionStore()
        return Planted.as_view()(request, experiment="demo")

    answers = [poll(cast.people[who]).content for who in ("operator", "shifter", "operator", "reviewer", "operator")]
    assert answers == [b"<b>secret</b>", b"plain", b"<b>secret</b>", b"plain", b"<b>secret</b>"]
    assert len(made) == 3  # one each for operator, shifter and reviewer
    assert poll(cast.guest).status_code == 403
    assert poll(cast.stranger).status_code == 404


@pytest.mark.django_db
def test_a_part_that_is_kept_is_closed_to_who_lost_the_permission(world, cast, as_):
    address = f"/e/demo/campaigns/c{world.own.objects['campaign'].pk}/"
    assert as_(cast.experimenter).get(address, POLL).status_code == 200
    assert as_(cast.guest).get(address, POLL).status_code == 403
    assert as_(cast.stranger).get(address, POLL).status_code == 404


@pytest.mark.django_db
def test_home_is_everybodys_own(world, cast, as_):
    mine = as_(cast.experimenter).get("/", POLL).content.decode()
    colleague = as_(cast.analyser).get("/", POLL).content.decode()
    stranger = as_(cast.stranger).get("/", POLL).content.decode()
    ref = world.own.ref("draft")
    assert ref in mine
    assert ref not in colleague
    assert world.other.ref("draft") in stranger
    assert "demo/" not in stranger


@pytest.mark.django_db
def test_home_follows_the_experiment_that_one_looks_at(world, cast, as_):
    client = as_(cast.supervisor)
    client.get("/switch/demo/")
    assert "/e/demo/campaigns/" in client.get("/", POLL).content.decode()
    client.get("/switch/other/")
    assert "all campaigns of other" in client.get("/", POLL).content.decode()


@pytest.mark.django_db
def test_a_poll_of_somebody_who_signed_out_leads_to_the_sign_in_page(world, client):
    campaign = world.own.ref("campaign").rpartition("/")[2]
    for url in ("/", "/e/demo/", "/e/demo/jobs/", "/e/demo/sites/", f"/e/demo/campaigns/{campaign}/"):
        answer = client.get(url, POLL)
        there = f"/sign-in/?next={quote(url, safe='')}"
        assert (answer.status_code, answer.headers["HX-Redirect"], answer.content) == (401, there, b""), url
