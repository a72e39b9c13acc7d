"""Without script: every page that one reads says the same, and verbs are plain pages with a form."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import conftest
from tests.e2e.pages import PAGES
from tests.e2e.running import Site
from tests.e2e.world import World, small

pytestmark = pytest.mark.e2e

# One page of each route that is for reading.
READ = list({look.route: look for look in PAGES if look.reads and not look.route.startswith("admin:")}.values())
REASON = "The site said it will be full soon."


def _words(page: Page) -> set[str]:
    """What the page says, without numbers, times and keys, which change."""
    said = re.findall(r"[\w-]+", page.locator("main").inner_text())
    return {word for word in said if len(word) >= 3 and not re.search(r"\d", word)}


def test_every_page_says_without_script_what_it_says_with_it(
    open_context: conftest.OpenContext, poms: Site, produced: World, state_of: Any
):
    scripted, plain = open_context()[0], open_context(java_script_enabled=False)[0]
    with_script, without = scripted.new_page(), plain.new_page()
    wrong = []
    for look in sorted(READ, key=lambda look: look.role):
        for context in (scripted, plain):
            context.clear_cookies()
            context.add_cookies(state_of(look.role)["cookies"])
        address = poms.url + look.address.format(**produced)
        for page in (with_script, without):
            page.goto(address)
        expect(without.locator("h1").first).not_to_be_empty()
        if missing := _words(with_script) - _words(without):
            wrong.append(f"{look.name} lacks {sorted(missing)}")
    conftest.looked_at["pages read without script"] = len(READ)
    assert not wrong, "\n".join(wrong)


def test_a_campaign_is_released_and_held_again_by_plain_forms(
    open_context: conftest.OpenContext, poms: Site, produced: World, state_of: Any
):
    context, watch = open_context(java_script_enabled=False, storage_state=state_of("operator"))
    watch.allowed = {422}
    page = context.new_page()
    campaign = f"{poms.url}/e/demo/campaigns/{produced['held']}/"
    page.goto(campaign)
    page.get_by_role("link", name="Release", exact=True).click()
    page.get_by_role("button", name="Release").click()
    expect(page).to_have_url(campaign)
    expect(page.get_by_text("release – done.")).to_be_visible()
    page.get_by_role("link", name="Hold…").click()
    page.locator("#v-reason").fill(" ")
    page.get_by_role("button", name="Hold").click()
    expect(page.get_by_role("alert")).to_contain_text("needs a reason")
    page.locator("#v-reason").fill(REASON)
    page.get_by_role("button", name="Hold").click()
    expect(page).to_have_url(campaign)
    expect(page.locator(".gates")).to_contain_text(REASON)


def test_a_request_is_written_and_withdrawn_by_plain_forms(
    open_context: conftest.OpenContext, poms: Site, produced: World, state_of: Any
):
    context, _ = open_context(java_script_enabled=False, storage_state=state_of("experimenter"))
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/requests/{produced['draft']}/edit/")
    page.get_by_label("title").fill("A production that was thought about without script")
    page.locator("main form button[type=submit]").first.click()
    expect(page.locator("h1")).to_contain_text("thought about without script")
    page.goto(f"{poms.url}/e/demo/requests/new/")
    page.get_by_label("title").fill("A production that nobody wants")
    page.get_by_label("production stage").select_option("mc")
    page.locator("#id_definition").fill(small("nobody_wants_it"))
    page.get_by_role("button", name="Keep as a draft").click()
    page.get_by_role("link", name="Withdraw…").click()
    page.locator("#v-reason").fill(REASON)
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator("h1")).to_contain_text("withdrawn")
