"""Batch system `shell`: every job is a process of this machine; what became of it stands in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from integrations.batch.base import Capabilities, JobSeen, Snapshot, Wanted
from integrations.declared import Setting, read
from integrations.errors import Refused, Unavailable
from tests.how_to import shell_submit

SETTINGS: Mapping[str, Setting] = {
    "spool": Setting("folder of its jobs", obligatory=True),
    "slots": Setting("how many jobs may run at once", "8", kind="number"),
}
VERBS = ("hold", "release", "remove", "prio")
SUBMIT = Path(shell_submit.__file__)
_ID = re.compile(r"[0-9a-f-]{36}\.[0-9]{1,6}")


class ShellBatch:
    """The jobs below one folder."""

    capabilities = Capabilities(find_by_uuid=True, hold=False, priority=False, history_days=float("inf"))

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Read the settings; Refused says what is wrong with them."""
        found = read("shell batch system", SETTINGS, settings)
        self.spool, self.slots = Path(found["spool"]), int(found["slots"])

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return where the spool and the submit command are."""
        return {"POMS_SHELL_SPOOL": str(self.spool), "POMS_SHELL_SUBMIT": str(SUBMIT)}

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the jobs of each uuid, in order."""
        found: dict[str, list[str]] = {uuid: [] for uuid in uuids}
        for folder in self._folders():
            found.get(folder.name.partition(".")[0], []).append(folder.name)
        return {uuid: sorted(ids, key=_index) for uuid, ids in found.items()}

    def snapshot(self, since: str) -> Snapshot:
        """Return the jobs of which anything was written at the position or later: one may come twice, none is left out."""
        changed = {folder: folder.stat().st_mtime_ns for folder in self._folders()}
        late = [folder for folder, at in changed.items() if at >= int(since or 0)]
        return Snapshot(str(max(changed.values(), default=0)), [_seen(folder) for folder in late])

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs, and the ids that no folder has."""
        there = {folder.name: folder for folder in self._folders()}
        return [_seen(there[job_id]) for job_id in ids if job_id in there], [i for i in ids if i not in there]

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Remove jobs; a process can neither be held nor come before another."""
        if verb not in VERBS:
            raise Refused(f"the shell knows no {verb}")
        there = {folder.name: folder for folder in self._folders()}
        return {job_id: _act(there.get(job_id), verb, reason) for job_id in ids}

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a job has printed."""
        file = next((folder / stream for folder in self._folders() if folder.name == job_id), None)
        if file is None or stream not in ("out", "err") or not file.is_file():
            raise Refused(f"{job_id} has printed nothing")
        data = file.read_bytes()
        return {"text": data[offset : offset + length].decode(errors="replace"), "total": len(data)}

    def depth(self) -> dict[str, int]:
        """Return how many wait and run; no limit of memory is known."""
        states = [_seen(folder).state for folder in self._folders()]
        return {
            "idle": states.count("idle"), "running": states.count("processing"), "held": 0, "slots": self.slots,
            "memory_mb": 0,
        }  # fmt: skip

    def _folders(self) -> Iterator[Path]:
        """Yield the folders of jobs; a spool that cannot be read is Unavailable, never empty."""
        try:
            names = os.listdir(self.spool)
        except OSError as error:
            raise Unavailable(f"the jobs of the shell cannot be read: {error.strerror}") from error
        return (
            self.spool / name for name in names if _ID.fullmatch(name) and (self.spool / name / "job.json").exists()
        )


def _seen(folder: Path) -> JobSeen:
    job, start, end, removed = (_facts(folder, name) for name in ("job", "start", "end", "removed"))
    state, code, why = "idle", None, ""
    if start:
        state = "processing"
    if end:
        code, why = (
            end["exit"],
            f"it was ended by signal {end['signal']}" if end["signal"] else f"it left with {end['exit']}",
        )
        state = "removed" if removed else "succeeded" if code == 0 else "failed"
    return JobSeen(
        id=folder.name, uuid=job["uuid"], state=state, starts=1 if start else 0,
        at=(end or start or job)["at"], index=job["index"], exit_code=code, signal=end.get("signal"),
        node=socket.gethostname(), wall_s=end.get("wall_s"), reason=removed.get("reason") or why,
    )  # fmt: skip


def _act(folder: Path | None, verb: str, reason: str) -> str:
    if folder is None:
        return "absent"
    start, end, removed = (_facts(folder, name) for name in ("start", "end", "removed"))
    if verb == "remove" and removed:
        return "already"
    if end:
        return "refused: it has ended"
    if verb != "remove":
        return f"refused: the shell cannot {verb}"
    shell_submit.write(folder, "removed", {"reason": reason})
    if start or (start := _facts(folder, "start")):
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(start["group"], signal.SIGKILL)
    return "done"


def _facts(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _index(job_id: str) -> int:
    return int(job_id.partition(".")[2])
