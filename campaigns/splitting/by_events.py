"""Split by number of events. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def cut(weights: Sequence[int], size: int, closed: bool) -> list[int]:
    """Return batches of inputs with at most `size` events together; one larger input is a batch of its own."""
    batches: list[int] = []
    count = events = 0
    for weight in weights:
        if count and events + weight > size:
            batches.append(count)
            count = events = 0
        count += 1
        events += weight
    if count and (closed or events >= size):
        batches.append(count)
    return batches
