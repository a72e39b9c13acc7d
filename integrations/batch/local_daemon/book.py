"""What the log says: every cluster and job, rebuilt by reading it; nothing here changes in any other way."""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .log import Log, complain

RUNNING = frozenset({"staging_in", "processing", "suspended", "staging_out"})
MOST_PHASES = 12
ENDED = frozenset({"succeeded", "failed", "removed"})

# Event: (states from which it may come, state to which it leads; None leaves the state as it is).
STEPS: dict[str, tuple[frozenset[str], str | None]] = {
    "stage_in": (frozenset({"idle"}), "staging_in"),
    "execute": (frozenset({"staging_in"}), "processing"),
    "suspend": (frozenset({"processing"}), "suspended"),
    "resume": (frozenset({"suspended"}), "processing"),
    "stage_out": (frozenset({"processing", "suspended"}), "staging_out"),
    "end": (RUNNING, None),
    "hold": (RUNNING | {"idle"}, "held"),
    "release": (frozenset({"held"}), "idle"),
    "remove": (RUNNING | {"idle", "held"}, "removed"),
    "stopped": (frozenset({"idle", "held", "removed"}), None),
    "prio": (RUNNING | {"idle", "held"}, None),
}


class Cluster:
    """One submission as the log keeps it; its full document stays there, at `offset`."""

    __slots__ = ("avoids", "jobs", "number", "offset", "prio", "size", "uuid")

    def __init__(self, number: int, uuid: str, offset: int, size: int, prio: int) -> None:
        self.number = number
        self.uuid = uuid
        self.offset = offset
        self.size = size
        self.prio = prio
        self.avoids: tuple[str, ...] = ()  # nodes that it is kept from as long as there are others
        self.jobs: list[Job] = []


class Job:
    """One job: what scheduling and answering need, no more, for there may be a hundred thousand."""

    __slots__ = (
        "at",
        "avoids",
        "cluster",
        "facts",
        "folder",
        "index",
        "n",
        "node",
        "phases",
        "pid",
        "prio",
        "proc",
        "reason",
        "starts",
        "state",
        "units",
        "wants_mb",
    )

    def __init__(self, cluster: Cluster, proc: int, asked: dict[str, Any], n: int, at: float) -> None:
        self.cluster = cluster
        self.proc = proc
        self.index: int = asked["index"]
        self.units: tuple[str, ...] = tuple(asked["units"])
        self.wants_mb: float = asked["memory_mb"] or 0
        self.avoids: tuple[str, ...] = tuple(asked["avoid_nodes"])
        self.state = "idle"
        self.starts = 0
        self.prio = cluster.prio
        self.node: str | None = None
        self.pid = 0
        self.reason: str | None = None
        # exit_code, signal, code, memory_mb, cpu_s, wall_s of the last start; the folder of its manifest.
        self.facts: tuple[Any, ...] | None = None
        self.folder: str | None = None
        self.n = n
        self.at = at
        # (position in the log, state, starts, time) of the states it came through, the latest of them.
        self.phases: tuple[tuple[int, str, int, float], ...] = ((n, "idle", 0, at),)

    @property
    def id(self) -> str:
        """The id that a person and POMS use."""
        return f"{self.cluster.number}.{self.proc}@local"

    @property
    def manifest(self) -> str | None:
        """The path of the manifest of a succeeded job with outputs."""
        return self.folder and os.path.join(
            self.folder, manifest_name(self.cluster.uuid, self.cluster.number, self.proc)
        )

    def phases_between(self, after: int, upto: int) -> list[tuple[str, int, float]]:
        """Return (state, starts, time) of the states that the job entered between two points of the log."""
        return [phase[1:] for phase in self.phases if after < phase[0] <= upto]

    def seen(self, site: str) -> dict[str, Any]:
        """Return the job as an answer shows it (JobSeen)."""
        exit_code, by_signal, code, memory_mb, cpu_s, wall_s = self.facts or (None,) * 6
        return {
            "id": self.id,
            "uuid": self.cluster.uuid,
            "cluster": self.cluster.number,
            "proc": self.proc,
            "index": self.index,
            "units": self.units,
            "state": self.state,
            "starts": self.starts,
            "at": self.at,
            "n": self.n,
            "exit_code": exit_code,
            "signal": by_signal,
            "code": code,
            "node": self.node,
            "site": site,
            "slot_type": "onsite",
            "memory_mb": memory_mb,
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "reason": self.reason,
            "manifest": self.manifest,
        }


def manifest_name(uuid: str, cluster: int, proc: int) -> str:
    """Return the file name of a job's manifest."""
    return f"{uuid}.{cluster}.{proc}.manifest.json"


