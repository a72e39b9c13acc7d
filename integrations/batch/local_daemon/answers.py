"""The requests that the daemon answers: what is asked, how it is checked, what is said."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import Any, Protocol

from .book import ENDED, Book, Job
from .log import Log
from .runner import sandbox_of

MOST_JOBS = 50_000
MOST_TEXT = 65_536

# A command: the states in which it has nothing to do.
DONE_ALREADY = {"hold": {"held"}, "release": {"idle"}, "remove": {"removed"}, "prio": set[str]()}


class BadRequest(ValueError):
    """The request cannot be understood; the text says why."""


class Asked(Protocol):
    """What the answers need of the daemon."""

    spool: str
    site: str
    slots: int
    memory_mb: float | None
    started: float
    log: Log
    book: Book

    def stop_runner(self, job: Job) -> None:
        """Tell the runner of a job to look into the log."""


def answer(daemon: Asked, request: Any) -> dict[str, Any]:
    """Answer one request from the log as it is now; BadRequest when it makes no sense."""
    if not isinstance(request, dict):
        raise BadRequest("the request is not a JSON object")
    verb = request.get("ask")
    if not isinstance(verb, str) or verb not in VERBS:
        raise BadRequest(f"cannot be asked: {verb!r}; can be: {', '.join(VERBS)}")
    daemon.book.catch_up()
    return VERBS[verb](daemon, request)


def _ping(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "pong": True,
        "pid": os.getpid(),
        "seq": daemon.book.seq,
        "started": daemon.started,
        "site": daemon.site,
    }


def _queue(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    counts = daemon.book.counts
    running = sum(counts[state] for state in ("staging_in", "processing", "suspended", "staging_out"))
    return {
        "idle": counts["idle"],
        "running": running,
        "held": counts["held"],
        "slots": daemon.slots,
        "memory_mb": daemon.memory_mb or 0,
    }


def _find(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    uuids = _texts(request, "uuids")
    return {"found": {uuid: [job.id for job in daemon.book.jobs_of(uuid)] for uuid in uuids}}


def _snapshot(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    since, limit = _number(request, "since", 0), _number(request, "limit", MOST_JOBS)
    # A point beyond the end belongs to another spool: the asker must begin anew, and is told.
    anew = since > daemon.book.seq
    since = 0 if anew else since
    seq, jobs = daemon.book.changed(since, max(1, min(limit, MOST_JOBS)))
    seen = [job.seen(daemon.site) | {"phases": job.phases_between(since, seq)} for job in jobs]
    said: dict[str, Any] = {"seq": seq, "jobs": seen}
    return said | {"reset": True} if anew else said


def _jobs(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    ids = _texts(request, "ids")
    found = {job_id: daemon.book.job(job_id) for job_id in ids}
    return {
        "jobs": [job.seen(daemon.site) for job in found.values() if job],
        "absent": [job_id for job_id, job in found.items() if not job],
    }


def _log(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    job, stream = daemon.book.job(request.get("id")), request.get("stream", "out")
    if job is None:
        raise BadRequest(f"no such job: {request.get('id')!r}")
    if stream not in ("out", "err"):
        raise BadRequest(f"no such stream: {stream!r}")
    offset, length = _number(request, "offset", 0), _number(request, "length", MOST_TEXT)
    path = os.path.join(sandbox_of(daemon.spool, job.cluster.number, job.proc), stream)
    try:
        # The job may have put anything in place of its output: never follow it elsewhere, never wait.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {"text": "", "total": 0}
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise BadRequest(f"{stream} of {job.id} is not a file any more")
        text = os.pread(file, min(length, MOST_TEXT), offset)
    finally:
        os.close(file)
    return {"text": text.decode("utf-8", "replace"), "total": about.st_size}


def _manifests(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    """Say the manifests of succeeded jobs, and which of them cannot be read and why."""
    manifests: dict[str, list[Any]] = {}
    unreadable: dict[str, str] = {}
    for uuid in _texts(request, "uuids"):
        manifests[uuid] = []
        for job in daemon.book.jobs_of(uuid):
            if job.manifest is None:
                continue
            try:
                with open(job.manifest, encoding="utf-8") as file:
                    manifests[uuid].append(json.load(file))
            except (OSError, ValueError) as error:
                unreadable[job.id] = str(error)
    return {"manifests": manifests, "unreadable": unreadable}


def _command(daemon: Asked, request: dict[str, Any]) -> dict[str, Any]:
    verb, reason = request["ask"], request.get("reason", "")
    if not isinstance(reason, str):
        raise BadRequest("reason is not a text")
    value = _number(request, "value", None, least=None) if verb == "prio" else 0
    ids = _texts(request, "ids") if "ids" in request or "uuids" not in request else []
    targets: dict[str, Job | None] = {job_id: daemon.book.job(job_id) for job_id in ids}
    for uuid in _texts(request, "uuids") if "uuids" in request else []:
        jobs = daemon.book.jobs_of(uuid)
        targets.update({job.id: job for job in jobs} if jobs else {uuid: None})
    outcomes: dict[str, str] = {}
    stop = []
    # One hold of the lock for all: between deciding and writing nothing else may be written.
    with daemon.log:
        daemon.book.catch_up_held()
        for name, job in targets.items():
            outcomes[name] = _why_not(verb, value, job)
            if job is None or outcomes[name] != "done":
                continue
            fields = {"value": value} if verb == "prio" else {"reason": reason}
            daemon.log.append(verb, {"job": job.id, **fields})
            if verb in ("hold", "remove") and job in daemon.book.active:
                stop.append(job)
    daemon.book.catch_up()
    for job in stop:
        daemon.stop_runner(job)
    return {"outcomes": outcomes}


def _why_not(verb: str, value: int, job: Job | None) -> str:
    if job is None:
        return "absent"
    if job.state in DONE_ALREADY[verb] or (verb == "prio" and job.prio == value):
        return "already"
    if job.state in ENDED:
        return f"refused: the job has ended ({job.state})"
    if verb == "release" and job.state != "held":
        return "already"
    return "done"


def _texts(request: dict[str, Any], name: str) -> list[str]:
    value = request.get(name)
    if not isinstance(value, list) or any(not isinstance(text, str) for text in value):
        raise BadRequest(f"{name} is not a list of texts")
    return value


def _number(request: dict[str, Any], name: str, default: int | None, least: int | None = 0) -> int:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
        raise BadRequest(f"{name} is not a whole number")
    if least is not None and value < least:
        raise BadRequest(f"{name} is less than {least}")
    return value


VERBS: dict[str, Callable[[Asked, dict[str, Any]], dict[str, Any]]] = {
    "ping": _ping,
    "queue": _queue,
    "find": _find,
    "snapshot": _snapshot,
    "jobs": _jobs,
    "hold": _command,
    "release": _command,
    "remove": _command,
    "prio": _command,
    "log": _log,
    "manifests": _manifests,
}
