"""A request from the form to a place in the queue, without a mouse: tried, returned, mended, approved, cloned, joined."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.e2e.browsing import Keys, Person, sign_in
from tests.e2e.conftest import OpenContext
from tests.e2e.running import Site
from tests.e2e.world import World

pytestmark = pytest.mark.e2e
PATIENCE = 120.0
TITLE = "Two thousand dimuons"


@pytest.fixture
def keys(produced: World, person: Person) -> Keys:
    person.go("/sign-in/")
    return Keys(person.page)


def _dialog(keys: Keys, name: str, within: str = "") -> None:
    keys.tab_to(name, within)
    keys.press("Enter")
    expect(keys.page.locator("dialog")).to_be_visible()


def _open(keys: Keys, title: str) -> None:
    keys.follow("^requests$")
    keys.follow(title)


def test_an_experimenter_asks_by_a_template_and_sees_what_it_comes_to(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    keys.follow("^requests$")
    keys.follow("^new request$")
    keys.follow("^z to two muons, from a number of events$", ".begin")
    keys.tab_to("^title")
    keys.type(TITLE)
    look = page.locator("#look")
    expect(look).to_contain_text("leaves the events to the request")
    keys.tab_to("events to generate")
    keys.type("2000")
    expect(look).to_contain_text("Saved")
    expect(look.locator("dl.kv")).to_contain_text("events2")
    expect(look).not_to_contain_text("leaves the events to the request")
    keys.follow("^keep as a draft$")
    expect(page.locator("h1")).to_contain_text("draft")
    expect(page.locator("#checks")).to_contain_text("complete and acyclic")


def test_what_one_was_typing_is_there_the_next_time(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    person.go("/e/demo/requests/new/?template=dimuon")
    keys.tab_to("^title")
    keys.type("not finished yet")
    expect(page.locator("#look")).to_contain_text("Saved")
    person.go("/e/demo/requests/new/")
    keys.follow("what you had begun: not finished yet")
    expect(page.locator("#id_title")).to_have_value("not finished yet")
    person.go("/e/demo/requests/new/")
    keys.tab_to("^throw away$")
    keys.enter()
    expect(page.locator(".begin")).not_to_contain_text("not finished yet")


def test_a_test_run_measures_it(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    _open(keys, TITLE)
    where = page.url
    _dialog(keys, "^test run")
    keys.follow("^test run$", "dialog")
    expect(page.locator("h1")).to_contain_text("-test-1")
    deadline = time.monotonic() + PATIENCE
    page.goto(where)
    while "succeeded" not in page.locator("#test-run").inner_text():
        assert time.monotonic() < deadline, page.locator("#test-run").inner_text()
        time.sleep(1)
        page.reload()
    expect(page.locator("#test-run")).to_contain_text("time per input")
    expect(page.locator("#cost")).to_contain_text("by the test run")
    expect(page.locator("#cost")).to_contain_text("ends")
    _dialog(keys, "^file for approval")
    keys.follow("^file for approval$", "dialog")
    expect(page.locator("h1")).to_contain_text("pending approval")


def test_an_approver_returns_it_with_a_reason(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "approver")
    _open(keys, TITLE)
    _dialog(keys, "^return for correction")
    keys.tab_to("^reason", "dialog")
    keys.type("Three thousand would do, please.")
    keys.follow("^return for correction$", "dialog")
    expect(page.locator("h1")).to_contain_text("returned")


def test_it_is_mended_and_filed_again(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    expect(page.locator("main")).to_contain_text(TITLE)
    _open(keys, TITLE)
    expect(page.locator("#decisions")).to_contain_text("Three thousand would do")
    keys.follow("^edit$")
    keys.tab_to("events to generate")
    keys.press("Control+a")
    keys.type("3000")
    keys.follow("^keep the changes$")
    expect(page.locator("#history")).to_contain_text("changed events")
    _dialog(keys, "^file for approval")
    keys.follow("^file for approval$", "dialog")
    expect(page.locator("h1")).to_contain_text("pending approval")
    expect(page.locator("#changed")).to_contain_text("events=3000")


def test_an_approver_sees_it_was_changed_and_approves(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "approver")
    keys.follow("^admin$")
    keys.follow(TITLE)
    expect(page.locator("main")).to_contain_text("The definition was changed after this test run")
    expect(page.locator("main")).to_contain_text("core-hours")
    keys.tab_to("^reason$")
    keys.type("good")
    keys.follow("^approve revision 2")
    expect(page.locator("body")).to_contain_text("is approved")


def test_clones_are_consolidated_and_prioritised(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    for number in (1, 2):
        _open(keys, TITLE)
        _dialog(keys, "^clone")
        keys.follow("^clone$", "dialog")
        keys.follow("^edit$")
        keys.tab_to("^title")
        keys.press("Control+a")
        keys.type(f"Clone {number} of them")
        keys.follow("^keep the changes$")
        _dialog(keys, "^file for approval")
        keys.follow("^file for approval$", "dialog")
        expect(page.locator("#checks")).to_contain_text("processed with the same release and script")
    keys.sign_out()
    keys.sign_in(person.poms, "approver")
    _open(keys, "Clone 1 of them")
    expect(page.locator("#partners")).to_contain_text("Clone 2 of them")
    _dialog(keys, "^consolidate…$", "#partners")
    keys.tab_to("^reason", "dialog")
    keys.type("They are the same.")
    keys.follow("^consolidate$", "dialog")
    expect(page.locator("h1")).to_contain_text("pending approval")
    expect(page.locator(".sub").first).to_contain_text("joined from")
    _dialog(keys, "^prioritise")
    keys.tab_to("^priority", "dialog")
    keys.press("Control+a")
    keys.type("75")
    keys.tab_to("^reason", "dialog")
    keys.type("for the conference")
    keys.follow("^prioritise$", "dialog")
    expect(page.locator("main")).to_contain_text("75 of 100")
    expect(page.locator("#history")).to_contain_text("priority 50 → 75: for the conference")


def test_a_discussion_reaches_who_is_mentioned(keys: Keys, person: Person, produced: World):
    page = person.page
    keys.sign_in(person.poms, "approver")
    person.go(f"/e/demo/requests/{produced['pending']}/")
    _dialog(keys, "^write a comment")
    keys.tab_to("^comment", "dialog")
    keys.type("What does @experimenter think of **this**?")
    keys.follow("^comment$", "dialog")
    expect(page.locator("#discussion strong", has_text="this")).to_be_visible()
    keys.sign_out()
    keys.sign_in(person.poms, "experimenter")
    deadline = time.monotonic() + PATIENCE
    while "has a comment for you" not in page.locator("main").inner_text():
        assert time.monotonic() < deadline
        time.sleep(1)
        person.go("/notices/")


@pytest.mark.parametrize("role", ["guest", "stranger", "shifter", "experimenter"])
def test_who_may_not_is_told_which_role_may(open_context: OpenContext, poms: Site, produced: World, role: str):
    context, watch = open_context()
    watch.allowed |= {403, 404}
    page, key = context.new_page(), produced["pending"]
    sign_in(page, poms, role)
    for verb, roles in (
        ("approve", ("approver",)), ("merge", ("approver",)), ("confirm", ("operator",)),
        ("prioritise", ("approver", "operator")),
    ):  # fmt: skip
        answer = page.goto(f"{poms.url}/e/demo/requests/{key}/{verb}/")
        assert answer is not None
        assert answer.status == (404 if role == "stranger" else 403), verb
        words = page.locator("main").inner_text()
        wanted = ("or you may not see it",) if role == "stranger" else roles
        assert all(word in words for word in wanted), (verb, words)
