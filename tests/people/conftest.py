"""A provider of identities for all tests of a process, and browsers that go there and back over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from experiments.logic import tokens
from experiments.models import User
from integrations.people import openid
from tests.servers.openid import Provider, Surfer

ROLES = {
    "/demo": "demo/experimenter", "/demo/production": "demo/operator", "/{experiment}/shift": "{experiment}/shifter",
    "/poms/admin": "administrator",
}  # fmt: skip


@pytest.fixture
def call_as() -> Callable[[User], APIClient]:
    """Return a client that sends a person's own token."""

    def sign_in(user: User) -> APIClient:
        _, secret = tokens.issue(user, "test")
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return sign_in


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The provider, one for all tests of a process."""
    running = Provider()
    yield running
    running.stop()


@pytest.fixture
def sso(settings: Any, provider: Provider) -> Iterator[Provider]:
    """POMS signs people in by this provider, and by nothing else."""
    settings.OIDC_ISSUER, settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = provider.url, "poms", "a secret"
    settings.OIDC_ROLES = json.dumps(ROLES)
    settings.LOCAL_PASSWORDS = False
    openid.forget()
    yield provider
    openid.forget()


@pytest.fixture
def surf(live_server: Any) -> Callable[[], Surfer]:
    """Give somebody a new browser at a running POMS."""
    return lambda: Surfer(live_server.url)
