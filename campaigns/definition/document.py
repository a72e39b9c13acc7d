"""The text as it was written: every line, blank and comment kept, found by section and key. Pure.

Python-configparser's flavour without interpolation (POMS reads it so): a line that begins with a blank goes on with the
value before it, also past comments and blank lines; `key = value` and `key: value` say the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from core.errors import Problem

LONGEST_TEXT = 256 * 1024
LONGEST_LINE = 32 * 1024
MOST_LINES = 10_000
# No two parts of these can take the same blanks: a line of nothing but blanks must not be tried in every division.
_HEAD = re.compile(r"\[([^\]]*)\]\s*([#;].*)?")
_KEY = re.compile(r"\s*([^\s=:#;\[][^=:]*)[=:](.*)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One key with its value, and the lines that it takes: from `first` up to `end` (counted from 0)."""

    key: str
    value: str
    first: int
    end: int

    @property
    def line(self) -> int:
        """Return the number of its first line, as people count."""
        return self.first + 1


@dataclass
class Section:
    """One section: its head stands in line `first`, what follows goes up to `end` (counted from 0)."""

    kind: str
    name: str
    first: int
    end: int
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def line(self) -> int:
        """Return the number of its head's line, as people count."""
        return self.first + 1

    @property
    def title(self) -> str:
        """Return the head as it is written: [campaign_stage gen]."""
        return f"[{self.kind} {self.name}]" if self.name else f"[{self.kind}]"


@dataclass(frozen=True)
class Document:
    """A text in its lines, with what is found in them; `str` gives back the text, byte for byte."""

    lines: tuple[str, ...]
    sections: tuple[Section, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        return "".join(self.lines)

    def of(self, kind: str) -> list[Section]:
        """Return the sections of a kind, in their order."""
        return [section for section in self.sections if section.kind == kind]

    def section(self, kind: str, name: str = "") -> Section | None:
        """Return the first section of that kind and name."""
        return next((s for s in self.sections if (s.kind, s.name) == (kind, name)), None)

    def value(self, kind: str, name: str, key: str) -> str | None:
        """Return what a key says in a section, or None where it says nothing."""
        found = self.section(kind, name)
        return found.entries[key].value if found and key in found.entries else None


def read(text: str) -> Document:
    """Find sections and keys in a text. One that is too large is not looked at: it has one problem and no sections."""
    large = too_large(text, "definition")
    return Document((), (), (large,)) if large else _Finder(re.findall(r"[^\n]*\n|[^\n]+", text)).document()


def too_large(text: str, field: str) -> Problem | None:
    """Return the complaint about a text that is too large to be looked at, or None."""
    what = ""
    if len(text) > LONGEST_TEXT:
        what = f"the text has {len(text)} characters"
    elif text.count("\n") > MOST_LINES:
        what = f"the text has more than {MOST_LINES} lines"
    else:
        lengths = [len(line) for line in text.split("\n")]
        if max(lengths) > LONGEST_LINE:
            what = f"line {lengths.index(max(lengths)) + 1} has {max(lengths)} characters"
    hint = f"at most {LONGEST_TEXT} characters, {MOST_LINES} lines of {LONGEST_LINE} characters"
    return Problem(field, f"{what}; that is too large", hint) if what else None


class _Finder:
    """Goes through the lines once."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.sections: list[Section] = []
        self.heads: set[tuple[str, str]] = set()
        self.problems: list[Problem] = []
        self.key = ""  # the one whose value may go on

    def document(self) -> Document:
        for number, raw in enumerate(self.lines):
            line = raw.strip()
            if not line or line[0] in "#;":
                continue
            if raw[0].isspace() and self.key:
                self._goes_on(number, line)
            elif line.startswith("["):
                self._head(number, line)
            else:
                self._entry(number, raw.rstrip("\r\n"))
        if self.sections:
            self.sections[-1].end = len(self.lines)
        return Document(tuple(self.lines), tuple(self.sections), tuple(self.problems))

    def wrong(self, where: str, message: str, number: int, hint: str = "") -> None:
        self.problems.append(Problem(where, message, hint, number + 1))

    def _goes_on(self, number: int, line: str) -> None:
        known = self.sections[-1].entries[self.key]
        self.sections[-1].entries[self.key] = Entry(known.key, f"{known.value}\n{line}", known.first, number + 1)

    def _head(self, number: int, line: str) -> None:
        self.key = ""
        match = _HEAD.fullmatch(line)
        kind, *rest = match[1].split(maxsplit=1) if match and match[1].strip() else [""]
        if not re.fullmatch(r"\w+", kind):
            self.wrong("definition", f"this is no section head: {line[:80]}", number, "such as [campaign_stage gen]")
            return
        if self.sections:
            self.sections[-1].end = number
        section = Section(kind, "".join(rest).strip(), number, number + 1)
        if (section.kind, section.name) in self.heads:
            self.wrong(section.title, "this section stands here a second time", number, "join the two")
        self.heads.add((section.kind, section.name))
        self.sections.append(section)

    def _entry(self, number: int, raw: str) -> None:
        match = _KEY.fullmatch(raw)
        if match is None:
            text = raw.strip()[:80]
            self.wrong("definition", f"neither a section nor key=value: {text}", number, "a value goes on indented")
        elif not self.sections:
            self.wrong("definition", "a key before the first section", number, "begin with [campaign]")
        else:
            key = match[1].strip()
            if key in self.sections[-1].entries:
                self.wrong(key, "this key stands here a second time", number, "keep one")
            self.key = key
            self.sections[-1].entries[key] = Entry(key, match[2].strip(), number, number + 1)
