"""The board: an order is tried and kept with the mouse, by keyboard, and without script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.builders import TINY_SUBMIT
from tests.e2e.browsing import Keys
from tests.e2e.conftest import OpenContext
from tests.e2e.running import Site

pytestmark = pytest.mark.e2e

NAMES = ("alpha", "beta", "gamma")


def definition(name: str) -> str:
    return (
        f"[campaign]\nexperiment=demo\nname={name}\npoms_role=production\n[campaign_defaults]\njob_type=tiny\n"
        "login_setup=slow\ncompletion_pct=100\nmemory_mb=100\nwall_s=900\n[campaign_stage gen]\nstage_type=generator\n"
        f"events=20\nevents_per_job=1\ncs_split_type=nevents(5)\nseed=7\n[job_type tiny]\n"
        f"launch_script={json.dumps(str(TINY_SUBMIT))}\noutput_file_patterns=%.txt\n"
    )


@pytest.fixture(scope="module")
def three(poms: Site) -> Iterator[dict[str, str]]:
    """Three campaigns of long jobs, at ranks 80, 50 and 20; gone afterwards."""
    setup = {"experiment": "demo", "name": "slow", "setup": "export TINY_JOB='sleep 600; echo x > \"$NAME\"'"}
    poms.api("operator", "setups/", setup)
    found = {}
    for name, rank in zip(NAMES, (80, 50, 20), strict=True):
        wanted = {"experiment": "demo", "title": name, "production_stage": "mc", "definition": definition(name),
                  "priority": rank, "hours_per_file": 0.2}  # fmt: skip
        ref = poms.api("operator", "requests/", wanted)["ref"]
        filed = poms.api("operator", f"requests/{ref}/file/", {})
        answer = poms.api("approver", f"requests/{ref}/approve/", {"revision": filed["revision"], "reason": "go"})
        found[name] = str(answer["campaign"])
    yield found
    for ref in found.values():
        poms.api("operator", f"campaigns/{ref}/cancel/", {"reason": "the test is over"})


@pytest.fixture
def board(open_context: OpenContext, poms: Site, three: dict[str, str], state_of: Any) -> Page:
    for name, rank in zip(NAMES, (80, 50, 20), strict=True):
        poms.api("operator", f"campaigns/{three[name]}/prioritise/", {"rank": rank, "reason": "as it was"})
    context, watch = open_context(storage_state=state_of("operator"))
    watch.allowed.add(409)  # the browser notes the answer that one test is about
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/queue/")
    return page


def order(page: Page) -> list[str]:
    """The names of the three, as they stand."""
    names = page.locator(".queue tbody th a").all_inner_texts()
    return [name for name in names if name in NAMES]


def ranks(poms: Site, three: dict[str, str]) -> list[int]:
    return [poms.api("supervisor", f"campaigns/{three[name]}/")["rank"] for name in NAMES]


def keep(page: Page, why: str) -> None:
    page.get_by_label("Reason").fill(why)
    page.get_by_role("button", name=re.compile("^Save")).click()
    expect(page.locator(".messages")).to_contain_text("changed")


def test_a_row_is_dragged_to_its_place_and_kept(board: Page, poms: Site, three: dict[str, str]):
    assert order(board) == ["alpha", "beta", "gamma"]
    grip = board.locator("tr", has_text="gamma").locator(".grip").bounding_box()
    goal = board.locator("tr", has_text="alpha").bounding_box()
    assert grip and goal
    board.mouse.move(grip["x"] + 8, grip["y"] + 8)
    board.mouse.down()
    board.mouse.move(grip["x"] + 8, goal["y"] + goal["height"] / 2, steps=8)
    board.mouse.move(grip["x"] + 8, goal["y"] + 4, steps=4)
    board.mouse.up()
    expect(board.locator("#told")).to_contain_text("would change")
    assert order(board) == ["gamma", "alpha", "beta"]
    assert ranks(poms, three) == [80, 50, 20], "nothing is changed before it is saved"
    expect(board.locator("tr", has_text="gamma")).to_contain_text("earlier")
    keep(board, "the talk is on Friday")
    kept = ranks(poms, three)
    # Others of its rank stand between: to stay where it is, beta may have to give way by one.
    assert kept[2] > kept[0] == 80 > kept[1] >= 49
    history = poms.api("supervisor", f"campaigns/{three['gamma']}/history/")["results"]
    assert any(step["verb"] == "prioritise" and "the talk is on Friday" in step["reason"] for step in history)


def test_the_same_is_done_by_keyboard(board: Page, poms: Site, three: dict[str, str]):
    keys = Keys(board)
    keys.tab_to("top: gamma", "#queue-form")
    keys.press("Enter")
    expect(board.locator("#told")).to_contain_text("would change")
    assert order(board) == ["gamma", "alpha", "beta"]
    assert board.evaluate("document.activeElement.closest('tr').dataset.key") == three["gamma"].rpartition("/")[2]
    keys.tab_to("^Reason", "#queue-form")
    keys.type("by hand")
    keys.tab_to("^Save", "#queue-form")
    keys.press("Enter")
    expect(board.locator(".messages")).to_contain_text("changed")
    assert ranks(poms, three)[2] > 80


def test_a_queue_that_changed_meanwhile_is_shown_with_the_proposal(board: Page, poms: Site, three: dict[str, str]):
    board.locator(f"#rank-{three['gamma'].rpartition('/')[2]}").fill("95")
    board.locator("#show").click()
    expect(board.locator("#told")).to_contain_text("would change")
    poms.api("operator", f"campaigns/{three['beta']}/prioritise/", {"rank": 40, "reason": "meanwhile"})
    board.get_by_label("Reason").fill("too late")
    board.get_by_role("button", name=re.compile("^Save")).click()
    expect(board.locator("[role=alert]")).to_contain_text("beta has rank 40 now")
    assert board.locator(f"#rank-{three['gamma'].rpartition('/')[2]}").input_value() == "95"
    assert ranks(poms, three) == [80, 40, 20]


def test_without_script_the_same_form_does_it(
    open_context: OpenContext, poms: Site, three: dict[str, str], state_of: Any
):
    poms.api("operator", f"campaigns/{three['gamma']}/prioritise/", {"rank": 20, "reason": "as it was"})
    context, _ = open_context(storage_state=state_of("operator"), java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/queue/")
    page.locator(f"#top-{three['gamma'].rpartition('/')[2]}").click()
    assert order(page)[0] == "gamma"
    page.get_by_label("Reason").fill("no script here")
    page.get_by_role("button", name=re.compile("^Save")).click()
    assert ranks(poms, three)[2] > 80


def test_a_reader_sees_the_board_without_handles(
    open_context: OpenContext, poms: Site, three: dict[str, str], state_of: Any
):
    context, _ = open_context(storage_state=state_of("experimenter"))
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/queue/")
    assert set(order(page)) == set(NAMES)
    assert page.locator(".grip, #queue-form").count() == 0
