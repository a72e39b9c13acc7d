"""What the tests of the admin share: both experiments filled, and somebody's browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.cast import Cast


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    """The browser of somebody of the cast."""

    def signed_in(who: str) -> Client:
        client = Client(raise_request_exception=True)
        if who != "anonymous":
            client.force_login(cast.people[who])
        return client

    return signed_in


@pytest.fixture
def text() -> Callable[[Any], str]:
    """An answer as one line of text."""
    return lambda answer: " ".join(answer.content.decode().split())
