"""Coming and going: who signed in, was refused, signed out, how often somebody tried, and what they accepted."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction

from core.clock import now
from core.transitions import record
from experiments.models import Consent, SignInTally, User

log = structlog.get_logger()

_COUNT = """
INSERT INTO experiments_signintally (key, tries, since)
SELECT key, 1, %(at)s FROM unnest(%(keys)s::text[]) key ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    tries = CASE WHEN experiments_signintally.since <= %(begin)s THEN 1 ELSE experiments_signintally.tries + 1 END,
    since = CASE WHEN experiments_signintally.since <= %(begin)s THEN %(at)s ELSE experiments_signintally.since END
RETURNING key, tries, since
"""


def signed_in(user: User, *, how: str, address: str) -> None:
    """Note that somebody signed in."""
    _note(user, "sign_in", "signed_in", how, address)


def signed_out(user: User, *, how: str, address: str) -> None:
    """Note that somebody's session has ended, by them or by its limits."""
    _note(user, "sign_out", "signed_out", how, address)


def refused(user: User | None, *, how: str, address: str) -> None:
    """Note that somebody was not let in. A name that nobody has is not kept: it may be a password in a wrong field."""
    _note(user, "refuse", "refused", how, address)


def not_looked_at(user: User | None, *, address: str) -> None:
    """Note, in the log alone, what anybody can send without end: nobody outside is to fill the ledger."""
    log.warning("session.not_looked_at", user=user.username if user else "unknown", address=address)


@transaction.atomic
def sign_out_everywhere(user: User, *, address: str) -> None:
    """End every session of a person that has begun until now."""
    User.objects.filter(pk=user.pk).update(sessions_since=now())
    _note(user, "sign_out_everywhere", "signed_out", "everywhere", address)


def count_try(name: str, address: str) -> float:
    """Count a try to sign in with a password; return for how many seconds none is taken any more, 0 if this one is.

    Counted before the password is looked at and in one statement, so that a hundred at once are a hundred.
    """
    at = now()
    begin = at - timedelta(minutes=settings.SIGN_IN_MINUTES)
    allowed = dict(_keys(name, address))
    with connection.cursor() as cursor:  # in the order of the keys, so that no two wait for each other
        cursor.execute(_COUNT, {"keys": list(allowed), "at": at, "begin": begin})
        counted = cursor.fetchall()
    waits = [max((since - begin).total_seconds(), 1.0) for key, tries, since in counted if tries > allowed[key]]
    return max(waits, default=0.0)


def forget_tries() -> None:
    """Drop the counts of tries that are long ago, for the loop `retain`."""
    SignInTally.objects.filter(since__lte=now() - timedelta(minutes=settings.SIGN_IN_MINUTES)).delete()


def forgive(name: str, address: str) -> None:
    """Take back what was counted for somebody who then signed in: only wrong tries add up."""
    (by_name, _), (by_address, _) = _keys(name, address)
    SignInTally.objects.filter(key=by_name).delete()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE experiments_signintally SET tries = greatest(tries - 1, 0) WHERE key = %s", [by_address])


def accept(user: User, version: str, address: str) -> Consent:
    """Keep that a person has accepted the banner."""
    made = Consent.objects.create(user=user, version=version, address=address)
    record(
        [(user.pk, "")], "session", "accepted", experiment_id=None, actor=user.actor, verb="accept",
        reason=f"banner {version[:12]}{_at(address)}",
    )  # fmt: skip
    log.info("session.accept", user=user.username, version=version, address=address)
    return made


def banner() -> str:
    """Return the version of the present banner, its hash; empty where there is none."""
    return hashlib.sha256(settings.CONSENT_TEXT.encode()).hexdigest() if settings.CONSENT_TEXT else ""


def accepted(user: User) -> str:
    """Return the version of the present banner if the person has ever accepted it, for the tokens that they make."""
    version = banner()
    return version if version and Consent.objects.filter(user=user, version=version).exists() else ""


def _keys(name: str, address: str) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return the keys under which a try counts, with the most that each allows; the name is hashed, as it is typed."""
    hashed = hashlib.sha256(name.strip().lower().encode()).hexdigest()
    tries = settings.SIGN_IN_TRIES
    return (f"name:{hashed}", tries), (f"from:{address[:64]}", tries * 5)


def _note(user: User | None, verb: str, state: str, how: str, address: str) -> None:
    name = user.username if user else "unknown"
    record(
        [(user.pk if user else 0, "")], "session", state, experiment_id=None,
        actor=f"user:{name}" if user else "nobody", reason=f"{how}{_at(address)}", verb=verb,
    )  # fmt: skip
    log.info(f"session.{verb}", user=name, how=how, address=address)


def _at(address: str) -> str:
    return f", from {address}" if address else ""
