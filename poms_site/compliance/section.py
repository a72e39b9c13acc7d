"""A part of the compliance report: a title, rows of words and numbers, and a sentence on what they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

Row = Mapping[str, str | int]
WIDEST = 90  # characters of a column; longer words are shown whole all the same


@dataclass(frozen=True)
class Section:
    """One part; `about` says what it is of, or why there are no rows."""

    name: str
    title: str
    rows: Sequence[Row]
    about: str = ""

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Give it as text: one table, each column as wide as its words."""
        yield f"## {self.title}"
        if self.about:
            yield self.about
        if not self.rows:
            yield "(none)"
            return
        names = list(self.rows[0])
        cells = [names, *([one_line(row[name]) for name in names] for row in self.rows)]
        widths = [min(max(len(line[n]) for line in cells), WIDEST) for n in range(len(names))]
        for line in cells:
            yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def one_line(value: str | int) -> str:
    """Return a value as one line that moves no terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(str(value).split()))


def moment(at: datetime | None, otherwise: str = "never") -> str:
    """Return a time in UTC to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else otherwise


def facts(**told: object) -> list[Row]:
    """Return rows of two columns: what, and how it is; names are written with blanks."""
    return [{"what": name.replace("_", " "), "is": _said(value)} for name, value in told.items()]


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None) else str(value)
