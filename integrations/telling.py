"""What is wanted of a desk or a logbook: claimed for a while, tried again later, left to a person if it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Model, QuerySet

from core import clock, locking
from integrations.errors import OutsideError, Refused

log = structlog.get_logger()

AT_A_TIME = 5
LEASE = timedelta(seconds=300)
LONGEST_WAIT = timedelta(hours=1)
MOST_TRIES = 120


def claimed(model: type[Model]) -> list[Any]:
    """Claim rows that are due, a few at a time, and return them; nobody else takes them for LEASE."""
    rows = model._default_manager
    due = rows.filter(due_at__lte=clock.due()).order_by("due_at", "pk")
    keys = list(due.values_list("pk", flat=True)[: 2 * AT_A_TIME])
    if not keys:
        return []
    with transaction.atomic():
        found = [row.pk for row in locking.claim(due.filter(pk__in=keys), AT_A_TIME)]
        rows.filter(pk__in=found).update(due_at=clock.due(LEASE), tries=F("tries") + 1)
    return list(rows.filter(pk__in=found).order_by("pk"))


@contextmanager
def tried(rows: QuerySet[Any], tries: int, word: str, **named: str) -> Iterator[None]:
    """Try to say something; what did not work is due again later, what is refused waits for a person.

    `rows` is the row, only while its claim is still ours; `word` and what is named say in the log what it is.
    """
    try:
        yield
    except OutsideError as error:
        wait = min(timedelta(seconds=15 * 2 ** min(tries, 10)), LONGEST_WAIT)
        wait = max(wait, timedelta(seconds=getattr(error, "retry_after", 0)))
        final = isinstance(error, Refused) or tries >= MOST_TRIES
        rows.update(due_at=None if final else clock.due(wait), error=str(error))
        log.warning(f"{word}.later", **named, why=str(error), final=final)
    except Exception as error:
        log.exception(f"{word}.broken", **named)
        rows.update(due_at=clock.due(LONGEST_WAIT), error=f"{type(error).__name__}: {error}")
