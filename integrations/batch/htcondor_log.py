"""Event logs of HTCondor: from text that grows to states of jobs, a piece at a time. Pure but for reading the file.

Our own reader, because the library's cannot be asked where it stands, and may end the process that it is in; a test
holds it against the library's on every log that we have. An event is a header line, more lines, and a line of three
dots. What is not an event is passed over, and an event whose dots have not come yet is read again next time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from integrations.batch.base import JobSeen

HEADER = re.compile(
    rb"(\d{3}) \((-?\d{1,10})\.(-?\d{1,6})\.(-?\d{1,6})\) "
    rb"(?:(\d{4})-(\d\d)-(\d\d)|(\d\d)/(\d\d))[ T](\d\d):(\d\d):(\d\d)(\.\d+)?(Z)? ?(.*)"
)
END = b"..."
A_LOOK = 64 * 1024 * 1024
ATTRIBUTE = re.compile(rb"(\w+) = (.*)")
EXIT = re.compile(rb"\(1\) Normal termination \(return value (-?\d+)\)")
SIGNAL = re.compile(rb"\(0\) Abnormal termination \(signal (\d+)\)")
CODE = re.compile(rb"Code (-?\d+) Subcode (-?\d+)")
MEMORY = re.compile(rb"(\d+)  -  MemoryUsage of job \(MB\)")
SLOT = re.compile(rb"SlotName: (?:[^@\s]+@)?(\S+)")
CPU = re.compile(rb"Usr (\d+) (\d\d):(\d\d):(\d\d), Sys (\d+) (\d\d):(\d\d):(\d\d)  -  Total Remote Usage")
UUID, INDEX = "POMS_SUBMISSION_ID", "POMS_JOB_INDEX"
SITES = ("JOB_Site", "JOB_GLIDEIN_Site", "MachineAttrGLIDEIN_Site0", "MATCH_GLIDEIN_Site")
ENDED = ("succeeded", "failed", "removed")


@dataclass(frozen=True)
class Event:
    """One event as it stands in a log."""

    number: int
    cluster: int
    proc: int
    at: float
    text: str
    body: bytes

    @property
    def job(self) -> str:
        """Return the id of the job within its schedd."""
        return f"{self.cluster}.{self.proc}"


@dataclass(frozen=True)
class Reading:
    """The jobs of a log as far as it has been read; what has ended is kept until it was told."""

    jobs: Mapping[str, JobSeen] = field(default_factory=dict)
    offset: int = 0
    file: int = 0  # the inode, by which a rotated log is known


def events(data: bytes) -> Iterator[tuple[Event, int]]:
    """Yield the whole events of a piece of a log, each with where it ends; a header ends the event before it too."""
    start, header, position = 0, None, 0
    while (line_end := data.find(b"\n", position)) >= 0:
        line = data[position:line_end].rstrip(b"\r")
        match = HEADER.fullmatch(line)
        if match:
            if header:
                yield _event(header, data[start:position]), position
            header, start = match, line_end + 1
        elif line == END and header:
            yield _event(header, data[start:position]), line_end + 1
            header = None
        position = line_end + 1


def follow(jobs: dict[str, JobSeen], event: Event) -> JobSeen | None:
    """Write what an event says into the jobs; return the job if its state has changed by it."""
    before = jobs.get(event.job) or JobSeen(id=event.job, uuid="", state="idle", starts=0, at=event.at)
    after = replace(_change(before, event), at=max(before.at, event.at))
    jobs[event.job] = after
    return after if event.job and (after.state, after.starts) != (before.state, before.starts) else None


def read(path: Path, reading: Reading) -> tuple[Reading, list[JobSeen]]:
    """Return the new reading of a log, and the jobs that changed since the last one; no log is an empty one."""
    jobs, changed = dict(reading.jobs), dict[str, JobSeen]()
    offset = reading.offset
    for part, begin in _parts(path, reading):
        offset = begin
        with part.open("rb") as log:
            log.seek(begin)
            data = log.read(A_LOOK)
        for event, end in events(data):
            offset = begin + end
            follow(jobs, event)
            changed[event.job] = jobs[event.job]
    number = path.stat().st_ino if path.exists() else 0
    told = [seen for seen in changed.values() if seen.uuid]
    # The description of a job that has ended may come after its end; so it is kept until it has a uuid.
    kept = {name: seen for name, seen in jobs.items() if seen.state not in ENDED or (name in changed and not seen.uuid)}
    return Reading(kept, offset, number), told


def dump(reading: Reading) -> dict[str, Any]:
    """Return a reading as JSON has it."""
    jobs = {name: [seen.uuid, seen.state, seen.starts, seen.at, seen.index] for name, seen in reading.jobs.items()}
    return {"offset": reading.offset, "file": reading.file, "jobs": jobs}


def load(text: Mapping[str, Any]) -> Reading:
    """Return a reading from what `dump` gave."""
    jobs = {
        name: JobSeen(id=name, uuid=uuid, state=state, starts=starts, at=at, index=index)
        for name, (uuid, state, starts, at, index) in text.get("jobs", {}).items()
    }
    return Reading(jobs, int(text.get("offset", 0)), int(text.get("file", 0)))


def _parts(path: Path, reading: Reading) -> Iterator[tuple[Path, int]]:
    """Yield the files to read, and from where: what was rotated away meanwhile is read to its end first."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return
    if reading.file in (0, about.st_ino):
        # Shorter than it was: cut off or written anew, so that nothing known of it holds.
        yield path, reading.offset if about.st_size >= reading.offset else 0
        return
    for old in (path.with_name(f"{path.name}.old"), path.with_name(f"{path.name}.1")):
        if old.exists() and old.stat().st_ino == reading.file:
            yield old, reading.offset
            break
    yield path, 0


