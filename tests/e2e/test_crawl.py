"""Every link that a role is shown leads somewhere: no 404, no 403, no 500."""

from __future__ import annotations

import re
from collections import Counter, deque
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
from playwright.sync_api import APIRequestContext

from tests.e2e import conftest
from tests.e2e.conftest import OpenContext
from tests.e2e.running import Site
from tests.e2e.world import World

pytestmark = pytest.mark.e2e

STARTS = ("/", "/docs/", "/admin/")
MOST = 140  # addresses a role
ALIKE = 4  # of addresses that differ only by numbers and names of files
OPENED = 10  # of them looked at in the browser, a role
LINK = re.compile(r'<a\s[^>]*?href="([^"#]*)', re.IGNORECASE)


def _normal(address: str) -> str:
    """An address with its words in order, without the ones that only say where in a list one is."""
    parts = urlsplit(address)
    query = sorted((name, value) for name, value in parse_qsl(parts.query) if name not in ("after", "offset", "part"))
    return parts.path + (f"?{urlencode(query)}" if query else "")


def _shape(address: str) -> str:
    return re.sub(r"files/[^/?]+", "files/NAME", re.sub(r"\d+", "N", address))


def _crawl(client: APIRequestContext, origin: str, starts: tuple[str, ...]) -> tuple[list[str], int, list[str]]:
    """Follow links breadth first; return the pages, how many addresses there were, and what did not answer 200."""
    waiting, known, shapes, wrong = deque((start, "") for start in starts), set(starts), Counter(), []
    pages = []
    while waiting:
        address, source = waiting.popleft()
        answer = client.get(f"{origin}{address}", max_redirects=5)
        if answer.status != 200:
            wrong.append(f"{address} answers {answer.status}; {source or 'the start'} links to it")
        if answer.status != 200 or "text/html" not in answer.headers.get("content-type", ""):
            continue
        pages.append(address)
        for link in LINK.findall(answer.text()):
            target = urljoin(answer.url, unescape(link))
            if not target.startswith(f"{origin}/"):
                continue
            following = _normal(target.removeprefix(origin))
            if following in known or len(known) >= MOST or shapes[_shape(following)] >= ALIKE:
                continue
            shapes[_shape(following)] += 1
            known.add(following)
            waiting.append((following, address))
    return pages, len(known), wrong


@pytest.mark.parametrize("role", ["experimenter", "operator", "administrator"])
def test_every_link_that_a_role_is_shown_answers_it(
    open_context: OpenContext, poms: Site, produced: World, state_of: Any, role: str
):
    context, _ = open_context(storage_state=state_of(role))
    starts = STARTS if role != "experimenter" else STARTS[:2]
    pages, known, wrong = _crawl(context.request, poms.url, starts)
    conftest.looked_at[f"addresses that links led the {role} to"] = known
    assert not wrong, "\n".join(wrong)
    assert known > 60, f"only {known} addresses: the crawl does not see the links"
    page = context.new_page()
    for address in pages[:: max(1, len(pages) // OPENED)]:
        page.goto(f"{poms.url}{address}")  # what it does wrong is noted by its context
