"""The local batch system: speaks to integrations/batch/local_daemon.py over its socket."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from integrations.batch.base import Capabilities, JobSeen, Snapshot, Wanted
from integrations.errors import Refused, Unavailable, Unsure

FIELDS = tuple(JobSeen.__dataclass_fields__)
DAEMON = Path(__file__).with_name("local_daemon") / "__main__.py"
ACTIONS = ("hold", "release", "remove", "prio")
ANSWER_CAP = 256 * 1024 * 1024


class LocalBatch:
    """Batch system `local`: slots, sandboxes and queue of this machine."""

    capabilities = Capabilities(find_by_uuid=True, hold=True, priority=True, history_days=float("inf"))

    def __init__(self, spool: Path, *, seconds: float = 20.0) -> None:
        """Speak to the daemon of this spool; no answer within the given seconds is Unavailable."""
        self.spool = spool
        self.seconds = seconds

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return where the spool and its submit command are, which place its jobs take among the idle ones, and the
        nodes that they are kept from as long as there are others."""
        avoid = wanted.slots.avoid_nodes
        return {
            **({"POMS_AVOID_NODES": json.dumps(list(avoid))} if avoid else {}),
            "POMS_PRIORITY": str(wanted.priority),
            "POMS_LOCAL_SPOOL": str(self.spool),
            "POMS_LOCAL_SUBMIT": str(DAEMON),
            "POMS_PYTHON": sys.executable,
        }

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the job ids of each uuid."""
        found = self._ask({"ask": "find", "uuids": list(uuids)}).get("found")
        if not isinstance(found, dict) or not set(uuids) <= set(found):
            raise Unavailable("the local batch daemon's answer to find leaves uuids out")
        return found

    def snapshot(self, since: str) -> Snapshot:
        """Return the jobs that changed after log position `since`."""
        answer = self._ask({"ask": "snapshot", "since": int(since or 0), "limit": 50_000})
        try:
            position = int(answer["seq"])
            return Snapshot(str(position), [seen for job in answer["jobs"] for seen in _phases(job, position)])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"the local batch daemon's snapshot cannot be read: {error!r}") from error

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs and the ids that the daemon does not know."""
        answer = self._ask({"ask": "jobs", "ids": list(ids)})
        try:
            return [_seen(job) for job in answer["jobs"]], list(answer["absent"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"the local batch daemon's jobs cannot be read: {error!r}") from error

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Apply hold, release, remove or prio to jobs."""
        if verb not in ACTIONS:
            raise Refused(f"the local batch system knows no {verb}")
        return dict(self._ask({"ask": verb, "ids": list(ids), "reason": reason, "value": value})["outcomes"])

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of a job's output."""
        return self._ask({"ask": "log", "id": job_id, "stream": stream, "offset": offset, "length": length})

    def depth(self) -> dict[str, int]:
        """Return idle, running, held, slots and the memory of the site."""
        answer = self._ask({"ask": "queue"})
        return {key: int(answer.get(key, 0)) for key in ("idle", "running", "held", "slots", "memory_mb")}

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        changing = question["ask"] in ACTIONS
        try:
            address = json.loads((self.spool / "daemon.json").read_text())["socket"]
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.settimeout(self.seconds)
                line.connect(address)
                line.sendall(json.dumps(question).encode() + b"\n")
                answer = json.loads(_read_line(line))
        except TimeoutError as error:
            text = f"the local batch daemon did not answer within {self.seconds:g} s"
            raise (Unsure(text) if changing else Unavailable(text)) from error
        except (OSError, ValueError, KeyError) as error:
            raise Unavailable(f"the local batch daemon does not answer: {error}", retry_after=2) from error
        if not isinstance(answer, dict):
            raise Unavailable("the local batch daemon answers nonsense")
        if "error" in answer:
            text = f"the local batch daemon says: {answer.get('detail') or answer['error']}"
            raise Unavailable(text, retry_after=2) if answer["error"] == "unavailable" else Refused(text)
        return answer


def _read_line(line: socket.socket) -> bytes:
    parts, size = [], 0
    while chunk := line.recv(1 << 20):
        parts.append(chunk)
        size += len(chunk)
        if chunk.endswith(b"\n"):
            return b"".join(parts)
        if size > ANSWER_CAP:
            raise ValueError("the answer is too long")
    raise ValueError("the answer breaks off")


def _phases(job: dict[str, Any], position: int) -> Iterator[JobSeen]:
    """Yield the states that a job came through since the last look, the present one with all its facts (M10).

    A job that went on after the position of a limited answer comes again: its present state belongs to that one.
    """
    now = _seen(job)
    for state, starts, at in job.get("phases", ()):
        if (state, starts, at) != (now.state, now.starts, now.at):
            yield JobSeen(id=now.id, uuid=now.uuid, state=state, starts=starts, at=at, index=now.index)
    if job["n"] <= position:
        yield now


def _seen(job: dict[str, Any]) -> JobSeen:
    known = {name: job[name] for name in FIELDS if job.get(name) is not None}
    return JobSeen(**known)
