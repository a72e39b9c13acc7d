"""API tokens: shown once, kept as a hash, ended by date, by hand, or with the account."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from core.clock import now
from core.errors import Problem, Refused
from experiments.models import ApiToken, User

LONGEST_DAYS = 90
USED_STEP = timedelta(minutes=1)


def issue(user: User, name: str, *, days: int = 30) -> tuple[ApiToken, str]:
    """Make a token and return it with its secret, which is never shown again (reliability 4.5)."""
    if not 1 <= days <= LONGEST_DAYS:
        raise Refused("The token was not made.", [Problem("days", f"{days} is not between 1 and {LONGEST_DAYS}")])
    if not name.strip():
        raise Refused("The token was not made.", [Problem("name", "is empty", "say what the token is for")])
    secret = f"poms_{secrets.token_urlsafe(32)}"
    token = ApiToken.objects.create(
        user=user, name=name.strip()[:60], prefix=secret[:12], digest=digest(secret),
        expires_at=now() + timedelta(days=days),
    )  # fmt: skip
    return token, secret


def revoke(token: ApiToken) -> None:
    """End a token now; a second time changes nothing."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now())


def holder(secret: str) -> User | None:
    """Return the active person to whom a valid token belongs, and note that it was used."""
    token = (
        ApiToken.objects.select_related("user")
        .filter(digest=digest(secret), revoked_at=None, expires_at__gt=now(), user__is_active=True)
        .first()
    )
    if token is None:
        return None
    if token.used_at is None or token.used_at < now() - USED_STEP:
        ApiToken.objects.filter(pk=token.pk).update(used_at=now())
    return token.user


def digest(secret: str) -> str:
    """Return the hash under which a token is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
