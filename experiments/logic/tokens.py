"""API tokens: shown once, kept as a hash, ended by date, by hand, or with the account; some may do less than it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from core.clock import now
from core.errors import NotAllowed, Problem, Refused
from experiments.models import ApiToken, Experiment, ServiceAccount, User
from experiments.narrowing import SCOPES, WHOLE, Narrowing, permissions_of, scopes_with
from experiments.queries import is_working
from experiments.scoping import narrowing_of

LONGEST_DAYS = 90
USED_STEP = timedelta(minutes=1)


def narrowed(by: User, scopes: Sequence[str] = (), experiments: Sequence[str] = ()) -> Narrowing:
    """Return the limits of a new token that `by` asks for by name; where nothing is asked, their own.

    A token makes none that may do more than itself (item 9).
    """
    own, problems = narrowing_of(by), []
    if unknown := [name for name in scopes if name not in SCOPES]:
        problems += [Problem("scopes", f"unknown: {name[:60]}", f"one of {', '.join(SCOPES)}") for name in unknown]
    there = dict(Experiment.objects.visible_to(by).values_list("name", "pk"))
    if strange := [name for name in experiments if name not in there]:
        hint = f"one of {', '.join(there)}" if there else ""
        problems += [Problem("experiments", f"unknown: {name[:60]}", hint) for name in strange]
    if problems:
        raise Refused("The token was not made.", problems)
    wanted = Narrowing(
        permissions_of(scopes) if scopes else own.permissions,
        frozenset(there[name] for name in experiments) if experiments else own.experiments,
    )
    if not wanted.is_within(own):
        beyond = sorted((wanted.permissions or frozenset()) - (own.permissions or frozenset()))
        names = ", ".join(dict.fromkeys(scopes_with(name)[-1] for name in beyond))
        raise NotAllowed(f"A token makes none that may do more than itself; this one lacks {names}. None was made.")
    return wanted


def issue(
    user: User, name: str, *, days: int = 30, narrowing: Narrowing = WHOLE, consent: str = ""
) -> tuple[ApiToken, str]:
    """Make a token and return it with its secret, which is never shown again (reliability 4.5)."""
    if not 1 <= days <= LONGEST_DAYS:
        raise Refused("The token was not made.", [Problem("days", f"{days} is not between 1 and {LONGEST_DAYS}")])
    if not name.strip():
        raise Refused("The token was not made.", [Problem("name", "is empty", "say what the token is for")])
    secret = f"poms_{secrets.token_urlsafe(32)}"
    token = ApiToken.objects.create(
        user=user, name=name.strip()[:60], prefix=secret[:12], digest=digest(secret), consent=consent,
        expires_at=now() + timedelta(days=days),
        permissions=None if narrowing.permissions is None else sorted(narrowing.permissions),
        only_experiments=None if narrowing.experiments is None else sorted(narrowing.experiments),
    )  # fmt: skip
    return token, secret


def holder_for(by: User, account: str = "") -> User:
    """Return for whom `by` makes a token: themselves, or a service account of theirs that still works."""
    if not account:
        return by
    if not narrowing_of(by).is_whole:
        raise NotAllowed("A token with a scope makes none for a service account; none was made. Use one without.")
    owned = ServiceAccount.objects.filter(owner=by, ended_at=None, user__username=account[:150])
    found = owned.select_related("user").first()
    if found is None:
        raise Refused("The token was not made.", [Problem("account", f"you own no service account {account[:60]}")])
    if found.expires_at <= now():
        raise Refused("The token was not made.", [Problem("account", "is past its end", "have it renewed")])
    return found.user


def revoke(token: ApiToken, *, by: User | None = None) -> None:
    """End a token now; a second time changes nothing. Who came with a narrowed token ends only that one."""
    if by is not None and not narrowing_of(by).is_whole and token.pk != by.token_id:
        raise NotAllowed("A token with a scope ends only itself; nothing was changed. Use one without, or the page.")
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now())


def holder(secret: str) -> User | None:
    """Return the account to which a valid token belongs, narrowed to what the token may, and note that it was used."""
    at = now()
    token = (
        ApiToken.objects.select_related("user__service__owner")
        .filter(digest=digest(secret), revoked_at=None, expires_at__gt=at, user__is_active=True)
        .first()
    )
    if token is None or not is_working(token.user):
        return None
    if token.used_at is None or token.used_at < at - USED_STEP:
        ApiToken.objects.filter(pk=token.pk).update(used_at=at)
        ServiceAccount.objects.filter(user_id=token.user_id).update(used_at=at)
    token.user.narrowed_to = token.narrowing
    token.user.token_id = token.pk
    return token.user


def digest(secret: str) -> str:
    """Return the hash under which a token is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
