"""The outbox: what is to be told is written once, carried out at least once, and known by its Message-ID."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from core import clock, locking
from core.crashpoints import crashpoint
from core.errors import Refused as NotDone
from experiments.models import Experiment
from integrations.errors import OutsideError, Refused
from integrations.notices import email, webhook
from integrations.notices.choosing import choices_of_all, next_digest
from integrations.notices.kinds import AT_ONCE, NONE, TEST
from integrations.notices.models import FAILED, KEPT, MAIL, SENT, WEBHOOK, WITHHELD, Choices, Message, Notice, Webhook

log = structlog.get_logger()

AT_A_TIME = 20
LEASE = timedelta(seconds=180)
BUDGET_SECONDS = 60.0  # what is left of a claim then is given back, long before its lease ends
LONGEST_WAIT = timedelta(hours=1)
MOST_TRIES = 120  # about five days
NO_SERVER = "no mail server is set"

MaySee = Callable[[Any, Notice], bool]


@dataclass(frozen=True)
class Draft:
    """What somebody is to be told; without a recipient, the webhook of the experiment."""

    recipient: Any
    experiment: Experiment | None
    kind: str
    key: str
    subject: str
    of: str = ""
    things: Sequence[int] = ()
    ref: str = ""
    link: str = ""
    lines: Sequence[dict[str, str]] = field(default_factory=tuple)
    actor: str = ""


# --- Writing ----------------------------------------------------------------------------------------------------


def enter(drafts: Iterable[Draft]) -> list[Notice]:
    """Write notices and the messages that carry them out, in the caller's transaction; return the notices."""
    drafts = list(drafts)
    chosen = choices_of_all([draft.recipient for draft in drafts if draft.recipient is not None])
    wanted = [d for d in drafts if d.recipient is None or chosen[d.recipient.pk].how(d.kind) != NONE]
    hooks = _hooks(wanted)
    found = []
    for draft in wanted:
        hook = hooks.get(_whose(draft))
        if draft.recipient is None and hook is None:
            continue
        notice = Notice.objects.create(
            recipient=draft.recipient, experiment=draft.experiment, kind=draft.kind, key=draft.key, of=draft.of,
            things=list(draft.things), ref=draft.ref, link=draft.link, subject=draft.subject[:300],
            lines=list(draft.lines), actor=draft.actor,
        )  # fmt: skip
        found.append(notice)
        if hook is not None:
            Message.objects.create(channel=WEBHOOK, hook=hook, due_at=clock.now()).notices.add(notice)
        if draft.recipient is not None and draft.recipient.email:
            _mail(draft, chosen[draft.recipient.pk]).notices.add(notice)
    return found


def _hooks(drafts: Sequence[Draft]) -> dict[tuple[str, int | None], Webhook]:
    people = {d.recipient.pk for d in drafts if d.recipient is not None}
    places = {d.experiment.pk for d in drafts if d.recipient is None and d.experiment is not None}
    if not people and not places:
        return {}
    rows = Webhook.objects.filter(Q(user_id__in=people) | Q(experiment_id__in=places))
    return {("user", row.user_id) if row.user_id else ("experiment", row.experiment_id): row for row in rows}


def _whose(draft: Draft) -> tuple[str, int | None]:
    if draft.recipient is not None:
        return "user", draft.recipient.pk
    return "experiment", draft.experiment.pk if draft.experiment else None


def _mail(draft: Draft, choices: Choices) -> Message:
    """Return the mail that carries a notice: one of its own, or the person's next digest."""
    at = clock.now()
    kept = {} if settings.MAIL_HOST else {"outcome": KEPT, "error": NO_SERVER, "ended_at": at, "due_at": None}
    if choices.how(draft.kind) == AT_ONCE:
        return Message.objects.create(channel=MAIL, recipient=draft.recipient, **{"due_at": at, **kept})
    digest = next_digest(choices, at)
    for _ in range(7):
        row, _ = Message.objects.get_or_create(
            recipient=draft.recipient, digest_at=digest, defaults={"channel": MAIL, "due_at": digest, **kept}
        )
        # Locked, so that it does not go out while we add to it; one that was tried has gone out, perhaps.
        if Message.objects.select_for_update().get(pk=row.pk).tries == 0:
            return row
        digest = next_digest(choices, digest)
    raise NotDone("There is no digest to add to; nothing was written.")


def enter_test(user: Any) -> Notice:
    """Write the test notice that a person asks for; it goes out at once on every channel that they have."""
    with transaction.atomic():
        (made,) = enter(
            [Draft(user, None, TEST, f"test:{clock.now().isoformat()}", "A test: this is how POMS tells you something",
                   link="/account/notices/")]
        )  # fmt: skip
    return made


# --- Reading ----------------------------------------------------------------------------------------------------


