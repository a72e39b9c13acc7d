"""Loop `observe`: one at a time per batch system, bring in what happened to its jobs (design 5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Q

from core import queue
from core.clock import now
from core.crashpoints import crashpoint
from core.locking import session_lock
from integrations import registry
from integrations.batch.base import JobSeen
from integrations.errors import OutsideError
from integrations.models import BatchSystem
from submissions.logic import merging
from submissions.models import OUTSIDE, Job, Pool, Report, Submission
from submissions.states import JOB_ENDED, JOB_RANK

log = structlog.get_logger()

SWEEP_EVERY = timedelta(seconds=30)
QUIET = timedelta(seconds=60)
LATE = timedelta(minutes=2)  # how long a report of an end may be under way, to be asked about too
DOUBT_AT_FIRST = timedelta(days=1)
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
        is_time = system.swept_at is None or now() - system.swept_at > SWEEP_EVERY
        swept, places = _sweep(system) if is_time else ([], {})
        at_sweep: dict[str, Any] = {"swept_at": now(), **places} if is_time else {}
        inbox = list(Report.objects.filter(system=system).order_by("pk")[:INBOX])
        if not snapshot.jobs and not inbox and not swept:
            fields = at_sweep
            if snapshot.position != system.position or system.error:
                # Others' jobs move a position too, and an answer without news is one.
                fields |= {"position": snapshot.position, "looked_at": now(), "error": ""}
            if fields:
                BatchSystem.objects.filter(pk=system.pk).update(**fields)
            return 0
        with transaction.atomic():
            known = _of_others(system, snapshot.jobs) if snapshot.jobs else []
            seen = [*known, *swept]
            written = merging.merge(system.pk, seen, inbox, source=f"batch:{system.name}")
            _empty_inbox(inbox)
            BatchSystem.objects.filter(pk=system.pk).update(
                position=snapshot.position, looked_at=now(), error="",
                **at_sweep,
            )  # fmt: skip
            crashpoint("observe.before_commit")
            if written:
                queue.wake("settle")
                queue.wake("launch")  # what has begun to run has left room
        crashpoint("observe.after_commit")
        return written


def _of_others(system: BatchSystem, jobs: Sequence[JobSeen]) -> list[JobSeen]:
    """Give jobs of launches made without POMS the uuid under which we keep them: these are known by their ids alone.

    A wrapper names the first job of a cluster; the others are of the same launch.
    """
    by_hand = Q(kind=OUTSIDE) | Q(told__by_hand=True)
    live = Submission.objects.filter(by_hand, system=system.name, state__in=("submitted", "running"))
    uuids = {_cluster(job_id): str(uuid) for uuid, ids in live.values_list("uuid", "job_ids") for job_id in ids}
    return [replace(job, uuid=uuids[key]) if (key := _cluster(job.id)) in uuids else job for job in jobs]


def _cluster(job_id: str) -> str:
    return re.sub(r"^(\d+)\.\d+@", r"\1@", job_id)


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


def _sweep(system: BatchSystem) -> tuple[list[JobSeen], dict[str, str]]:
    """Ask by id about jobs of which nothing was heard for a while; what two answers call absent is lost.

    Asked are live jobs that are quiet, jobs of submissions of which not all have ever been seen, and once those that
    have failed: of one that was begun anew since, the reports may be lost. There may be far more than one question has
    room for: each sweep goes on where the last one ended, and the places are returned too.
    """
    batch = registry.batch(system.name)
    quiet, swept_to = _quiet(system)
    quiet |= _unseen(system)
    doubted, doubted_to = _doubted(system)
    places = {"swept_to": swept_to, "doubted_to": doubted_to}
    asked = doubted | quiet
    if not asked:
        return [], places
    found, unknown = batch.jobs(list(asked))
    # Jobs of a launch made outside POMS carry no uuid of ours, or somebody else's: their ids were asked for.
    present = [replace(job, uuid=str(asked.get(job.id, job.uuid))) for job in found]
    absent = [job_id for job_id in unknown if job_id in quiet]  # what has ended is forgotten in time
    again = batch.jobs(absent)[1] if absent else []
    starts = dict(Job.objects.filter(system=system, external_id__in=again).values_list("external_id", "starts"))
    gone = [
        JobSeen(
            id=job_id, uuid=str(quiet[job_id]), state="lost", starts=starts.get(job_id, 0), at=now().timestamp(),
            reason="the batch system knows it neither in queue nor in history",
        )
        for job_id in again
    ]  # fmt: skip
    return [*present, *gone], places


# By the submissions that are in the system: of its live jobs there is an index for each of these and none for all.
_QUIET = """
SELECT j.external_id, s.uuid, s.id, j.id FROM submissions_submission s JOIN submissions_job j ON j.submission_id = s.id
WHERE s.system = %(system)s AND s.state IN ('submitted', 'running') AND s.id >= %(submission)s
  AND j.ended_at IS NULL AND (j.submission_id, j.id) > (%(submission)s, %(job)s) AND j.event_at < %(before)s
