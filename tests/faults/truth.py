"""Compares what POMS says it did with what the batch system's log says happened: lost, double, unrecorded."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db import connection

from tests.faults.invariants import Truth

LAUNCHED = ("submitted", "running", "jobs_completed", "completed", "failed")


def compare(truth: Truth, planned: int) -> dict[str, list[str]]:
    """Return the sentences about what was lost, done twice, or done and not recorded."""
    rows = _rows(
        "SELECT s.id, s.uuid::text, s.batch_id, s.state, s.launched_at IS NOT NULL, s.job_ids"
        " FROM submissions_submission s ORDER BY s.id"
    )
    return {"lost": _lost(truth, rows, planned), "double": _double(truth, rows), "unrecorded": _unrecorded(truth, rows)}


def _rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _lost(truth: Truth, rows: list[tuple[Any, ...]], planned: int) -> list[str]:
    found = [
        f"submission {pk} is {state}, and the batch system never heard of {uuid}"
        for pk, uuid, _, state, launched, _ in rows
        if (state in LAUNCHED or launched) and uuid not in truth.submits
    ]
    (batches,) = _rows("SELECT count(*) FROM submissions_batch")[0]
    if batches != planned:
        found.append(f"{planned} batches were to be planned, there are {batches}")
    found += [
        f"batch {pk} is {state} with {done} of {n} inputs done"
        for pk, state, done, n in _rows(
            "SELECT id, state, done, n_units FROM submissions_batch WHERE state <> 'completed'"
        )
    ]
    found += [f"input {pk} has no result" for (pk,) in _rows(
        "SELECT u.id FROM submissions_unit u WHERE NOT EXISTS (SELECT 1 FROM submissions_acceptance a WHERE a.unit_id = u.id)"
    )]  # fmt: skip
    found += [f"submission {pk} is still {state}" for pk, _, _, state, _, _ in rows if state in
              ("pending", "launching", "unsure", "submitted", "running", "jobs_completed")]  # fmt: skip
    return found


def _double(truth: Truth, rows: list[tuple[Any, ...]]) -> list[str]:
    found = [f"{uuid} was submitted {len(events)} times" for uuid, events in truth.submits.items() if len(events) > 1]
    # A job is started once, and once more for each time it was held and released.
    found += [
        f"job {name} was started {job.executes} times, released {job.releases} times"
        for name, job in truth.jobs.items()
        if job.executes > 1 + job.releases
    ]
    spans: dict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for pk, uuid, batch, *_ in rows:
        jobs = [truth.jobs[name] for name in truth.ids(uuid)] if uuid in truth.submits else []
        if jobs:
            begin = min(event["at"] for event in truth.submits[uuid])
            spans[batch].append((begin, max(job.at for job in jobs), pk))
    for batch, attempts in spans.items():
        attempts.sort()
        found += [
            f"batch {batch}: submission {second[2]} was in the queue before {first[2]} had ended"
            for first, second in zip(attempts, attempts[1:], strict=False)
            if second[0] < first[1]
        ]
    accepted = _rows(
        "SELECT u.batch_id, u.key, extract(epoch FROM r.at), r.submission_id FROM submissions_acceptance a"
        " JOIN submissions_unit u ON u.id = a.unit_id JOIN submissions_result r ON r.id = a.result_id"
    )
    at = {(batch, key): (float(moment), pk) for batch, key, moment, pk in accepted}
    for pk, uuid, batch, *_ in rows:
        for name in truth.ids(uuid) if uuid in truth.submits else ():
            for key in truth.jobs[name].units:
                moment, winner = at.get((batch, key), (float("inf"), pk))
                if winner != pk and truth.submits[uuid][0]["at"] > moment:
                    found.append(f"batch {batch}: {key} had its result from {winner} when {pk} was submitted for it")
    return found


def _unrecorded(truth: Truth, rows: list[tuple[Any, ...]]) -> list[str]:
    known = {uuid: (pk, state, launched, job_ids) for pk, uuid, _, state, launched, job_ids in rows}
    jobs = {name for (name,) in _rows("SELECT external_id FROM submissions_job")}
    found = []
    for uuid in truth.submits:
        ids = truth.ids(uuid)
        if uuid not in known:
            found.append(f"{uuid} is in the log, and no submission has it")
            continue
        pk, state, launched, job_ids = known[uuid]
        if state not in LAUNCHED and not (state == "removed" and launched):
            found.append(f"submission {pk} is {state}, and the log has jobs of it: {', '.join(ids[:3])}")
        elif sorted(job_ids) != sorted(ids):
            found.append(f"submission {pk} has the jobs {job_ids[:3]}, the log {ids[:3]}")
        if missing := set(ids) - jobs:
            found.append(f"submission {pk}: no rows of its jobs {', '.join(sorted(missing)[:3])}")
    return found
