"""Twenty secrets of all kinds, each with parts by which it would be known again; none opens anything."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """One secret: its text as it stands somewhere, and the parts that nobody may see."""

    name: str
    text: str
    parts: Sequence[str]

    def is_in(self, text: str) -> bool:
        """Tell whether any part of it can be read in a text."""
        return any(part in text for part in self.parts)


def _mark(number: int, length: int = 40) -> str:
    """Return signs that occur nowhere else, in the alphabet of tokens."""
    whole = base64.b32encode(f"planted-secret-{number:02}-".encode() * 8).decode().replace("=", "")
    return f"Q{number}{whole}"[:length]


def _jwt(number: int) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256"}).encode()).decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps({"sub": "demopro", "jti": _mark(number)}).encode()).decode().rstrip("=")
    return f"{head}.{body}.{_mark(number, 60)}"


def _pem(number: int, kind: str) -> str:
    lines = [_mark(number * 100 + line, 64) for line in range(6)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"])


def _planted() -> list[Planted]:
    tokens = {n: _jwt(n) for n in (1, 2, 3, 4)}
    keys = {
        5: _pem(5, "PRIVATE KEY"),
        6: _pem(6, "RSA PRIVATE KEY"),
        7: _pem(7, "OPENSSH PRIVATE KEY"),
        8: _pem(8, "EC PRIVATE KEY"),
    }
    certificate = "-----BEGIN CERTIFICATE-----\nTUlJQjRUQ0NBWWVnQXdJQkFnSUI=\n-----END CERTIFICATE-----"
    texts = {
        "scitoken": (tokens[1], 1), "token in the environment": (f"BEARER_TOKEN={tokens[2]}", 2),
        "header with a token": (f"Authorization: Bearer {tokens[3]}", 3),
        "token in JSON": (json.dumps({"access_token": tokens[4], "expires_in": 10800}), 4),
        "key": (keys[5], 5), "old key": (keys[6], 6), "key of ssh": (keys[7], 7),
        "proxy": (f"{certificate}\n{keys[8]}\n{certificate}", 8),
        "token of a vault": (f"hvs.{_mark(9)}", 9), "batch token of a vault": (f"X-Vault-Token: hvb.{_mark(10)}", 10),
        "old token of a vault": (f"s.{_mark(11, 24)}", 11), "header of another kind": (f"authorization: bearer {_mark(12)}", 12),
        "password in an address": (f"postgres://poms:{_mark(13)}@db.example.org/poms", 13),
        "password of a service": (f"https://demo:{_mark(14)}@sam.example.org:8483/sam", 14),
        "password in the environment": (f"export SAM_PASSWORD='{_mark(15)}'", 15),
        "token of MetaCat": (f"X-Authentication-Token: {_mark(16)}", 16),
        "secret of a client": (f"client_secret={_mark(17)}", 17),
        "token of POMS": (f"poms_{_mark(18, 43)}", 18), "token of GitHub": (f"ghp_{_mark(19, 36)}", 19),
        "key of an interface": (f'api_key: "{_mark(20)}"', 20),
    }  # fmt: skip
    found = []
    for name, (text, number) in texts.items():
        marks = (
            [_mark(number * 100 + line, 64)[:20] for line in range(6)] if number in keys else [_mark(number, 60)[:18]]
        )
        inner = re.findall(r"eyJ[\w-]+\.([\w-]+)\.", text)
        found.append(Planted(name, text, (*marks, *(part[-24:] for part in inner))))
    return found


PLANTED = _planted()
