"""Questions about people and experiments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from core.clock import now
from experiments.models import ApiToken, Approver, Certificate, Experiment, Membership, ServiceAccount, Shift, User
from experiments.roles import EVERYWHERE, roles_with
from experiments.scoping import may, narrowing_of

OVERSEERS = ("supervisor", "administrator")  # who looks over all experiments


def is_approver(user: Any, experiment: Experiment, production_stage: str) -> bool:
    """Tell whether the person is registered to decide on this production stage (W1), or stands in for somebody."""
    return (experiment.pk, production_stage) in approves(user, experiment=experiment, production_stage=production_stage)


def approves(user: Any, **narrowed: Any) -> set[tuple[int, str]]:
    """Return the (experiment, production stage) on which a person decides today, by name, by group, or as a stand-in.

    Who stands in for somebody decides between the dates given, and only as long as the other could.
    """
    rows = Approver.objects.filter(**narrowed).filter(_today())
    own = rows.filter(stands_in_for=None).filter(Q(user=user) | Q(group__in=user.groups.all()))
    found = set(own.values_list("experiment_id", "production_stage"))
    for row in rows.filter(user=user).exclude(stands_in_for=None).select_related("stands_in_for"):
        other = row.stands_in_for
        registered = Approver.objects.filter(
            experiment_id=row.experiment_id, production_stage=row.production_stage, stands_in_for=None
        ).filter(Q(user=other) | Q(group__in=other.groups.all() if other else []))
        if other and other.is_active and registered.filter(_today()).exists():
            found.add((row.experiment_id, row.production_stage))
    return found


def approvers_today(experiment: Experiment, production_stage: str) -> models.QuerySet[User]:
    """Return everybody who decides on a production stage today: by name, by group, or standing in for somebody."""
    rows = Approver.objects.filter(_today(), experiment=experiment, production_stage=production_stage)
    named = Q(pk__in=rows.filter(user__isnull=False).values("user"))
    in_groups = Q(groups__in=rows.filter(group__isnull=False).values("group"))
    return User.objects.filter(named | in_groups, is_active=True).distinct()


def _today() -> Q:
    at = now()
    return (Q(begins_at=None) | Q(begins_at__lte=at)) & (Q(ends_at=None) | Q(ends_at__gt=at))


def production_stages(experiment: Experiment) -> list[str]:
    """Return the production stages for which somebody is registered to decide."""
    rows = Approver.objects.filter(experiment=experiment, stands_in_for=None)
    return list(rows.order_by("production_stage").values_list("production_stage", flat=True).distinct())


def shifts_of(experiment: Experiment, since: datetime, until: datetime) -> models.QuerySet[Shift]:
    """Return the shifts of an experiment that touch a span of time, the earliest first."""
    rows = Shift.objects.filter(experiment=experiment, begins_at__lt=until, ends_at__gt=since)
    return rows.select_related("user", "experiment").order_by("begins_at", "pk")


def on_shift(experiment: Experiment) -> list[User]:
    """Return who is on shift now, of those who still may watch there."""
    at = now()
    rows = Shift.objects.filter(experiment=experiment, begins_at__lte=at, ends_at__gt=at, user__is_active=True)
    return [row.user for row in rows.select_related("user").order_by("pk") if may(row.user, "watch", experiment)]


def is_administrator(user: Any) -> bool:
    """Tell whether the person administers the whole service, not only one experiment by a grant."""
    narrowing = narrowing_of(user)
    if not narrowing.has("administer") or narrowing.experiments is not None:
        return False
    roles = [role for role in roles_with("administer") if role in EVERYWHERE]
    held = Membership.objects.filter(user_id=user.pk, experiment=None, role__in=roles, active=True)
    return bool(user.is_authenticated and user.is_active and held.exists())


def administrators() -> models.QuerySet[User]:
    """Return everybody who administers the whole service."""
    roles = [role for role in roles_with("administer") if role in EVERYWHERE]
    held = Membership.objects.filter(experiment=None, role__in=roles, active=True)
    return User.objects.filter(pk__in=held.values("user"), is_active=True).order_by("pk")


def oversees(user: Any) -> bool:
    """Tell whether the person supervises or administers the whole service, with nothing of it left out by a token."""
    narrowing = narrowing_of(user)
    if not narrowing.has("view") or narrowing.experiments is not None:
        return False
    held = Membership.objects.filter(user_id=user.pk, experiment=None, role__in=OVERSEERS, active=True)
    return bool(user.is_authenticated and user.is_active and held.exists())


def approvers_of(experiment: Experiment, production_stage: str) -> list[str]:
    """Return who is registered to decide on a production stage: people by name, and groups."""
    rows = Approver.objects.filter(experiment=experiment, production_stage=production_stage).filter(_today())
    found = rows.select_related("user", "group", "stands_in_for").order_by("user__username", "pk")
    return [_called(row) for row in found]


def _called(row: Approver) -> str:
    name = row.user.username if row.user else f"everybody of {row.group}"
    return f"{name} (for {row.stands_in_for.username})" if row.stands_in_for else name


def is_working(user: User) -> bool:
    """Tell whether keys sign the account in: an active person, or a service account before its end with its owner."""
    account: ServiceAccount | None = getattr(user, "service", None)
    if account is None:
        return user.is_active
    return user.is_active and account.ended_at is None and account.expires_at > now() and account.owner.is_active


@dataclass(frozen=True)
class Expiring:
    """Something that will end by itself: what it is, its name, who should know, and when it ends."""

    kind: str  # service account, certificate or token
    key: int
    name: str
    owner: User
    expires_at: datetime
    experiment: Experiment | None = None


def expiring(within: timedelta = timedelta(days=30)) -> list[Expiring]:
    """Return the service accounts, certificates and tokens that end soon, the next one first; not those that have."""
    at, until = now(), now() + within
    working = ServiceAccount.objects.filter(ended_at=None, user__is_active=True)
    accounts = working.filter(expires_at__gt=at, expires_at__lte=until).select_related("owner", "experiment")
    certificates = Certificate.objects.filter(
        ended_at=None, not_after__gt=at, not_after__lte=until, account__in=working.filter(expires_at__gt=at)
    ).select_related("account__owner", "account__experiment")
    tokens = ApiToken.objects.filter(
        revoked_at=None, expires_at__gt=at, expires_at__lte=until, user__is_active=True
    ).select_related("user", "user__service__owner", "user__service__experiment")
    found = [Expiring("service account", row.pk, str(row), row.owner, row.expires_at, row.experiment)
             for row in accounts]  # fmt: skip
    found += [
        Expiring("certificate", row.pk, f"{row.subject} of {row.account}", row.account.owner, row.not_after,
                 row.account.experiment)
        for row in certificates
    ]  # fmt: skip
    for row in tokens:
        account: ServiceAccount | None = getattr(row.user, "service", None)
        name = f"{row.name} ({row.prefix}…)" + (f" of {account}" if account else "")
        owner = account.owner if account else row.user
        found.append(Expiring("token", row.pk, name, owner, row.expires_at, account.experiment if account else None))
    return sorted(found, key=lambda entry: (entry.expires_at, entry.kind, entry.key))
