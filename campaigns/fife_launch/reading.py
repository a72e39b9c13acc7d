"""Reads a configuration and what it includes as Python's ConfigParser does, with the line of every key. Pure.

Keys keep their case; nothing is filled in yet. `[global] includes = a.cfg b.cfg` is read after the file itself, so
that an included value wins, and each file once (protocols 7). Our own reader, because ConfigParser knows no lines and
stops at the first key that stands twice; tests hold it against ConfigParser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from campaigns.definition.document import LONGEST_TEXT, too_large
from campaigns.fife_launch.filling import Filler
from campaigns.fife_launch.model import STAGE, Configuration, Entry, Section
from campaigns.fife_launch.words import KEYS, MOST_TOLD, bare
from core.errors import Problem, nearest

DEFAULT = "DEFAULT"  # ConfigParser's section of that name
MOST_FILES = 30
MOST_TEXT = 4 * LONGEST_TEXT  # of all files together
Included = Callable[[str], str | None]


def read(
    text: str, included: Included | Mapping[str, str] | None = None, name: str = "the configuration"
) -> Configuration:
    """Read a text; `included` gives the text of an included file by its name, or None where there is none."""
    given = named(included) if isinstance(included, Mapping) else included
    reader = _Reader(Configuration(name), given or (lambda _: None))
    reader.file(name, text)
    found = reader.found
    for section in found.sections.values():
        known = section.name.startswith(STAGE) or bare(section.name) in KEYS
        if not known and len(found.warnings) < MOST_TOLD:
            hint = nearest(section.name, [*KEYS, STAGE], f"it reads {', '.join(KEYS)} and {STAGE}…")
            where = found.where(Entry("", section.file), section.name, "").strip()
            found.warnings.append(Problem(where, "fife_launch reads no section of this name", hint, section.line))
    return found


def named(texts: Mapping[str, str]) -> Included:
    """Return what finds a text by its name, or by the last part of its path where only one has it."""

    def find(name: str) -> str | None:
        if name in texts:
            return texts[name]
        last = name.rpartition("/")[2]
        alike = [text for other, text in texts.items() if other.rpartition("/")[2] == last]
        return alike[0] if len(alike) == 1 else None

    return find


class _Reader:
    """Reads files into one configuration."""

    def __init__(self, found: Configuration, included: Included) -> None:
        self.found = found
        self.included = included
        self.seen: set[str] = set()
        self.left = MOST_TEXT

    def file(self, name: str, text: str) -> None:
        """Read one file, then those that are included by what is known then."""
        self.seen.add(name)
        self.left -= len(text)
        large = too_large(text, name)
        if large is None and self.left < 0:
            large = Problem(name, f"the files have more than {MOST_TEXT} characters together", "include less")
        if large is not None:
            self.found.errors.append(large)
            return
        for section in _Lines(name, text, self.found).sections():
            known = self.found.sections.setdefault(section.name, section)
            known.entries.update(section.entries)
        self._includes()

    def _includes(self) -> None:
        entry = self._entry()
        for other in self._names(entry) if entry else ():
            if other in self.seen:
                continue
            where = self.found.where(entry, "global", "includes") if entry else ""
            line = entry.line if entry else None
            if len(self.seen) >= MOST_FILES:
                self.found.errors.append(Problem(where, f"more than {MOST_FILES} files", "include fewer", line))
                return
            self.seen.add(other)
            text = self.included(other)
            if text is None:
                self.found.missing.append(other)
                hint = "send it as well (--include), or correct its name"
                self.found.errors.append(Problem(where, f"the included {other} is not here", hint, line))
            else:
                self.file(other, text)

    def _entry(self) -> Entry | None:
        section = self.found.sections.get("global")
        return section.entries.get("includes") if section else None

    def _names(self, entry: Entry) -> list[str]:
        keys = self.found.sections["global"].entries
        filled = Filler({key: known.value for key, known in keys.items()}).of("includes")
        if filled.text is None:
            where = self.found.where(entry, "global", "includes")
            why = filled.wrong or f"%({filled.unset[0]})s refers to nothing"
            problem = Problem(where, why, "fife_launch includes nothing then", entry.line)
            if problem not in self.found.warnings:
                self.found.warnings.append(problem)
        return [name for name in (filled.text or "").split(" ") if name]  # as fife_launch does: by blanks only


class _Lines:
    """Goes through the lines of one file once."""

    def __init__(self, name: str, text: str, found: Configuration) -> None:
        self.name = name
        self.lines = re.split(r"\r\n|\r|\n", text)
        self.found = found
        self.section: Section | None = None
        self.key = ""  # the one whose value may go on, on lines that stand deeper than it
        self.indent = 0
        self.values: dict[str, tuple[int, list[str]]] = {}

    def sections(self) -> Iterator[Section]:
        """Yield the sections in their order; complaints go to the configuration."""
        heads: set[str] = set()
        for number, raw in enumerate(self.lines, 1):
            line = raw.strip()
            if not line or line[0] in "#;":
                if not line and self.key:
                    self.values[self.key][1].append("")
                continue
            indent = len(raw) - len(raw.lstrip())
            if self.key and indent > self.indent:
                self.values[self.key][1].append(line)
                continue
            self.indent = indent
            # As ConfigParser: up to the last bracket, whatever follows.
            if line[0] == "[" and line.rfind("]") > 1:
                yield from self._ended()
                self._head(line[1 : line.rfind("]")], number, heads)
            else:
                self._entry(line, number)
        yield from self._ended()

    def _ended(self) -> Iterator[Section]:
        if self.section is not None and self.section.name != DEFAULT:
            for key, (line, values) in self.values.items():
                self.section.entries[key] = Entry("\n".join(values).rstrip(), self.name, line)
            yield self.section
        self.section, self.key, self.values = None, "", {}

    def _head(self, name: str, number: int, heads: set[str]) -> None:
        self.section = Section(name, self.name, number)
        if name == DEFAULT:
            self._wrong("its keys would be in every stage, where fife_launch fails on them", "use [global]", number)
        elif name in heads:
            self._wrong(f"[{name}] stands here a second time", "join the two", number)
        heads.add(name)

    def _entry(self, line: str, number: int) -> None:
        ends = [at for at in (line.find("="), line.find(":")) if at >= 0]
        key = line[: min(ends)].strip() if ends else ""
        if self.section is None:
            self._wrong("this stands before the first section", "begin with [global]", number)
        elif not key:
            self._wrong(f"neither a section nor key = value: {line[:80]}", "a value goes on indented", number)
        else:
            if key in self.values:
                self._wrong(f"{key} stands here a second time", "keep one, or number them: setup_1, setup_2", number)
            self.key = key
            self.values[key] = number, [line[min(ends) + 1 :].strip()]

    def _wrong(self, message: str, hint: str, number: int) -> None:
        where = f"[{self.section.name}]" if self.section else ""
        if not where or self.name != self.found.name:
            where = f"{self.name} {where}".strip()
        if len(self.found.errors) < MOST_TOLD:
            self.found.errors.append(Problem(where, message, hint, number))
