"""Named places between two effects where a test may kill the process (reliability T2)."""

from __future__ import annotations

import os
import random
import signal
import time

_random = random.Random(f"{os.environ.get('POMS_CRASH_SEED', '0')}-{os.getpid()}-{time.time_ns()}")  # noqa: S311 - a test's dice


def crashpoint(name: str) -> None:
    """Kill this process with SIGKILL when POMS_CRASHPOINT names this point; do nothing otherwise.

    The variable holds `name`, or `name:probability`; several are separated by commas.
    """
    told = os.environ.get("POMS_CRASHPOINT")
    if not told:
        return
    for entry in told.split(","):
        point, _, chance = entry.partition(":")
        if point == name and _random.random() < float(chance or 1):
            _die(name)


def _die(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
