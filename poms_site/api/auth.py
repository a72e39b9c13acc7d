"""Sign-in to the API: `Authorization: Bearer poms_…`."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from experiments.logic import tokens


class TokenAuthentication(BaseAuthentication):
    """Takes the bearer token of a person or service account."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Return the holder of the token, or None when none is given."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = tokens.holder(secret.strip())
        if user is None:
            raise AuthenticationFailed("The token is unknown, revoked or past its end; make a new one.")
        return user, None

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Bearer realm="poms"'
