"""No split: everything in one batch, once nothing more will come. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def cut(weights: Sequence[int], size: int, closed: bool) -> list[int]:
    """Return one batch of all inputs when no more will come."""
    return [len(weights)] if weights and closed else []
