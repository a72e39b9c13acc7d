"""The editor in a browser: the paper's example drawn by keyboard and by mouse, saved, and joined when two save at once."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.builders import TINY_SUBMIT
from tests.e2e.browsing import Keys
from tests.e2e.conftest import OpenContext
from tests.e2e.running import ROOT, Site
from tests.scale.editor import definition as wide_definition

pytestmark = pytest.mark.e2e
SCREENSHOTS = Path(os.environ.get("POMS_SCREENSHOTS") or ROOT / ".poms" / "screenshots")
RUNS_MS = 180_000.0  # for the jobs, on two slow cores that others use too
BRANCHES = ("branch_0", "branch_1", "branch_2")
Opened = tuple[Page, str]


def definition(name: str) -> str:
    return (
        f"# begun by hand\n[campaign]\nexperiment=demo\nname={name}\n[campaign_defaults]\njob_type=drawn\n"
        "login_setup=local\nwall_s=900\n[campaign_stage split]\nstage_type=generator\nevents=20\n"
        f"cs_split_type=nevents(5)\nseed=7\n[job_type drawn]\nlaunch_script={json.dumps(str(TINY_SUBMIT))}\n"
    )


@pytest.fixture
def opened(open_context: OpenContext, poms: Site, state_of: Any) -> Opened:
    """The editor of a new draft, opened by its owner, and the draft's reference."""
    wanted = {"experiment": "demo", "text": definition(f"drawn-{uuid4().hex[:8]}"), "apply": True}
    ref = poms.api("experimenter", "campaigns/import/", wanted)["ref"]
    return _page(open_context, poms, state_of, "experimenter", ref), ref


def _page(open_context: OpenContext, poms: Site, state_of: Any, role: str, ref: str) -> Page:
    context, watch = open_context(storage_state=state_of(role))
    watch.allowed.add(409)
    page = context.new_page()
    page.goto(f"{poms.url}/e/demo/campaigns/{ref.rpartition('/')[2]}/editor/")
    page.wait_for_selector("#ed[data-ready]")
    return page


def text(page: Page) -> str:
    return page.locator("#ed-text").input_value()


def said(page: Page, words: str) -> None:
    expect(page.locator("#ed-told")).to_contain_text(words)


def stage(page: Page, name: str) -> Locator:
    return page.locator(f'.ed-stage[data-name="{name}"]')


def edges(page: Page) -> set[tuple[str, str]]:
    found: list[list[str]] = page.evaluate(
        "() => [...document.querySelectorAll('.ed-edge')].map((e) => [e.dataset.from, e.dataset.to])"
    )
    return {(begin, end) for begin, end in found}


WHOLE = {("split", name) for name in BRANCHES} | {(name, "merge") for name in BRANCHES}


def drag(page: Page, begin: Locator, end: tuple[float, float]) -> None:
    box = begin.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()


def middle(found: Locator) -> tuple[float, float]:
    box = found.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def keeps_out(page: Page) -> list[str]:
    answer = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response
    return [
        f"{entry['id']}: {node['target']} {node['html'][:160]}"
        for entry in answer["violations"] if entry["impact"] in ("serious", "critical")
        for node in entry["nodes"][:4]
    ]  # fmt: skip


