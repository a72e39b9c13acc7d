"""Experiments and who belongs to them: each role is a group with its grants on the experiment.

`by` is who does it: then a reason is obligatory, and both are kept in the ledger. Without it, an installation sets
itself up (seeding, the shell), and there is nobody to ask for a reason. What a source outside says (sign-in, FERRY) is
done with `source`: the ledger names it as the actor, and what one source gave, no other ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from core import differences
from core.clock import now
from core.errors import Conflict, Problem, Refused
from core.transitions import record
from experiments.models import Approver, Experiment, ExperimentGroupPermission, Membership, User
from experiments.roles import EVERYWHERE, ROLES, roles_with
from experiments.scoping import may

LONGEST_STAND_IN = timedelta(days=92)


@transaction.atomic
def found(
    name: str, *, title: str = "", restricted: bool = False, by: User | None = None, reason: str = ""
) -> Experiment:
    """Create an experiment with a group for each role and that role's grants."""
    _needs_reason(by, reason)
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
    _note("experiment", experiment.pk, ("", "found", "active"), experiment=experiment, by=by, text=reason)
    return experiment


CHANGEABLE = ("title", "restricted", "active", "author_may_approve")


@transaction.atomic
def change(experiment: Experiment, *, by: User, reason: str, **values: Any) -> Experiment:
    """Change what an experiment is called and who may what in it; what was different is kept with the reason."""
    _needs_reason(by, reason)
    if unknown := set(values) - set(CHANGEABLE):
        raise Refused("This cannot be changed.", [Problem(name, "stays as it is") for name in sorted(unknown)])
    experiment = Experiment.objects.select_for_update().get(pk=experiment.pk)
    before = {name: getattr(experiment, name) for name, value in values.items() if getattr(experiment, name) != value}
    if not before:
        raise Refused("Nothing is different; nothing was changed.")
    source = _standing(experiment.active)
    for name in before:
        setattr(experiment, name, values[name])
    experiment.save(update_fields=list(before))
    text = differences.told(reason, before, {name: values[name] for name in before})
    steps = (source, "change", _standing(experiment.active))
    _note("experiment", experiment.pk, steps, experiment=experiment, by=by, text=text)
    return experiment


def group_name(experiment: Experiment, role: str) -> str:
    """Return the name of the group of a role in an experiment, for instance `demo/approver`."""
    return f"{experiment.name}/{role}"


@transaction.atomic
def join(
    user: User, role: str, experiment: Experiment | None = None, *, by: User | None = None, reason: str = "",
    source: str = "local",
) -> Membership:  # fmt: skip
    """Give a person a role, in an experiment or (supervisor, guest, administrator) everywhere."""
    if role not in ROLES:
        raise Refused("There is no such role.", [Problem("role", f"unknown: {role}", f"one of {', '.join(ROLES)}")])
    if (role in EVERYWHERE) != (experiment is None):
        where = "everywhere, not in one experiment" if role in EVERYWHERE else "in an experiment"
        raise Refused(f"The role {role} is held {where}.", [Problem("experiment", "does not fit the role")])
    _needs_reason(by, reason)
    before = Membership.objects.select_for_update().filter(user=user, role=role, experiment=experiment).first()
    if by and before and before.active:
        raise Conflict(f"{user.username} is {_name(role)} of {experiment or 'everything'} already.")
    membership, _ = Membership.objects.update_or_create(
        user=user, role=role, experiment=experiment, defaults={"active": True, "source": source}
    )
    if experiment is not None:
        user.groups.add(Group.objects.get(name=group_name(experiment, role)))
    text = f"{user.username} is now {_name(role)}: {reason.strip()}"
    steps = ("ended" if before else "", "join", "active")
    _note("membership", membership.pk, steps, experiment=experiment, by=by, text=text, source=source)
    return membership


@transaction.atomic
def leave(membership: Membership, *, by: User | None = None, reason: str = "", source: str = "local") -> None:
    """End a membership; it stays as a record."""
    _needs_reason(by, reason)
    user, role = membership.user, membership.role
    ended = Membership.objects.filter(pk=membership.pk, active=True).update(active=False)
    membership.active = False
    if by and not ended:
        raise Conflict(f"{user.username} is no longer {_name(role)}; nothing was changed.")
    if by and role == "administrator" and not Membership.objects.filter(role=role, active=True).exists():
        hint = "make somebody else administrator first"
        raise Refused("Nobody would be left to administer POMS.", [Problem("active", "the last administrator", hint)])
    if membership.experiment is not None:
        user.groups.remove(Group.objects.get(name=group_name(membership.experiment, role)))
    text = f"{user.username} is no longer {_name(role)}: {reason.strip()}"
    steps = ("active", "leave", "ended")
    _note("membership", membership.pk, steps, experiment=membership.experiment, by=by, text=text, source=source)


