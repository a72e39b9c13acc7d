"""Launch hosts that do not answer: a circuit breaker for each (F17), and how many workers speak to one at once.

A host that does not answer is left alone for a while, twice as long each time, and then asked for one launch only. So
a dead host costs one worker a time limit now and then, and the others launch on as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from core.clock import now
from core.locking import session_lock
from integrations import registry
from integrations.launcher import breaker
from integrations.launcher.base import Place
from integrations.models import LaunchHost

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
    return row is not None and breaker.is_resting(row)


def heard(place: Place) -> None:
    """Note that a host answered: whatever waited for it goes on."""
    if row := _row(place):
        breaker.heard(row)


def unheard(place: Place, error: Exception) -> None:
    """Note that a host did not answer, and leave it alone for a while."""
    if row := _row(place):
        breaker.unheard(row, error)


def _row(place: Place) -> LaunchHost | None:
    return None if place.launcher == "local" else registry.launch_host(place)
