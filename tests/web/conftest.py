"""What the tests of the pages share: both experiments filled, somebody's browser, and nothing kept from before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from experiments.models import User
from poms_site.web import live


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Keep no part of a page from one test to the next: they share addresses and keys."""
    live.forget()
    yield
    live.forget()


@pytest.fixture
def as_() -> Callable[[User], Client]:
    """Return the browser of somebody; what breaks the server is an answer, as it is outside."""

    def signed_in(user: User) -> Client:
        client = Client(raise_request_exception=False)
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def text() -> Callable[[Any], str]:
    """Return the words of a page, without tags, in one line; what was escaped stays so."""

    def words(answer: Any) -> str:
        return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())

    return words
