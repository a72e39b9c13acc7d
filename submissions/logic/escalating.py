"""A failure brought to those outside: a ticket in the experiment's service desk, an entry in its logbook; each once."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.db import transaction

from core.errors import Conflict, Problem, Refused
from integrations.logbooks import book
from integrations.models import LogbookEntry, Ticket
from integrations.tickets import desk
from submissions.logic import routing
from submissions.models import Failure, Sighting

MOST_SITES = 10


def open_ticket(failure: Failure, *, by: Any, reason: str) -> Ticket:
    """Want a ticket about a failure; the loop `notify` opens it, once whatever the desk does."""
    if not reason.strip():
        raise Refused("No ticket was opened.", [Problem("reason", "is empty", "say what the ticket is to bring about")])
    if (known := desk.ticket_of(failure.ref)) is not None:
        raise Conflict(f"{failure.ref} has the ticket {known.number or '(being opened)'} already; nothing was changed.")
    if not desk.open_for([failure.experiment_id]):
        hint = "whoever administers the experiment sets it on the page of its outbox"
        raise Refused(
            f"{failure.experiment.name} has no service desk; no ticket was opened.",
            [Problem("desk", "is not set", hint)],
        )
    with transaction.atomic():
        desk.want(
            failure.experiment, failure.ref, title=f"POMS {failure.ref}: {failure.signature.title}",
            text=f"{told(failure)}\n\n{by.username}: {reason.strip()}",
        )  # fmt: skip
        routing.note(failure, "ticket", by=by, reason=f"a ticket is opened: {reason.strip()}")
    found = desk.ticket_of(failure.ref)
    if found is None:
        raise LookupError(failure.ref)
    return found


def write_entry(failure: Failure, text: str, *, by: Any) -> LogbookEntry:
    """Want an entry about a failure in the experiment's logbook; the same words again are the same entry."""
    key = hashlib.sha256(f"{by.username}\n{text.strip()}".encode()).hexdigest()[:16]
    if not text.strip():
        raise Refused("Nothing was written.", [Problem("reason", "is empty", "the words that are to stand there")])
    with transaction.atomic():
        entry = book.want(
            failure.experiment, failure.ref, key, f"{by.username}: {text.strip()}\n\n{told(failure)}", actor=by.actor,
            link=page_of(failure),
        )  # fmt: skip
        routing.note(failure, "logbook", by=by, reason=f"into the logbook: {text.strip()}")
    return entry


def page_of(failure: Failure) -> str:
    """Return the address of a failure's page, without the site."""
    return f"/e/{failure.experiment.name}/failures/f{failure.pk}/"


def told(failure: Failure) -> str:
    """Return a failure in words, for people who do not look at POMS."""
    places = Sighting.objects.filter(failure=failure).exclude(site="").values_list("site", flat=True).distinct()
    sites = sorted(places[:MOST_SITES])
    lines = [
        f"{failure.signature.title}",
        f"{failure.jobs} jobs of {failure.experiment.name}, {failure.core_hours:.1f} core-hours, from"
        f" {failure.first_at:%Y-%m-%d %H:%M} to {failure.last_at:%Y-%m-%d %H:%M} UTC",
        f"cause: {failure.signature.cause}; goes to {failure.owner}",
    ]
    lines += [f"at {', '.join(sites)}"] if sites else []
    lines += [f"what helps: {failure.fix}"] if failure.fix else []
    lines += [f"{settings.PUBLIC_URL}{page_of(failure)}"] if settings.PUBLIC_URL else []
    return "\n".join(lines)
