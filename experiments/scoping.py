"""Access in one place: every query of an experiment's data starts at visible_to(user) (design 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.apps import apps
from django.db import models
from django.db.models import Q

from core.errors import NotAllowed, NotVisible
from experiments.roles import EVERYWHERE, ROLES, roles_with

if TYPE_CHECKING:
    from experiments.models import Experiment

M = TypeVar("M", bound=models.Model)


class ScopedQuerySet(models.QuerySet[M], Generic[M]):
    """A set of rows that belong to experiments."""

    def visible_to(self, user: Any) -> ScopedQuerySet[M]:
        """Return the rows of experiments into which the person may look."""
        return self.filter(**{f"{self.model.EXPERIMENT_PATH}__in": user.experiment_ids("view")})  # type: ignore[attr-defined]


class Scoped(models.Model):
    """A model whose rows belong to an experiment, found along EXPERIMENT_PATH."""

    EXPERIMENT_PATH = "experiment_id"

    objects = ScopedQuerySet.as_manager()

    class Meta:
        abstract = True


def experiments_for(user: Any, permission: str) -> models.QuerySet[Experiment]:
    """Return the experiments on which a person holds a permission: the root of all access.

    It comes by a grant (guardian, through the group of a role) or by a role held everywhere. A guest sees the
    overview of experiments that are not restricted.
    """
    experiments = apps.get_model("experiments", "Experiment")
    memberships = apps.get_model("experiments", "Membership")
    if not user.is_authenticated or not user.is_active:
        return experiments.objects.none()
    held = memberships.objects.filter(user=user, active=True, role__in=EVERYWHERE).values_list("role", flat=True)
    carrying = {role for role in held if permission in ROLES[role]}
    if carrying - {"guest"}:
        return experiments.objects.all()
    # The grants are read where guardian keeps them: its get_objects_for_user costs three times as much, and every
    # request starts here several times.
    to_person = apps.get_model("experiments", "ExperimentUserPermission").objects.filter(user=user)
    to_groups = apps.get_model("experiments", "ExperimentGroupPermission").objects.filter(group__user=user)
    granted = Q(pk__in=to_person.filter(permission__codename=permission).values("content_object")) | Q(
        pk__in=to_groups.filter(permission__codename=permission).values("content_object")
    )
    if "guest" in carrying:
        granted |= Q(restricted=False)
    return experiments.objects.filter(granted)


def may(user: Any, permission: str, experiment: Experiment) -> bool:
    """Tell whether the person holds the permission on the experiment."""
    return experiments_for(user, permission).filter(pk=experiment.pk).exists()


def require(user: Any, permission: str, experiment: Experiment) -> None:
    """Raise NotAllowed, naming the roles that may, unless the person holds the permission there.

    Somebody who may not even see the experiment gets NotVisible: it is as if it did not exist.
    """
    if may(user, permission, experiment):
        return
    if not may(user, "view_overview", experiment):
        raise NotVisible("There is no such experiment, or you may not see it.")
    roles = " or ".join(role.replace("_", " ") for role in roles_with(permission))
    raise NotAllowed(f"This needs the role {roles} in {experiment.name}; nothing was changed.")
