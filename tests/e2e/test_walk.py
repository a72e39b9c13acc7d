"""The first campaign without a mouse: file, approve, watch, find out why a job failed, see the repair and the plot."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browsing import Keys, Person

pytestmark = pytest.mark.e2e

PATIENCE = 240.0  # seconds for the example's jobs, on two slow cores that others use too


@pytest.fixture
def keys(person: Person) -> Keys:
    person.go("/sign-in/")
    return Keys(person.page)


def test_an_experimenter_files_the_draft_that_waits(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    expect(page.locator("h1")).to_have_text("What waits for you")
    keys.follow("z to two muons")
    expect(page.locator("h1")).to_contain_text("draft")
    _open_verb(keys, "run the checks")
    keys.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert (keys.focused() or {}).get("name") == "Run the checks", "closing a dialog returns to the verb"
    _open_verb(keys, "file for approval")
    keys.follow("^file for approval$", "dialog")
    expect(page.locator("h1")).to_contain_text("pending approval")
    keys.sign_out()
    expect(page.locator("h1")).to_have_text("Sign in")


def test_an_approver_decides_in_the_admin(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "approver")
    keys.follow("^admin$")
    expect(page.locator("h1")).to_have_text("Waiting for you")
    keys.follow("z to two muons")
    keys.tab_to("^reason$")
    keys.type("looks right")
    keys.follow("^approve revision")
    assert "is approved" in page.locator("body").inner_text()


def test_the_campaign_page_is_watched_until_it_has_succeeded(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    keys.follow("^campaigns$")
    keys.follow("^dimuon$")
    page.evaluate("window.stays = true")
    keys.tab_to("^jobs$", "#progress")
    seen = _watch(page)
    assert page.evaluate("window.stays"), "the page was loaded anew"
    assert (keys.focused() or {}).get("name") == "jobs", "an update took the focus away"
    assert len(seen) > 2, f"nothing was seen of its progress: {seen}"
    assert seen[-1] == "dimuon is succeeded, 100 % done"


def test_a_failed_job_is_found_with_its_log_and_its_recovery(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    keys.follow("^campaigns$")
    keys.follow("^dimuon$")
    keys.follow(r"^j\d+$", "#failures")
    expect(page.locator("h1")).to_contain_text("Job demo/j")
    log = page.locator("pre.log").inner_text()
    word = re.findall(r"[A-Za-z]{4,}", log)[0]
    keys.tab_to("^find in it$")
    keys.type(word)
    keys.enter()
    expect(page.locator("#log mark").first).to_have_text(word, ignore_case=True)
    keys.follow("^line 1$")
    expect(page.locator("pre.log")).to_contain_text(word)
    keys.follow(r"^(gen|reco) \d+$", "nav.crumbs")
    attempts = page.locator("#attempts tbody tr")
    expect(attempts).to_have_count(2)
    expect(attempts.nth(1)).to_contain_text("recovery 1")
    expect(attempts.nth(1)).to_contain_text("completed")


def test_the_plot_is_shown_under_results(keys: Keys, person: Person):
    page = person.page
    keys.sign_in(person.poms, "experimenter")
    keys.press("/")
    assert "Search" in (keys.focused() or {}).get("name", ""), "“/” goes to the search box"
    keys.type("demo/c1")
    keys.enter()
    expect(page.locator("h1")).to_contain_text("dimuon")
    keys.tab_to(r"zpeak\.png", "#results")
    plot = page.locator("#results img").first
    page.wait_for_function("(plot) => plot.complete && plot.naturalWidth > 0", arg=plot.element_handle())
    keys.enter()
    expect(page.locator("h1")).to_have_text("dimuon_zpeak.png")


def _open_verb(keys: Keys, name: str) -> None:
    keys.tab_to(f"^{name}")
    keys.press("Enter")
    expect(keys.page.locator("dialog")).to_be_visible()


def _watch(page: Page) -> list[str]:
    """What the live region says, each time that it says something else, until the end."""
    seen: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while not seen or "succeeded" not in seen[-1]:
        left = deadline - time.monotonic()
        page.wait_for_function(
            "(before) => document.querySelector('[data-live] [role=status]').textContent !== before",
            arg=seen[-1] if seen else "", timeout=max(1.0, left) * 1000,
        )  # fmt: skip
        seen.append(page.locator("[data-live] [role=status]").first.text_content() or "")
        assert "failed" not in seen[-1], seen
    return seen