def _event(header: re.Match[bytes], body: bytes) -> Event:
    number, cluster, proc = int(header[1]), int(header[2]), int(header[3])
    year, month, day = (header[5], header[6], header[7]) if header[5] else (None, header[8], header[9])
    fraction = float(header[13] or 0)
    try:
        now = datetime.now(UTC).astimezone()
        moment = datetime(
            int(year) if year else now.year, int(month), int(day), int(header[10]), int(header[11]), int(header[12]),
            tzinfo=UTC if header[14] else None,
        )  # fmt: skip
        at = moment.timestamp() + fraction
    except (ValueError, OverflowError):
        at = 0.0  # a date that is none: the event counts, its time does not
    return Event(number, cluster, proc, at, header[15].decode("utf-8", "replace"), body)


def _change(job: JobSeen, event: Event) -> JobSeen:
    if event.number == 28:
        return _described(job, event.body)
    if job.state in ENDED and event.number != 0:
        return job  # an end is an end, whatever comes late
    if event.number in CHANGES:
        return CHANGES[event.number](job, event)
    return job


def _described(job: JobSeen, body: bytes) -> JobSeen:
    found = {}
    for line in body.splitlines():
        match = ATTRIBUTE.fullmatch(line.strip())
        if match:
            found[match[1].decode()] = match[2].decode("utf-8", "replace").strip('"')
    site = next((found[name] for name in SITES if found.get(name)), job.site)
    index = int(found[INDEX]) if found.get(INDEX, "").isdigit() else job.index
    if index is None and "DAGManJobId" not in found and found.get("ProcId", "").isdigit():
        index = int(found["ProcId"])
    return replace(job, uuid=found.get(UUID, job.uuid), index=index, site=site)


def _submitted(job: JobSeen, event: Event) -> JobSeen:
    return job if job.starts or job.state in ENDED else replace(job, state="idle")


def _started(job: JobSeen, event: Event) -> JobSeen:
    slot = SLOT.search(event.body)
    starts = job.starts if job.state == "staging_in" else job.starts + 1
    node = slot[1].decode("utf-8", "replace") if slot else job.node
    return replace(job, state="processing", starts=starts, node=node, reason="", code="")


def _transferred(job: JobSeen, event: Event) -> JobSeen:
    if event.text.startswith("Started transferring input"):
        return replace(job, state="staging_in", starts=job.starts + 1)
    if event.text.startswith("Started transferring output"):
        return replace(job, state="staging_out")
    return job


def _idle_again(job: JobSeen, event: Event) -> JobSeen:
    return replace(job, state="idle", code="vacated", reason=_sentence(event) or event.text)


def _terminated(job: JobSeen, event: Event) -> JobSeen:
    by_signal, code, memory = SIGNAL.search(event.body), EXIT.search(event.body), MEMORY.search(event.body)
    job = replace(job, cpu_s=_cpu(event.body), memory_mb=float(memory[1]) if memory else job.memory_mb)
    if by_signal:
        number = int(by_signal[1])
        return replace(job, state="failed", signal=number, code="signal", reason=f"ended by signal {number}")
    if code is None:
        return replace(job, state="failed", code="unknown", reason="its log does not say how it ended")
    number = int(code[1])
    if number:
        why = f"ended with exit code {number}"
        return replace(job, state="failed", exit_code=number, code="exit", reason=why)
    return replace(job, state="succeeded", exit_code=0)


def _held(job: JobSeen, event: Event) -> JobSeen:
    code = CODE.search(event.body)
    why = f"held {int(code[1])}.{int(code[2])}" if code else "held 0.0"
    return replace(job, state="held", code=why, reason=_sentence(event) or "held")


def _cpu(body: bytes) -> float | None:
    match = CPU.search(body)
    if match is None:
        return None
    days, hours, minutes, seconds, sdays, shours, sminutes, sseconds = (int(text) for text in match.groups())
    return float((days + sdays) * 86400 + (hours + shours) * 3600 + (minutes + sminutes) * 60 + seconds + sseconds)


def _sentence(event: Event) -> str:
    """Return the first line of an event that is a sentence."""
    for line in event.body.decode("utf-8", "replace").splitlines():
        text = line.strip().removeprefix("Reason: ")
        if text and not re.match(r"\(\d\)|Usr |\d+  -  |Code ", text):
            return text
    return ""


def _to(state: str) -> Any:
    return lambda job, event: replace(job, state=state)


CHANGES: dict[int, Any] = {
    0: _submitted,
    1: _started,
    4: _idle_again,
    5: _terminated,
    7: _idle_again,
    9: lambda job, event: replace(job, state="removed", code="removed", reason=_sentence(event) or event.text),
    10: _to("suspended"),
    11: _to("processing"),
    12: _held,
    13: _to("idle"),
    24: _idle_again,
    40: _transferred,
}
