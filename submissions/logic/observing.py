"""Loop `observe`: one at a time per batch system, bring in what happened to its jobs (design 5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction

from core import queue
from core.clock import now
from core.crashpoints import crashpoint
from core.locking import session_lock
from integrations import registry
from integrations.batch.base import JobSeen
from integrations.errors import OutsideError
from integrations.models import BatchSystem
from submissions.logic import merging
from submissions.models import Job, Pool, Report, Submission

log = structlog.get_logger()

SWEEP_EVERY = timedelta(seconds=30)
QUIET = timedelta(seconds=60)
MEASURE_EVERY = timedelta(seconds=30)
SWEEP_JOBS = 5_000
INBOX = 20_000
STRANGER_DAYS = timedelta(days=1)


def observe_some() -> int:
    """Look at every batch system once; return how many jobs were written."""
    written = 0
    for system in BatchSystem.objects.order_by("pk"):
        try:
            written += observe(system)
        except OutsideError as error:
            # Unknown is not absent: nothing moves; the next look asks from the same position.
            BatchSystem.objects.filter(pk=system.pk).update(error=f"{now():%F %T} {error}", looked_at=now())
            log.warning("observe.unanswered", system=system.name, error=str(error))
    return written


def observe(system: BatchSystem) -> int:
    """Merge the changes since the last look, the inbox, and now and then a sweep over quiet jobs."""
    with session_lock(f"observe:{system.name}") as got:
        if not got:
            return 0
        system.refresh_from_db()
        _measure(system)
        snapshot = registry.batch(system.name).snapshot(system.position)
        crashpoint("observe.after_snapshot")
        swept = _sweep(system) if system.swept_at is None or now() - system.swept_at > SWEEP_EVERY else None
        inbox = list(Report.objects.filter(system=system).order_by("pk")[:INBOX])
        if not snapshot.jobs and not inbox and not swept:
            fields: dict[str, Any] = {"swept_at": now()} if swept is not None else {}
            if snapshot.position != system.position or system.error:
                # Others' jobs move a position too, and an answer without news is one.
                fields |= {"position": snapshot.position, "looked_at": now(), "error": ""}
            if fields:
                BatchSystem.objects.filter(pk=system.pk).update(**fields)
            return 0
        with transaction.atomic():
            seen = [*snapshot.jobs, *(swept or [])]
            written = merging.merge(system.pk, seen, inbox, source=f"batch:{system.name}")
            _empty_inbox(inbox)
            BatchSystem.objects.filter(pk=system.pk).update(
                position=snapshot.position, looked_at=now(), error="",
                **({"swept_at": now()} if swept is not None else {}),
            )  # fmt: skip
            crashpoint("observe.before_commit")
            if written:
                queue.wake("settle")
                queue.wake("launch")  # what has begun to run has left room
        crashpoint("observe.after_commit")
        return written


def _measure(system: BatchSystem) -> None:
    """Note now and then how many slots there are; what does not say keeps its last answer."""
    known = Pool.objects.filter(system=system).first()
    if known is not None and now() - known.seen_at < MEASURE_EVERY:
        return
    slots = registry.batch(system.name).depth().get("slots", 0)
    Pool.objects.update_or_create(system=system, defaults={"slots": slots, "seen_at": now()})


def _empty_inbox(inbox: list[Report]) -> None:
    """Delete reports that were merged; those of unknown submissions stay a day, in case the row comes late."""
    known = set(Submission.objects.filter(uuid__in={r.uuid for r in inbox}).values_list("uuid", flat=True))
    old = now() - STRANGER_DAYS
    done = [report.pk for report in inbox if report.uuid in known or report.received_at < old]
    Report.objects.filter(pk__in=done).delete()


def _sweep(system: BatchSystem) -> list[JobSeen]:
    """Ask by id about jobs of which nothing was heard for a while; what two answers call absent is lost.

    Asked are live jobs that are quiet, and jobs of submissions of which not all have ever been seen.
    """
    batch = registry.batch(system.name)
    quiet = dict(
        Job.objects.filter(system=system, ended_at=None, event_at__lt=now() - QUIET)
        .values_list("external_id", "submission__uuid")[:SWEEP_JOBS]
    )  # fmt: skip
    for submission in Submission.objects.filter(
        system=system.name, state__in=("submitted", "running"), launched_at__lt=now() - QUIET
    )[:SWEEP_JOBS]:
        seen = set(submission.jobs.values_list("external_id", flat=True))
        quiet |= {job_id: submission.uuid for job_id in submission.job_ids if job_id not in seen}
    if not quiet:
        return []
    present, absent = batch.jobs(list(quiet))
    again = batch.jobs(absent)[1] if absent else []
    starts = dict(Job.objects.filter(system=system, external_id__in=again).values_list("external_id", "starts"))
    gone = [
        JobSeen(
            id=job_id, uuid=str(quiet[job_id]), state="lost", starts=starts.get(job_id, 0), at=now().timestamp(),
            reason="the batch system knows it neither in queue nor in history",
        )
        for job_id in again
    ]  # fmt: skip
    return [*present, *gone]
