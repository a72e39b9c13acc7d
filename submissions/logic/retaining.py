"""Loop `retain`: what is kept of jobs, and for how long (M11); counted from their end, never from the launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction

from core import retention
from core.clock import now
from core.crashpoints import crashpoint
from core.ledger import JOBS
from core.locking import session_lock
from experiments.logic import sessions
from integrations.models import BatchSystem
from submissions.states import SETTLED

log = structlog.get_logger()

ARCHIVE = "submissions_archivedjob"
A_STEP = 5_000  # jobs that one statement moves

_DUE = """
SELECT j.id, j.ended_at FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id
WHERE j.system_id = %(system)s AND j.ended_at <= %(before)s AND s.state = ANY(%(settled)s)
ORDER BY j.ended_at LIMIT %(limit)s
"""

# The history goes along in the row, since the ledger's partition will not stay. Both tables call the columns the same.
_COLUMNS = (
    "id, experiment_id, submission_id, system_id, external_id, index, state_code, starts, event_at, state_since,"
    " started_at, ended_at, exit_code, signal, code, reason, node, site, slot_type, memory_mb, cpu_s, wall_s, cpus"
)
_MOVE = f"""
WITH gone AS (
    DELETE FROM submissions_job WHERE id = ANY(%(ids)s) AND ended_at <= %(before)s RETURNING *
), moved AS (
    INSERT INTO {ARCHIVE} ({_COLUMNS}, history)
    SELECT {_COLUMNS}, coalesce((
        SELECT jsonb_agg(jsonb_build_array(t.at, t.source, t.target, t.actor, t.reason) ORDER BY t.id)
        FROM core_transition t WHERE t.kind = 'job' AND t.thing_id = gone.id), '[]')
    FROM gone
), marked AS (
    UPDATE submissions_submission SET jobs_archived_at = clock_timestamp()
    WHERE id IN (SELECT submission_id FROM gone) AND jobs_archived_at IS NULL
)
SELECT count(*) FROM gone
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True)
class Due:
    """What `retain` would do: jobs to be moved, and months to be dropped from the ledger and from the archive."""

    jobs: int
    ledger: Sequence[date]
    archive: Sequence[date]


def retain() -> int:
    """Move jobs whose time has come into the archive, some at a time; when none is left, drop what nothing needs."""
    if moved := archive_some():
        return moved
    retention.retain()
    sessions.forget_tries()
    drop_months()
    return 0


def archive_some() -> int:
    """Move at most A_STEP jobs of each batch system into the archive; return how many.

    Jobs whose submission is not settled stay, however long ago they ended. The lock keeps the merge away meanwhile, so
    that a late report finds a job in one of the two places.
    """
    moved = 0
    for system in BatchSystem.objects.order_by("pk"):
        with session_lock(f"observe:{system.name}") as got:
            if got:
                moved += _archive(system.pk, kept_since())
    return moved


def _archive(system: int, before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"system": system, "before": before, "settled": list(SETTLED), "limit": A_STEP})
        due = cursor.fetchall()
    if not due:
        return 0
    for month in sorted({ended_at.date().replace(day=1) for _, ended_at in due}):
        retention.make_partition(ARCHIVE, month)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_MOVE, {"ids": [pk for pk, _ in due], "before": before})
        moved = int(cursor.fetchone()[0])
        crashpoint("retain.before_commit")
    crashpoint("retain.after_commit")
    log.info("retain.archived", jobs=moved, ended_before=before.isoformat())
    return moved


def kept_since() -> datetime:
    """Return the moment before which a job must have ended to be moved."""
    return now() - timedelta(days=settings.KEEP_JOBS_DAYS)


def drop_months() -> int:
    """Drop months of the ledger's steps of jobs, and of the archive, that nothing needs any more; return how many."""
    dropped = 0
    for month in ledger_months():
        reason = f"the steps of jobs of {month:%Y-%m} are in the archive with their jobs; the seals keep their digests"
        dropped += retention.drop_ledger_partition(month, reason)
    for month in archive_months():
        with transaction.atomic():
            dropped += retention.drop_partition(ARCHIVE, month)
        log.info("retain.dropped", archive=f"{month:%Y-%m}")
    return dropped


def ledger_months() -> list[date]:
    """Return the months of jobs' steps that may be dropped: all of its jobs are in the archive, and it is sealed."""
    return [
        month
        for month in retention.partitions_before(JOBS, kept_since())
        if not _is_needed(month) and retention.is_sealed(month)
    ]


def archive_months() -> list[date]:
    """Return the months of the archive that are older than what is to be kept; none where all is kept for ever."""
    if not settings.KEEP_ARCHIVE_DAYS:
        return []
    return retention.partitions_before(ARCHIVE, now() - timedelta(days=settings.KEEP_ARCHIVE_DAYS))


def _is_needed(month: date) -> bool:
    """Tell whether a job that is not in the archive has a step in a month's partition."""
    table = f"{JOBS}_{month:%Y_%m}"
    with connection.cursor() as cursor:
        # Keys grow with time: of the jobs that are here, few are as old as the month.
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM submissions_job j WHERE j.id <= (SELECT max(thing_id) FROM {table})"  # noqa: S608
            f" AND EXISTS (SELECT 1 FROM {table} t WHERE t.kind = 'job' AND t.thing_id = j.id))"
        )
        return bool(cursor.fetchone()[0])


def due() -> Due:
    """Return what would be done, without doing it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id"
            " WHERE j.ended_at <= %s AND s.state = ANY(%s)",
            [kept_since(), list(SETTLED)],
        )
        jobs = int(cursor.fetchone()[0])
    return Due(jobs, ledger_months(), archive_months())
