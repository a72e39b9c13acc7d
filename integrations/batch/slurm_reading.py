"""What Slurm's commands print, read: one job of the queue, one of the accounting, and what state that is. Pure.

The queue is read from `squeue -O`, the accounting from `sacct -P`: see docs/develop/decisions/0021-slurm.md for why not
from `--json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from integrations.batch.base import JobSeen
from integrations.batch.slurm_slots import uuid_of

MARK = "\x1f"
ENDED = ("succeeded", "failed", "removed")
# Field of squeue -> how wide; the last ones may be long.
QUEUE = {
    "JobID": 20, "JobArrayID": 40, "State": 20, "Reason": 60, "exit_code": 10, "RestartCnt": 8, "SubmitTime": 20,
    "EligibleTime": 20, "StartTime": 20, "EndTime": 20, "LastSchedEval": 20, "NodeList": 200, "Partition": 60,
    "wckey": 80, "Comment": 400,
}  # fmt: skip
ACCOUNTED = (
    "JobID", "JobIDRaw", "State", "ExitCode", "NodeList", "Partition", "MaxRSS", "TotalCPU", "ElapsedRaw",
    "AllocCPUS", "Submit", "Start", "End", "WCKey", "Comment",
)  # fmt: skip

# State of Slurm -> ours, and the code by which a recovery knows the cause.
STATES: dict[str, tuple[str, str]] = {
    "PENDING": ("idle", ""), "REQUEUED": ("idle", ""), "REQUEUE_FED": ("idle", ""),
    "REQUEUE_HOLD": ("held", ""), "SPECIAL_EXIT": ("held", ""), "RESV_DEL_HOLD": ("held", ""),
    "CONFIGURING": ("staging_in", ""), "RUNNING": ("processing", ""), "RESIZING": ("processing", ""),
    "SIGNALING": ("processing", ""), "SUSPENDED": ("suspended", ""), "STOPPED": ("suspended", ""),
    "COMPLETING": ("staging_out", ""), "STAGE_OUT": ("staging_out", ""),
    "COMPLETED": ("succeeded", ""), "CANCELLED": ("removed", ""), "REVOKED": ("removed", ""), "FAILED": ("failed", ""),
    "TIMEOUT": ("failed", "wall"), "DEADLINE": ("failed", "deadline"), "OUT_OF_MEMORY": ("failed", "memory"),
    "NODE_FAIL": ("failed", "runner_vanished"), "BOOT_FAIL": ("failed", "runner_error"),
    "PREEMPTED": ("failed", "preempted"),
}  # fmt: skip
_SAYS = {
    "TIMEOUT": "it ran past its time", "DEADLINE": "it ran past its deadline", "OUT_OF_MEMORY": "it ran out of memory",
    "NODE_FAIL": "its node failed", "BOOT_FAIL": "its node did not boot", "PREEMPTED": "its slot was taken back",
    "CANCELLED": "it was cancelled", "REVOKED": "it was revoked",
}  # fmt: skip
HELD = re.compile(r"JobHeld|held state|Dependency(?:Never)", re.I)
_ID = re.compile(r"(\d+)(?:_(\d+|\[[\d,:%-]+\]))?(?:@(.+))?")
_NOWHERE = ("", "None assigned", "(null)")
_NOTE = re.compile(r"poms:\S+(?: prio=(-?\d+))?(?: (.*))?", re.S)
_SIZES = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


class Unreadable(ValueError):
    """A line that is not what the command prints."""


@dataclass(frozen=True)
class Job:
    """One job as Slurm shows it, and what of it is not for everybody."""

    id: str  # without the cluster
    raw: str  # the number that a task of an array has beside its own
    word: str  # Slurm's own for its state
    seen: JobSeen
    note: str = ""  # what was written into its comment behind the tag
    priority: int | None = None  # what was asked for last
    partition: str = ""

    @property
    def parent(self) -> str:
        """Return the id of its array; of a single job, its own."""
        return self.id.partition("_")[0]


def bare(job_id: str) -> str:
    """Return an id without its cluster; empty for what is none of Slurm."""
    found = _ID.fullmatch(job_id)
    return job_id.partition("@")[0] if found else ""


def queue_format() -> str:
    """Return what squeue is to print."""
    return ",".join(f"{name}:{wide}{MARK}" for name, wide in QUEUE.items())


def queued(text: str, now: float) -> Iterator[Job]:
    """Read what squeue printed of jobs."""
    for line in filter(str.strip, text.split("\n")):
        words = [word.strip() for word in line.split(MARK)]
        if len(words) != len(QUEUE) + 1:
            raise Unreadable(f"squeue prints {line[:80]!r}")
        row = dict(zip(QUEUE, words, strict=False))
        comment, wckey = row["Comment"], row["wckey"]
        word = row["State"].split(" ")[0]
        state, code = STATES.get(word, ("processing", ""))
        if state == "idle" and HELD.search(row["Reason"]):
            state = "held"
        submitted, eligible, started, ended, evaluated = (
            _time(row[name]) for name in ("SubmitTime", "EligibleTime", "StartTime", "EndTime", "LastSchedEval")
        )
        eligible = eligible if eligible <= now else 0.0  # what was started anew waits two minutes
        nodes = "" if row["NodeList"] in _NOWHERE else row["NodeList"]
        if state in ENDED or state == "staging_out":
            at = ended or submitted
        elif state == "idle":
            at = max(submitted, eligible)
        elif state == "held":
            at = max(submitted, eligible, evaluated)
        else:
            at = started or submitted
        exit_code, signal = _of_wait(int(row["exit_code"] or 0)) if state in ENDED else (None, None)
        yield _job(
            row["JobArrayID"], row["JobID"], word, state, code, at=at, nodes=nodes,
            starts=int(row["RestartCnt"] or 0) + bool(nodes), exit_code=exit_code, signal=signal,
            why=row["Reason"], comment=comment, wckey=wckey,
            partition=row["Partition"], wall_s=ended - started if state in ENDED and nodes else None,
        )  # fmt: skip


def accounted(text: str) -> list[Job]:
    """Read what sacct printed, with all records of a job that was started several times: the last is its state."""
    starts: dict[str, int] = {}
    memory: dict[str, float] = {}
    last: dict[str, dict[str, str]] = {}
    tags: dict[str, tuple[str, str]] = {}
    for line in filter(str.strip, text.split("\n")):
        words = line.split(MARK)
        if len(words) != len(ACCOUNTED):
            raise Unreadable(f"sacct prints {line[:80]!r}")
        row = dict(zip(ACCOUNTED, words, strict=True))
        for job_id in expanded(row["JobID"]):
            whole, _, step = job_id.partition(".")
            if step:
                memory[whole] = max(memory.get(whole, 0), _megabytes(row["MaxRSS"]))
                continue
            starts[whole] = starts.get(whole, 0) + (row["NodeList"] not in _NOWHERE)
            # The comment of a job is written at its end only; its earlier starts had one.
            tags[whole] = row["WCKey"] or tags.get(whole, ("", ""))[0], row["Comment"] or tags.get(whole, ("", ""))[1]
            last[whole] = row
            memory.setdefault(whole, 0)
    return [_accounted(job_id, row, starts[job_id], memory[job_id], tags[job_id]) for job_id, row in last.items()]


def _accounted(job_id: str, row: dict[str, str], starts: int, memory: float, tags: tuple[str, str]) -> Job:
    word = row["State"].split(" ")[0]
    state, code = STATES.get(word, ("processing", ""))
    submitted, started, ended = (_time(row[name]) for name in ("Submit", "Start", "End"))
    at = (ended or submitted) if state in ENDED else submitted if state in ("idle", "held") else started or submitted
    exit_code, _, signal = row["ExitCode"].partition(":")
    nowhere = row["NodeList"] in _NOWHERE
    return _job(
        job_id, row["JobIDRaw"], word, state, code, starts=starts, at=at, nodes="" if nowhere else row["NodeList"],
        exit_code=int(exit_code or 0) if state in ENDED and not int(signal or 0) else None,
        signal=(int(signal or 0) or None) if state in ENDED else None, why="", comment=tags[1], wckey=tags[0],
        partition=row["Partition"], memory_mb=memory or None,
        cpu_s=_seconds(row["TotalCPU"]) if state in ENDED and not nowhere else None,
        wall_s=float(row["ElapsedRaw"] or 0) if state in ENDED and not nowhere else None,
        cpus=None if nowhere else int(row["AllocCPUS"] or 0) or None,
    )  # fmt: skip


def _job(
    job_id: str, raw: str, word: str, state: str, code: str, *, starts: int, at: float, nodes: str,
    exit_code: int | None, signal: int | None, why: str, comment: str, wckey: str, partition: str,
    memory_mb: float | None = None, cpu_s: float | None = None, wall_s: float | None = None,
    cpus: int | None = None,
) -> Job:  # fmt: skip
    _, _, task = job_id.partition("_")
    noted = _NOTE.fullmatch(comment.strip())
    note = (noted[2] or "") if noted else ""
    if state == "failed" and code in ("memory", "wall", "deadline", "preempted"):
        signal = None  # it is how Slurm ended it, and no fault of the job's own
    if word == "CANCELLED":
        exit_code = signal = None
    seen = JobSeen(
        id=job_id, uuid=uuid_of(comment, wckey), state=state, starts=starts, at=at,
        index=int(task) if task.isdigit() else None, code=code, exit_code=exit_code, signal=signal, node=nodes,
        memory_mb=memory_mb, cpu_s=cpu_s, wall_s=wall_s, cpus=cpus,
        reason=_reason(state, word, exit_code=exit_code, signal=signal, why=why, note=note),
    )  # fmt: skip
    return Job(job_id, raw, word, seen, note, int(noted[1]) if noted and noted[1] else None, partition)


def _reason(
    state: str, word: str, *, exit_code: int | None, signal: int | None, why: str, note: str
) -> str:  # fmt: skip
    """Return why a job is in its state, for people."""
    if state == "held":
        return f"{note} ({why})" if note.startswith("hold: ") else why or word
    if state in ("succeeded", "processing"):
        return ""
    if state == "removed" and note.startswith("remove: "):
        return f"{note} ({word})"
    if word in _SAYS:
        return f"{_SAYS[word]} ({word})"
    if state == "failed":
        how = f"it was ended by signal {signal}" if signal else f"it ended with {exit_code}"
        return f"{how} ({word}{f', {why}' if why not in ('', 'None', 'NonZeroExitCode') else ''})"
    return "" if why == "None" else why


def is_refused(job: Job) -> bool:
    """Tell whether sbatch refused it: such a job has a record, and was never in the queue."""
    return job.word == "FAILED" and not job.seen.starts and not job.seen.node


def expanded(job_id: str) -> Iterable[str]:
    """Return the ids of what is shown as one: 14_[0-2,7%5] are the tasks 0, 1, 2 and 7 of the array 14."""
    parent, opened, rest = job_id.partition("_[")
    if not opened:
        return [job_id]
    found = []
    for part in rest.partition("]")[0].partition("%")[0].split(","):
        span, _, step = part.partition(":")
        low, _, high = span.partition("-")
        found += [f"{parent}_{n}" for n in range(int(low), int(high or low) + 1, int(step or 1))]
    return found


def _time(text: str) -> float:
    """Read a time of the epoch; Unknown, None and N/A are 0."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _of_wait(status: int) -> tuple[int | None, int | None]:
    """Return exit code and signal of what wait() says."""
    return (None, status & 0x7F) if status & 0x7F else (status >> 8 & 0xFF, None)


def _megabytes(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return float(found[1]) * (_SIZES[found[2]] if found[2] else 1 / 1024**2) if found else 0.0


def _seconds(text: str) -> float | None:
    """Read [days-][hours:]minutes:seconds."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):([\d.]+)", text)
    if not found:
        return None
    days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(found[4])
