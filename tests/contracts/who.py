"""Who may do what, written out for people to review; the tables of routes and pages are read with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.roles import EVERYWHERE
from tests.turns import WHOLE, number

# permission -> the roles that carry it (requirements.md "Who uses it").
WHO = {
    "view_overview": "experimenter approver operator shifter analyser reviewer service_provider supervisor guest"
    " administrator",
    "view": "experimenter approver operator shifter analyser reviewer supervisor administrator",
    "file_request": "experimenter approver operator analyser",
    "check_request": "operator",
    "return_request": "approver operator",
    "decide_request": "approver",
    "prioritise_request": "approver operator",
    "define": "operator",
    "define_own": "analyser",
    "operate": "operator",
    "watch": "operator shifter",
    "sign_off": "approver reviewer",
    "administer": "administrator",
}


# Of each page and route the operator is asked about their own object and every other time about another one, the stranger
# about two, the experimenter every other time about one. So is a sixteenth of all others, by turns. With POMS_WHOLE=1,
# which `make long` says, everybody is asked about everything.
OTHERS = 16


def about_which(objects: Sequence[str], who: str, *where: str) -> list[str]:
    """Return about which objects somebody is asked: all, none, or one of the first three, mostly the first, their own."""
    if WHOLE:
        return list(objects)
    turn = number(who, *where)
    if who in ("operator", "stranger") and len(objects) > 1:
        more = who == "stranger" or turn % 2
        return [objects[0], *([objects[1 + turn // 2 % (len(objects) - 1)]] if more else [])]
    if turn % (2 if who == "experimenter" else OTHERS):
        return []
    return [objects[0] if turn // OTHERS % 2 else objects[turn // OTHERS // 2 % min(3, len(objects))]]


@dataclass(frozen=True)
class Expected:
    """One line of a table: route and method, its rule, what it is about, and the status for somebody who may."""

    route: str
    method: str
    rule: str
    about: str
    status: int


def expectations(table: str) -> dict[tuple[str, str], Expected]:
    """Return a table by route and method."""
    found = {}
    for line in table.strip().splitlines():
        route, method, rule, about, status = line.split()
        assert (route, method) not in found, f"{route} {method} stands twice in the table"
        found[route, method] = Expected(route, method, rule, about, int(status))
    return found


def holds(who: str, permission: str, corner: str) -> bool:
    """Tell whether a person of the cast holds a permission in the own or the other experiment."""
    if who == "stranger":
        return corner == "other" and "experimenter" in WHO[permission].split()
    if who in ("anonymous", "nobody") or who not in WHO[permission].split():
        return False
    if who == "guest":
        return corner == "own"  # the other experiment is restricted
    return corner == "own" or (corner == "other" and who in EVERYWHERE)


def ranks(who: str, corner: str) -> bool:
    """Tell whether a person of the cast may say what goes first; its approver is registered for everything there."""
    return holds(who, "operate", corner) or holds(who, "decide_request", corner)


def roles_of(permission: str) -> tuple[str, ...]:
    """Return the roles that carry a permission as a refusal names them."""
    return tuple(role.replace("_", " ") for role in WHO[permission].split())
