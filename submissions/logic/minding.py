"""Loop `credentials`: ask credentials how long they live, have them renewed, warn, and hold what needs one that ended.

The launcher goes by the answers (submissions.equipment); the hold says it to people, and goes when the answer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction

from core.clock import due, now
from core.loops import careful, untroubled
from core.redaction import redacted
from integrations.credentials import asking
from integrations.credentials.base import Life
from integrations.credentials.keeping import LOOP, note
from integrations.errors import OutsideError, Unavailable
from integrations.launcher.base import Place
from integrations.models import Credential
from submissions.logic import holding, reaching
from submissions.queries import standing_holds

log = structlog.get_logger()

ACTOR = f"loop:{LOOP}"
OWN = Place("local")
LOOK = timedelta(seconds=60)
LEASE = timedelta(seconds=900)  # longer than the longest command and both questions around it
TRY_AGAIN = timedelta(minutes=5)
WARN_HOURS = (72, 24, 4)
STOPS = ("expired", "unusable")


def mind_some() -> int:
    """Ask the credentials of one place that are due; return how many, with the holds of those that were put away.

    One place at a time: a host that does not answer keeps nobody but its own waiting.
    """
    released = _release_put_away()
    rows = _claim()
    if rows:
        _mind(rows[0].place, rows)
    return len(rows) + released


def look_at_own() -> None:
    """Ask those that lie with the worker, just before launches are claimed: to read a file costs next to nothing."""
    rows = list(Credential.objects.filter(active=True, launcher__in=("", "local")).select_related("experiment"))
    if not rows:
        return
    for row, answer in zip(rows, asking.lives(OWN, rows), strict=True):
        if isinstance(answer, OutsideError) or row.error or not _is_known(row, answer):
            with careful(LOOP, "credential", row.pk):
                _see(row, answer)


def _is_known(row: Credential, life: Life) -> bool:
    """Tell whether a credential says what it said before; one that cannot be used keeps the end that it had."""
    if life.unusable or row.unusable:
        return life.unusable == row.unusable
    return (life.ends_at, life.begins_at) == (row.ends_at, row.begins_at)


def _claim() -> list[Credential]:
    """Return the credentials that are due at the place whose turn it is, and leave them alone for a while."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH turn AS (
                SELECT launcher IN ('', 'local') AS own, experiment_id, host, account
                FROM integrations_credential k
                WHERE active AND due_at <= clock_timestamp() AND {untroubled(LOOP, "credential").format(id="k.id")}
                ORDER BY due_at LIMIT 1
            )
            UPDATE integrations_credential SET due_at = clock_timestamp() + %(lease)s * interval '1 second'
            WHERE id IN (
                SELECT k.id FROM integrations_credential k JOIN turn t ON t.own AND k.launcher IN ('', 'local')
                    OR NOT t.own AND (k.experiment_id, k.host, k.account) = (t.experiment_id, t.host, t.account)
                WHERE k.active AND k.due_at <= clock_timestamp()
                  AND {untroubled(LOOP, "credential").format(id="k.id")}
                ORDER BY k.due_at LIMIT 200 FOR UPDATE OF k SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - constant conditions
            {"lease": LEASE.total_seconds()},
        )
        keys = [key for (key,) in cursor.fetchall()]
    return list(Credential.objects.filter(pk__in=keys).select_related("experiment").order_by("pk"))


def _mind(place: Place, rows: Sequence[Credential]) -> None:
    for row, answer in zip(rows, _answers(place, rows), strict=True):
        with careful(LOOP, "credential", row.pk):
            seen = _see(row, answer)
            if seen is not None and wants_renewal(seen, now()):
                _renew(seen)


def _answers(place: Place, rows: Sequence[Credential]) -> Sequence[Life | OutsideError]:
    if reaching.rests(place):
        return [Unavailable(f"The launch host {place} does not answer, and is left alone for a while.")] * len(rows)
    try:
        return asking.lives(place, rows)
    except OutsideError as error:
        log.warning("credentials.unanswered", place=str(place), error=str(error), count=len(rows))
        return [error] * len(rows)


# --- What it says ---------------------------------------------------------------------------------------------


def _see(asked: Credential, answer: Life | OutsideError, actor: str = ACTOR) -> Credential | None:
    """Write down an answer, with what follows from it; None if the credential was changed meanwhile."""
    with transaction.atomic():
        row = Credential.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=asked.pk)
        if not row.active or row.path != asked.path:
            return None
        if isinstance(answer, OutsideError):
            row.error = str(answer)[:1000]
        else:
            _take(row, answer, actor)
        at = now()
        _warn(row, at)
        row.save()
        _hold_or_release(row, at)
        Credential.objects.filter(pk=row.pk).update(due_at=due(_next_look(row, at)))
    return row


