"""Every page, wide and narrow, light and dark: no sideways scroll, no refusal, nothing that keeps people out.

The pages of daily work are looked at in both ways, of the others two thirds in one; with POMS_SCREENSHOTS, the folder for
their pictures, every page in both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.e2e import conftest
from tests.e2e.browsing import Watch
from tests.e2e.pages import NO_PAGE, PAGES, Look
from tests.e2e.running import Site
from tests.e2e.world import World

pytestmark = pytest.mark.e2e

# Two ways show both widths and both schemes: what is laid out does not go by the colours.
WAYS = ((1400, "light"), (390, "dark"))
# Rows of long lists are alike; the first five stand for all.
AXE_PLACE = {"exclude": [["tbody tr:nth-child(n+6)"], [".trail li:nth-child(n+6)"], [".names li:nth-child(n+6)"]]}
HEIGHT = {1400: 900, 390: 844}
SHOTS = os.environ.get("POMS_SCREENSHOTS", "")
AXE = Axe()


class Viewer:
    """A browser of one width and scheme, in which roles take turns."""

    def __init__(self, browser: Browser, poms: Site, way: tuple[int, str], state_of: Callable[[str], Any]) -> None:
        self.poms, self.way, self.state_of, self.role = poms, way, state_of, ""
        width, scheme = way
        size = {"width": width, "height": HEIGHT[width]}
        options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(15_000)
        self.watch = Watch(self.context, poms.url)
        self.page: Page = self.context.new_page()

    def become(self, role: str) -> None:
        if role != self.role:
            self.context.clear_cookies()
            self.context.add_cookies(self.state_of(role)["cookies"])
            self.role = role

    def look(self, look: Look, world: World) -> list[str]:
        """Open the page, take its picture, and return what is wrong with it."""
        self.become(look.role)
        self.watch.take()
        self.watch.allowed = {look.status} - {200}
        answer = self.page.goto(self.poms.url + look.address.format(**world), wait_until="load")
        wrong = [] if answer and answer.status == look.status else [f"answers {answer and answer.status}"]
        if look.press:
            self.page.get_by_role("link", name=look.press, exact=True).click()
            self.page.wait_for_selector("dialog[open]")
        if self.page.locator(
            "[hx-trigger=load]"
        ).count():  # a part comes by itself; to leave meanwhile would break it off
            self.page.wait_for_load_state("networkidle")
        self._load_pictures()
        if SHOTS:
            path = Path(SHOTS) / f"{look.name}-{self.way[0]}-{self.way[1]}.png"
            self.page.screenshot(path=path, full_page=not look.press)
        wrong += self._sideways() + self.watch.take()
        wrong += _keeps_out(self.page)
        self.watch.take()  # what axe itself asked for is not the page's doing
        return wrong

    def _load_pictures(self) -> None:
        self.page.evaluate(
            "() => document.querySelectorAll('img[loading=lazy]').forEach((i) => { i.loading = 'eager'; })"
        )
        self.page.wait_for_function("() => [...document.images].every((picture) => picture.complete)")

    def _sideways(self) -> list[str]:
        wide: int = self.page.evaluate("() => document.documentElement.scrollWidth")
        if wide <= self.way[0]:
            return []
        blame = self.page.evaluate(
            """(width) => [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1)
                 .slice(-3).map((e) => e.outerHTML.slice(0, 120))""",
            self.way[0],
        )
        return [f"is {wide} px wide: {blame}"]


def _keeps_out(page: Page) -> list[str]:
    options = {"resultTypes": ["violations"], "preload": False}
    found = AXE.run(page, AXE_PLACE, options).response["violations"]
    return [
        f"axe: {entry['id']} ({entry['impact']}): {node['target']} {node['html'][:160]} {_why(node)}"
        for entry in found
        if entry["impact"] in ("serious", "critical")
        for node in entry["nodes"][:4]
    ]


def _why(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for check in [*node["any"], *node["all"], *node["none"]])


@pytest.fixture(scope="module")
def viewer(request: pytest.FixtureRequest, browser: Browser, poms: Site, state_of: Any) -> Iterator[Viewer]:
    viewer = Viewer(browser, poms, request.param, state_of)
    yield viewer
    viewer.context.close()


@pytest.fixture(scope="module")
def there(produced: World, poms: Site, browser: Browser, state_of: Any) -> World:
    """The world, and for each model of the admin the key of one of its rows."""
    found = dict(produced, approvals_request=produced["pending"][1:])
    for look in PAGES:
        if look.route.endswith("_changelist") and (key := look.route[6:-11]) not in found:
            context = browser.new_context(storage_state=state_of(look.role))
            rows = re.findall(r'href="[^"]*/(\d+)/change/', context.request.get(poms.url + look.address).text())
            context.close()
            found[key] = rows[0] if rows else "1"
    return found


# Of dialogues and the like, which share a template, each sixth is looked at.
CHOSEN = [look for n, look in enumerate(PAGES) if SHOTS or not look.brief or n % 6 == 0]
VIEWS = [
    (way, look)
    for turn, way in enumerate(WAYS)
    for n, look in enumerate(CHOSEN)
    if SHOTS or look.daily or n % 3 == turn
]


@pytest.mark.parametrize(
    ("viewer", "look"), VIEWS, indirect=["viewer"], ids=[f"{way[0]}-{way[1]}-{look.name}" for way, look in VIEWS]
)
def test_a_page_fits_obeys_the_policy_and_keeps_nobody_out(viewer: Viewer, there: World, look: Look):
    wrong = viewer.look(look, there)
    conftest.looked_at["pages × ways (width, scheme)"] = conftest.looked_at.get("pages × ways (width, scheme)", 0) + 1
    assert not wrong, "\n".join(wrong)


def test_every_route_has_a_page_here():
    from poms_site.admin_site import site
    from poms_site.web import urls
    from tests.contracts.checks import routes

    pages = {pattern.name for _, pattern in routes(urls.urlpatterns)} - set(NO_PAGE)
    models = {f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist" for model in site._registry}
    looked = {look.route for look in PAGES}
    assert pages | models <= looked, sorted((pages | models) - looked)
    assert set(NO_PAGE) <= {pattern.name for _, pattern in routes(urls.urlpatterns)}, "a route that is gone"
