"""What a look at an installation finds: how bad it is, a sentence on it, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WELL, WARNING, BROKEN = "well", "warning", "broken"
MOST_NAMED = 3  # of many things that are alike


@dataclass(frozen=True)
class Finding:
    """One sentence on one part of the installation; `remedy` says what to do, and is empty where all is well."""

    check: str
    level: str
    text: str
    remedy: str = ""


def status_of(findings: Iterable[Finding], *, strict: bool = False) -> int:
    """Return the exit status: 2 where something is broken, 1 for warnings if they count, else 0."""
    levels = {one.level for one in findings}
    if BROKEN in levels:
        return 2
    return 1 if strict and WARNING in levels else 0


def few(names: Iterable[str]) -> str:
    """Return the first of many names, and how many more there are."""
    found = list(names)
    more = len(found) - MOST_NAMED
    return ", ".join(found[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
