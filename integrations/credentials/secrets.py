"""Secrets by name, from the environment or files: rows hold the name, never the secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

from integrations.errors import Unavailable


def secret(name: str) -> str:
    """Return the secret of a name: POMS_CREDENTIAL_<NAME>, or what is in the file that …_FILE names.

    One that is missing is Unavailable: an administrator sets it, and what waits goes on.
    """
    variable = _variable(name)
    if value := os.environ.get(variable):
        return value
    place = os.environ.get(f"{variable}_FILE")
    try:
        if place and (value := Path(place).read_text().strip()):
            return value
    except OSError as error:
        raise Unavailable(f"The credential {name} cannot be read: {error.strerror}.", 300) from error
    raise Unavailable(f"The credential {name} is not set: {variable} or {variable}_FILE.", 300)


def authorization(name: str) -> str:
    """Return the value of the Authorization header: Basic for `user:password`, else Bearer."""
    from requests.auth import _basic_auth_str  # noqa: PLC0415 - as requests writes it

    found = secret(name)
    user, colon, password = found.partition(":")
    return _basic_auth_str(user, password) if colon else f"Bearer {found}"


def certificate(name: str) -> str:
    """Return the path of a client certificate with its key: what POMS_CREDENTIAL_<NAME>_FILE names."""
    variable = f"{_variable(name)}_FILE"
    place = os.environ.get(variable, "")
    if not place or not Path(place).is_file():
        raise Unavailable(f"The certificate {name} is not there: {variable} names no file.", 300)
    return place


def _variable(name: str) -> str:
    return f"POMS_CREDENTIAL_{re.sub('[^A-Z0-9]', '_', name.upper())}"