def test_by_keyboard_split_branches_and_merge_are_drawn_and_saved(opened: Opened, poms: Site):
    page, ref = opened
    keys = Keys(page)
    keys.tab_to("^Stage split", "#ed-svg")
    keys.press("Enter")
    expect(page.locator("#ed-name")).to_be_focused()
    keys.tab_to("^Add a child", "#ed-panel", back=True)
    keys.press("Enter")
    keys.type("branch*3")
    keys.press("Enter")
    said(page, "3 stages added")
    keys.type("merge")
    keys.tab_to("^Fed by", "#ed-add")
    keys.type("branch_0")
    keys.tab_to("^Add$", "#ed-add")
    keys.press("Enter")
    said(page, "Stage merge added")
    for name in BRANCHES[1:]:
        keys.tab_to(f"^Stage {name}", "#ed-svg", back=name == BRANCHES[1])
        keys.press("Enter")
        expect(page.locator("#ed-name")).to_have_value(name)
        expect(page.locator("#ed-name")).to_be_focused()
        keys.tab_to("^Connect it to", "#ed-panel")
        keys.type("merge")
        keys.tab_to("^Connect$", "#ed-panel")
        keys.press("Enter")
        said(page, f"{name} feeds merge now")
        stage(page, "split").focus()
    assert edges(page) == WHOLE
    keys.press("ArrowRight")
    assert "branch" in str((keys.focused() or {})["name"])
    keys.press("Control+s")
    expect(page.locator(".messages")).to_contain_text("Saved as revision 2")
    kept = poms.api("experimenter", f"campaigns/{ref}/revisions/")["results"]
    assert [row["number"] for row in kept] == [2, 1]
    assert text(page).startswith("# begun by hand\n")
    assert "[dependencies merge]" in text(page)


def test_by_mouse_it_is_drawn_moved_undone_and_a_parameter_is_edited(opened: Opened):
    page, _ = opened
    page.locator("summary", has_text="Add stages").click()
    for name in (*BRANCHES, "merge"):
        page.locator("#ed-add-name").fill(name)
        page.locator("#ed-add-go").click()
        said(page, f"Stage {name} added")
    page.locator("#ed-fit").click()
    for begin, end in sorted(WHOLE):
        drag(page, stage(page, begin).locator(".ed-handle"), middle(stage(page, end)))
        said(page, f"{begin} feeds {end} now")
    assert edges(page) == WHOLE

    before = stage(page, "merge").get_attribute("transform")
    x, y = middle(stage(page, "merge"))
    drag(page, stage(page, "merge"), (x - 40, y + 60))
    said(page, "1 stage moved")
    assert stage(page, "merge").get_attribute("transform") != before
    assert "[node_positions]" in text(page)
    page.locator("#ed-undo").click()
    said(page, "Undone")
    assert stage(page, "merge").get_attribute("transform") == before
    assert "[node_positions]" not in text(page)
    page.locator("#ed-redo").click()
    said(page, "Done again")
    assert "[node_positions]" in text(page)

    stage(page, "branch_1").click()
    page.locator("#ed-f-param_overrides-add").click()
    page.locator("#ed-f-param_overrides-0-0").fill("--tune")
    page.locator("#ed-f-param_overrides-0-0").press("Enter")
    said(page, "param_overrides is set")
    page.locator("#ed-f-param_overrides-0-0-blank").check()
    page.locator("#ed-f-param_overrides-0-1").fill("14")
    page.locator("#ed-f-param_overrides-0-1").press("Tab")
    expect(page.locator("#ed-text")).to_have_value(re.compile(r'param_overrides=\[\["--tune ", "14"\]\]'))
    expect(page.locator(".ed-why")).to_contain_text("--tune")
    page.locator("#ed-f-memory_mb").fill("2500")
    page.locator("#ed-f-memory_mb").press("Enter")
    said(page, "memory_mb is set")
    page.locator("#ed-f-memory_mb").fill("")
    page.locator("#ed-f-memory_mb").press("Enter")
    said(page, "memory_mb is inherited again")
    assert page.locator("#ed-f-memory_mb").get_attribute("placeholder") == "2000"
    assert keeps_out(page) == []


