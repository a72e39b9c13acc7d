"""X.509 proxies with attributes of a virtual organisation: certificates in a file, of which the first to end counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from integrations.catalogue.declared import Setting
from integrations.credentials.base import Life

ATTRIBUTES = ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
# The validity of an attribute certificate: a sequence of two moments, in the one way in which DER writes them.
_VALIDITY = re.compile(rb"\x30\x22\x18\x0f(\d{14})Z\x18\x0f(\d{14})Z")


class Voms:
    """Kind `voms`. The certificates come from the host without the key."""

    word = "proxy"
    reads = "certificates"
    settings: Mapping[str, Setting] = {
        "voms": Setting("what to ask the VOMS server for, such as dune:/dune/Role=Production"),
        "cert": Setting("the file of the certificate that the proxy is made of"),
        "key": Setting("the file of its key"),
        "valid": Setting("for how long it is asked, such as 24:00"),
    }

    def life(self, found: Mapping[str, Any]) -> Life:
        """Return when the first of the certificates, or of the attributes, ends."""
        try:
            chain = [x509.load_pem_x509_certificate(pem.encode()) for pem in found["certificates"]]
            spans = [(one.not_valid_before_utc, one.not_valid_after_utc) for one in chain]
            spans += [span for one in chain for span in _attributes(one)]
        except ValueError as error:
            return Life(unusable=f"its certificate cannot be read: {error}")
        return Life(min(end for _, end in spans), max(begin for begin, _ in spans))

    def environment(self, path: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Return where it is."""
        return {"X509_USER_PROXY": path}

    def renewal(self, path: str, settings: Mapping[str, str]) -> list[str]:
        """Return voms-proxy-init with a certificate whose key needs no password."""
        if not settings.get("voms"):
            return []
        words = ["voms-proxy-init", "-rfc", "-noregen", "-voms", settings["voms"]]
        for name in ("cert", "key", "valid"):
            if settings.get(name):
                words += [f"-{name}", settings[name]]
        return [*words, "-out", path]


def _attributes(certificate: x509.Certificate) -> list[tuple[datetime, datetime]]:
    """Return the spans in which the attributes of a proxy hold: for as long as the VOMS server gave them."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ATTRIBUTES)
    except x509.ExtensionNotFound:
        return []
    value = getattr(extension.value, "value", b"")
    return [(_moment(begin), _moment(end)) for begin, end in _VALIDITY.findall(value)]


def _moment(digits: bytes) -> datetime:
    return datetime.strptime(digits.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
