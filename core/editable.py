"""Rows that people edit: what an edit may change, and how one finds out that another edit came between."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any


class Editable:
    """A model whose `EDITABLE` names the fields that an edit may change."""

    EDITABLE: tuple[str, ...]

    def values(self) -> dict[str, Any]:
        """Return what an edit may change."""
        return {name: getattr(self, name) for name in self.EDITABLE}

    @property
    def fingerprint(self) -> str:
        """Return a hash of what an edit may change, by which one finds out that another edit came between."""
        return sha256(json.dumps(self.values(), sort_keys=True).encode()).hexdigest()
