"""What is different between two definitions, said in the field's words: stages, values, dependencies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from campaigns.definition.model import Definition
from campaigns.definition.values import STAGE
from campaigns.definition.writing import shown

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_KEYS = {name: key for key, (name, _) in STAGE.items()}


@dataclass(frozen=True)
class Change:
    """One difference: of what, how, and for a value what it was and is."""

    what: str  # campaign, stage, dependency, job type, login set-up
    name: str
    how: str
    key: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        if self.how != CHANGED:
            return f"{self.what} {self.name}: {self.how}"
        return f"{self.what} {self.name}: {self.key} {self.before or 'none'} → {self.after or 'none'}"


def compare(before: Definition, after: Definition) -> list[Change]:
    """Return the differences, the graph's first; what stands in another order only is none."""
    found: list[Change] = []
    for key in ("name", "keywords"):
        old, new = (_text(getattr(one, key)) for one in (before, after))
        if old != new:
            found.append(Change("campaign", after.name, CHANGED, key, old, new))
    for what, old_rows, new_rows in (
        ("stage", before.stages, after.stages), ("job type", before.job_types, after.job_types),
        ("login set-up", before.login_setups, after.login_setups),
    ):  # fmt: skip
        found += _rows(what, old_rows, new_rows)
    old_edges, new_edges = _gates(before), _gates(after)
    for edge in dict.fromkeys((*old_edges, *new_edges)):
        name = f"{edge[3]}/{edge[0]} → {edge[1]} ({edge[2]})" if edge[3] else f"{edge[0]} → {edge[1]} ({edge[2]})"
        if edge not in new_edges:
            found.append(Change("dependency", name, REMOVED))
        elif edge not in old_edges:
            found.append(Change("dependency", name, ADDED))
        elif old_edges[edge] != new_edges[edge]:
            found.append(Change("dependency", name, CHANGED, "gate", old_edges[edge], new_edges[edge]))
    return found


def _gates(found: Definition) -> dict[tuple[str, str, str, str], str]:
    return {(e.upstream, e.downstream, e.pattern, e.campaign): e.gate for e in (*found.edges, *found.across)}


def _rows(what: str, before: Iterable[Any], after: Iterable[Any]) -> list[Change]:
    old, new = {row.name: row for row in before}, {row.name: row for row in after}
    found = [Change(what, name, REMOVED) for name in old if name not in new]
    found += [Change(what, name, ADDED) for name in new if name not in old]
    for name in (name for name in old if name in new):
        for entry in fields(new[name]):
            one, other = getattr(old[name], entry.name), getattr(new[name], entry.name)
            if entry.name not in ("name", "line") and one != other:
                key = _KEYS.get(entry.name, entry.name) if what == "stage" else entry.name
                found.append(Change(what, name, CHANGED, key, _of(what, key, one), _of(what, key, other)))
    return found


def _of(what: str, key: str, value: Any) -> str:
    return (shown(key, value) or "") if what == "stage" else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={word}" for key, word in value.items())
    if isinstance(value, tuple):
        return " ".join("".join(map(str, entry)) if isinstance(entry, tuple) else str(entry) for entry in value)
    return str(value)
