"""What the tests of the admin share: both experiments filled, and somebody's browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.cast import Cast, assemble
from tests.contracts.world import World, filled_world
from tests.snapshot import begin_with


@pytest.fixture
def cast(request: pytest.FixtureRequest, db: None) -> Cast:
    """Everybody; with `world`, the people of its world."""
    return request.getfixturevalue("filled")[0] if "world" in request.fixturenames else assemble()


@pytest.fixture
def filled(db: None) -> tuple[Cast, World]:
    """Both experiments with one of everything, and everybody, in a test that is rolled back."""
    return begin_with("world", filled_world)


@pytest.fixture
def world(filled: tuple[Cast, World]) -> World:
    """Both experiments with one of everything."""
    return filled[1]


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
