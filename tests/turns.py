"""What is tried each time and what by turns: of many alike cases CI takes some, always the same, `make long` all."""

from __future__ import annotations

import os
import zlib

WHOLE = os.environ.get("POMS_WHOLE") == "1"


def number(*words: str) -> int:
    """Return a number that goes by the words alone: the same on every machine and in every run."""
    return zlib.crc32(" ".join(words).encode())


def its_turn(of: int, *words: str) -> bool:
    """Tell whether a case is tried: all with POMS_WHOLE=1, else one of so many."""
    return WHOLE or number(*words) % of == 0