def test_typing_is_drawn_and_a_complaint_leads_to_its_line(opened: Opened):
    page, _ = opened
    page.locator("#ed-text").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type("[campaign_stage typed]\ncs_split_type=nevents(0)\n")
    expect(stage(page, "typed")).to_have_attribute("aria-label", re.compile("1 error"))
    page.locator("#ed-problems button", has_text="cs_split_type").first.click()
    chosen = page.evaluate(
        "() => { const a = document.activeElement; return a.value.slice(a.selectionStart, a.selectionEnd); }"
    )
    assert chosen == "cs_split_type=nevents(0)"
    page.locator("#ed-undo").click()
    expect(stage(page, "typed")).to_have_count(0)
    stage(page, "split").focus()
    page.keyboard.press("Delete")
    expect(stage(page, "split")).to_have_count(0)
    page.locator("#ed-undo").click()
    expect(stage(page, "split")).to_have_count(1)


def test_a_stage_feeds_itself_only_where_that_is_meant_and_the_drawing_is_pulled_along(opened: Opened):
    page, _ = opened
    stage(page, "split").click()
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator("#ed-target").select_option("split")
    page.locator("#ed-connect").click()
    assert edges(page) == set()
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#ed-target").select_option("split")
    page.locator("#ed-connect").click()
    said(page, "split feeds split now")
    assert asked and edges(page) == {("split", "split")}

    page.locator("summary", has_text="Add stages").click()
    page.locator("#ed-add-name").fill("long*40")
    page.locator("#ed-add-go").click()
    said(page, "40 stages added")
    box = page.locator(".ed-box")
    x, y = middle(box)
    page.mouse.move(x, y)
    page.mouse.down(button="middle")
    page.mouse.move(x, y - 120, steps=4)
    page.mouse.up(button="middle")
    assert box.evaluate("box => box.scrollTop") >= 100


def test_job_types_and_set_ups_are_added_and_taken_away(opened: Opened):
    page, _ = opened
    page.get_by_role("button", name="Job types").click()
    page.locator("#ed-new-section").fill("other")
    page.locator("#ed-section-add").click()
    expect(page.locator("#ed-text")).to_have_value(re.compile(r"\[job_type other\]"))
    page.get_by_role("button", name="Remove other").click()
    said(page, "other is removed")
    assert "[job_type other]" not in text(page)
    page.locator("#ed-undo").click()
    expect(page.locator("#ed-text")).to_have_value(re.compile(r"\[job_type other\]"))


def test_five_hundred_stages_are_opened_and_saved(
    open_context: OpenContext, poms: Site, state_of: Any, capsys: pytest.CaptureFixture[str]
):
    wide = wide_definition(500, name=f"wide-{uuid4().hex[:8]}")
    ref = poms.api("experimenter", "campaigns/import/", {"experiment": "demo", "text": wide, "apply": True})["ref"]
    page = _page(open_context, poms, state_of, "experimenter", ref)
    begun = time.monotonic()
    page.reload()
    page.wait_for_selector("#ed[data-ready]")
    opened_after = time.monotonic() - begun
    assert page.locator(".ed-stage").count() == 500
    type_over(page, "events=10", "events=12")
    begun = time.monotonic()
    page.locator("#ed-save").click()
    expect(page.locator(".messages")).to_contain_text("Saved as revision 2")
    page.wait_for_selector("#ed[data-ready]")
    with capsys.disabled():
        print(f" 500 stages: opened in {opened_after:.2f} s, saved in {time.monotonic() - begun:.2f} s ", end="")


def type_over(page: Page, old: str, new: str) -> None:
    """Mark the first such words in the text and type others, as people do; to put all of a large text anew is slow."""
    page.locator("#ed-text").evaluate(
        """(text, old) => {
            const at = text.value.indexOf(old);
            text.focus();
            text.setSelectionRange(at, at + old.length);
        }""",
        old,
    )
    page.keyboard.insert_text(new)


def change(page: Page, old: str, new: str) -> None:
    page.locator("#ed-text").fill(text(page).replace(old, new))


