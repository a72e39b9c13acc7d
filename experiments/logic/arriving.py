"""People whom a provider of identities vouches for: known by issuer and subject, with the roles that it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from core.clock import now
from core.errors import Conflict, NotAllowed
from core.transitions import record
from experiments import claims as said
from experiments.claims import Held, Rule, StepUp
from experiments.logic import membership
from experiments.models import Experiment, Identity, Membership, User

log = structlog.get_logger()

SOURCE = "oidc"
IMPORTED = "ferry"  # the issuer of identities that an import made: known by name only, nobody has come with it yet


@dataclass(frozen=True)
class Terms:
    """How a provider's claims are read."""

    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    rules: Sequence[Rule] = ()
    step_ups: Sequence[StepUp] = field(default_factory=tuple)
    adopts_imported: bool = False


def arrive(issuer: str, claims: Mapping[str, Any], terms: Terms) -> User:
    """Return the person of an issuer and subject, made at the first time, with name, e-mail and roles as claimed.

    Raises NotAllowed for an account that is switched off, and where a role asks for more than this sign-in has.
    """
    try:
        user = _arrive(issuer, claims, terms)
    except IntegrityError:  # the same person came twice at once for the first time: now they are known
        user = _arrive(issuer, claims, terms)
    _step_up(user, claims, terms.step_ups)
    return user


@transaction.atomic
def link(user: User, issuer: str, subject: str, *, by: User, reason: str) -> Identity:
    """Let an account that exists be somebody's of a provider: the only way to take one over, and a deliberate one."""
    if Identity.objects.filter(issuer=issuer, subject=subject).exists():
        raise Conflict(f"{subject} of {issuer} is somebody already; nothing was changed.")
    if getattr(user, "service", None) is not None:
        raise NotAllowed("A service account is nobody's; nothing was changed.")
    made = Identity.objects.create(user=user, issuer=issuer, subject=subject)
    record(
        [(user.pk, "known")], "person", "known", experiment_id=None, actor=by.actor, verb="link",
        reason=f"{user.username} is {subject} of {issuer}: {reason}",
    )  # fmt: skip
    return made


@transaction.atomic
def _arrive(issuer: str, claims: Mapping[str, Any], terms: Terms) -> User:
    subject = str(claims["sub"])[:255]
    known = Identity.objects.select_for_update(of=("self",)).select_related("user")
    identity = known.filter(issuer=issuer, subject=subject).first()
    if identity is None:
        identity = _first_time(issuer, subject, claims, terms)
    user = identity.user
    if not user.is_active:
        raise NotAllowed(f"The account {user.username} is switched off. Ask whoever administers POMS.")
    _follow_names(user, claims)
    _follow_roles(user, issuer, claims, terms)
    Identity.objects.filter(pk=identity.pk).update(seen_at=now())
    return user


def _first_time(issuer: str, subject: str, claims: Mapping[str, Any], terms: Terms) -> Identity:
    wanted = said.username_in(claims, terms.username_claim)
    user = _imported(wanted) if terms.adopts_imported else None
    if user is None:
        user = User(username=_free(wanted))
        user.set_unusable_password()
        user.save()
    record(
        [(user.pk, "")], "person", "known", experiment_id=None, actor=f"source:{SOURCE}", verb="arrive",
        reason=f"{user.username} is {subject} of {issuer}",
    )  # fmt: skip
    return Identity.objects.create(user=user, issuer=issuer, subject=subject)


def _imported(username: str) -> User | None:
    """Return the account that an import made under this name, if nobody has come as it and it has no password."""
    rows = User.objects.filter(
        username=username, last_login=None, service=None, identities__issuer=IMPORTED, identities__subject=username
    )
    found = rows.exclude(identities__in=Identity.objects.exclude(issuer=IMPORTED)).first()
    return None if found is None or found.has_usable_password() else found


def _free(wanted: str) -> str:
    """Return the name, or with a number behind it: an account of the same name is somebody else's."""
    name, number = wanted, 1
    while User.objects.filter(username__iexact=name).exists():
        number += 1
        name = f"{wanted}-{number}"
    if number > 1:
        log.warning("sign_in.name_taken", wanted=wanted, given=name)
    return name


def _follow_names(user: User, claims: Mapping[str, Any]) -> None:
    first, last = said.names_in(claims)
    email = str(claims.get("email") or "")[:254]
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    wanted = {"first_name": first, "last_name": last}
    if email and claims.get("email_verified") is not False:
        wanted["email"] = email
    changed = {name: value for name, value in wanted.items() if value and getattr(user, name) != value}
    if not changed:
        return
    for name, value in changed.items():
        setattr(user, name, value)
    user.save(update_fields=list(changed))
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changed.items())
    record(
        [(user.pk, "known")], "person", "known", experiment_id=None, actor=f"source:{SOURCE}", verb="change",
        reason=f"{user.username}: {text}",
    )  # fmt: skip


def _follow_roles(user: User, issuer: str, claims: Mapping[str, Any], terms: Terms) -> None:
    """Give what the groups say, end what came from groups that are gone; what was given here stays."""
    groups = said.groups_in(claims, terms.groups_claim)
    wanted = said.held_by(groups, terms.rules)
    places = {row.name: row for row in Experiment.objects.filter(name__in={place for place, _ in wanted if place})}
    strange = {place for place, _ in wanted if place and place not in places}
    used = set(wanted.values())
    if strange or used != set(groups):
        log.info("sign_in.ignored", user=user.username, groups=sorted(set(groups) - used), experiments=sorted(strange))
    held: dict[Held, Membership] = {
        (row.experiment.name if row.experiment else None, row.role): row
        for row in Membership.objects.filter(user=user, active=True).select_related("experiment", "user")
    }
    for (place, role), group in wanted.items():
        if (place, role) not in held and (place is None or place in places):
            where = places[place] if place else None
            membership.join(user, role, where, source=SOURCE, reason=f"group {group} of {issuer}")
    for key, row in held.items():
        if row.source == SOURCE and key not in wanted:
            membership.leave(row, source=SOURCE, reason=f"no group of {issuer} says so any more")


def _step_up(user: User, claims: Mapping[str, Any], step_ups: Sequence[StepUp]) -> None:
    """Refuse somebody whose role asks for a second factor that this sign-in does not show."""
    roles = set(Membership.objects.filter(user=user, active=True).values_list("role", flat=True))
    for entry in step_ups:
        if entry.role in roles and not entry.is_met(claims):
            role = entry.role.replace("_", " ")
            raise NotAllowed(
                f"Your role {role} needs a sign-in with {entry.claim}={entry.value}, such as a second factor."
                " Sign in again with it."
            )
