"""Credentials as tests need them: real files of each kind, with the ends that are asked for."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from integrations.credentials.voms import ATTRIBUTES
from integrations.models import Credential
from tests.cast import Cast


def later(**span: float) -> datetime:
    """Return a moment from now, to the second as credentials have it."""
    return (datetime.now(UTC) + timedelta(**span)).replace(microsecond=0)


def jwt(ends_at: datetime | None, **claims: Any) -> str:
    """Return a token; nobody here looks at its signature."""
    said = {
        "iss": "https://cilogon.example.org/demo",
        "sub": "demopro",
        "iat": int(later(hours=-1).timestamp()),
        **claims,
    }
    if ends_at is not None:
        said["exp"] = int(ends_at.timestamp())
    parts = [json.dumps({"typ": "JWT", "alg": "RS256", "kid": "1"}).encode(), json.dumps(said).encode(), b"s" * 64]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def token_file(path: Path, ends_at: datetime | None, **claims: Any) -> Path:
    """Write a token into a file, by rename as htgettoken does."""
    own = path.with_name(f".{path.name}.new")
    own.write_text(f"{jwt(ends_at, **claims)}\n")
    own.rename(path)
    return path


def proxy_file(
    path: Path, ends_at: datetime, attributes_end: datetime | None = None, issuer_ends: datetime | None = None
) -> Path:
    """Write a proxy: a certificate made by another, its key, and the certificate that made it."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("demopro", "demopro proxy")]
    issuer = _certificate(names[0], names[0], keys[0], keys[0], issuer_ends or later(days=365), None)
    proxy = _certificate(names[1], names[0], keys[1], keys[0], ends_at, attributes_end)
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(proxy.public_bytes(pem) + key + issuer.public_bytes(pem))
    return path


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Any, signer: Any, ends_at: datetime, attributes_end: datetime | None
) -> x509.Certificate:  # fmt: skip
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), 7, later(hours=-1), ends_at)
    if attributes_end is not None:
        begin, end = (f"{at:%Y%m%d%H%M%S}Z".encode() for at in (later(hours=-1), attributes_end))
        validity = b"\x30\x22\x18\x0f" + begin + b"\x18\x0f" + end
        extension = x509.UnrecognizedExtension(
            ObjectIdentifier(ATTRIBUTES.dotted_string), b"\x30\x82" + validity + b"dune"
        )
        made = made.add_extension(extension, critical=False)
    return made.sign(signer, hashes.SHA256())


def cache_file(path: Path, tickets: Sequence[tuple[str, datetime]], version: int = 4) -> Path:
    """Write a cache of Kerberos with tickets for these servers, in the realm POMS.TEST."""
    mark = b"\x05\x04" + struct.pack(">H", 12) + struct.pack(">HHII", 1, 8, 0, 0) if version == 4 else b"\x05\x03"
    config = _ticket("krb5_ccache_conf_data/pa_type", later(), version, realm="X-CACHECONF:")
    path.write_bytes(mark + _principal("demo") + config + b"".join(_ticket(to, at, version) for to, at in tickets))
    return path


def _block(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _principal(name: str, realm: str = "POMS.TEST") -> bytes:
    words = name.split("/")
    return (
        struct.pack(">II", 1, len(words)) + _block(realm.encode()) + b"".join(_block(word.encode()) for word in words)
    )


def _ticket(server: str, ends_at: datetime, version: int, realm: str = "POMS.TEST") -> bytes:
    name, _, of = server.partition("@")
    key = struct.pack(">HH" if version == 3 else ">H", *((18,) * (2 if version == 3 else 1))) + _block(b"k" * 32)
    times = struct.pack(">4I", *(int(at.timestamp()) for at in (later(hours=-1), later(hours=-1), ends_at, ends_at)))
    address = struct.pack(">I", 1) + struct.pack(">H", 2) + _block(b"\x7f\0\0\1")
    return (
        _principal("demo") + _principal(name, of or realm) + key + times + b"\0" + b"\0" * 4 + address
        + struct.pack(">I", 0) + _block(b"ticket") + _block(b"")
    )  # fmt: skip


def entered(cast: Cast, path: Path | str, **values: Any) -> Credential:
    """Enter a credential as an administrator has done it; without a place it lies with the worker."""
    return Credential.objects.create(
        **{"experiment": cast.experiment, "name": "token", "kind": "scitoken", "path": str(path), **values}
    )
