"""What a stage sets, and which values are in force with it. Pure.

The order of fife_launch (protocols 7): the files, the stages in the order of `--stage` (the parents of each first),
what `[global_eval]` computes, the -O of the command line. A key of [global] is in force in every section that has a key
of the same name: fife_launch looks there first (`cfg_get(…, vars = self.cfg_globals)` in its source).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from campaigns.fife_launch.filling import Budget, Filler
from campaigns.fife_launch.model import EVALUATED, STAGE, Configuration, Entry, Filled, Section, Setting, Staged
from campaigns.fife_launch.words import GIVEN
from core.errors import Problem, nearest

Override = tuple[str, str, str]  # section, key, value: what -O gives
PARENT = "parent"
MOST_PARENTS = 50
COMPLAINT = 16_000
_UNFILLED = Filled(None)


def stages(found: Configuration, overrides: Sequence[Override] = ()) -> Iterator[Staged]:
    """Yield each stage by itself, with what it sets and what is in force; `overrides` as for `staged`."""
    budget = Budget()
    for name in found.stages:
        yield staged(found, [name], overrides, budget)


def staged(
    found: Configuration, names: Sequence[str], overrides: Sequence[Override] = (), budget: Budget | None = None
) -> Staged:
    """Return what is in force when these stages are launched together; `budget` is shared by several that are asked."""
    result = Staged(" ".join(names))
    budget = budget or Budget()
    if not budget.spent:
        _Stager(found, budget, result).run(names, overrides)
    if budget.spent:
        text = "all stages together are too large to be looked at whole"
        result.problems.append(Problem(found.name, text, "ask for one stage"))
    return result


class _Stager:
    """Lays over the files what some stages and a command line set."""

    def __init__(self, found: Configuration, budget: Budget, result: Staged) -> None:
        self.found = found
        self.budget = budget
        self.result = result
        self.entries = {section.name: dict(section.entries) for section in found.laid_over}

    def run(self, names: Sequence[str], overrides: Sequence[Override]) -> None:
        """Fill the result."""
        said: list[tuple[str, str, Entry]] = []
        lacking: set[str] = set()  # told once: fife_launch ends at the first anyway
        for section, key, entry in self._said(names, overrides):
            self.budget.spend(len(entry.value))
            if self.budget.spent:
                return
            if section in self.entries:
                self.entries[section][key] = entry
                said.append((section, key, entry))
            elif not self.found.missing and section not in lacking:  # what is missing may have the section
                lacking.add(section)
                where = self.found.where(entry, entry.by, f"{section}.{key}") if entry.line else f"-O{section}.{key}"
                text = f"there is no section [{section}] where fife_launch could store this"
                hint = f"add [{section}] to the configuration"
                self._tell(where, text, hint, entry, word=section, words=self.entries)
        filled = _fill(self.entries, self.budget)
        everywhere = self.entries.get("global", {})
        self.result.settings = [
            Setting(section, key, everywhere.get(key, entry), filled[section][key])
            for section, known in self.entries.items()
            for key, entry in known.items()
        ]
        in_force = {(setting.section, setting.key): setting for setting in self.result.settings}
        # An override that a later one replaces is shown as it was written.
        for section, key, entry in said:
            now = in_force[section, key]
            self.result.overrides.append(now if now.entry == entry else Setting(section, key, entry, _UNFILLED))

    def _said(self, names: Sequence[str], overrides: Sequence[Override]) -> Iterator[tuple[str, str, Entry]]:
        """Yield section, key and entry of every override in its order."""
        for section in self._with_parents(names):
            for key, entry in section.entries.items():
                part, _, rest = key.partition(".")
                if key == PARENT:
                    continue
                if part and rest:
                    yield part, rest, replace(entry, by=section.name)
                else:
                    where = self.found.where(entry, section.name, key)
                    text = "fife_launch fails on a key without its section"
                    self._tell(where, text, "write section.key = value", entry, word=key, words=[PARENT])
        computed = self.found.sections.get(EVALUATED)
        for key, entry in computed.entries.items() if computed else ():
            yield "global", key, replace(entry, value=f"<{entry.value.replace('%', '%%')}>", by=EVALUATED)
        for part, key, value in overrides:
            if not part.startswith(STAGE):  # it comes too late to change anything
                yield part, key, Entry(value, by="-O")

    def _with_parents(self, names: Sequence[str]) -> list[Section]:
        """Return the sections of stages, the parents of each before it; each once."""
        order: dict[str, Section] = {}

        def add(name: str, below: tuple[str, ...]) -> None:
            section = self.found.sections.get(STAGE + name)
            if section is None or name in order or self.budget.spent:
                return
            self.budget.spend(0)
            if parent := section.entries.get(PARENT):
                where = self.found.where(parent, section.name, PARENT)
                for other in (part.strip() for part in parent.value.split(",")):
                    if other in (*below, name):
                        self._tell(where, f"{other} is its own parent", "leave it out", parent)
                    elif len(below) >= MOST_PARENTS:
                        self._tell(where, f"more than {MOST_PARENTS} parents on end", "have fewer", parent)
                    elif STAGE + other not in self.found.sections:
                        text = f"there is no [{STAGE}{other}]"
                        self._tell(where, text, "name a stage", parent, word=other, words=self.found.stages)
                    else:
                        add(other, (*below, name))
            order[name] = section

        for name in names:
            add(name, ())
        return list(order.values())

    def _tell(
        self, where: str, text: str, hint: str, entry: Entry, *, word: str = "", words: Iterable[str] = ()
    ) -> None:
        """Complain; to look for the nearest word takes its time, so it has its price."""
        self.budget.spend(COMPLAINT)
        if not self.budget.spent:
            self.result.problems.append(Problem(where, text, nearest(word, words, hint), entry.line or None))


def _fill(entries: dict[str, dict[str, Entry]], budget: Budget) -> dict[str, dict[str, Filled]]:
    """Return every value filled in. A value of [global] that cannot be is looked into anew where it is named."""
    given = {name: f"<{name}>" for name in GIVEN}
    written = _raw(entries.get("global", {}))
    own = Filler({**given, **written}, budget)
    filled = {"global": {key: own.of(key) for key in written}}
    everywhere = {key: value.text for key, value in filled["global"].items() if value.text is not None}
    for section, known in entries.items():
        if section != "global":
            filler = Filler({**given, **_raw(known), **written, **everywhere}, budget)
            filled[section] = {key: filler.of(key) for key in known}
    return filled


def _raw(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.value for key, entry in entries.items()}