ORDER BY j.submission_id, j.id LIMIT %(limit)s
"""
# Counters say which submissions were seen as a whole, without a look at their jobs.
_UNSEEN = """
SELECT x.name, s.uuid
FROM submissions_submission s CROSS JOIN LATERAL unnest(s.job_ids) x(name)
WHERE s.system = %(system)s AND s.state IN ('submitted', 'running') AND s.launched_at < %(before)s
  AND cardinality(s.job_ids) > (SELECT coalesce(sum(n), 0) FROM submissions_jobcount c WHERE c.submission_id = s.id)
  AND NOT EXISTS (SELECT 1 FROM submissions_job j WHERE j.system_id = %(key)s AND j.external_id = x.name)
LIMIT %(limit)s
"""


_FAILED = [JOB_RANK[state] for state in JOB_ENDED if state not in ("succeeded", "lost")]
_DOUBTED = """
SELECT j.external_id, s.uuid, j.ended_at, j.id
FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id
WHERE j.system_id = %(key)s AND j.ended_at IS NOT NULL AND j.ended_at < %(before)s
  AND j.ended_at >= %(ended)s AND (j.ended_at, j.id) > (%(ended)s, %(job)s)
  AND j.state_code = ANY(%(failed)s) AND s.state IN ('submitted', 'running')
ORDER BY j.ended_at, j.id LIMIT %(limit)s
"""


def _quiet(system: BatchSystem) -> tuple[dict[str, UUID], str]:
    """Return live jobs after the place to which the last sweep came, with their submissions, and the place of the last.

    Where there are no more than one sweep asks for, the next one begins anew.
    """
    submission, _, job = system.swept_to.partition(":")
    asked = {"submission": int(submission or 0), "job": int(job or 0)}
    with connection.cursor() as cursor:
        cursor.execute(_QUIET, {**_bounds(system), **asked})
        rows = cursor.fetchall()
    place = f"{rows[-1][2]}:{rows[-1][3]}" if len(rows) == SWEEP_JOBS else ""
    return {name: uuid for name, uuid, *_ in rows}, place


def _doubted(system: BatchSystem) -> tuple[dict[str, UUID], str]:
    """Return jobs that have failed, of submissions that go on, after the end to which the last sweep came, and the end.

    Reports may come late: where all were asked about, the next sweep begins a little before.
    """
    ended, _, job = system.doubted_to.partition(" ")
    bounds = _bounds(system)
    asked = {"ended": ended or bounds["before"] - DOUBT_AT_FIRST, "job": int(job or 0), "failed": _FAILED}
    with connection.cursor() as cursor:
        cursor.execute(_DOUBTED, {**bounds, **asked})
        rows = cursor.fetchall()
    place = f"{rows[-1][2].isoformat()} {rows[-1][3]}" if len(rows) == SWEEP_JOBS else ""
    return {name: uuid for name, uuid, *_ in rows}, place or f"{(bounds['before'] - LATE).isoformat()} 0"


def _unseen(system: BatchSystem) -> dict[str, UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_UNSEEN, _bounds(system))
        return dict(cursor.fetchall())


def _bounds(system: BatchSystem) -> dict[str, Any]:
    return {"system": system.name, "key": system.pk, "before": now() - QUIET, "limit": SWEEP_JOBS}
