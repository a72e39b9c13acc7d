"""Fixtures of the browser's tests: one POMS, one browser, contexts that note what must not happen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from tests.e2e import browsing, world
from tests.e2e.browsing import Person, Watch
from tests.e2e.running import Running, Site
from tests.servers import debian

HERE = Path(__file__).parent
# The walk comes first: it needs the draft as a new installation has it, and leaves the data that the others look at;
# those that change something come after those that only look.
ORDER = ("test_walk", "test_requests", "test_pages", "test_crawl", "test_no_script", "test_live")
# Two processes share the work, each with a site of its own: one looks at everything, the other does things.
LOOKING = ("test_pages", "test_crawl", "test_no_script", "test_live")
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
looked_at: dict[str, int] = {}


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these last, in their order: Playwright's loop would disturb tests with a database that came after."""
    ours = [item for item in items if HERE in item.path.parents]
    ours.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.stem in ORDER else len(ORDER))
    items[:] = [item for item in items if HERE not in item.path.parents] + ours
    for item in ours:
        item.add_marker(pytest.mark.xdist_group("look" if item.path.stem in LOOKING else "do"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints the summary what this one has looked at."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["looked_at"] = looked_at


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take that in."""
    for what, number in node.workeroutput.get("looked_at", {}).items():
        looked_at[what] = looked_at.get(what, 0) + number


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was looked at."""
    for what, number in looked_at.items():
        terminalreporter.write_line(f"browser: {number} {what}")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Debian's Chromium is; installed if it is missing and we may, by one of the workers while the others wait."""
    return debian.installed("chromium", "chromium")


@pytest.fixture(scope="session")
def poms(chromium_path: str) -> Iterator[Site]:
    """The running POMS; Ctrl-C must end it, with all that it started. POMS_E2E_DEMO names a demo.json to use that one."""
    if kept := os.environ.get("POMS_E2E_DEMO"):
        yield Site(Path(kept))
        return
    running = Running()
    yield running
    code, words = running.stop(), running.words()
    left = running.left()
    running.clear()
    assert code == 0, f"Ctrl-C ended it with {code}:\n{words}"
    assert left == [], f"it left processes behind: {left}"


@pytest.fixture(scope="session")
def produced(poms: Site) -> world.World:
    """The example has been produced, and there is something in every state that pages show."""
    return world.produce(poms)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium_path: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium_path, args=SWITCHES)
    yield browser
    browser.close()


OpenContext = Callable[..., tuple[BrowserContext, Watch]]


@pytest.fixture
def open_context(browser: Browser, poms: Site) -> Iterator[OpenContext]:
    """Open a context of one's own, with Playwright's options; whatever it did wrong fails the test."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_one(**options: Any) -> tuple[BrowserContext, Watch]:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
        context.set_default_timeout(15_000)
        opened.append((context, Watch(context, poms.url)))
        return opened[-1]

    yield open_one
    for context, _ in opened:
        context.close()
    wrong = [line for _, watch in opened for line in watch.wrong]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def person(open_context: OpenContext, poms: Site) -> Person:
    """Somebody who has just opened the browser."""
    context, _ = open_context()
    return Person(poms, context.new_page())


@pytest.fixture(scope="session")
def state_of(browser: Browser, poms: Site) -> Callable[[str], Any]:
    """The signed-in state of a role, for `storage_state`; nobody's is empty. Each signs in once."""
    known: dict[str, Any] = {"nobody": {"cookies": [], "origins": []}}

    def state(role: str) -> Any:
        if role not in known:
            context = browser.new_context()
            browsing.sign_in(context.new_page(), poms, role)
            known[role] = context.storage_state()
            context.close()
        return known[role]

    return state
