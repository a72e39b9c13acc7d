"""Loop `diagnose`: jobs that failed are recognised, counted where they were seen, and given to whoever can mend it.

One at a time. Jobs are found by their end, through its index, from where the last pass stopped; the last minutes are
read again in each pass, and by a second, slower reader the last days, for reports come late. What is known of a job
stays with it, so reading it twice changes nothing. Only the end of a log is read, a few of each batch system in a pass;
silence is "not read yet", and after a while the job is recognised by its facts alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from django.db import connection, transaction

from core.clock import due, now
from core.crashpoints import crashpoint
from core.locking import session_lock
from core.loops import careful, untroubled
from core.redaction import masked_piece, redacted
from experiments.models import Experiment
from integrations import registry
from integrations.errors import OutsideError
from submissions import signatures
from submissions.logic import routing
from submissions.models import Failure, Job, JobFailure, Reading, Sighting, Signature
from submissions.signatures import Facts
from submissions.states import JOB_RANK, JOB_STATES

A_PASS = 2_000  # jobs that ended, looked at in one statement
LOGS = 60  # read in a pass
LOGS_OF_ONE = 30  # of them from one batch system
TAIL = 8 * 1024  # bytes of each stream
KEPT = 2 * 1024  # characters of it that are kept
EXAMPLES = 30  # jobs of a failure whose tail is kept
OVERLAP = timedelta(minutes=2)
LATE = timedelta(days=3)  # what is reported later than this after its end is not looked for
WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
_HELD, _SUCCEEDED = JOB_RANK["held"], JOB_RANK["succeeded"]
_BAD = [JOB_RANK[state] for state in ("failed", "lost", "removed")]


def diagnose_some() -> int:
    """Take up what has failed, and read logs that are due; return how many jobs had news."""
    with session_lock("diagnose") as got:
        if not got:
            return 0
        return _read_on("new", OVERLAP) + _read_on("late", LATE) + _held() + _logs()


# --- Which jobs ---------------------------------------------------------------------------------------------------

_ENDED = """
WITH seen AS MATERIALIZED (
    SELECT j.id, j.ended_at FROM submissions_job j
    WHERE j.ended_at IS NOT NULL AND j.ended_at >= %(at)s AND (j.ended_at, j.id) > (%(at)s, %(key)s)
    ORDER BY j.ended_at, j.id LIMIT %(most)s
)
SELECT s.id, s.ended_at,
       (j.state_code = ANY(%(bad)s) AND (f.job_id IS NULL OR f.state_code <> j.state_code OR f.at <> j.ended_at))
       OR (f.job_id IS NOT NULL AND j.state_code = %(succeeded)s)
FROM seen s JOIN submissions_job j USING (id) LEFT JOIN submissions_jobfailure f ON f.job_id = j.id
ORDER BY s.ended_at, s.id
"""

# Only submissions that are in a batch system, by the counters; of jobs those that have not ended, by their index.
_HELD_NOW = """
SELECT j.id
FROM submissions_submission s
JOIN submissions_jobcount c ON c.submission_id = s.id AND c.state_code = %(held)s AND c.n > 0
JOIN submissions_job j ON j.submission_id = s.id AND j.ended_at IS NULL AND j.state_code = %(held)s
LEFT JOIN submissions_jobfailure f ON f.job_id = j.id
WHERE s.state IN ('launching', 'submitted', 'running') AND NOT j.code LIKE ANY(%(not_failed)s) AND j.code <> ''
  AND (f.job_id IS NULL OR f.state_code <> %(held)s OR f.at <> j.state_since)
