"""Settings of catalogues as data: what can be set, what it means, and what must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations import declared as settings
from integrations.declared import Setting

__all__ = ["OF_ANY", "Setting", "read"]

# What any link may say, whatever its kind: it is about the experiment's files, not about the catalogue itself.
OF_ANY: Mapping[str, Setting] = {
    "fts": Setting("addresses of the FTS that take the outputs to tape, with blanks between: http://host:8888/fts")
}


def read(system: str, declared: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, str]:
    """Return every declared setting, as given or by default; Refused names all that is wrong with them."""
    return settings.read(f"{system} catalogue", declared, given, OF_ANY)