def mark_read(user: Any, keys: Sequence[int] | None = None) -> int:
    """Mark one's notices as read, those named or all; return how many were not."""
    rows = Notice.objects.filter(recipient_id=user.pk, read_at=None)
    return (rows if keys is None else rows.filter(pk__in=keys)).update(read_at=clock.now())


def try_again(messages: Any) -> int:
    """Let messages that ended without being sent be tried anew; return how many."""
    rows = messages.filter(outcome__in=(FAILED, KEPT))
    if not settings.MAIL_HOST:
        rows = rows.exclude(channel=MAIL)
    again = {"outcome": "", "ended_at": None, "due_at": clock.due(), "tries": 0}
    return int(Message.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(**again))


# --- Sending ----------------------------------------------------------------------------------------------------


def send(may_see: MaySee) -> int:
    """Claim messages that are due and hand them over; return how many were claimed.

    A claim is committed before anything is handed over, so that a crash in between hands the same message over
    again, under the same Message-ID, once its lease has ended. `may_see` is asked for each notice just before.
    """
    claimed = _claim()
    if not claimed:
        return 0
    ends = time.monotonic() + BUDGET_SECONDS
    away: dict[tuple[str, int | None], tuple[timedelta, str]] = {}
    with email.Postman() as postman:
        for message in claimed:
            route = (message.channel, message.hook_id)
            if route in away:
                _postpone(message, *away[route])
            elif time.monotonic() > ends:
                Message.objects.filter(pk=message.pk).update(due_at=clock.due(), tries=F("tries") - 1)
            elif (closed := _hand_over(message, postman, may_see)) is not None:
                away[route] = closed
    for (channel, hook), (wait, error) in away.items():
        waiting = Message.objects.filter(channel=channel, hook_id=hook, due_at__isnull=False)
        waiting.update(due_at=Greatest(F("due_at"), clock.due(wait)), error=error)
    return len(claimed)


def _claim() -> list[Message]:
    due = Message.objects.filter(due_at__lte=clock.due()).order_by("due_at", "pk")
    if not settings.MAIL_HOST:
        due = due.exclude(channel=MAIL)
    keys: list[int] = list(due.values_list("pk", flat=True)[: 2 * AT_A_TIME])
    if not keys:
        return []
    with transaction.atomic():
        # Asked again under the lock: what another worker has claimed meanwhile is due later.
        found = [row.pk for row in locking.claim(due.filter(pk__in=keys), AT_A_TIME)]
        Message.objects.filter(pk__in=found).update(due_at=clock.due(LEASE), tries=F("tries") + 1)
    crashpoint("notify.after_claim")
    return list(Message.objects.select_related("recipient", "hook").filter(pk__in=found).order_by("pk"))


def _hand_over(message: Message, postman: email.Postman, may_see: MaySee) -> tuple[timedelta, str] | None:
    """Send one message and write down what became of it; return for how long its whole way is closed, and why."""
    try:
        notices = list(message.notices.select_related("experiment", "recipient").order_by("pk"))
        seen = [notice for notice in notices if notice.recipient is None or may_see(notice.recipient, notice)]
        if not seen:
            _end(message, WITHHELD, "")
        elif message.channel == WEBHOOK:
            webhook.post(message)
        else:
            postman.send(email.mail(message, seen))
    except Refused as error:
        _end(message, FAILED, str(error))
    except OutsideError as error:
        wait = _put_off(message, str(error), getattr(error, "retry_after", 0))
        if message.channel == WEBHOOK or isinstance(error, email.ServerAway):
            return wait, str(error)
    except Exception as error:
        log.exception("notify.broken", message=message.message_id)
        _put_off(message, f"{type(error).__name__}: {error}")
    else:
        if seen:
            crashpoint("notify.after_send")
            _end(message, SENT, "")
    return None


def _put_off(message: Message, error: str, at_least: float = 0) -> timedelta:
    """Let a message be tried later, the more often it was tried the later; or give it up. Return how much later."""
    wait = min(timedelta(seconds=max(at_least, 15 * 2 ** min(message.tries, 10))), LONGEST_WAIT)
    if message.tries >= MOST_TRIES:
        _end(message, FAILED, f"given up after {message.tries} tries: {error}")
    else:
        _postpone(message, wait, error)
        log.warning("notify.later", message=message.message_id, why=error, seconds=wait.total_seconds())
    return wait


def _end(message: Message, outcome: str, error: str) -> None:
    rows = Message.objects.filter(pk=message.pk)
    rows.update(outcome=outcome, error=error, due_at=None, ended_at=clock.due())
    if outcome == FAILED:
        log.warning("notify.failed", message=message.message_id, why=error)


def _postpone(message: Message, wait: timedelta, error: str) -> None:
    Message.objects.filter(pk=message.pk).update(due_at=clock.due(wait), error=error)