LIMIT %(most)s
"""


def _read_on(reader: str, again: timedelta) -> int:
    """Take up the next jobs that have ended, in the order of their ends; return how many had news.

    `new` never stops later than OVERLAP ago, so that it sees the last minutes again; `late` begins anew at its end.
    """
    begin = now() - again
    place, _ = Reading.objects.get_or_create(reader=reader, defaults={"ended_at": begin})
    asked: dict[str, Any] = {
        "at": place.ended_at, "key": place.job_id, "most": A_PASS, "bad": _BAD, "succeeded": _SUCCEEDED,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_ENDED, asked)
        rows = cursor.fetchall()
    did = _take_up([pk for pk, _, is_news in rows if is_news])
    crashpoint("diagnose.after_take_up")
    last = (rows[-1][1], rows[-1][0]) if len(rows) == A_PASS else None
    if reader == "new":
        place.ended_at, place.job_id = max((place.ended_at, place.job_id), min(last or (begin, 0), (begin, 0)))
    else:
        place.ended_at, place.job_id = last or (begin, 0)
    place.save()
    return did


def _held() -> int:
    not_failed = [f"{code}%" for code in signatures.NO_FAILURE]
    asked: dict[str, Any] = {"held": _HELD, "most": A_PASS, "not_failed": not_failed}
    with connection.cursor() as cursor:
        cursor.execute(_HELD_NOW, asked)
        keys = [pk for (pk,) in cursor.fetchall()]
    return _take_up(keys)


def _take_up(keys: Sequence[int]) -> int:
    """Recognise jobs by their facts where these say all, put the others off to their logs; take back what went well."""
    if not keys:
        return 0
    jobs = list(_jobs(keys))
    known = {row.job_id: row for row in JobFailure.objects.filter(job_id__in=keys).select_related("sighting")}
    with transaction.atomic():
        old = [row for row in known.values() if row.sighting_id]
        _count(_Change(row.sighting, -1, -row.core_s) for row in old if row.sighting)
        JobFailure.objects.filter(job_id__in=keys).delete()
        ready, rows, did = [], [], len(known)
        for job in jobs:
            state = JOB_STATES[job.state_code]
            if not signatures.is_failure(state, job.code, job.reason):
                continue
            did += job.pk not in known
            row = JobFailure(
                job=job, state_code=job.state_code, at=job.ended_at or job.state_since,
                core_s=(job.wall_s or 0) * (job.cpus or 1),
            )  # fmt: skip
            facts = _facts(job)
            if signatures.needs_log(facts):
                row.look_at = due()
            else:
                ready.append((row, facts))
            rows.append(row)
        JobFailure.objects.bulk_create(rows)
        _recognise(ready)
    return did


def _jobs(keys: Iterable[int]) -> Any:
    beside = ("experiment", "system", "submission__batch__stage", "submission__batch__version", "submission__analyst")
    return Job.objects.filter(pk__in=keys).select_related(*beside).order_by("pk")


def _facts(job: Job, out: str = "", err: str = "") -> Facts:
    submission = job.submission
    analyst = submission.analyst.username if submission.analyst else ""
    names = (job.node, job.node.partition(".")[0], submission.account, analyst, job.external_id)
    return Facts(
        JOB_STATES[job.state_code], job.exit_code, job.signal, job.code, job.reason, out, err,
        names=tuple(name for name in names if name),
    )  # fmt: skip


# --- What their logs say --------------------------------------------------------------------------------------------


def _logs() -> int:
    """Read the ends of logs that are due, outside any transaction; who is silent is asked no more in this pass."""
    well = untroubled("diagnose", "job").format(id="submissions_jobfailure.job_id")
    due_rows = JobFailure.objects.filter(look_at__lte=due()).extra(where=[well])  # noqa: S610 - our own constant
    rows = due_rows.order_by("look_at", "pk")
    found = {row.pk: row for row in rows[:LOGS]}
    did = 0
    asked: dict[int, int] = defaultdict(int)
    silent: dict[int, str] = {}
    for job in _jobs(found):
        if job.system_id not in silent and asked[job.system_id] >= LOGS_OF_ONE:
            continue
        asked[job.system_id] += 1
        with careful("diagnose", "job", job.pk):
            _read(found[job.pk], job, silent)
            did += 1
    return did


def _read(row: JobFailure, job: Job, silent: dict[int, str]) -> None:
    """Read one log and recognise its job; note a system that does not answer."""
    if job.system_id in silent:
        _put_off(row, job, silent[job.system_id])
        return
    try:
        out, err = (_tail(job, stream) for stream in ("out", "err"))
    except OutsideError as error:
        if error.transient:
            silent[job.system_id] = str(error)
            _put_off(row, job, str(error))
        else:
            _write(row, job, _facts(job), unread=str(error))
    else:
        _write(row, job, _facts(job, out, err), tail=redacted((err.strip() or out.strip())[-KEPT:]))


def _tail(job: Job, stream: str) -> str:
    """Return the end of one stream of a job's log, secrets covered."""
    batch = registry.batch(job.system.name)
    total = int(batch.log(job.external_id, stream, 0, 0)["total"])
    if not total:
        return ""
    piece = masked_piece(lambda at, most: batch.log(job.external_id, stream, at, most), max(0, total - TAIL), TAIL)
    return str(piece["text"]).replace("\0", "")


def _put_off(row: JobFailure, job: Job, why: str) -> None:
    """Try a log again later; after the last time go by the facts alone."""
    if row.tries >= len(WAITS):
        _write(row, job, _facts(job), unread=why)
        return
    JobFailure.objects.filter(pk=row.pk).update(look_at=due(WAITS[row.tries]), tries=row.tries + 1, unread=why)


def _write(row: JobFailure, job: Job, facts: Facts, *, unread: str = "", tail: str = "") -> None:
    row.unread, row.tail = unread, tail
    row.job = job
    with transaction.atomic():
        _recognise([(row, facts)])


