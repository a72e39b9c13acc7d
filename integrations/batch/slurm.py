"""The batch system `slurm`: queue and accounting of one cluster, asked and told by its own commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from integrations import process
from integrations.batch import slurm_reading as reading
from integrations.batch import slurm_slots
from integrations.batch.base import Capabilities, JobSeen, Snapshot, Wanted
from integrations.batch.slurm_reading import ENDED, MARK, Job, bare
from integrations.errors import Refused, Unavailable, Unsure

log = structlog.get_logger()

VERBS = ("hold", "release", "remove", "prio")
AT_ONCE = 200  # ids in one command
DAY = 86_400.0
MIN_JOB_AGE_S = 300.0  # how long Slurm keeps what has ended in its queue, where it does not say
LATE_S = 30.0  # how long the accounting may take to say what a job used; it is a few seconds late
BEHIND_S = 15.0  # how long one call waits for the accounting to have been told all
OVERLAP_S = 600.0  # how far a look at the accounting reaches back before the last look
ALL_STATES = "BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,S,TO"  # named, they bring also what was cancelled while it was held
SILENT = re.compile(
    r"unable to contact|connection refused|connection timed out|socket timed out|zero bytes|transport endpoint"
    r"|unable to connect|not responding|protocol authentication error|munge|problem talking to the database"
    r"|in standby mode|unexpected message|connection failure|is down|connection reset", re.I,
)  # fmt: skip
UNKNOWN = re.compile(r"invalid job id", re.I)


class Slurm:
    """One cluster of Slurm. Settings: `commands` (the folder of its programs), `conf` (SLURM_CONF), `cluster`,
    `accounting`, `history_days`, `users`, `wckey`, `nice`, `kinds`, `sites`, `site`, `logs`."""

    def __init__(self, settings: Mapping[str, Any], name: str = "slurm", *, seconds: float = 60.0) -> None:
        """Speak to the cluster by the commands that the settings name; no answer within the seconds is Unavailable."""
        self.settings = settings
        self.name = name
        self.cluster = str(settings.get("cluster") or name)
        self.accounting = bool(settings.get("accounting", True))
        self.days = float(settings.get("history_days") or 14)
        self.seconds = seconds
        # Without accounting nobody can say that a job never was: the queue forgets it soon.
        history = self.days if self.accounting else MIN_JOB_AGE_S / DAY
        self.capabilities = Capabilities(self.accounting, hold=True, priority=True, history_days=history)

    # --- what a launch finds --------------------------------------------------------------------------------

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return options for the wrapper of sbatch, and what of them a bare sbatch reads itself."""
        words = slurm_slots.options(wanted, self.settings)
        nice = int(self.settings.get("nice") or 0)
        if nice:
            words.append(["--nice", str(nice)])
        found = slurm_slots.variables(words) | {"POMS_SUBMIT_WORDS": json.dumps({"sbatch": words})}
        if self.settings.get("conf"):
            found["SLURM_CONF"] = str(self.settings["conf"])
        return found

    # --- what is asked --------------------------------------------------------------------------------------

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids of the jobs of each uuid; an empty list only where queue and accounting have both answered."""
        found: dict[str, dict[str, None]] = {uuid: {} for uuid in uuids}
        if not uuids:
            return {}
        # The queue first: what leaves it meanwhile is in the accounting, and what comes later is not of a dead script.
        queue = self._queue()
        history = self._history(time.time() - self.days * DAY, queue) if self.accounting else []
        for job in [*queue, *history]:
            if job.seen.uuid in found and not reading.is_refused(job):
                found[job.seen.uuid][job.id] = None
        missing = [uuid for uuid, ids in found.items() if not ids]
        if missing and not self.accounting:
            text = f"{self.name} has no accounting, so nobody can say that it never had jobs of {len(missing)} launches"
            raise Unavailable(text)
        if missing:
            self._check_accounting_is_up_to_date()
        return {uuid: [self._full(job_id) for job_id in sorted(ids, key=_order)] for uuid, ids in found.items()}

    def snapshot(self, since: str) -> Snapshot:
        """Return the jobs of ours that changed.

        The position is what was told of each job in the queue: Slurm notes no time of a hold or release, and the time
        of an end may lie before the last look. What an end used comes from the accounting, a few seconds later.
        """
        now = time.time()
        before = _position(since)
        told: dict[str, str] = before.get("jobs", {})
        last = float(before.get("at", 0))
        queue = self._queue()
        jobs = {job.id: job for job in queue if job.seen.uuid and not reading.is_refused(job)}
        if self.accounting:
            self._look_back(queue, jobs, told, last, now)
        news, tell = [], {}
        for job_id, job in jobs.items():
            mark = f"{job.seen.state} {job.seen.starts}"
            state, _, rest = told.get(job_id, "").partition(" ")
            starts, _, at = rest.partition(" ")
            if f"{state} {starts}" == mark:
                tell[job_id] = told[job_id]
                continue
            seen = job.seen
            if self.accounting and seen.state in ENDED and seen.cpu_s is None and seen.node and now - seen.at < LATE_S:
                tell |= {job_id: told[job_id]} if job_id in told else {}
                continue  # what it used is not known yet; it is told at the next look
            if starts == str(seen.starts) and seen.state not in ENDED and seen.at <= float(at):
                seen = replace(seen, at=max(now, float(at) + 0.001))
            news.append(self._shown(job, seen))
            tell[job_id] = f"{mark} {seen.at}"
        for job in self._cancelled(queue, jobs, told) if now - last <= MIN_JOB_AGE_S / 2 else ():
            seen = replace(job.seen, at=now)
            jobs[job.id] = job
            news.append(self._shown(job, seen))
        # What has left the queue, and of which the accounting does not speak yet, is remembered for a day.
        tell |= {
            job_id: mark for job_id, mark in told.items()
            if job_id not in jobs and mark.split(" ")[0] not in ENDED and now - float(mark.split(" ")[2]) < DAY
        }  # fmt: skip
        return Snapshot(json.dumps({"at": now, "jobs": tell}, separators=(",", ":")), news)

    def _cancelled(self, queue: Sequence[Job], jobs: Mapping[str, Job], told: Mapping[str, str]) -> list[Job]:
        """Return tasks that waited at the last look and are gone, while others of their array are there.

        Slurm keeps no record of a task that is cancelled while it waits. One that had run would still be in the queue.
        """
        beside = {job.parent: job for job in queue if job.seen.uuid}
        found = []
        for job_id, mark in told.items():
            state, starts, _ = mark.split(" ")
            parent, task = job_id.partition("_")[::2]
            if job_id in jobs or state not in ("idle", "held") or not task or parent not in beside:
                continue
            seen = JobSeen(
                id=job_id, uuid=beside[parent].seen.uuid, state="removed", starts=int(starts), at=0, index=int(task),
                reason="it was cancelled while it waited (Slurm keeps no record of such a task)",
            )  # fmt: skip
            found.append(Job(job_id, "", "CANCELLED", seen, partition=beside[parent].partition))
        return found

    def _look_back(
        self, queue: Sequence[Job], jobs: dict[str, Job], told: Mapping[str, str], last: float, now: float
    ) -> None:
        """Add what the queue does not have, or not all of: what came and went since the last look, and ends."""
        asked = [
            job_id for job_id, mark in told.items() if job_id not in jobs and mark.split(" ")[0] not in ENDED
        ]  # fmt: skip
        asked += [
            job.id for job in jobs.values()
            if job.seen.state in ENDED and told.get(job.id, "").partition(" ")[0] not in ENDED
        ]  # fmt: skip
        try:
            if now - last > min(self._min_job_age() / 2, MIN_JOB_AGE_S) and now - last > 1:
                begin = max(last - OVERLAP_S, now - self.days * DAY)
                asked += [
                    job.id for job in self._history(begin, queue)
                    if job.seen.uuid and job.seen.state in ENDED and not reading.is_refused(job)
                    and job.id not in told
                ]  # fmt: skip
            known = {job.id: job for job in self._accounted(dict.fromkeys(asked), queue)}
        except Unavailable as error:
            # The queue says enough to go on; what only the accounting knows is asked at the next look.
            log.warning("slurm.accounting_silent", system=self.name, error=str(error))
            if not last:
                raise
            return
        for job_id, job in known.items():
            there = jobs.get(job_id)
            if job.seen.state in ENDED and (there is None or there.seen.state in ENDED):
                jobs[job_id] = _joined(there, job)

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs, and which ids queue and accounting do not know; the id of an array stands for its tasks."""
        found, absent = self._resolved(ids)
        shown = {job.id: job for jobs in found.values() for job in jobs}
        return [self._shown(job, job.seen) for job in shown.values()], absent

    def _resolved(self, ids: Sequence[str]) -> tuple[dict[str, list[Job]], list[str]]:
        """Return the jobs of each id, and the ids without one, after all who could know have answered."""
        if not ids:
            return {}, []
        there_now = self._queue()
        queue = {job.id: job for job in there_now}
        ended = [job.id for job in queue.values() if job.seen.state in ENDED]
        wanted = [bare(job_id) for job_id in ids if bare(job_id)]
        arrays = {job.parent for job in queue.values()}
        asked = [one for one in wanted if one not in queue and not ("_" not in one and one in arrays)]
        asked += [one for one in ended if one in wanted or one.partition("_")[0] in wanted]
        # Of an array in the queue, tasks may have left it.
        asked += [one for one in wanted if "_" not in one and one in arrays]
        for job in self._accounted(dict.fromkeys(asked), there_now) if self.accounting else ():
            there = queue.get(job.id)
            if there is None or there.seen.state in ENDED:
                queue[job.id] = _joined(there, job)
        members: dict[str, list[Job]] = defaultdict(list)
        for job in sorted(queue.values(), key=lambda job: _order(job.id)):
            members[job.id].append(job)
            if job.parent != job.id:
                members[job.parent].append(job)
        found = {job_id: members[bare(job_id)] for job_id in ids if bare(job_id) in members}
        absent = [job_id for job_id in ids if job_id not in found]
        if absent and self.accounting:
            self._check_accounting_is_up_to_date()
        return found, absent

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of a job's output, where its file is in a folder that the settings name in `logs`."""
        path = self._log_path(job_id, stream)
        roots = [Path(root).resolve() for root in self.settings.get("logs") or ()]
        real = path.resolve()
        # The owner of the job chose the path; what else POMS can read is none of theirs.
        if not any(real.is_relative_to(root) for root in roots):
            raise Refused(f"{path} is in none of the folders of logs that are entered for {self.name}")
        if not real.is_file():
            raise Refused(f"{path} is not there, or cannot be read from here")
        try:
            with real.open("rb") as file:
                total = file.seek(0, os.SEEK_END)
                file.seek(offset)
                return {"text": file.read(length).decode(errors="replace"), "total": total}
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error}") from error

    def _log_path(self, job_id: str, stream: str) -> Path:
        one = bare(job_id)
        if not one:
            raise Refused(f"{job_id} is no job of Slurm")
        answer = self._run("scontrol", "show", "job", one)
        if answer.exit_code == 0:
            name = {"out": "StdOut", "err": "StdErr"}[stream]
            found = re.search(rf"^\s*{name}=(.*)$", answer.stdout.decode(errors="replace"), re.M)
            if found:
                return Path(found[1])
        elif not UNKNOWN.search(answer.stderr.decode(errors="replace")):
            raise self._silent("scontrol", answer)
        fields = ("JobID", "JobIDRaw", "JobName", "WorkDir", "SubmitLine")
        text = self._asked("sacct", *_columns(fields), "-X", "-j", one) if self.accounting else ""
        for line in filter(str.strip, text.split("\n")):
            shown, raw, name, folder, submitted = line.split(MARK)
            if shown == one:
                return Path(folder) / _pattern(submitted, stream, "_" in one, {
                    "A": one.partition("_")[0], "a": one.partition("_")[2], "j": raw, "x": name, "%": "%",
                })  # fmt: skip
        raise Refused(f"{self.name} knows no job {job_id}")

    def depth(self) -> dict[str, int]:
        """Return how many jobs are idle, running and held, how many processors there are, and the memory of a node."""
        counts = {"idle": 0, "running": 0, "held": 0}
        for job in self._queue():
            state = job.seen.state
            if state not in (*ENDED, "suspended"):
                counts[state if state in counts else "running"] += 1
        nodes = {}
        text = self._asked("sinfo", "-h", "-N", "-o", f"%N{MARK}%C{MARK}%m{MARK}%T")
        for line in filter(str.strip, text.split("\n")):
            name, processors, memory, state = line.split(MARK)
            allocated, idle, _, _ = map(int, processors.split("/"))
            nodes[name] = allocated + idle, int(memory.rstrip("+")) if not re.search("down|fail|unk", state) else 0
        slots, memory_mb = sum(n for n, _ in nodes.values()), max((mb for _, mb in nodes.values()), default=0)
        return {**counts, "slots": slots, "memory_mb": memory_mb}

    # --- what is done ---------------------------------------------------------------------------------------

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Hold (a running job is started anew on release), release, remove, or change the place of jobs."""
        if verb not in VERBS:
            raise Refused(f"Slurm knows no {verb}")
        found, absent = self._resolved(ids)
        outcomes = dict.fromkeys(absent, "absent")
        todo: dict[str, dict[str, Job]] = {}
        for job_id, jobs in found.items():
            said = {job.id: _outcome(verb, job, value) for job in jobs}
            todo[job_id] = {job.id: job for job in jobs if not said[job.id]}
            if not todo[job_id]:
                outcomes[job_id] = "already" if "already" in said.values() else next(iter(said.values()))
        done = self._do(verb, {one: job for jobs in todo.values() for one, job in jobs.items()}, reason, value)
        for job_id, chosen in todo.items():
            if chosen:
                told = [done[one] for one in chosen]
                outcomes[job_id] = "done" if "done" in told else told[0]
        return {job_id: outcomes[job_id] for job_id in ids}

    def _do(self, verb: str, jobs: Mapping[str, Job], reason: str, value: int) -> dict[str, str]:
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for job_id, job in jobs.items():
            groups[self._command(verb, job, value)].append(job_id)
        done: dict[str, str] = {}
        for command, ids in groups.items():
            for chunk in _chunks(ids):
                if verb == "remove":
                    self._note(verb, {job_id: jobs[job_id] for job_id in chunk}, reason, value)  # then it is no more
                done |= self._told(command, chunk, anything_done=bool(done))
        if verb != "remove":
            self._note(verb, {i: job for i, job in jobs.items() if done[i] == "done"}, reason, value)
        return done

    def _command(self, verb: str, job: Job, value: int) -> tuple[str, ...]:
        if verb == "remove":
            return ("scancel",)
        if verb == "prio":
            return ("scontrol", "update", f"Nice={_nice(value, job, int(self.settings.get('nice') or 0))}")
        if verb == "hold" and job.seen.state != "idle":
            # Hold alone leaves a running job alone. Incomplete: one that ends meanwhile must not be run again.
            return ("scontrol", "requeuehold", "Incomplete")
        return ("scontrol", verb)

    def _told(self, command: Sequence[str], ids: Sequence[str], *, anything_done: bool) -> dict[str, str]:
        """Run a command for several jobs; where it complains, for one after the other."""
        words = [*command, *ids] if command[0] == "scancel" else [*command, ",".join(ids)]
        if "update" in command:
            words[-1] = f"JobId={words[-1]}"
        try:
            answer = self._run(*words)
        except Unavailable as error:
            raise Unsure(str(error)) from error
        if answer.exit_code == 0:
            return dict.fromkeys(ids, "done")
        text = " ".join(answer.stderr.decode(errors="replace").split())
        if SILENT.search(text):
            raise Unsure(f"{command[0]}: {text}") if anything_done else self._silent(command[0], answer)
        if len(ids) == 1:
            return {ids[0]: f"refused: {text[:300] or f'{command[0]} ended with {answer.exit_code}'}"}
        done: dict[str, str] = {}
        for job_id in ids:
            done |= self._told(command, [job_id], anything_done=True)
        return done

    def _note(self, verb: str, jobs: Mapping[str, Job], reason: str, value: int) -> None:
        """Write into the comment, behind the tag, what was done to jobs and why; Slurm has no other place for it."""
        groups: dict[str, list[str]] = defaultdict(list)
        for job_id, job in jobs.items():
            place = value if verb == "prio" else job.priority
            note = job.note if verb == "prio" else f"{verb}: {' '.join(reason.split())[:200]}"
            words = [slurm_slots.tag(job.seen.uuid), "" if place is None else f"prio={place}", note]
            groups[" ".join(filter(None, words))].append(job_id)
        for comment, ids in groups.items():
            for chunk in _chunks(ids) if jobs[ids[0]].seen.uuid else ():  # the comment of others is theirs
                answer = self._run("scontrol", "update", f"Comment={comment}", f"JobId={','.join(chunk)}")
                if answer.exit_code:
                    error = answer.stderr.decode(errors="replace")
                    log.warning("slurm.note_refused", system=self.name, jobs=chunk, error=error)

    # --- commands -------------------------------------------------------------------------------------------

    def _queue(self) -> list[Job]:
        words = ["squeue", "-a", "-h", "-r", "-t", "all", "-O", reading.queue_format()]
        try:
            return list(reading.queued(self._asked(*words, *self._of_users()), time.time()))
        except (ValueError, KeyError) as error:
            raise Unavailable(f"what squeue prints cannot be read: {error}") from error

    def _history(self, begin: float, queue: Sequence[Job]) -> list[Job]:
        """Return what the accounting has of jobs since a time, without what they used."""
        when = time.strftime("%FT%T", time.gmtime(begin))
        return _whole(self._sacct("-X", "-a", "-S", when, "-E", "now", "-s", ALL_STATES, *self._of_users()), queue)

    def _accounted(self, ids: Iterable[str], queue: Sequence[Job]) -> list[Job]:
        found = []
        for chunk in _chunks(list(ids)):
            found += self._sacct("-j", ",".join(chunk))
        return _whole(found, queue)

    def _sacct(self, *words: str) -> list[Job]:
        try:
            return reading.accounted(self._asked("sacct", *_columns(reading.ACCOUNTED), "-D", *words))
        except (ValueError, KeyError) as error:
            raise Unavailable(f"what sacct prints cannot be read: {error}") from error

    def _of_users(self) -> list[str]:
        users = self.settings.get("users") or ()
        return ["-u", ",".join(users)] if users else []

    def _check_accounting_is_up_to_date(self) -> None:
        """Wait a little until the controller has told the accounting everything, then raise Unavailable."""
        deadline = time.monotonic() + BEHIND_S
        while True:
            found = re.search(r"^DBD Agent queue size:\s*(\d+)", self._asked("sdiag"), re.M)
            if found is None:
                raise Unavailable("sdiag does not say how far behind the accounting is")
            if not int(found[1]):
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"the accounting of {self.name} is {found[1]} messages behind", retry_after=5)
            time.sleep(0.2)

    def _min_job_age(self) -> float:
        found = re.search(r"^MinJobAge\s*=\s*(\d+)", self._asked("scontrol", "show", "config"), re.M)
        return float(found[1]) if found else MIN_JOB_AGE_S

    def _asked(self, *words: str) -> str:
        """Run a command that only asks; raise Unavailable where it does not answer."""
        answer = self._run(*words)
        complaint = answer.stderr.decode(errors="replace")
        # sacct has ended with 0 without having been answered.
        if answer.exit_code or (not answer.stdout and SILENT.search(complaint)):
            if UNKNOWN.search(complaint):
                return ""
            raise self._silent(words[0], answer)
        return answer.stdout.decode(errors="replace")

    def _run(self, *words: str) -> process.Finished:
        folder = self.settings.get("commands")
        program = str(Path(folder) / words[0]) if folder else words[0]
        env = {
            "PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0",
        }  # fmt: skip
        if self.settings.get("conf"):
            env["SLURM_CONF"] = str(self.settings["conf"])
        try:
            return process.run([program, *words[1:]], seconds=self.seconds, env=env)
        except Unsure as error:
            raise Unavailable(str(error)) from error

    def _silent(self, program: str, answer: process.Finished) -> Unavailable:
        text = " ".join(answer.stderr.decode(errors="replace").split())[:300]
        return Unavailable(f"{program} of {self.name} does not answer: {text or f'it ended with {answer.exit_code}'}")

    def _full(self, job_id: str) -> str:
        return f"{job_id}@{self.cluster}"

    def _shown(self, job: Job, seen: JobSeen) -> JobSeen:
        kinds, sites = (self.settings.get(name) or {} for name in ("kinds", "sites"))
        site = _named(sites, job.partition) or str(self.settings.get("site") or self.cluster)
        return replace(seen, id=self._full(job.id), site=site, slot_type=_named(kinds, job.partition) or job.partition)


def _position(since: str) -> dict[str, Any]:
    try:
        found = json.loads(since) if since else {}
    except ValueError as error:
        raise Refused(f"{since[:40]!r} is no position of Slurm") from error
    return found if isinstance(found, dict) else {}


def _order(job_id: str) -> tuple[int, int]:
    parent, _, task = job_id.partition("_")
    return int(parent), int(task) if task.isdigit() else -1


def _whole(accounted: Sequence[Job], queue: Sequence[Job]) -> list[Job]:
    """Leave out what the accounting does not know yet to be the task of an array: it has its end before its start."""
    tasks = {job.raw for job in queue if job.raw != job.id}
    return [job for job in accounted if job.id not in tasks]


def _joined(there: Job | None, job: Job) -> Job:
    """Return an ended job as the accounting has it, with what only the queue knew: notes, and how often it began."""
    if there is None:
        return job
    seen = replace(
        job.seen, uuid=job.seen.uuid or there.seen.uuid, starts=max(job.seen.starts, there.seen.starts),
        reason=there.seen.reason or job.seen.reason, cpu_s=job.seen.cpu_s if job.seen.state in ENDED else None,
    )  # fmt: skip
    if job.seen.state not in ENDED:
        return there
    return replace(job, seen=seen, note=job.note or there.note)


def _outcome(verb: str, job: Job, value: int) -> str:
    """Return the outcome where there is nothing to do; empty: it is to be done."""
    state = job.seen.state
    if state in ENDED:
        return "already" if (verb, state) == ("remove", "removed") else f"refused: it has ended ({job.word.lower()})"
    if verb == "remove":
        return ""
    if state == "staging_out":
        return "refused: it is ending"
    if (verb == "hold") == (state == "held") and verb in ("hold", "release"):
        return "already"
    return "already" if verb == "prio" and job.priority == value else ""


def _nice(value: int, job: Job, base: int) -> int:
    """Return the nice value for a place among the idle jobs, of which the higher goes first.

    Places count minutes: what lies above that of a job's own beginning is won, what lies below is lost. Nobody without
    rights may go below 0, so `base` is what there is to be won.
    """
    won = value + int(job.seen.at // 60) if value < -1_000_000 else value
    return max(0, min(2**31 - 2, base - won))


def _named(entries: Mapping[str, Any], partition: str) -> str:
    """Return the entry to which a partition belongs, where it is one only."""
    found = [name for name, entry in entries.items() if partition in str(entry.get("partition", "")).split(",")]
    return found[0] if len(found) == 1 else ""


def _columns(fields: Sequence[str]) -> list[str]:
    return ["-P", "-n", f"--delimiter={MARK}", "-o", ",".join(fields)]


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[first : first + AT_ONCE] for first in range(0, len(ids), AT_ONCE))


def _pattern(submitted: str, stream: str, array: bool, words: Mapping[str, str]) -> str:
    """Return the file to which a job printed, as the command that submitted it says; by default Slurm's own."""
    said = {"out": ("-o", "--output"), "err": ("-e", "--error")}
    try:
        given = shlex.split(submitted)
    except ValueError:
        given = submitted.split()
    for names in [said["err"], said["out"]] if stream == "err" else [said["out"]]:
        for n, word in enumerate(given):
            if word in names and n + 1 < len(given):
                return _filled(given[n + 1], words)
            if word.startswith(f"{names[1]}="):
                return _filled(word.partition("=")[2], words)
    return _filled("slurm-%A_%a.out" if array else "slurm-%j.out", words)


def _filled(pattern: str, words: Mapping[str, str]) -> str:
    return re.sub(r"%(\d*)([A-Za-z%])", lambda found: words.get(found[2], found[0]), pattern)
