"""Looking at pages: a context that notes what must not happen, signing in, and the keyboard."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, TimeoutError

from tests.e2e.running import Site

MOST_TABS = 150
# A refusal of the content security policy becomes an error on the console, with what was refused.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.effectiveDirective} refused ${event.blockedURI} ${event.sample} at ${event.sourceFile}`);
});
"""
# Name and looks of what has the focus. The name is what a screen reader says, near enough for these pages.
FOCUSED = """
() => {
  const node = document.activeElement;
  if (!node || node === document.body) { return null; }
  const said = node.getAttribute("aria-label") || [...(node.labels ?? [])].map((label) => label.textContent).join(" ")
    || node.textContent || node.title || node.value || "";
  const looks = getComputedStyle(node);
  const outlined = looks.outlineStyle !== "none" && parseFloat(looks.outlineWidth) > 0;
  let drawn = "";
  if (node instanceof SVGElement) {
    const box = node.querySelector(".box");
    drawn = box ? getComputedStyle(box).strokeWidth : "";
  }
  const place = node.getBoundingClientRect();
  return {
    name: said.replace(/\\s+/g, " ").trim(), tag: node.localName, shadow: looks.boxShadow !== "none", outlined, drawn,
    seen: place.width > 0 && place.height > 0 && place.bottom > 0 && place.top < innerHeight && place.right > 0,
  };
}
"""


class Watch:
    """Notes what no page may do: errors on the console, refusals of the policy, requests to other sites."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin = origin
        self.wrong: list[str] = []
        self.allowed: set[int] = set()
        context.add_init_script(TELL_VIOLATIONS)
        context.on("console", self._said)
        context.on("request", self._asked)
        context.on("weberror", lambda error: self.wrong.append(f"{error.page and error.page.url}: {error.error}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        refused = re.search(r"responded with a status of (\d+)", message.text)
        if refused and int(refused[1]) in self.allowed:
            return  # the browser itself notes each answer of an error page
        self.wrong.append(f"{message.page and message.page.url}: console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:", "about:")):
            self.wrong.append(f"{request.frame.url}: asked for {request.url}")

    def take(self) -> list[str]:
        """Give what was noted, and begin anew."""
        found, self.wrong = self.wrong, []
        return found


@dataclass
class Person:
    """Somebody with a browser: the site's address and accounts, one page."""

    poms: Site
    page: Page

    def go(self, path: str, status: int = 200) -> None:
        """Open an address of the site."""
        answer = self.page.goto(f"{self.poms.url}{path}")
        assert answer is not None
        assert answer.status == status, f"{path} answers {answer.status}"

    @property
    def path(self) -> str:
        """Where the page is."""
        return self.page.url.removeprefix(self.poms.url)


def sign_in(page: Page, poms: Site, role: str) -> None:
    """Sign in with the mouse, so to speak, for tests that are about something else."""
    page.goto(f"{poms.url}/sign-in/")
    page.locator("#id_username").fill(poms.users[role]["username"])
    page.locator("#id_password").fill(poms.users[role]["password"])
    page.locator("form.stack button[type=submit]").click()
    page.wait_for_url(f"{poms.url}/")


class Keys:
    """A person who has no mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def focused(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.page.evaluate(FOCUSED)
        return found

    def tab_to(self, name: str, within: str = "", back: bool = False) -> dict[str, Any]:
        """Press Tab until what has the focus is called so (and lies within); each stop on the way must show its focus."""
        passed = []
        for _ in range(MOST_TABS):
            self.press("Shift+Tab" if back else "Tab")
            found = self.focused()
            if found is None:
                continue
            if not self._shows(found):
                self._await_sight(found)
            passed.append(f"{found['tag']} {found['name'][:60]}")
            there = not within or self.page.evaluate("(place) => !!document.activeElement.closest(place)", within)
            if there and re.search(name, found["name"], re.IGNORECASE):
                return found
        raise AssertionError(f"Tab does not come to {name!r} {within} on {self.page.url}, but to {passed}")

    def _shows(self, found: dict[str, Any]) -> bool:
        drawn = float(found["drawn"].rstrip("px") or 0) >= 3
        return bool(found["seen"] and (found["outlined"] or found["shadow"] or drawn))

    def _await_sight(self, found: dict[str, Any]) -> None:
        """Wait until what has the focus has come into sight: a page may still scroll to it, or load its picture."""
        with suppress(TimeoutError):
            self.page.wait_for_function(f"() => ({FOCUSED.strip()})()?.seen", timeout=3000)
        found = self.focused() or found
        assert self._shows(found), f"nothing shows that the focus is on {found} of {self.page.url}"

    def follow(self, name: str, within: str = "") -> None:
        """Go to a link by Tab, press Enter, and wait for the page that it leads to."""
        self.tab_to(name, within)
        self.enter()

    def enter(self) -> None:
        """Press Enter, which leads to another page, and wait for it."""
        with self.page.expect_navigation():
            self.press("Enter")

    def sign_in(self, poms: Site, role: str) -> None:
        """Sign in: the first field has the focus already."""
        self.page.wait_for_selector("#id_username:focus")
        self.type(poms.users[role]["username"])
        self.press("Tab")
        self.type(poms.users[role]["password"])
        self.enter()

    def sign_out(self) -> None:
        """Sign out at the foot of the navigation."""
        self.follow("^sign out$")
