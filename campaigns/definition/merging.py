"""Two people's changes of one text joined: what only one of them changed is taken, what both did is asked. Pure.

It goes by section and key, not by line: two keys that stand side by side are no conflict. Comments are those of the
text that was saved first (merge3, the library that joins by lines, is GPL and cannot be a part of this project).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from campaigns.definition import changing, document
from campaigns.definition.document import Document

Place = tuple[str, str, str]  # kind and name of a section, and a key; an empty key stands for the section itself


@dataclass(frozen=True)
class Conflict:
    """What both changed, each to something else; None: it is not there."""

    kind: str
    name: str
    key: str
    base: str | None
    mine: str | None
    theirs: str | None

    @property
    def where(self) -> str:
        """Return the place as people read it, by which a choice names it."""
        head = f"[{self.kind} {self.name}]" if self.name else f"[{self.kind}]"
        return f"{head} {self.key}".strip()


@dataclass(frozen=True)
class Merged:
    """The joined text, and what both changed; there `theirs` stands unless it was chosen otherwise."""

    text: str
    conflicts: tuple[Conflict, ...]


def merge(base: str, mine: str, theirs: str, choices: Mapping[str, str] | None = None) -> Merged:
    """Return `theirs` with what `mine` changed since `base`; `choices` say "mine" or "theirs" of a conflict's place."""
    if mine in (base, theirs):
        return Merged(theirs, ())
    if theirs == base:
        return Merged(mine, ())
    was, wanted, there = (_said(document.read(text)) for text in (base, mine, theirs))
    text, conflicts, settled = theirs, [], set()
    for place in dict.fromkeys((*was, *wanted)):
        before, own, other = was.get(place), wanted.get(place), there.get(place)
        if own in (before, other) or place[:2] in settled:
            continue
        if not place[2] and own is None:
            settled.add(place[:2])  # I took the section away, and with it all that is in it
            agreed = all(there.get(p) == was.get(p) for p in (*was, *there) if p[:2] == place[:2])
        else:
            agreed = other == before and (not place[2] or (*place[:2], "") in there or (*place[:2], "") not in was)
        conflict = Conflict(*place, before, own, other)
        if agreed or (choices or {}).get(conflict.where) == "mine":
            text = _apply(text, place, own)
        elif (choices or {}).get(conflict.where) != "theirs":
            conflicts.append(conflict)
    return Merged(text, tuple(conflicts))


def _said(found: Document) -> dict[Place, str]:
    """Return what a text says, by its place; sections with their heads."""
    said: dict[Place, str] = {}
    for section in found.sections:
        said[section.kind, section.name, ""] = section.title
        for key, entry in section.entries.items():
            said[section.kind, section.name, key] = entry.value
    return said


def _apply(text: str, place: Place, value: str | None) -> str:
    kind, name, key = place
    if key:
        return changing.set_value(text, kind, name, key, value)
    if value is None:
        return changing.remove_section(text, kind, name)
    if document.read(text).section(kind, name) is None:
        return changing.add_section(text, kind, name, {})
    return text
