"""Service accounts and their certificates: made, renewed, handed over and ended, each with an owner and an end."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.db import transaction

from core.clock import now
from core.errors import Conflict, Problem, Refused
from core.transitions import record
from experiments.logic import membership
from experiments.models import ApiToken, Certificate, Experiment, Membership, ServiceAccount, User
from experiments.queries import is_working
from experiments.roles import EVERYWHERE, ROLES

LONGEST = timedelta(days=366)
# Decisions are people's.
OFFERED = tuple(role for role in ROLES if role not in (*EVERYWHERE, "approver", "reviewer"))
USED_STEP = timedelta(minutes=1)


@transaction.atomic
def make(
    name: str, experiment: Experiment, role: str, *, owner: User, purpose: str, expires_at: datetime, by: User,
    reason: str,
) -> ServiceAccount:  # fmt: skip
    """Make an account that is no person: it has no password and no identity, so that only keys sign it in."""
    problems = [*_wrong_end(expires_at), *_wrong_owner(owner), *_wrong_reason(reason)]
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
        problems.append(Problem("name", f"{name[:60]!r} is no name", "lower case, begins with a letter, at most 40"))
    if role not in OFFERED:
        problems.append(Problem("role", f"no service account is {role}", f"one of {', '.join(OFFERED)}"))
    if not purpose.strip():
        problems.append(Problem("purpose", "is empty", "say what the account does"))
    if problems:
        raise Refused("The service account was not made.", problems)
    username = f"{name}@{experiment.name}"
    if User.objects.filter(username__iexact=username).exists():
        raise Conflict(f"There is, or was, an account {username}; no other gets its name.")
    user = User(username=username, first_name=purpose.strip()[:150])
    user.set_unusable_password()
    user.save()
    account = ServiceAccount.objects.create(
        user=user, name=name, experiment=experiment, role=role, owner=owner, purpose=purpose.strip(),
        expires_at=expires_at,
    )  # fmt: skip
    membership.join(user, role, experiment, by=by, reason=f"service account, {reason.strip()}")
    _note(account, ("", "make", "working"), by, f"for {purpose.strip()}, owned by {owner.username}: {reason.strip()}")
    return account


@transaction.atomic
def renew(account: ServiceAccount, *, expires_at: datetime, by: User, reason: str) -> ServiceAccount:
    """Give it another end, at most a year from now."""
    account = _open(account, reason)
    if problems := _wrong_end(expires_at):
        raise Refused("The service account was not renewed.", problems)
    before, account.expires_at = account.expires_at, expires_at
    account.save(update_fields=["expires_at"])
    text = f"until {expires_at:%Y-%m-%d} instead of {before:%Y-%m-%d}: {reason.strip()}"
    _note(account, ("working", "renew", "working"), by, text)
    return account


@transaction.atomic
def hand_over(account: ServiceAccount, *, owner: User, by: User, reason: str) -> ServiceAccount:
    """Let somebody else answer for it; its keys are ended, for the former owner may know them."""
    account = _open(account, reason)
    if problems := _wrong_owner(owner):
        raise Refused("The service account was not handed over.", problems)
    before, account.owner = account.owner, owner
    account.save(update_fields=["owner"])
    ApiToken.objects.filter(user=account.user, revoked_at=None).update(revoked_at=now())
    text = f"from {before.username} to {owner.username}, its tokens are revoked: {reason.strip()}"
    _note(account, ("working", "hand_over", "working"), by, text)
    return account


@transaction.atomic
def end(account: ServiceAccount, *, by: User, reason: str) -> ServiceAccount:
    """End it for ever, with its role, tokens and certificates."""
    account = _open(account, reason)
    at = now()
    account.ended_at = at
    account.save(update_fields=["ended_at"])
    User.objects.filter(pk=account.user_id).update(is_active=False)
    ApiToken.objects.filter(user=account.user, revoked_at=None).update(revoked_at=at)
    account.certificates.filter(ended_at=None).update(ended_at=at)
    for held in Membership.objects.filter(user=account.user, active=True).select_related("experiment", "user"):
        membership.leave(held, by=by, reason=f"service account ended, {reason.strip()}")
    _note(account, ("working", "end", "ended"), by, reason.strip())
    return account


@transaction.atomic
def register(account: ServiceAccount, pem: str, *, by: User, reason: str) -> Certificate:
    """Register a certificate, by which a trusted proxy signs the account in."""
    account = _open(account, reason)
    read = read_certificate(pem)
    if read["not_after"] <= now():
        raise Refused("The certificate was not registered.", [Problem("pem", f"it ended {read['not_after']:%Y-%m-%d}")])
    if Certificate.objects.filter(fingerprint=read["fingerprint"], ended_at=None).exists():
        raise Conflict("This certificate is registered already; nothing was changed.")
    found = Certificate.objects.create(account=account, registered_by=by, **read)
    text = f"{found.subject}, until {found.not_after:%Y-%m-%d}: {reason.strip()}"
    _note(account, ("working", "register", "working"), by, text)
    return found


@transaction.atomic
def end_certificate(certificate: Certificate, *, by: User, reason: str) -> Certificate:
    """Let a certificate sign nobody in any more."""
    _needs_reason(reason)
    if not Certificate.objects.filter(pk=certificate.pk, ended_at=None).update(ended_at=now()):
        raise Conflict("This certificate has ended already; nothing was changed.")
    certificate.refresh_from_db()
    text = f"{certificate.subject}: {reason.strip()}"
    _note(certificate.account, ("working", "end_certificate", "working"), by, text)
    return certificate


def read_certificate(pem: str) -> dict[str, Any]:
    """Return subject, fingerprint and end of a certificate; what is none is refused."""
    if "PRIVATE KEY" in pem:
        hint = "paste only what stands between BEGIN CERTIFICATE and END CERTIFICATE; make a new key, this one was sent"
        raise Refused("A private key is nothing to send.", [Problem("pem", "has a private key in it", hint)])
    try:
        found = x509.load_pem_x509_certificate(pem.strip().encode())
    except ValueError as error:
        hint = "PEM: it begins with -----BEGIN CERTIFICATE-----"
        raise Refused("This is no certificate.", [Problem("pem", "cannot be read", hint)]) from error
    return {
        "subject": found.subject.rfc4514_string()[:500], "fingerprint": found.fingerprint(hashes.SHA256()).hex(),
        "not_after": found.not_valid_after_utc, "pem": pem.strip(),
    }  # fmt: skip


def bearer(presented: str) -> User | None:
    """Return the service account of a certificate that the proxy has checked: URL-encoded PEM, or a fingerprint."""
    text = unquote(presented).strip()
    if text.startswith("-----BEGIN"):
        try:
            fingerprint = read_certificate(text)["fingerprint"]
        except Refused:
            return None
    else:
        fingerprint = text.lower().replace(":", "").removeprefix("sha256=")
    at = now()
    found = (
        Certificate.objects.select_related("account__user__service__owner")
        .filter(fingerprint=fingerprint[:64], ended_at=None, not_after__gt=at)
        .first()
    )
    if found is None or not is_working(found.account.user):
        return None
    if found.used_at is None or found.used_at < at - USED_STEP:
        Certificate.objects.filter(pk=found.pk).update(used_at=at)
        ServiceAccount.objects.filter(pk=found.account_id).update(used_at=at)
    return found.account.user


def _open(account: ServiceAccount, reason: str) -> ServiceAccount:
    _needs_reason(reason)
    found = ServiceAccount.objects.select_for_update(of=("self",)).select_related("user", "owner", "experiment")
    row = found.get(pk=account.pk)
    if row.ended_at is not None:
        raise Conflict(f"{row} has ended; nothing was changed. Make another.")
    return row


def _wrong_end(expires_at: datetime) -> list[Problem]:
    if expires_at <= now():
        return [Problem("expires_at", "lies in the past")]
    if expires_at > now() + LONGEST:
        latest = (now() + LONGEST).astimezone(UTC)
        return [Problem("expires_at", "is more than a year from now", f"at the latest {latest:%Y-%m-%d}")]
    return []


def _wrong_owner(owner: User) -> list[Problem]:
    if not owner.is_active or getattr(owner, "service", None) is not None:
        return [Problem("owner", f"{owner.username} cannot answer for it", "a person whose account is active")]
    return []


def _wrong_reason(reason: str) -> list[Problem]:
    return [] if reason.strip() else [Problem("reason", "is empty", "say why; it is kept in the history")]


def _needs_reason(reason: str) -> None:
    if problems := _wrong_reason(reason):
        raise Refused("This needs a reason.", problems)


def _note(account: ServiceAccount, steps: tuple[str, str, str], by: User, text: str) -> None:
    before, verb, after = steps
    record(
        [(account.pk, before)], "service", after, experiment_id=account.experiment_id, actor=by.actor,
        reason=text, verb=verb,
    )  # fmt: skip
