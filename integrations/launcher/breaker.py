"""The circuit breaker of a launch host (F17): left alone while it is silent, longer each time; closed when it answers.

The launcher's loop opens and closes it; whoever tries a host by hand closes it, too.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db.models import F

from core.clock import due, now
from integrations.launcher.models import LaunchHost

log = structlog.get_logger()

FIRST_REST, LONGEST_REST = timedelta(seconds=15), timedelta(minutes=10)


def is_resting(row: LaunchHost) -> bool:
    """Tell whether a host is left alone now."""
    return row.failures > 0 and row.retry_at > now()


def heard(row: LaunchHost) -> None:
    """Note that a host answered: whatever waited for it goes on."""
    if row.failures:
        LaunchHost.objects.filter(pk=row.pk).update(failures=0, silent_since=None, retry_at=due(), error="")
        log.info("reach.answers_again", place=row.called, failures=row.failures)


def unheard(row: LaunchHost, error: Exception) -> None:
    """Note that a host did not answer, and leave it alone for a while."""
    rest = min(FIRST_REST * 2 ** min(row.failures, 20), LONGEST_REST)
    LaunchHost.objects.filter(pk=row.pk).update(
        failures=F("failures") + 1, silent_since=row.silent_since or now(), retry_at=due(rest), error=str(error)[:500]
    )
    log.warning(
        "reach.no_answer", place=row.called, failures=row.failures + 1, error=str(error)
    )  # fmt: skip
