"""Fixtures of the API's tests: callers who sign in as clients do, with a token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from experiments.logic import tokens
from experiments.models import User


@pytest.fixture
def call_as() -> Callable[[User], APIClient]:
    """Return a client that sends a person's own token; what breaks the server is an answer, as it is outside."""

    def sign_in(user: User) -> APIClient:
        _, secret = tokens.issue(user, "test")
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return sign_in