class Book:
    """The state of the queue at `position` of the log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.position = 0
        self.seq = 0
        self.clusters: dict[int, Cluster] = {}
        self.by_uuid: dict[str, list[Cluster]] = {}
        self.counts: Counter[str] = Counter()
        # Jobs whose last runner has not yet said that it is done; it may be dead.
        self.active: set[Job] = set()
        self._idle: dict[int, dict[Job, None]] = {}
        # Every event's position in the log and its jobs: what changed after a point is found from there on.
        self._points = array("q")
        self._touched: list[Sequence[Job]] = []
        self._same: dict[str, str] = {}

    def catch_up(self) -> None:
        """Read the log to its end."""
        while data := self._log.read(self.position):
            self._take_in(data)

    def catch_up_held(self) -> None:
        """Read the log to its end while holding its lock."""
        while data := self._log.read(self.position, held=True):
            self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            offset = self.position
            self.position += len(line)
            try:
                event = json.loads(line)
                self._apply(event, offset, len(line))
            except (ValueError, KeyError, TypeError) as error:
                # Only a hand or a bad disk can do this. The other lines are still good, so go on, but say it.
                complain(f"log.jsonl is damaged at byte {offset}: {error!r}")

    def _apply(self, event: dict[str, Any], offset: int, size: int) -> None:
        n, at, kind = event["n"], event["at"], event["event"]
        if n != offset + 1:
            raise ValueError(f"line says n={n}")
        self.seq = n
        if kind == "submit":
            self._add(event, offset, size)
            return
        job = self.job(event["job"])
        if job is None:
            raise ValueError(f"no job {event['job']}")
        allowed, state = STEPS[kind]
        if job.state not in allowed:
            raise ValueError(f"{kind} of {job.id} while {job.state}")
        if kind == "end":
            state = event["state"]
        self._leave(job)
        self._note(job, kind, event)
        if state and state != job.state:
            job.phases = (*job.phases[1 - MOST_PHASES :], (n, self._once(state), job.starts, at))
        job.state = state or job.state
        job.n, job.at = n, at
        self._enter(job)
        self._touch(n, (job,))

    def _note(self, job: Job, kind: str, event: dict[str, Any]) -> None:
        if kind == "stage_in":
            job.starts, job.pid, job.node = event["starts"], event["pid"], self._once(event["node"])
            job.facts = job.reason = job.folder = None
            self.active.add(job)
        elif kind in ("end", "stopped"):
            job.facts = tuple(
                event.get(name) for name in ("exit_code", "signal", "code", "memory_mb", "cpu_s", "wall_s")
            )
            if kind == "end":
                job.reason = event.get("reason")
            if event.get("manifest"):
                job.folder = self._once(os.path.dirname(event["manifest"]))
            self.active.discard(job)
        elif kind in ("hold", "remove"):
            job.reason = self._once(event.get("reason"))
        elif kind == "release":
            job.reason = None
        elif kind == "prio":
            job.prio = event["value"]

    def _add(self, event: dict[str, Any], offset: int, size: int) -> None:
        cluster = Cluster(event["cluster"], event["uuid"], offset, size, event.get("prio", 0))
        cluster.avoids = tuple(event.get("avoid_nodes", ()))
        if cluster.number in self.clusters:
            raise ValueError(f"cluster {cluster.number} for the second time")
        n, at = event["n"], event["at"]
        cluster.jobs = [Job(cluster, proc, asked, n, at) for proc, asked in enumerate(event["jobs"])]
        self.clusters[cluster.number] = cluster
        self.by_uuid.setdefault(cluster.uuid, []).append(cluster)
        for job in cluster.jobs:
            self._enter(job)
        self._touch(event["n"], cluster.jobs)

    def _touch(self, n: int, jobs: Sequence[Job]) -> None:
        self._points.append(n)
        self._touched.append(jobs)

    def _once(self, text: Any) -> Any:
        """Keep one copy of a text that many jobs have."""
        return self._same.setdefault(text, text) if isinstance(text, str) else None

    def _leave(self, job: Job) -> None:
        self.counts[job.state] -= 1
        if job.state == "idle":
            idle = self._idle[job.prio]
            del idle[job]
            if not idle:
                del self._idle[job.prio]  # there may be a new priority every minute

    def _enter(self, job: Job) -> None:
        self.counts[job.state] += 1
        if job.state == "idle":
            self._idle.setdefault(job.prio, {})[job] = None

    def job(self, job_id: Any) -> Job | None:
        """Return the job with this id, or None."""
        numbers, _, system = job_id.partition("@") if isinstance(job_id, str) else ("", "", "")
        cluster, _, proc = numbers.partition(".")
        if system != "local" or not all(part.isascii() and part.isdigit() for part in (cluster, proc)):
            return None
        found = self.clusters.get(int(cluster))
        return found.jobs[int(proc)] if found and int(proc) < len(found.jobs) else None

    def jobs_of(self, uuid: str) -> list[Job]:
        """Return the jobs of every cluster submitted under a uuid."""
        return [job for cluster in self.by_uuid.get(uuid, ()) for job in cluster.jobs]

    def waiting(self) -> Iterator[Job]:
        """Yield the idle jobs, highest priority first, then in the order in which they became idle."""
        for prio in sorted(self._idle, reverse=True):
            yield from self._idle[prio]

    def changed(self, since: int, limit: int) -> tuple[int, list[Job]]:
        """Return the jobs that had an event after `since`, and up to which event that reaches.

        A limited answer ends between two events: a job with a later event comes again with the next one. A
        cluster's jobs begin with one event, so the limit is exceeded rather than that event divided.
        """
        found: dict[Job, None] = {}
        for place in range(bisect_right(self._points, since), len(self._points)):
            if len(found) >= limit:
                return self._points[place - 1], list(found)
            found.update(dict.fromkeys(self._touched[place]))
        return self.seq, list(found)

    def document(self, cluster: Cluster) -> dict[str, Any]:
        """Read a cluster's document again from the log."""
        document: dict[str, Any] = json.loads(os.pread(self._log.fd, cluster.size, cluster.offset))
        return document
