"""Sign-in to the API: `Authorization: Bearer poms_…`, or a client certificate that a trusted proxy has checked."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from experiments.logic import pacing, service_accounts, tokens
from poms_site.addresses import client_address, is_from_proxy

log = structlog.get_logger()


class TokenAuthentication(BaseAuthentication):
    """Takes the bearer token of a person or service account."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Return the holder of the token, or None when none is given."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = tokens.holder(secret.strip())
        if user is None:
            pacing.bad_token(client_address(request._request))
            raise AuthenticationFailed(
                "The token is unknown, revoked or past its end, or its service account no longer works; make a new one."
            )
        return user, None

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Bearer realm="poms"'


class CertificateAuthentication(BaseAuthentication):
    """Takes a client certificate in the header that POMS_CLIENT_CERT_HEADER names, from a trusted proxy alone.

    The proxy has seen the private key at work (mutual TLS); so nobody else may set that header.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Return the service account of the certificate, or None where none is presented."""
        name = settings.CLIENT_CERT_HEADER
        presented = request.headers.get(name, "") if name else ""
        if not presented:
            return None
        if not is_from_proxy(request):
            log.warning("api.certificate_from_elsewhere", address=request.META.get("REMOTE_ADDR", ""))
            raise AuthenticationFailed(f"The header {name} is taken from the proxy only.")
        user = service_accounts.bearer(presented)
        if user is None:
            raise AuthenticationFailed(
                "The certificate is not registered, has ended, or its service account no longer works."
            )
        return user, None
