"""When the certificate of a server ends: asked of the server itself, whether or not it is still to be trusted."""

from __future__ import annotations

import ssl
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509

from integrations import http
from integrations.errors import Unavailable

SECONDS = 3.0


def end_of(url: str, *, trusted: bool = False, seconds: float = SECONDS) -> datetime:
    """Return when the certificate of an https address ends.

    Nothing is sent and nothing believed: a certificate that has ended, or that nobody signed, tells its end all the
    same. Raises Refused for an address that we do not call, Unavailable where the server shows no certificate.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            http.line_to(host, port, seconds=seconds, trusted=trusted) as line,
            context.wrap_socket(line, server_hostname=host) as dressed,
        ):
            shown = dressed.getpeercert(binary_form=True)
        if not shown:
            raise Unavailable(f"{host}:{port} shows no certificate")
        return x509.load_der_x509_certificate(shown).not_valid_after_utc
    except (OSError, UnicodeError, ValueError) as error:
        raise Unavailable(f"{host}:{port} shows no certificate: {error}") from error