@transaction.atomic
def register_approver(
    user: User, experiment: Experiment, production_stage: str, *, by: User | None = None, reason: str = ""
) -> Approver:
    """Let a person decide on the requests of one production stage (W1)."""
    _needs_reason(by, reason)
    production_stage = production_stage.strip()
    if not production_stage:
        raise Refused("Nobody was registered.", [Problem("production_stage", "is empty", "for instance mc or reco")])
    approver, made = Approver.objects.get_or_create(
        experiment=experiment, production_stage=production_stage, user=user, stands_in_for=None
    )
    if by and not made:
        raise Conflict(f"{user.username} decides on {production_stage} of {experiment} already; nothing was changed.")
    text = f"{user.username} decides on {production_stage}: {reason.strip()}"
    steps = ("", "register", "registered")
    _note("approver", approver.pk, steps, experiment=experiment, by=by, text=text)
    return approver


@transaction.atomic
def stand_in(
    approver: User, deputy: User, experiment: Experiment, production_stage: str, *, begins_at: datetime,
    ends_at: datetime, by: User, reason: str,
) -> Approver:  # fmt: skip
    """Let somebody decide in an approver's place between two dates; the right lasts no longer than the approver's."""
    _needs_reason(by, reason)
    problems = []
    if not Approver.objects.filter(
        Q(user=approver) | Q(group__in=approver.groups.all()),
        experiment=experiment, production_stage=production_stage, stands_in_for=None,
    ).exists():  # fmt: skip
        problems.append(Problem("approver", f"{approver.username} does not decide on {production_stage} here"))
    if deputy == approver:
        problems.append(Problem("deputy", "is the approver", "name somebody else"))
    if not may(deputy, "decide_request", experiment):
        hint = f"give them the role {' or '.join(roles_with('decide_request'))} of {experiment} first"
        problems.append(Problem("deputy", f"{deputy.username} may decide on nothing in {experiment}", hint))
    if not begins_at < ends_at <= begins_at + LONGEST_STAND_IN or ends_at <= now():
        hint = f"at most {LONGEST_STAND_IN.days} days, and not in the past"
        problems.append(Problem("ends_at", "the dates do not fit", hint))
    if problems:
        raise Refused("Nobody stands in; nothing was changed.", problems)
    row = Approver.objects.create(
        experiment=experiment, production_stage=production_stage, user=deputy, stands_in_for=approver,
        begins_at=begins_at, ends_at=ends_at,
    )  # fmt: skip
    text = (
        f"{deputy.username} decides on {production_stage} for {approver.username} from {begins_at:%Y-%m-%d %H:%M} to"
        f" {ends_at:%Y-%m-%d %H:%M} UTC: {reason.strip()}"
    )
    _note("approver", row.pk, ("", "stand_in", "registered"), experiment=experiment, by=by, text=text)
    return row


@transaction.atomic
def end_registration(approver: Approver, *, by: User, reason: str) -> None:
    """Let somebody no longer decide on a production stage; the ledger of the experiment keeps that they did."""
    _needs_reason(by, reason)
    key = approver.pk
    if not Approver.objects.filter(pk=key).delete()[0]:
        raise Conflict("This registration has ended already; nothing was changed.")
    who = approver.user.username if approver.user else f"everybody of {approver.group}"
    text = f"{who} no longer decides on {approver.production_stage}: {reason.strip()}"
    steps = ("registered", "end", "ended")
    _note("approver", key, steps, experiment=approver.experiment, by=by, text=text)


def _needs_reason(by: User | None, reason: str) -> None:
    if by is not None and not reason.strip():
        raise Refused("This needs a reason.", [Problem("reason", "is empty", "say why; it is kept in the history")])


def _note(
    kind: str, key: int, steps: tuple[str, str, str], *, experiment: Experiment | None, by: User | None, text: str,
    source: str = "local",
) -> None:  # fmt: skip
    """Write a step, (state before, verb, state after), to the ledger if somebody, or a source outside, did it."""
    if by is None and source == "local":
        return
    before, verb, after = steps
    record(
        [(key, before)], kind, after, experiment_id=experiment.pk if experiment else None,
        actor=by.actor if by else f"source:{source}", reason=text, verb=verb,
    )  # fmt: skip


def _name(role: str) -> str:
    return role.replace("_", " ")


def _standing(active: bool) -> str:
    return "active" if active else "inactive"
