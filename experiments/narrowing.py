"""What a token may do of all that its holder may: permissions, and experiments. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from experiments.roles import PERMISSIONS

_READ = ("view_overview", "view")

# Short names for what tokens are made for most.
GROUPS: dict[str, tuple[str, ...]] = {
    "read": _READ,
    "file": (*_READ, "file_request"),
    "operate": (*_READ, "watch", "operate", "check_request", "prioritise_request"),
    "decide": (*_READ, "return_request", "decide_request", "prioritise_request", "sign_off"),
}
SCOPES = (*GROUPS, *(name for name in PERMISSIONS if name not in GROUPS))


@dataclass(frozen=True)
class Narrowing:
    """A limit on rights that are held: None stands for all there are."""

    permissions: frozenset[str] | None = None
    experiments: frozenset[int] | None = None

    def has(self, permission: str) -> bool:
        """Tell whether the permission is left, somewhere."""
        return self.permissions is None or permission in self.permissions

    def covers(self, experiment_id: int) -> bool:
        """Tell whether anything is left in the experiment."""
        return self.experiments is None or experiment_id in self.experiments

    def is_within(self, other: Narrowing) -> bool:
        """Tell whether this one leaves nothing that the other takes away."""
        return _within(self.permissions, other.permissions) and _within(self.experiments, other.experiments)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is taken away."""
        return self.permissions is None and self.experiments is None


WHOLE = Narrowing()


def permissions_of(scopes: Iterable[str]) -> frozenset[str]:
    """Return the permissions behind names of scopes; what can be done can also be read.

    Raises KeyError with a name that is no scope.
    """
    found: set[str] = set()
    for name in scopes:
        if name in GROUPS:
            found.update(GROUPS[name])
        elif name in PERMISSIONS:
            found.update({name} if name == "view_overview" else {*_READ, name})
        else:
            raise KeyError(name)
    return frozenset(found)


def scopes_with(permission: str) -> list[str]:
    """Return the names of scopes that carry a permission: what to ask for when it is missing."""
    return [name for name in SCOPES if permission in permissions_of([name])]


def _within(part: frozenset[str] | frozenset[int] | None, whole: frozenset[str] | frozenset[int] | None) -> bool:
    return whole is None or (part is not None and part <= whole)
