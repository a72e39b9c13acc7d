"""Entries brought into logbooks: what is wanted is written down first, said later, and never stands there twice."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from core import clock
from core.crashpoints import crashpoint
from core.errors import Problem
from core.errors import Refused as NotDone
from core.redaction import redacted
from core.transitions import record
from experiments.models import Experiment
from integrations import telling
from integrations.logbooks.base import Logbook
from integrations.logbooks.ecl import ECL
from integrations.logbooks.models import Book, LogbookEntry

LONGEST_TEXT = 20_000
SYSTEMS: dict[str, type[Logbook]] = {"ecl": ECL}


# --- What is wanted ---------------------------------------------------------------------------------------------


def book_of(experiment: Experiment) -> Book | None:
    """Return an experiment's logbook, if it has one."""
    return Book.objects.filter(experiment=experiment, active=True).first()


def want(experiment: Experiment, ref: str, key: str, text: str, *, actor: str, link: str = "") -> LogbookEntry:
    """Want an entry about a thing, such as demo/f12; one of the same key that is there stays the only one.

    `key` says why it is written, within the thing: the digest of a form, the end of a shift. `link` is the page of the
    thing, without the site. Raises core.errors.Refused where the experiment has no logbook or there is no text.
    """
    if book_of(experiment) is None:
        raise NotDone(
            f"{experiment.name} has no logbook; nothing was written.",
            [Problem("logbook", "is not set", "whoever administers the experiment sets it on the page of its outbox")],
        )
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise NotDone("Nothing was written.", [Problem("text", f"is empty or longer than {LONGEST_TEXT} characters")])
    if settings.PUBLIC_URL and link:
        text = f"{text.rstrip()}\n{settings.PUBLIC_URL}{link}"
    values = {
        "experiment": experiment, "ref": ref, "text": redacted(text.strip()), "actor": actor, "due_at": clock.now(),
    }  # fmt: skip
    entry, _ = LogbookEntry.objects.get_or_create(key=f"{ref}:{key}", defaults=values)
    return entry


@transaction.atomic
def set_book(
    experiment: Experiment, *, url: str, credential: str, category: str, by: Any, reason: str, system: str = "ecl"
) -> None:
    """Set, change or (without address) close the logbook of an experiment."""
    url, credential, category = url.strip(), credential.strip(), category.strip()
    problems = []
    if system not in SYSTEMS:
        problems.append(Problem("system", f"unknown: {system[:20]}", f"one of {', '.join(SYSTEMS)}"))
    elif url:
        problems += SYSTEMS[system].problems(url, credential, category)
    if ":" in credential or len(credential) > 40:
        problems.append(Problem("credential", "is no name", "the secret itself stands in the environment of workers"))
    if len(category) > 100:
        problems.append(Problem("category", "is longer than 100 characters", "one that the logbook has"))
    if not reason.strip():
        problems.append(Problem("reason", "is empty", "say why; it is kept in the history"))
    if problems:
        raise NotDone("The logbook was not changed.", problems)
    values = {"system": system, "url": url, "credential": credential, "category": category, "active": True}
    if url:
        Book.objects.update_or_create(experiment=experiment, defaults=values)
    else:
        Book.objects.filter(experiment=experiment).update(active=False)
    told = f"entries go to the logbook {url}" if url else "no entries go to a logbook any more"
    record(
        [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk,
        actor=by.actor, reason=f"{told}: {reason.strip()}", verb="set_logbook",
    )  # fmt: skip


def try_again(experiment: Experiment) -> int:
    """Let entries of an experiment that did not come about be tried anew; return how many."""
    rows = LogbookEntry.objects.filter(experiment=experiment, number="").exclude(error="")
    return rows.update(due_at=clock.due(), tries=0)


# --- Saying it --------------------------------------------------------------------------------------------------


def bring_up_to_date() -> int:
    """Claim entries that are to be written, and write them; return how many were claimed."""
    found = telling.claimed(LogbookEntry)
    books: dict[int, Logbook | None] = {}
    for entry in found:
        if entry.experiment_id not in books:
            books[entry.experiment_id] = _book(entry.experiment_id)
        _one(entry, books[entry.experiment_id])
    return len(found)


def _book(experiment_id: int) -> Logbook | None:
    row = Book.objects.filter(experiment_id=experiment_id, active=True).first()
    return SYSTEMS[row.system](row.url, row.credential, row.category) if row else None


def _one(entry: LogbookEntry, book: Logbook | None) -> None:
    """Write one entry; what did not work is tried again later, what is refused waits for a person."""
    rows = LogbookEntry.objects.filter(pk=entry.pk, due_at=entry.due_at)  # only while the claim is still ours
    if book is None:
        rows.update(due_at=None, error="the experiment has no logbook any more")
        return
    with telling.tried(rows, entry.tries, "logbook", entry=entry.key):
        seen = book.write(entry.text, mark=entry.mark, since=entry.created_at)
        crashpoint("notify.after_entry")
        rows.update(number=seen.number, link=seen.link, due_at=None, tries=0, error="")
