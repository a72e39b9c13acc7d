"""What jobs left, put together from parentage: outputs that share an input belong to one job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from integrations.catalogue.base import FileSeen, Produced

LONGEST_JOB = 100  # characters, as results keep it


def units_by_name(inputs: Mapping[str, str]) -> dict[str, list[str]]:
    """Return for each file the keys of the units that are made of it; units of no file are left out."""
    found: dict[str, list[str]] = {}
    for key, name in inputs.items():
        if name:
            found.setdefault(name, []).append(key)
    return found


def jobs_of(outputs: Iterable[tuple[FileSeen, Iterable[str]]]) -> list[Produced]:
    """Return one entry for each group of outputs that is tied together by shared units.

    A catalogue of files does not name jobs. Outputs with a common input were made by the same job, or would each be a
    result of that unit, of which there can be one only: so they count together or not at all. What was made from none
    of the units is left out.
    """
    leaders: dict[str, str] = {}

    def leader(unit: str) -> str:
        while leaders.setdefault(unit, unit) != unit:
            leaders[unit] = leaders[leaders[unit]]
            unit = leaders[unit]
        return unit

    made = [(seen, sorted(set(units))) for seen, units in outputs]
    made = [(seen, units) for seen, units in made if units]
    for _, units in made:
        for unit in units[1:]:
            first, second = sorted((leader(units[0]), leader(unit)))
            leaders[second] = first
    groups: dict[str, tuple[set[str], dict[str, FileSeen]]] = {}
    for seen, units in made:
        keys, files = groups.setdefault(leader(units[0]), (set(), {}))
        keys.update(units)
        files[seen.name] = seen
    return [
        Produced(_job(first), sorted(keys), [files[name] for name in sorted(files)])
        for first, (keys, files) in sorted(groups.items())
    ]


def _job(unit: str) -> str:
    name = f"of:{unit}"
    return name if len(name) <= LONGEST_JOB else f"of:{hashlib.sha256(unit.encode()).hexdigest()}"
