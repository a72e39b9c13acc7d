"""What a launch wants, in Slurm's words: options of sbatch, and the variables that a bare sbatch reads. Pure.

A row says what kinds of slots and sites are called there: {"kinds": {"onsite": {"partition": "near"}}, "sites": {"BNL":
{"constraint": "bnl", "nodes": "bnl[01-40]"}}}. What it does not name is taken for a feature of that name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.batch.base import Slots, Wanted
from integrations.errors import Refused

# Which options an entry may name; `nodes` is what is excluded where a site is avoided.
OPTIONS = ("partition", "constraint", "qos", "account", "reservation")
TAG = "poms:"
_TAGGED = re.compile(rf"{TAG}([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})")
# What sbatch reads from its environment; the version on which it was tried knows no SBATCH_COMMENT and no SBATCH_TIME.
VARIABLES = {
    "--wckey": "SBATCH_WCKEY", "--time": "SBATCH_TIMELIMIT", "--mem": "SBATCH_MEM_PER_NODE", "--gres": "SBATCH_GRES",
    "--partition": "SBATCH_PARTITION", "--constraint": "SBATCH_CONSTRAINT", "--qos": "SBATCH_QOS",
    "--account": "SBATCH_ACCOUNT", "--reservation": "SBATCH_RESERVATION",
}  # fmt: skip


def tag(uuid: str) -> str:
    """Return what jobs of a launch carry as comment and wckey."""
    return TAG + uuid


def uuid_of(*texts: str) -> str:
    """Return the uuid of the first text that carries one; empty: none does."""
    return next((found[1] for text in texts if (found := _TAGGED.search(text))), "")


def options(wanted: Wanted, settings: Mapping[str, Any]) -> list[list[str]]:
    """Return the options of sbatch, as [option, value]."""
    slots = wanted.slots
    said: list[tuple[str, str]] = [
        ("--comment", tag(wanted.uuid)),
        ("--wckey", tag(wanted.uuid) if settings.get("wckey", True) else ""),
        ("--mem", f"{slots.memory_mb}M" if slots.memory_mb else ""),
        ("--time", str(math.ceil(slots.wall_s / 60)) if slots.wall_s else ""),
        ("--cpus-per-task", str(slots.cpus) if slots.cpus > 1 else ""),
        ("--gres", f"gpu:{slots.gpus}" if slots.gpus else ""),
        ("--tmp", f"{slots.disk_mb}M" if slots.disk_mb else ""),
        *((f"--{name}", value) for name, value in places(slots, settings).items()),
    ]
    return [[option, value] for option, value in said if value]


def variables(words: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return what of the options a bare sbatch takes from its environment."""
    return {VARIABLES[option]: value for option, value in words if option in VARIABLES}


def places(slots: Slots, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return partition, constraint and so on for the kinds of slots and the sites that will do, and nodes to exclude.

    Raises Refused where no partition is both of a kind and of a site that will do.
    """
    kinds, sites = settings.get("kinds") or {}, settings.get("sites") or {}
    avoided = [sites[name] for name in slots.avoid_sites if name in sites]
    wanted = [name for name in slots.sites or sites if name not in slots.avoid_sites]
    # Slurm has no "not": a site whose nodes are not named is avoided by asking for one of the others.
    need = slots.sites or any(not entry.get("nodes") for entry in avoided)
    if need and not wanted:
        raise Refused(f"Slurm has no site but {', '.join(slots.avoid_sites)}, which is to be avoided.")
    found = _alternatives([_entry(kinds, name) for name in slots.kinds])
    for option, values in _alternatives([_entry(sites, name) for name in wanted] if need else []).items():
        found[option] = _both(option, found[option], values) if option in found else values
    asked = {option: (_either(values) if option == "constraint" else ",".join(values))
             for option, values in found.items()}  # fmt: skip
    excluded = [*slots.avoid_nodes, *(entry["nodes"] for entry in avoided if entry.get("nodes"))]
    return asked | ({"exclude": ",".join(excluded)} if excluded else {})


def _entry(known: Mapping[str, Any], name: str) -> dict[str, str]:
    entry = {option: str(known[name][option]) for option in OPTIONS if known.get(name, {}).get(option)}
    return entry or {"constraint": name}


def _alternatives(entries: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the values of each option for the entries that one command can offer together, the first among them.

    Any of the entries will do, so some of them will: those that use the options that the first does, and agree with it
    where sbatch takes a single value only.
    """
    if not entries:
        return {}
    first = entries[0]
    single: tuple[str, ...] = ("qos", "account", "reservation")
    if "partition" in first and "constraint" in first:  # a pair cannot be mixed with another pair
        single = (*single, "partition", "constraint")
    alike = [e for e in entries if set(e) == set(first) and all(e.get(name) == first.get(name) for name in single)]
    return {option: list(dict.fromkeys(entry[option] for entry in alike)) for option in first}


def _both(option: str, some: Sequence[str], others: Sequence[str]) -> list[str]:
    if option == "constraint":
        return [f"{_group(some)}&{_group(others)}"]
    shared = [part for part in _parts(some) if part in _parts(others)]
    if not shared:
        raise Refused(f"No {option} of Slurm is both one of {','.join(some)} and one of {','.join(others)}.")
    return shared


def _parts(values: Sequence[str]) -> list[str]:
    return [part for value in values for part in value.split(",")]


def _either(values: Sequence[str]) -> str:
    return "|".join(values)


def _group(values: Sequence[str]) -> str:
    return f"({_either(values)})" if len(values) > 1 or "|" in values[0] else values[0]
