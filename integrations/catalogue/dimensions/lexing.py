"""Cutting a dimension query into words, quoted values and signs, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from integrations.catalogue.dimensions.tree import DimensionError

_CLOCK = r"[Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?"
DATE = rf"\d{{4}}-\d\d-\d\d(?:{_CLOCK})?|\d\d-[A-Za-z]{{3}}-(?:\d{{4}}|\d\d)"
END = rf"(?:{DATE}|-?\d+(?:\.\d+)?)"  # what a range may begin or end with, beside something quoted
WORD = r"[A-Za-z0-9_.%?+-]+"
# A date with a time has colons, which no other word may have.
_TOKEN = re.compile(
    rf"""(?P<quoted>'[^'\n]*'|"[^"\n]*")
       | (?P<word>\d{{4}}-\d\d-\d\d[Tt]\d\d:[0-9:]+{WORD[:-1]}*(?::\d\d)?|{WORD})
       | (?P<sign><=|>=|!=|[=<>(),:])
       | (?P<blank>\s+)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """One token; `kind` is word, quoted, sign or end."""

    kind: str
    text: str
    at: int

    def says(self, *words: str) -> bool:
        """Tell whether it is one of these words or signs; quoted it is neither."""
        return self.kind in ("word", "sign") and self.text.lower() in words


def error(text: str, at: int, why: str) -> DimensionError:
    """Return the error with line and column, as SAM words it."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return DimensionError(f"Parse error at line {line}, column {column}: {why}")


def tokens(text: str) -> Iterator[Token]:
    """Give the tokens of a text, and at last its end."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            if text[at] in "'\"":
                raise error(text, at, "this quote is never closed")
            if not text[at].isascii():
                raise error(text, at, f"{text[at]!r} is not ASCII")
            raise error(text, at, f"{text[at]!r} cannot stand here")
        kind = found.lastgroup or ""
        if kind != "blank":
            yield Token(kind, found.group(), at)
        at = found.end()
    yield Token("end", "", at)
