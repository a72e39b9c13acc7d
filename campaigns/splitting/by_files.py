"""Split by number of files. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def cut(weights: Sequence[int], size: int, closed: bool) -> list[int]:
    """Return batches of `size` inputs; the rest only when no more will come."""
    full, rest = divmod(len(weights), size)
    return [size] * full + ([rest] if rest and closed else [])