# --- What they are recognised as --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    """Jobs and core-seconds more, or fewer, at a sighting."""

    sighting: Sighting
    jobs: int
    core_s: float


def _recognise(found: Sequence[tuple[JobFailure, Facts]]) -> None:
    """Give each job its failure, and count it where it was seen, in the caller's transaction."""
    if not found:
        return
    recognised = [(row, signatures.recognised(facts)) for row, facts in found]
    known = _signatures({signature.digest: signature for _, signature in recognised})
    failures = _failures([(row, signature, known[signature.digest]) for row, signature in recognised])
    changes = []
    for row, signature in recognised:
        failure = failures[row.job.experiment_id, signature.digest]
        row.failure, row.look_at = failure, None
        row.sighting = _sighting(failure, row)
        row.tail = row.tail if failure.jobs < EXAMPLES else ""
        changes.append(_Change(row.sighting, 1, row.core_s))
    JobFailure.objects.bulk_update([row for row, _ in recognised], ["failure", "sighting", "look_at", "tail", "unread"])
    _count(changes)


def _signatures(wanted: dict[str, signatures.Signature]) -> dict[str, Signature]:
    rows = [
        Signature(
            digest=one.digest, title=one.title, cause=one.cause, exit_code=one.exit_code, signal=one.signal,
            code=one.code, step=one.step, line=one.line,
        )
        for one in sorted(wanted.values(), key=lambda one: one.digest)
    ]  # fmt: skip
    Signature.objects.bulk_create(rows, ignore_conflicts=True)
    return {row.digest: row for row in Signature.objects.filter(digest__in=wanted)}


def _failures(
    seen: Sequence[tuple[JobFailure, signatures.Signature, Signature]],
) -> dict[tuple[int, str], Failure]:
    """Return the failures of the jobs; one that an experiment has for the first time is routed by its rules."""
    found = {}
    by_experiment: dict[int, dict[str, list[tuple[JobFailure, signatures.Signature, Signature]]]] = {}
    for entry in seen:
        by_experiment.setdefault(entry[0].job.experiment_id, {}).setdefault(entry[2].digest, []).append(entry)
    for experiment_id, by_digest in by_experiment.items():
        rows = Failure.objects.filter(experiment_id=experiment_id, signature__digest__in=by_digest)
        known = {row.signature.digest: row for row in rows.select_related("signature", "experiment")}
        rules = None
        for digest, entries in sorted(by_digest.items()):
            first, last = min(row.at for row, *_ in entries), max(row.at for row, *_ in entries)
            failure = known.get(digest)
            if failure is None:
                experiment: Experiment = entries[0][0].job.experiment
                rules = rules or routing.Rules(experiment)
                service, by = rules.owner(entries[0][1])
                failure = Failure.objects.create(
                    experiment=experiment, signature=entries[0][2], first_at=first, last_at=last, service=service,
                    routed_by=by,
                )  # fmt: skip
            elif first < failure.first_at or last > failure.last_at:
                failure.first_at, failure.last_at = min(first, failure.first_at), max(last, failure.last_at)
                failure.save(update_fields=["first_at", "last_at"])
            found[experiment_id, digest] = failure
    return found


def _sighting(failure: Failure, row: JobFailure) -> Sighting:
    batch = row.job.submission.batch
    sighting, _ = Sighting.objects.get_or_create(
        failure=failure, stage=batch.stage, day=row.at.astimezone(UTC).date(), site=row.job.site,
        release=batch.version.software_version,
    )  # fmt: skip
    return sighting


# Sightings and what they sum up to are written together, so that they are always equal.
_ADD = """
WITH more AS (
    SELECT id, sum(jobs) AS jobs, sum(core_s) AS core_s
    FROM unnest(%(ids)s::bigint[], %(jobs)s::int[], %(core_s)s::float8[]) AS m(id, jobs, core_s) GROUP BY id
), seen AS (
    UPDATE submissions_sighting s SET jobs = s.jobs + more.jobs, core_s = s.core_s + more.core_s
    FROM more WHERE s.id = more.id RETURNING s.failure_id, more.jobs, more.core_s
), summed AS (
    SELECT failure_id, sum(jobs) AS jobs, sum(core_s) AS core_s FROM seen GROUP BY failure_id
)
UPDATE submissions_failure f SET jobs = f.jobs + summed.jobs, core_s = f.core_s + summed.core_s
FROM summed WHERE f.id = summed.failure_id
"""


def _count(changes: Iterable[_Change]) -> None:
    counted = list(changes)
    if not counted:
        return
    asked: dict[str, Any] = {
        "ids": [change.sighting.pk for change in counted], "jobs": [change.jobs for change in counted],
        "core_s": [change.core_s for change in counted],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_ADD, asked)
