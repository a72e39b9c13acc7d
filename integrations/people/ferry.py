"""FERRY, the laboratory's registry of people: members with roles, and superusers of the batch systems (JSON over HTTP).

Every answer is HTTP 200 with `ferry_status`; what failed says so in there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.conf import settings

from experiments.claims import BadMapping
from experiments.roles import EVERYWHERE, ROLES
from integrations import http
from integrations.errors import Refused, Unavailable, Unsure
from integrations.people.base import Listed

# What FERRY calls it, and what it is here. `group:` marks a type of group, the others are roles of an affiliation.
DEFAULT_ROLES = {"Production": "operator", "Analysis": "analyser", "group:BatchSuperusers": "operator"}
MEMBERS, GROUP = "getAffiliationMembersRoles", "getGroupMembers"
MOST_BYTES = 32 * 1024 * 1024
LONGEST = 120.0  # seconds
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")

Ask = Callable[[str, Mapping[str, str]], Any]


def roles_of(text: str) -> dict[str, str]:
    """Read a mapping of FERRY's names to roles of an experiment; empty: the one that is built in."""
    if not text.strip():
        return dict(DEFAULT_ROLES)
    try:
        given = json.loads(text)
    except ValueError as error:
        raise BadMapping([f"It is no JSON: {error}."]) from error
    if not isinstance(given, dict) or not given:
        raise BadMapping(['It is no object such as {"Production": "operator"}.'])
    offered = [role for role in ROLES if role not in EVERYWHERE]
    if wrong := [name for name, role in given.items() if role not in offered]:
        raise BadMapping([f"{name!r}: {str(given[name])[:60]!r} is not one of {', '.join(offered)}." for name in wrong])
    return dict(given)


class Ferry:
    """FERRY by HTTP, or from answers that were kept in a file."""

    def __init__(self, ask: Ask, roles: Mapping[str, str]) -> None:
        self._ask = ask
        self._roles = roles

    def people_of(self, experiment: str) -> Sequence[Listed]:
        """Return everybody whom FERRY lists with one of the roles and groups of the mapping."""
        found: list[Listed] = []
        for name, role in self._roles.items():
            kind = name.removeprefix("group:")
            if kind != name:
                rows = self._ask(GROUP, {"grouptype": kind, "groupname": experiment})
            else:
                said = self._ask(MEMBERS, {"unitname": experiment, "role": kind})
                if not isinstance(said, dict) or experiment not in said:
                    raise Refused(f"FERRY's answer on {kind} says nothing of {experiment}; nothing was taken from it.")
                rows = said[experiment]
            found += [Listed(*entry, role, name) for entry in _people(rows, f"{name} of {experiment}")]
        return found


def over_http() -> Ferry:
    """Return FERRY as the settings name it."""
    if not settings.FERRY_URL:
        raise Refused("No FERRY is configured. Set POMS_FERRY_URL, or give a file of answers with --file.")
    return Ferry(_get, roles_of(settings.FERRY_ROLES))


def from_answers(text: str) -> Ferry:
    """Return FERRY as a file has it: for each call its answers, by role or type of group."""
    try:
        kept = json.loads(text)
    except ValueError as error:
        raise Refused(f"The file is no JSON: {error}.") from error

    def ask(call: str, query: Mapping[str, str]) -> Any:
        name = query["role"] if call == MEMBERS else query["grouptype"]
        said = kept.get(call) if isinstance(kept, dict) else None
        if not isinstance(said, dict) or name not in said:
            raise Refused(f'The file has no answer of {call} for {name}: {{"{call}": {{"{name}": {{…}}}}}} is missing.')
        return _output(said[name], call)

    return Ferry(ask, roles_of(settings.FERRY_ROLES))


def _get(call: str, query: Mapping[str, str]) -> Any:
    """Ask once. Nothing is changed by asking, so what does not come back may be asked again."""
    headers = {"Accept": "application/json"}
    if settings.FERRY_TOKEN:
        headers["Authorization"] = f"Bearer {settings.FERRY_TOKEN}"
    try:
        answer = http.call(
            "GET", f"{settings.FERRY_URL.rstrip('/')}/{call}", query=query, headers=headers, seconds=LONGEST,
            cap=MOST_BYTES, certificate=settings.FERRY_CERT, trusted=True,
        )  # fmt: skip
        if answer.status >= 500 or answer.status == 429:
            raise Unavailable(f"FERRY does not serve now (HTTP {answer.status}).")
        if answer.status != 200:
            raise Refused(
                f"FERRY did not take the question (HTTP {answer.status}); see its address, token and certificate."
            )
        found = answer.json()
    except Unsure as error:
        raise Unavailable(f"FERRY does not answer: {error}.") from error
    return _output(found, call)


def _output(answer: Any, call: str) -> Any:
    if not isinstance(answer, dict) or "ferry_output" not in answer or "ferry_status" not in answer:
        raise Refused(f"This is no answer of FERRY's {call}: ferry_status and ferry_output are missing.")
    if answer["ferry_status"] != "success":
        why = answer.get("ferry_error") or ["no reason given"]
        said = "; ".join(map(str, why if isinstance(why, list) else [why]))
        raise Refused(f"FERRY refused {call}: {said[:300]}")
    return answer["ferry_output"]


def _people(rows: Any, where: str) -> list[tuple[str, str]]:
    if not isinstance(rows, list):
        raise Refused(f"FERRY's answer on {where} is no list; nothing was taken from it.")
    found = []
    for row in rows:
        name = row.get("username") if isinstance(row, dict) else None
        if not isinstance(name, str) or not _USERNAME.fullmatch(name):
            raise Refused(f"FERRY's answer on {where} has an entry without a username; nothing was taken from it.")
        found.append((name, str(row.get("fullname") or "")[:200]))
    return found
