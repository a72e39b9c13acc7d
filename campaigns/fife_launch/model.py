"""What a configuration says, and what is in force when a stage of it is launched. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from core.errors import Problem

STAGE = "stage_"
EVALUATED = "global_eval"


@dataclass(frozen=True)
class Entry:
    """What one key says as it was written, and where: a line of a file, and who set it if not the section itself."""

    value: str
    file: str = ""
    line: int = 0
    by: str = ""  # stage_reco, -O, global_eval; empty: the section itself

    @property
    def place(self) -> str:
        """Return where it was said, for people: without the path, which would fill the line."""
        line = f"{self.file.rpartition('/')[2]} line {self.line}" if self.line else ""
        return ": ".join(part for part in (self.by, line) if part)


@dataclass
class Section:
    """One section of all files together: a later file says more, or the same key anew."""

    name: str
    file: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass
class Configuration:
    """A configuration with everything it includes; with errors, fife_launch would not read it."""

    name: str
    sections: dict[str, Section] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # included files that nobody could give

    @property
    def stages(self) -> list[str]:
        """Return the names that `--stage` may give, in their order."""
        return [name.removeprefix(STAGE) for name in self.sections if name.startswith(STAGE)]

    @cached_property
    def laid_over(self) -> list[Section]:
        """Return the sections that hold values, which stages and a command line change; asked once it is read whole."""
        return [section for name, section in self.sections.items() if not name.startswith(STAGE) and name != EVALUATED]

    def where(self, entry: Entry, section: str, key: str) -> str:
        """Return what a complaint is about: the file if it is an included one, the section, the key."""
        here = f"[{section}] {key}"
        return here if entry.file == self.name or not entry.file else f"{entry.file} {here}"


@dataclass(frozen=True)
class Filled:
    """A value with its %(…)s replaced, or why that cannot be."""

    text: str | None
    unset: tuple[str, ...] = ()  # names that refer to nothing
    wrong: str = ""
    depth: int = 1  # how many references stand behind one another, the value itself counted


@dataclass(frozen=True)
class Setting:
    """One value in force: as it was written, as it is filled in, and who said it."""

    section: str
    key: str
    entry: Entry
    filled: Filled


@dataclass
class Staged:
    """What is in force when some stages are launched with some -O: overrides in their order, and all values."""

    name: str
    overrides: list[Setting] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
