"""Your account in the browser: a token is made and shown once, wide and narrow; signing out everywhere ends it all."""

from __future__ import annotations

import re
import secrets
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.e2e import browsing
from tests.e2e.browsing import Person

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("width", [1400, 390])
def test_a_token_is_made_shown_once_and_signs_in(person: Person, width: int):
    page = person.page
    name = f"a look at night {secrets.token_hex(4)}"
    page.set_viewport_size({"width": width, "height": 844})
    browsing.sign_in(page, person.poms, "operator")
    person.go("/account/")
    page.locator("summary", has_text="New token").click()
    page.get_by_label("What it is for").fill(name)
    page.get_by_label("read: look at everything").check()
    page.get_by_role("button", name="Make the token").click()
    shown = page.get_by_label("Secret of the new token")
    expect(shown).to_be_visible()
    secret = shown.inner_text().strip()
    assert re.fullmatch(r"poms_[\w-]{40,}", secret)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    asked = urllib.request.Request(f"{person.poms.url}/api/v1/me/", headers={"Authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(asked) as answer:
        assert b'"scopes":["view","view_overview"]' in answer.read()
    person.go("/account/")
    assert secret not in page.content()
    row = page.locator("tr", has_text=name)
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")


def test_signing_out_everywhere_ends_the_other_browser_too(person: Person, open_context):
    other = open_context()[0].new_page()
    for page in (person.page, other):
        browsing.sign_in(page, person.poms, "reviewer")
    person.go("/account/")
    person.page.get_by_role("button", name="Sign out everywhere").click()
    expect(person.page.get_by_role("status")).to_contain_text("all your sessions were ended")
    other.goto(f"{person.poms.url}/account/")
    expect(other.get_by_role("status")).to_contain_text("all your sessions were ended")
