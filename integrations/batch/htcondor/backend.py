"""The batch system `htcondor`: schedds of one pool are asked together, and it is an answer only if all gave one."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from integrations.batch import htcondor_log
from integrations.batch.base import Capabilities, JobSeen, Snapshot, Wanted
from integrations.batch.htcondor import ads, words
from integrations.errors import Refused, Unavailable, Unsure
from integrations.process import run

ASKING = Path(__file__).with_name("asking.py")
JOB_ID = re.compile(r"(\d{1,9}\.\d{1,9})@([A-Za-z0-9@._-]{1,80})")
ACTIONS = ("hold", "release", "remove", "prio")
# Clocks of schedd and shadow, and what they write late: so much is told twice rather than never.
OVERLAP_S = 60
MOST_TEXT = 65_536
ANSWER_CAP = 256 * 1024 * 1024


class HTCondorBatch:
    """One pool: its collectors, its schedds, and how we identify ourselves, by reference."""

    capabilities = Capabilities(find_by_uuid=True, hold=True, priority=True, history_days=float("inf"))

    def __init__(self, settings: Mapping[str, Any], *, seconds: float = 60.0) -> None:
        """Read a row's settings; raise Refused for those that cannot be meant."""
        self.schedds = _names(settings, "schedds")
        if not self.schedds:
            raise Refused("The batch system names no schedds. Enter the names that `condor_status -schedd` shows.")
        self.collectors = _names(settings, "collectors")
        self.config = str(settings.get("config", ""))
        self.log_folders = [Path(name) for name in _names(settings, "log_folders")]
        logs = settings.get("event_logs") or {}
        self.event_logs = logs if isinstance(logs, Mapping) else {self.schedds[0]: logs}
        strange = set(self.event_logs) - set(self.schedds)
        if strange:
            raise Refused(f"event_logs names {', '.join(sorted(strange))}, which is none of the schedds.")
        self.onsite = _names(settings, "onsite_sites")
        self.site_attribute = str(settings.get("site_attribute") or "GLIDEIN_Site")
        self.slots = int(settings.get("slots") or 0)
        self.memory_mb = int(settings.get("memory_mb") or 0)
        self.seconds = seconds

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return the configuration that tags each job, however it is submitted, and what its slot should be."""
        found = words.environment(wanted, site_attribute=self.site_attribute)
        return found | ({"_CONDOR_SCHEDD_HOST": self.schedds[0]} if len(self.schedds) == 1 else {})

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the job ids of each uuid; DAGMan's own job is one of them, so that a DAG is never nowhere."""
        if not uuids:
            return {}
        answers = self._ask("find", {name: {"uuids": list(uuids), "sure": True} for name in self.schedds})
        found: dict[str, list[str]] = {uuid: [] for uuid in uuids}
        for schedd, answer in answers.items():
            for uuid, ids in answer["found"].items():
                if uuid in found:
                    found[uuid] += [f"{job_id}@{schedd}" for job_id in sorted(ids, key=_in_order)]
        return found

    def snapshot(self, since: str) -> Snapshot:
        """Return what changed after the position: for each schedd a time of its clock and its last ended job."""
        before = _position(since)
        answers = self._ask("snapshot", {
            name: {
                "wanted": ads.WANTED,
                "time": max(0, int(before.get(name, {}).get("time", 0)) - OVERLAP_S),
                "history": before.get(name, {}).get("history", ""),
            }
            for name in self.schedds
        })  # fmt: skip
        after = {name: {"time": answer["time"], "history": answer["history"]} for name, answer in answers.items()}
        told: list[JobSeen] = []
        for name, path in self.event_logs.items():
            reading, seen = htcondor_log.read(Path(path), htcondor_log.load(before.get(name, {}).get("log", {})))
            after[name]["log"] = htcondor_log.dump(reading)
            told += [replace(job, id=f"{job.id}@{name}") for job in seen]
        # What queue and history say comes last: of two that are equally new, it counts.
        return Snapshot(json.dumps(after, sort_keys=True), [*told, *self._seen(answers)])

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs, and the ids that their schedds, having answered, do not know."""
        by_schedd, absent = _by_schedd(ids)
        questions = {name: {"ids": list(mine.values()), "wanted": ads.WANTED} for name, mine in by_schedd.items()}
        found = self._seen(self._ask("jobs", questions), all_of_them=True)
        there = {seen.id for seen in found}
        return found, [job_id for job_id in ids if job_id not in there or job_id in absent]

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Hold, release, remove or re-prioritise, in one call for each schedd."""
        if verb not in ACTIONS:
            raise Refused(f"HTCondor knows no {verb}")
        by_schedd, absent = _by_schedd(ids)
        answers = self._ask("act", {
            name: {"ids": list(mine.values()), "verb": verb, "reason": reason, "value": value}
            for name, mine in by_schedd.items()
        }, changing=True)  # fmt: skip
        outcomes = dict.fromkeys(absent, "absent")
        for schedd, answer in answers.items():
            outcomes |= {f"{job_id}@{schedd}": outcome for job_id, outcome in answer["outcomes"].items()}
        return outcomes

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a job printed, where its file is on a disk that we read."""
        if stream not in ("out", "err"):
            raise Refused(f"A job of HTCondor has no {stream}; it has out and err.")
        by_schedd, _ = _by_schedd([job_id])
        wanted = ["ClusterId", "ProcId", "Iwd", "Out", "Err"]
        questions = {name: {"ids": list(mine.values()), "wanted": wanted} for name, mine in by_schedd.items()}
        answers = self._ask("jobs", questions)
        found = [ad for answer in answers.values() for ad in answer["ads"]]
        if not found:
            self._ask("depth", {name: {} for name in self.schedds})
            raise Refused(f"HTCondor knows no job {job_id}.")
        return self._read(Path(found[0].get("Iwd", "/"), found[0].get(stream.title(), "")), stream, offset, length)

    def depth(self) -> dict[str, int]:
        """Return what the schedds' queues hold, and how many slots the pool has."""
        whole = self._call("depth", {name: {} for name in self.schedds}, slots=not self.slots)
        answers = _answered(whole)
        counts = {name: sum(answer[name] for answer in answers.values()) for name in ("idle", "running", "held")}
        most = self.memory_mb or int(whole.get("memory_mb", 0))
        return {**counts, "slots": self.slots or int(whole.get("slots", 0)), "memory_mb": most}

    def _read(self, path: Path, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Read a file that a job has named: only below the folders of the settings, whatever links it goes by."""
        if not self.log_folders:
            raise Refused(
                f"{stream} of the job is {path} on the submit host, and POMS reads no folder there. "
                "Share the folder with the hosts of POMS and enter it as log_folders of the batch system."
            )
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(os.path.realpath(folder)) for folder in self.log_folders):
            raise Refused(f"{stream} of the job is {path}, which is in none of the folders that POMS reads.")
        try:
            file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {"text": "", "total": 0}  # not written yet, or not brought back yet
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from error
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                raise Refused(f"{path} is not a file")
            text = os.pread(file, max(0, min(length, MOST_TEXT)), max(0, offset))
        finally:
            os.close(file)
        return {"text": text.decode("utf-8", "replace"), "total": about.st_size}

    def _seen(self, answers: Mapping[str, Any], *, all_of_them: bool = False) -> list[JobSeen]:
        """Return the jobs that carry a uuid; what was asked by its id is one even without."""
        return [
            ads.seen(ad, schedd, self.onsite)
            for schedd, answer in answers.items()
            for ad in answer["ads"]
            if all_of_them or ad.get(ads.TAG)
        ]

    def _ask(self, ask: str, schedds: Mapping[str, Any], *, changing: bool = False) -> dict[str, Any]:
        """Ask schedds together; whichever gives no answer makes all of it unknown."""
        return _answered(self._call(ask, schedds, changing=changing)) if schedds else {}

    def _call(
        self, ask: str, schedds: Mapping[str, Any], *, changing: bool = False, slots: bool = False
    ) -> dict[str, Any]:  # fmt: skip
        if self.config and not os.access(self.config, os.R_OK):
            raise Unavailable(f"the configuration of HTCondor {self.config} cannot be read here")
        request = {"ask": ask, "collectors": ", ".join(self.collectors), "schedds": schedds, "slots": slots}
        env = {**os.environ, **({"CONDOR_CONFIG": self.config} if self.config else {})}
        try:
            done = run(
                [sys.executable, "-E", "-s", str(ASKING)], stdin=json.dumps(request).encode(), seconds=self.seconds,
                cap=ANSWER_CAP, env=env,
            )  # fmt: skip
        except Unsure as error:
            if changing:
                raise
            raise Unavailable(f"HTCondor did not answer within {self.seconds:g} s") from error
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.exit_code}"]
            kind = Unsure if changing else Unavailable
            raise kind(f"the library of HTCondor gave up: {said[-1][-300:]}") from error
        if "error" in answer:
            raise Unavailable(f"HTCondor does not answer: {answer['error']}", retry_after=5)
        return answer


def _answered(answer: Mapping[str, Any]) -> dict[str, Any]:
    silent = [f"{name}: {said['error']}" for name, said in answer["schedds"].items() if "error" in said]
    if silent:
        raise Unavailable(f"HTCondor does not answer: {'; '.join(silent)}", retry_after=5)
    return dict(answer["schedds"])


def _by_schedd(ids: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the ids of each schedd, and those that no job of HTCondor can have.

    A schedd that is not in the settings is asked all the same: what it knows is not absent.
    """
    found: dict[str, dict[str, str]] = {}
    absent = []
    for job_id in ids:
        match = JOB_ID.fullmatch(job_id)
        if match is None:
            absent.append(job_id)
        else:
            found.setdefault(match[2], {})[job_id] = match[1]
    return found, absent


def _position(since: str) -> dict[str, Any]:
    """Return a position as it was written, or the beginning for that of another system."""
    try:
        found = json.loads(since or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values()) else {}


def _names(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = settings.get(key) or ()
    words_: Iterable[Any] = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    return tuple(str(word) for word in words_ if str(word))


def _in_order(job_id: str) -> tuple[int, ...]:
    return tuple(int(number) for number in job_id.split("."))
