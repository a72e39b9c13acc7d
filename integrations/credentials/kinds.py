"""The kinds of credentials by their keys."""

from __future__ import annotations

from integrations.credentials.base import Kind
from integrations.credentials.kerberos import Kerberos
from integrations.credentials.scitoken import SciToken
from integrations.credentials.voms import Voms

KINDS: dict[str, Kind] = {"voms": Voms(), "scitoken": SciToken(), "kerberos": Kerberos()}