def test_of_two_who_save_at_once_the_second_sees_both_and_joins(
    opened: Opened, open_context: OpenContext, poms: Site, state_of: Any
):
    first, ref = opened
    second = _page(open_context, poms, state_of, "operator", ref)
    change(first, "seed=7", "seed=8")
    first.locator("#ed-save").click()
    expect(first.locator(".messages")).to_contain_text("Saved as revision 2")
    change(second, "seed=7", "seed=9")
    change(second, "wall_s=900", "wall_s=800")
    second.locator("#ed-save").click()
    conflict = second.locator(".ed-conflict")
    expect(conflict).to_have_count(1)
    expect(conflict).to_contain_text("[campaign_stage split] seed")
    conflict.get_by_label("yours").check()
    assert keeps_out(second) == []
    second.locator("#ed-save-joined").click()
    expect(second.locator(".messages")).to_contain_text("Saved as revision 3")
    assert {"seed=9", "wall_s=800"} <= set(text(second).splitlines())


def test_a_reader_sees_all_and_changes_nothing(opened: Opened, open_context: OpenContext, poms: Site, state_of: Any):
    page = _page(open_context, poms, state_of, "shifter", opened[1])
    stage(page, "split").click()
    expect(page.locator("#ed-f-seed")).to_have_value("7")
    assert page.locator("#ed-f-seed").is_disabled()
    assert page.locator(".ed-handle, #ed-save").count() == 0
    assert page.locator("#ed-text").get_attribute("readonly") is not None


def test_what_is_drawn_is_edited_saved_approved_and_runs_to_the_end(
    opened: Opened, open_context: OpenContext, poms: Site, state_of: Any
):
    page, ref = opened
    page.locator("summary", has_text="Add stages").click()
    for name, parent in (("branch*3", "split"), ("merge", "")):
        page.locator("#ed-add-name").fill(name)
        page.locator("#ed-add-parent").select_option(parent)
        page.locator("#ed-add-go").click()
        said(page, "added")
    for begin in BRANCHES:
        page.locator("#ed-fit").click()
        drag(page, stage(page, begin).locator(".ed-handle"), middle(stage(page, "merge")))
        said(page, f"{begin} feeds merge now")
    assert edges(page) == WHOLE
    stage(page, "branch_1").click()
    page.locator("#ed-f-memory_mb").fill("300")
    page.locator("#ed-f-memory_mb").press("Enter")
    said(page, "memory_mb is set")
    page.locator("#ed-save").click()
    expect(page.locator(".messages")).to_contain_text("Saved as revision 2")
    page.screenshot(path=SCREENSHOTS / "editor-drawn.png", full_page=True)

    page.get_by_role("link", name="Ask for approval").click()
    page.get_by_label("Title").fill("The paper's example")
    page.get_by_label("Production stage").select_option("mc")
    page.get_by_role("button", name="Keep as a draft").click()
    page.get_by_role("link", name="File for approval").click()
    page.locator("dialog").get_by_role("button", name="File for approval").click()
    expect(page.locator("main h1").first).to_contain_text("pending approval")
    asked = poms.api("supervisor", f"campaigns/{ref}/")["request"]

    desk = open_context(storage_state=state_of("approver"))[0].new_page()
    desk.goto(f"{poms.url}/admin/approvals/request/{asked.rpartition('r')[2]}/change/")
    desk.get_by_role("button", name=re.compile("^Approve revision")).click()
    expect(desk.locator("body")).to_contain_text("is approved")

    page.goto(f"{poms.url}/e/demo/campaigns/{ref.rpartition('/')[2]}/")
    expect(page.locator("h1")).to_contain_text("succeeded", timeout=RUNS_MS)
    page.screenshot(path=SCREENSHOTS / "editor-drawn-and-run.png", full_page=True)
    stages = {one["name"]: one for one in poms.api("supervisor", f"campaigns/{ref}/")["stages"]}
    assert all(one["succeeded"] for one in stages.values())
    assert stages["branch_1"]["memory_mb"] == 300
    made = {name: one["done"] for name, one in stages.items()}
    assert made["merge"] == sum(made[name] for name in BRANCHES) == 3 * made["branch_0"] > 0
