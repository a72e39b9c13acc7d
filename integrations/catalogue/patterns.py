"""Names by SQL LIKE patterns: `%` is any text, `_` any one character, commas separate several."""

from __future__ import annotations

import re
from collections.abc import Callable

SPECIAL = frozenset("\\^$.|?*+()[]{}")


def several(patterns: str) -> list[str]:
    """Return the patterns of a list, without blanks around them."""
    return [part.strip() for part in patterns.split(",") if part.strip()]


def is_query(text: str) -> bool:
    """Tell whether what stands for patterns is a query in the catalogue's language: it has a blank (protocols 1.7)."""
    return any(" " in part for part in several(text))


def expression(pattern: str) -> str:
    """Return a regular expression that means the same, in words that Python and PostgreSQL read alike.

    What is special in names that occur stands in brackets: a backslash would have to be doubled within a query.
    """
    kinds = {"%": ".*", "_": ".", "^": r"\^", "[": r"\[", "\\": r"\\"}
    return "".join(kinds.get(sign) or (f"[{sign}]" if sign in SPECIAL else sign) for sign in pattern)


def matcher(patterns: str) -> Callable[[str], bool]:
    """Return what tells whether a name matches one of the patterns; without any, every name does."""
    wanted = [re.compile(expression(part), re.DOTALL) for part in several(patterns)]
    return lambda name: not wanted or any(one.fullmatch(name) for one in wanted)
