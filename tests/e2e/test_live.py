"""Live parts: asked every five seconds while somebody looks, never while nobody does, and cheap when nothing changed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.conftest import OpenContext
from tests.e2e.running import Site
from tests.e2e.world import World

pytestmark = pytest.mark.e2e

# A tab that can be told whether it is looked at.
MAY_HIDE = """
  window.away = false;
  Object.defineProperty(Document.prototype, "hidden", {get: () => window.away});
  Object.defineProperty(Document.prototype, "visibilityState", {get: () => window.away ? "hidden" : "visible"});
"""
LOOK_AWAY = "(away) => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }"


def _is_poll(request: Request) -> bool:
    return "part=live" in request.url


@pytest.fixture
def page(open_context: OpenContext, poms: Site, produced: World, state_of: Any) -> Page:
    context, _ = open_context(storage_state=state_of("experimenter"))
    context.add_init_script(MAY_HIDE)
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/campaigns/{produced['campaign']}/")
    return page


def test_a_page_that_is_looked_at_asks_every_five_seconds(page: Page):
    asked = []
    for _ in range(3):
        with page.expect_request(_is_poll, timeout=9000):
            pass
        asked.append(time.monotonic())
    gaps = [later - earlier for earlier, later in zip(asked, asked[1:], strict=False)]
    assert all(4.0 < gap < 7.0 for gap in gaps), gaps


def test_a_hidden_page_asks_nothing_until_it_is_looked_at_again(
    open_context: OpenContext, poms: Site, produced: World, state_of: Any
):
    context, _ = open_context(storage_state=state_of("experimenter"))
    context.add_init_script(MAY_HIDE)
    page = context.new_page()
    page.clock.install()
    page.goto(f"{poms.url}/e/demo/campaigns/{produced['campaign']}/")
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if _is_poll(request) else None)
    page.clock.run_for(6000)
    assert len(polls) == 1, "a visible page asks"
    page.evaluate(LOOK_AWAY, True)
    page.clock.run_for(120_000)
    assert len(polls) == 1, "a hidden page asks nothing in two minutes"
    with page.expect_request(_is_poll):
        page.evaluate(LOOK_AWAY, False)


def test_a_poll_of_an_unchanged_page_is_answered_by_304(page: Page, poms: Site, produced: World):
    page.goto(f"{poms.url}/e/demo/batches/{produced['batch']}/")
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    polls: dict[str, int] = {}
    wire.on("Network.requestWillBeSent", lambda told: polls.setdefault(told["requestId"], 0)
            if "part=live" in told["request"]["url"] else None)  # fmt: skip
    wire.on("Network.responseReceivedExtraInfo", lambda told: polls.update({told["requestId"]: told["statusCode"]})
            if told["requestId"] in polls else None)  # fmt: skip
    for _ in range(14):  # in its first minute a page counts seconds, and so changes
        with page.expect_response(lambda response: "part=live" in response.url, timeout=9000):
            pass
        if 304 in polls.values():
            break
    assert 304 in polls.values(), polls
    assert set(polls.values()) <= {0, 200, 304}, polls


def test_a_reader_whose_server_is_away_is_told_so(
    open_context: OpenContext, poms: Site, produced: World, state_of: Any
):
    context, watch = open_context(storage_state=state_of("experimenter"))
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/campaigns/{produced['campaign']}/")
    page.route("**/*part=live", lambda route: route.abort())
    expect(page.locator(".stale")).to_be_visible(timeout=9000)
    page.unroute_all()
    expect(page.locator(".stale")).to_be_hidden(timeout=9000)
    assert all("ERR_FAILED" in line or "htmx:" in line for line in watch.take()), (
        "the browser notes what it did not get"
    )
