"""Access in one place: every query of an experiment's data starts at visible_to(user) (design 9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.apps import apps
from django.db import connection, models

from core.errors import NotAllowed, NotVisible
from experiments.narrowing import WHOLE, Narrowing, scopes_with
from experiments.roles import EVERYWHERE, ROLES, roles_with

if TYPE_CHECKING:
    from experiments.models import Experiment

M = TypeVar("M", bound=models.Model)


class ScopedQuerySet(models.QuerySet[M], Generic[M]):
    """A set of rows that belong to experiments."""

    def visible_to(self, user: Any) -> ScopedQuerySet[M]:
        """Return the rows of experiments into which the person may look."""
        return self.filter(**{f"{self.model.EXPERIMENT_PATH}__in": user.experiment_ids("view")})  # type: ignore[attr-defined]  # every scoped model has it


class Scoped(models.Model):
    """A model whose rows belong to an experiment, found along EXPERIMENT_PATH."""

    EXPERIMENT_PATH = "experiment_id"

    objects = ScopedQuerySet.as_manager()

    class Meta:
        abstract = True


# Read in one statement of its own, not as a part of others: every request asks several times, and the ORM would build
# the same three sub-queries again each time. guardian's get_objects_for_user costs more still.
_GRANTED = """
SELECT e.id FROM experiments_experiment e
 WHERE EXISTS (SELECT FROM experiments_membership m
                WHERE m.user_id = %(user)s AND m.active AND m.experiment_id IS NULL
                  AND (m.role = ANY(%(everywhere)s) OR %(guests)s AND m.role = 'guest' AND NOT e.restricted))
    OR EXISTS (SELECT FROM experiments_experimentuserpermission g JOIN auth_permission p ON p.id = g.permission_id
                WHERE g.user_id = %(user)s AND g.content_object_id = e.id AND p.codename = %(permission)s)
    OR EXISTS (SELECT FROM experiments_experimentgrouppermission g JOIN auth_permission p ON p.id = g.permission_id
                 JOIN experiments_user_groups u ON u.group_id = g.group_id
                WHERE u.user_id = %(user)s AND g.content_object_id = e.id AND p.codename = %(permission)s)
"""


def experiment_ids(user: Any, permission: str) -> list[int]:
    """Return the keys of the experiments on which a person holds a permission: the root of all access.

    It comes by a grant (guardian, to the person or through the group of a role) or by a role held everywhere. A
    guest sees the overview of experiments that are not restricted. Whoever came with a narrowed token holds no more
    than the token leaves.
    """
    narrowing = narrowing_of(user)
    if not narrowing.has(permission):
        return []
    return [key for key in _granted(user, permission) if narrowing.covers(key)]


def narrowing_of(user: Any) -> Narrowing:
    """Return what the token of this request leaves of the person's rights; a session leaves all."""
    found: Narrowing = getattr(user, "narrowed_to", WHOLE)
    return found


def read_once(user: Any) -> None:
    """Let what this person holds be read once for all questions about it: in a request that changes nothing."""
    user.holdings_read = {}


def _read(user: Any, sql: str, asked: dict[str, Any]) -> list[Any]:
    """Return the first column of what a person holds, from what was read of it before if that may be kept."""
    kept: dict[str, list[Any]] | None = getattr(user, "holdings_read", None)
    key = f"{sql}{sorted(asked.items())}"
    if kept is not None and key in kept:
        return kept[key]
    with connection.cursor() as cursor:
        cursor.execute(sql, asked)
        found = [value for (value,) in cursor.fetchall()]
    if kept is not None:
        kept[key] = found
    return found


def _granted(user: Any, permission: str) -> list[int]:
    """Return where the person holds a permission, whatever they came with."""
    if not user.is_authenticated or not user.is_active:
        return []
    asked = {
        "user": user.pk,
        "permission": permission,
        "everywhere": [role for role in EVERYWHERE if role != "guest" and permission in ROLES[role]],
        "guests": permission in ROLES["guest"],
    }
    return _read(user, _GRANTED, asked)


_HELD = """
SELECT p.codename FROM experiments_experimentuserpermission g JOIN auth_permission p ON p.id = g.permission_id
 WHERE g.user_id = %(user)s AND (%(among)s::bigint[] IS NULL OR g.content_object_id = ANY(%(among)s::bigint[]))
UNION SELECT p.codename FROM experiments_experimentgrouppermission g JOIN auth_permission p ON p.id = g.permission_id
 JOIN experiments_user_groups u ON u.group_id = g.group_id
 WHERE u.user_id = %(user)s AND (%(among)s::bigint[] IS NULL OR g.content_object_id = ANY(%(among)s::bigint[]))
UNION SELECT 'everywhere:' || m.role FROM experiments_membership m
 WHERE m.user_id = %(user)s AND m.active AND m.experiment_id IS NULL
"""


def _held(user: Any, experiment: Experiment | None) -> set[str]:
    if not user.is_authenticated or not user.is_active:
        return set()
    narrowing = narrowing_of(user)
    if experiment is not None and not narrowing.covers(experiment.pk):
        return set()
    among = narrowing.experiments if experiment is None else (experiment.pk,)
    asked = {"user": user.pk, "among": None if among is None else list(among)}
    rows = set(_read(user, _HELD, asked))
    roles = {name.partition(":")[2] for name in rows if name.startswith("everywhere:")}
    if experiment is not None and experiment.restricted:
        roles.discard("guest")
    granted = {name for name in rows if ":" not in name}
    found = granted.union(*(ROLES[role] for role in roles if role in EVERYWHERE))
    return {name for name in found if narrowing.has(name)}


def held_on(user: Any, experiment: Experiment) -> frozenset[str]:
    """Return every permission that a person holds on an experiment, in one statement: what a page may offer."""
    return frozenset(_held(user, experiment))


def holds_anywhere(user: Any, permissions: Iterable[str]) -> bool:
    """Tell whether a person holds one of the permissions on at least one experiment."""
    return not _held(user, None).isdisjoint(permissions)


def experiments_for(user: Any, permission: str) -> models.QuerySet[Experiment]:
    """Return the experiments on which a person holds a permission."""
    return apps.get_model("experiments", "Experiment").objects.filter(pk__in=experiment_ids(user, permission))


def may(user: Any, permission: str, experiment: Experiment) -> bool:
    """Tell whether the person holds the permission on the experiment."""
    return experiment.pk in experiment_ids(user, permission)


def require(user: Any, permission: str, experiment: Experiment) -> None:
    """Raise NotAllowed, naming the roles that may, unless the person holds the permission there.

    Somebody who may not even see the experiment gets NotVisible: it is as if it did not exist. Where only the token
    stands in the way, the scope that it lacks is named.
    """
    if may(user, permission, experiment):
        return
    if not may(user, "view_overview", experiment):
        raise NotVisible("There is no such experiment, or you may not see it.")
    if not narrowing_of(user).has(permission) and experiment.pk in _granted(user, permission):
        scopes = " or ".join(scopes_with(permission))
        raise NotAllowed(f"This token lacks the scope {scopes}; nothing was changed. Make one that has it.")
    roles = " or ".join(role.replace("_", " ") for role in roles_with(permission))
    raise NotAllowed(f"This needs the role {roles} in {experiment.name}; nothing was changed.")