def _take(row: Credential, life: Life, actor: str) -> None:
    known = row.seen_at is not None
    longer = life.ends_at is not None and row.ends_at is not None and life.ends_at > row.ends_at
    mended = bool(row.unusable) and not life.unusable
    if life.ends_at != row.ends_at:
        row.warned_hours = None
    row.begins_at, row.unusable, row.error, row.seen_at = life.begins_at, life.unusable, "", now()
    # One that is gone has not said another end.
    row.ends_at = row.ends_at if life.unusable else life.ends_at
    if known and (longer or mended) and not life.unusable:
        row.renewed_at, row.trouble = row.seen_at, ""
        note(row, "active", "renew", actor, f"it {row.end_in_words()}")


def _warn(row: Credential, at: datetime) -> None:
    """Say, once for each span and end, that a credential ends soon; one made for less was never far from its end."""
    if row.ends_at is None or row.unusable or row.ends_at <= at:
        return
    left, whole = row.ends_at - at, row.ends_at - row.begins_at if row.begins_at else timedelta.max
    reached = [hours for hours in WARN_HOURS if left <= timedelta(hours=hours) < whole]
    if reached and (row.warned_hours is None or min(reached) < row.warned_hours):
        row.warned_hours = min(reached)
        how = f"; POMS could not renew it: {row.trouble}" if row.trouble else ""
        note(row, "active", "warn", ACTOR, f"{row.title} {row.end_in_words()}{how}; {row.remedy}")


def _hold_or_release(row: Credential, at: datetime) -> None:
    standing = list(standing_holds().filter(scope="credential", credential=row))
    if row.condition(at) in STOPS:
        if not standing:
            holding.hold("credential", row, actor=ACTOR, reason=row.why)
            note(row, "active", "end", ACTOR, row.why)
        return
    for hold in standing:
        holding.release(hold, actor=ACTOR, reason=f"{row.title} {row.end_in_words()}")


def _next_look(row: Credential, at: datetime) -> timedelta:
    """Return after which time it is asked again: soon after launches stop for it, so that the hold says so."""
    if row.ends_at is None or row.error:
        return LOOK
    stops = row.ends_at - timedelta(seconds=row.needs_seconds) - at
    return min(LOOK, stops) if stops > timedelta() else LOOK


def _release_put_away() -> int:
    holds = list(standing_holds().filter(scope="credential", credential__active=False).select_related("credential"))
    for hold in holds:
        holding.release(hold, actor=ACTOR, reason="it was put away: launches go without it")
    return len(holds)


# --- Renewing -------------------------------------------------------------------------------------------------


def wants_renewal(row: Credential, at: datetime) -> bool:
    """Tell whether the command is to be run now: somebody asks, or it ends soon and was not tried just before."""
    if not row.command:
        return False
    if row.asked_by:
        return True
    soon = row.condition(at) in ("ending", *STOPS) and not row.error
    return soon and (row.tried_at is None or row.tried_at <= at - TRY_AGAIN)


def _renew(row: Credential) -> None:
    """Run the command where the credential lies, ask again, and say if that did not help."""
    actor, before = row.asked_by or ACTOR, row.ends_at
    Credential.objects.filter(pk=row.pk).update(tried_at=now(), asked_by="", due_at=due(LEASE))
    try:
        outcome = asking.renew(row)
    except OutsideError as error:
        outcome = asking.Renewal(False, str(error))
    seen = _see(row, _answers(row.place, [row])[0], actor)
    if seen is None:
        return
    gained = not seen.unusable and (before is None or seen.ends_at is None or seen.ends_at > before)
    if outcome.done and gained:
        return
    said = outcome.said or "it ended well"
    trouble = said if not outcome.done else f"{seen.command[0]} ended well, but it {seen.end_in_words()} as before"
    with transaction.atomic():
        # Told once, not every five minutes; who asked for it is told each time.
        if actor != ACTOR or not seen.trouble:
            note(
                seen,
                "active",
                "fail_renewal",
                ACTOR,
                f"{seen.title} was not renewed: {redacted(trouble)}; {seen.remedy}",
            )
        Credential.objects.filter(pk=seen.pk).update(trouble=redacted(trouble)[:1000])
