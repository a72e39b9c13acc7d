"""How much work a call is, counted in plain loops: a machine that is slow at the moment is slow for both."""

from __future__ import annotations

import time
from collections.abc import Callable

ADDITIONS = 1_000_000
FIVE_SECONDS = 110  # plain loops, on a machine of 2024 with nothing else to do


def effort(act: Callable[[], object]) -> float:
    """Return the processor time of a call in units of a loop of 10^6 additions, taken right before and right after.

    Of the two loops the slower one counts. Only this process is looked at: what others do meanwhile costs nothing.
    """
    before = _spent(_loop)
    spent = _spent(act)
    return spent / max(before, _spent(_loop))


def _spent(act: Callable[[], object]) -> float:
    begin = time.process_time()
    act()
    return time.process_time() - begin


def _loop() -> int:
    total = 0
    for number in range(ADDITIONS):
        total += number
    return total
