"""Experiments and who belongs to them: each role is a group with its grants on the experiment."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from core.errors import Problem, Refused
from experiments.models import Approver, Experiment, ExperimentGroupPermission, Membership, User
from experiments.roles import EVERYWHERE, ROLES


@transaction.atomic
def found(name: str, *, title: str = "", restricted: bool = False) -> Experiment:
    """Create an experiment with a group for each role and that role's grants."""
    experiment = Experiment(name=name, title=title or name, restricted=restricted)
    experiment.full_clean()
    experiment.save()
    roles = {group_name(experiment, role): granted for role, granted in ROLES.items() if role not in EVERYWHERE}
    Group.objects.bulk_create([Group(name=group) for group in roles], ignore_conflicts=True)
    permissions = {
        permission.codename: permission
        for permission in Permission.objects.filter(
            content_type__app_label="experiments", content_type__model="experiment"
        )
    }
    ExperimentGroupPermission.objects.bulk_create(
        ExperimentGroupPermission(group=group, permission=permissions[permission], content_object=experiment)
        for group in Group.objects.filter(name__in=roles)
        for permission in roles[group.name]
    )
    return experiment


def group_name(experiment: Experiment, role: str) -> str:
    """Return the name of the group of a role in an experiment, for instance `demo/approver`."""
    return f"{experiment.name}/{role}"


@transaction.atomic
def join(user: User, role: str, experiment: Experiment | None = None) -> Membership:
    """Give a person a role, in an experiment or (supervisor, guest, administrator) everywhere."""
    if role not in ROLES:
        raise Refused("There is no such role.", [Problem("role", f"unknown: {role}", f"one of {', '.join(ROLES)}")])
    if (role in EVERYWHERE) != (experiment is None):
        where = "everywhere, not in one experiment" if role in EVERYWHERE else "in an experiment"
        raise Refused(f"The role {role} is held {where}.", [Problem("experiment", "does not fit the role")])
    membership, _ = Membership.objects.update_or_create(
        user=user, role=role, experiment=experiment, defaults={"active": True}
    )
    if experiment is not None:
        user.groups.add(Group.objects.get(name=group_name(experiment, role)))
    return membership


@transaction.atomic
def leave(membership: Membership) -> None:
    """End a membership; it stays as a record."""
    membership.active = False
    membership.save(update_fields=["active"])
    if membership.experiment is not None:
        membership.user.groups.remove(Group.objects.get(name=group_name(membership.experiment, membership.role)))


def register_approver(user: User, experiment: Experiment, production_stage: str) -> Approver:
    """Let a person decide on the requests of one production stage (W1)."""
    approver, _ = Approver.objects.get_or_create(experiment=experiment, production_stage=production_stage, user=user)
    return approver
