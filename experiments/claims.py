"""From what a provider of identities says of a person to name and roles here: a mapping that is data. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.roles import EVERYWHERE, ROLES

Held = tuple[str | None, str]  # experiment (None: everywhere) and role
PLACE = "{experiment}"
_EXPERIMENT = r"[a-z][a-z0-9_-]*"


class BadMapping(ValueError):
    """What was configured is no mapping; one sentence for each thing that is wrong."""

    def __init__(self, wrong: Iterable[str]) -> None:
        self.wrong = tuple(wrong)
        super().__init__(" ".join(self.wrong))


@dataclass(frozen=True)
class Rule:
    """One group, or with {experiment} in it a family of groups, and the role that it stands for."""

    group: str
    place: str | None
    role: str

    def match(self, group: str) -> Held | None:
        """Return where and what somebody of this group is, if the rule speaks of it."""
        if PLACE not in self.group:
            return (self.place, self.role) if group == self.group else None
        before, _, after = self.group.partition(PLACE)
        found = re.fullmatch(f"{re.escape(before)}({_EXPERIMENT}){re.escape(after)}", group)
        if found is None:
            return None
        return (found[1] if self.place == PLACE else self.place, self.role)


@dataclass(frozen=True)
class StepUp:
    """A role that only somebody may use whose sign-in carries a claim, for instance amr=mfa."""

    role: str
    claim: str
    value: str

    def is_met(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether the claim has the value, or has it in its list."""
        said = claims.get(self.claim)
        return self.value in said if isinstance(said, list) else said == self.value


def rules_of(text: str) -> tuple[Rule, ...]:
    """Read a mapping: {"/dune/production": "dune/operator", "/{experiment}": "{experiment}/experimenter"}."""
    if not text.strip():
        return ()
    try:
        given = json.loads(text)
    except ValueError as error:
        raise BadMapping([f"It is no JSON: {error}."]) from error
    if not isinstance(given, dict):
        raise BadMapping(['It is no object such as {"/dune/production": "dune/operator"}.'])
    rules, wrong = [], []
    for group, target in given.items():
        for said in target if isinstance(target, list) else [target]:
            trouble = _trouble(group, said)
            place, _, role = str(said).rpartition("/")
            wrong += [f"{group!r}: {trouble}."] if trouble else []
            rules.append(Rule(group, place or None, role))
    if wrong:
        raise BadMapping(wrong)
    return tuple(rules)


def _trouble(group: str, target: Any) -> str:
    if not group.strip() or group.count(PLACE) > 1:
        return "a group has a name, with {experiment} at most once"
    if not isinstance(target, str):
        return f"{json.dumps(target)[:60]} is no role; write experiment/role, or a role that is held everywhere"
    place, _, role = target.rpartition("/")
    if role not in ROLES:
        return f"there is no role {role[:60]!r}; known are {', '.join(ROLES)}"
    if (role in EVERYWHERE) != (place == ""):
        return f"{role} is held {'everywhere, without an experiment' if role in EVERYWHERE else 'in an experiment'}"
    if place == PLACE and PLACE not in group:
        return "{experiment} stands in the role, but not in the group"
    if place not in ("", PLACE) and not re.fullmatch(_EXPERIMENT, place):
        return f"{place[:60]!r} is no name of an experiment"
    return ""


def step_ups_of(entries: Iterable[str]) -> tuple[StepUp, ...]:
    """Read which roles need which claim: `administrator:amr=mfa`."""
    found, wrong = [], []
    for entry in entries:
        role, _, condition = entry.strip().partition(":")
        claim, equals, value = condition.partition("=")
        if role not in ROLES or not (claim and equals and value):
            wrong.append(f"{entry!r} is not of the form role:claim=value with a role that there is.")
        found.append(StepUp(role, claim, value))
    if wrong:
        raise BadMapping(wrong)
    return tuple(found)


def groups_in(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return the groups that a claim names; a dot leads into a claim of claims, a single text is a list of one."""
    said: Any = claims.get(name)
    if said is None and "." in name:
        said = claims
        for step in name.split("."):
            said = said.get(step) if isinstance(said, Mapping) else None
    if isinstance(said, str):
        return [said]
    return [group for group in said if isinstance(group, str)] if isinstance(said, list) else []


def held_by(groups: Iterable[str], rules: Iterable[Rule]) -> dict[Held, str]:
    """Return the roles that the groups stand for, each with the group that says so; what no rule knows is left out."""
    known = tuple(rules)
    found: dict[Held, str] = {}
    for group in groups:
        for rule in known:
            if held := rule.match(group):
                found.setdefault(held, group)
    return found


def username_in(claims: Mapping[str, Any], claim: str) -> str:
    """Return the name that a person gets here: plain letters, digits and . _ + - @; never empty."""
    for name in (claim, "sub"):
        text = unicodedata.normalize("NFKD", str(claims.get(name) or ""))
        plain = re.sub(r"[^A-Za-z0-9.@+_-]", "", text).strip(".-@+")[:140]
        if plain:
            return plain
    return "person"


def names_in(claims: Mapping[str, Any]) -> tuple[str, str]:
    """Return first and last name, without control characters."""
    first, last = str(claims.get("given_name") or ""), str(claims.get("family_name") or "")
    if not first and not last:
        first, last = parted(str(claims.get("name") or ""))
    return _printable(first), _printable(last)


def parted(name: str) -> tuple[str, str]:
    """Return a whole name as first names and last name."""
    first, _, last = name.strip().rpartition(" ")
    return (first, last) if first else (last, "")


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable()).strip()[:150]
