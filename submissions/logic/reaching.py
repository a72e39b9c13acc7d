"""Launch hosts that do not answer: a circuit breaker for each (F17), and how many workers speak to one at once.

A host that does not answer is left alone for a while, twice as long each time, and then asked for one launch only. So
a dead host costs one worker a time limit now and then, and the others launch on as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.db.models import F

from core.clock import due, now
from core.locking import session_lock
from integrations import registry
from integrations.launcher.base import Place
from integrations.models import LaunchHost

log = structlog.get_logger()

FIRST_REST, LONGEST_REST = timedelta(seconds=15), timedelta(minutes=10)
# Workers that speak to one place at once: the local one is a matter of processes, a host has its limit of sessions.
TALKERS, TALKERS_LOCAL = 2, 8


@contextmanager
def turn_at(place: Place) -> Iterator[bool]:
    """Give whether this worker may speak to a place now; whoever may not leaves it to those who do."""
    talkers = TALKERS_LOCAL if place.launcher == "local" else 1 if is_silent(place) else TALKERS
    yield from _first_free([f"place:{place}:{number}" for number in range(talkers)])


def _first_free(names: Sequence[str]) -> Iterator[bool]:
    for name in names:
        with session_lock(name) as got:
            if got:
                yield True
                return
    yield False


def resting() -> list[Place]:
    """Return the places that are left alone now."""
    rows = LaunchHost.objects.filter(failures__gt=0, retry_at__gt=now())
    # A set-up that names no account means the only one there.
    return [Place("ssh", row.experiment_id, row.name, account) for row in rows for account in ("", row.account)]


def is_silent(place: Place) -> bool:
    """Tell whether the last call to a place had no answer."""
    row = _row(place)
    return row is not None and row.failures > 0


def rests(place: Place) -> bool:
    """Tell whether a place is left alone now."""
    row = _row(place)
    return row is not None and row.retry_at > now()


def heard(place: Place) -> None:
    """Note that a host answered: whatever waited for it goes on."""
    row = _row(place)
    if row is not None and row.failures:
        LaunchHost.objects.filter(pk=row.pk).update(failures=0, silent_since=None, retry_at=due(), error="")
        log.info("reach.answers_again", place=str(place), failures=row.failures)


def unheard(place: Place, error: Exception) -> None:
    """Note that a host did not answer, and leave it alone for a while."""
    row = _row(place)
    if row is None:
        return
    rest = min(FIRST_REST * 2 ** min(row.failures, 20), LONGEST_REST)
    LaunchHost.objects.filter(pk=row.pk).update(
        failures=F("failures") + 1, silent_since=row.silent_since or now(), retry_at=due(rest), error=str(error)[:500]
    )
    log.warning("reach.no_answer", place=str(place), failures=row.failures + 1, error=str(error))


def _row(place: Place) -> LaunchHost | None:
    return None if place.launcher == "local" else registry.launch_host(place)
