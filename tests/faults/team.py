"""The processes of a run: workers forked from the warm parent, the batch daemon, and who starts them again."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.killing import Killer, processes
from tests.faults.scene import Folders

LOOPS = ("plan", "launch", "observe", "settle", "recover", "act")
# How long a process keeps a point before it is another's turn.
TURN_SECONDS = 5.0
IDLE_SECONDS = 0.2
# Nets below the others, with periods in seconds.
NETS = {"restore": 1.0, "sweep": 2.0, "seal": 3.0, "retain": 60.0}
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

# How likely a process dies at a point each time it comes by; the default suits points that every launch passes.
CHANCE = 0.05
CHANCES = {
    "launch.after_claim": 0.2, "launch.after_lock": 0.2, "launch.after_start": 0.3, "launch.after_status": 0.2,
    "launch.after_find": 0.5, "launch.after_restart": 0.7, "plan.after_batch": 0.02, "plan.before_end": 0.2,
    "plan.after_commit": 0.2, "observe.after_snapshot": 0.1, "observe.before_commit": 0.2,
    "observe.after_commit": 0.2, "act.after_ask": 0.9, "shim.before_answer": 0.3, "daemon.after_pick": 0.03,
    "daemon.after_fork": 0.03,
}  # fmt: skip
FAMILIES = ("plan.", "launch.", "observe.", "settle.", "recover.", "act.")
# How many of the workers are told to die at points; the others go on undisturbed.
DISTURBED = 2


def points() -> list[str]:
    """Return every crash point on a submission's way.

    Those of notices, and of loops for which nothing here has work, are hit elsewhere: tests/notices, tests/submissions.
    """
    import re

    here = Path(__file__).resolve().parents[2]
    places = ["submissions", "core", "integrations", "campaigns", "approvals"]
    found: set[str] = set()
    for path in (path for place in places for path in (here / place).rglob("*.py")):
        found |= set(re.findall(r"(?:crashpoint|\.point)\(\"([a-z_]+\.[a-z_]+)\"\)", path.read_text()))
    elsewhere = (
        "notify.", "schedule.", "offer.", "recall.", "tape.", "pass.", "complete.", "diagnose.", "reproduce.", "retain.",
        "settle.after_late_declare",
    )  # fmt: skip
    return sorted(name for name in found if not name.startswith(elsewhere))


def adopt_orphans() -> None:
    """Become the parent of every process whose own parent was killed, so that all of them can be waited for."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


@dataclass
class Member:
    """One place in the team; its process is replaced when it ends."""

    name: str
    pid: int = 0
    point: str = ""
    since: float = 0.0
    told: str = ""


@dataclass
class Points:
    """Which crash points there are, how often each was hit, and which is due next."""

    wanted: int
    boost: float = 1.0
    hits: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=points)
    off: bool = False

    def missing(self) -> list[str]:
        """Return the points that were not hit often enough."""
        return [name for name in self.names if self.hits[name] < self.wanted]

    def open(self, *prefixes: str) -> list[str]:
        """Return the points of these families that still need hits."""
        return [] if self.off else [name for name in self.missing() if name.startswith(prefixes)]

    def setting(self, *names: str) -> str:
        """Return what POMS_CRASHPOINT is set to for points."""
        return ",".join(f"{name}:{min(1.0, CHANCES.get(name, CHANCE) * self.boost):g}" for name in names)


class Team:
    """Four workers and a daemon, always."""

    def __init__(
        self, folders: Folders, killer: Killer, points: Points, *, workers: int, slots: int, seed: int
    ) -> None:
        self.folders = folders
        self.killer = killer
        self.points = points
        self.slots = slots
        self.seed = seed
        self.dice = random.Random(seed + 1)
        self.workers = [Member(f"worker{number}") for number in range(workers)]
        self.daemon = Member("daemon")
        self.script = Member("submit")
        self.shim = Member("shim")
        self.deaths: Counter[str] = Counter()
        self.cpu: dict[str, float] = {"workers": 0.0, "daemon": 0.0, "orphans": 0.0}
        self.resting = False

    def worker_pids(self) -> frozenset[int]:
        """Return the workers that live now."""
        return frozenset(member.pid for member in self.workers if member.pid)

    def tend(self) -> None:
        """Wait for whoever ended, count what they died of, start workers and daemon again."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            who = "orphans"  # supervisors, and whatever the dead left behind
            for member in (*self.workers, self.daemon):
                if member.pid == pid:
                    who = "workers" if member is not self.daemon else "daemon"
                    self._note_end(member, status)
            self.cpu[who] += used.ru_utime + used.ru_stime
        self._read_hits()
        if self.resting:
            return
        if not self.daemon.pid:
            self._start_daemon()
        for member in self.workers:
            if not member.pid:
                self._start_worker(member)
        self._give_points()

    def _note_end(self, member: Member, status: int) -> None:
        own = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not self.resting and member.pid not in self.killer.killed and not own:
            self.deaths[f"{member.name} status {status}"] += 1
        member.pid = 0

    def _read_hits(self) -> None:
        """Count the crash points that the dying have noted."""
        noted = Counter(self.folders.hits.read_text().split())
        for name, count in noted.items():
            self.points.hits[name] = count

    def _give_points(self) -> None:
        """Tell everybody what to die of: workers and scripts by a file each, the daemon by its faults.json."""
        for member in self.workers[:DISTURBED]:
            self._tell(member, self.points.setting(*self.points.open(*FAMILIES)))
        self._tell(self.shim, self._one_of(self.shim, "shim.") or self._restarts())
        self._tell(self.script, self._one_of(self.script, "submit."))
        name, _, chance = self._one_of(self.daemon, "daemon.", "runner.").partition(":")
        self._tell(self.daemon, json.dumps({"die_at": name, "probability": float(chance)} if name else {}))

    def _restarts(self) -> str:
        """Let shims die before they start a script as long as the point is missing that only a restart comes by."""
        return self.points.setting("shim.after_attempt") if self.points.open("launch.after_restart") else ""

    def _one_of(self, member: Member, *prefixes: str) -> str:
        """Return the setting of one point for somebody who can be told only one; after a while of another."""
        names = self.points.open(*prefixes)
        if member.point not in names or time.monotonic() - member.since > TURN_SECONDS:
            member.point = self.dice.choice(names) if names else ""
            member.since = time.monotonic()
        return self.points.setting(member.point) if member.point else ""

    def _tell(self, member: Member, text: str) -> None:
        if text == member.told:
            return
        member.told = text
        place = self.folders.spool / "faults.json"
        if member is not self.daemon:
            place = self.folders.control / f"{member.name}.point"
        fresh = place.with_suffix(".new")
        fresh.write_text(f"{text}\n" if text else "")
        fresh.rename(place)

    def _start_worker(self, member: Member) -> None:
        from django.db import connections

        connections.close_all()
        seed = self.dice.randrange(1 << 30)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self._become_worker(member, seed)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        self.killer.killed.discard(pid)
        member.pid = pid

    def _become_worker(self, member: Member, seed: int) -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        log = os.open(self.folders.log / f"{member.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["POMS_CRASH_SEED"] = str(seed)
        work(seed, self.folders, member.name)

    def _start_daemon(self) -> None:
        from integrations.batch import local

        argv = [sys.executable, "-S", "-E", "-s", str(local.DAEMON), "serve", "--spool", str(self.folders.spool),
                "--slots", str(self.slots), "--end-jobs"]  # fmt: skip
        pid = os.fork()
        if pid == 0:
            try:
                _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                os.setsid()
                log = os.open(self.folders.log / "daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.execv(argv[0], argv)
            except OSError:
                traceback.print_exc()
            finally:
                os._exit(127)
        self.killer.killed.discard(pid)
        self.daemon.pid = pid

    def stop_workers(self) -> None:
        """Let the workers end their pass and go; nobody is started again."""
        self.resting = True
        for member in self.workers:
            if member.pid:
                os.kill(member.pid, signal.SIGTERM)
        self._await(lambda: not self.worker_pids(), 20)

    def stop_all(self) -> None:
        """End everything that the run has started, politely first; whatever is left is killed."""
        self.resting = True
        for member in (*self.workers, self.daemon):
            if member.pid:
                os.kill(member.pid, signal.SIGTERM)
        self._await(lambda: not self.worker_pids() and not self.daemon.pid, 5)
        until = time.monotonic() + 10
        while left := processes(self.folders.root, self.worker_pids(), self.daemon.pid):
            for seen in left:
                self.killer.kill(seen)
            self.tend()
            if time.monotonic() > until:
                raise RuntimeError(f"processes that cannot be ended: {left}")
            time.sleep(0.02)
        self._await(lambda: not self.worker_pids() and not self.daemon.pid, 5)

    def _await(self, done: object, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:  # type: ignore[operator]
            self.tend()
            time.sleep(0.01)
        self.tend()


def work(seed: int, folders: Folders, name: str) -> None:
    """Run all loops in turn until SIGTERM, as the tasks of a queue worker do, each error ending one pass only.

    The worker's own crash points, and those of the shims that it calls, are read from the control folder.
    """
    from django.db import close_old_connections

    from core import crashpoints, loops
    from integrations import process

    def die(point: str) -> None:
        with folders.hits.open("a") as file:
            file.write(f"{point}\n")
        os.kill(os.getpid(), signal.SIGKILL)

    def told(who: str) -> str:
        place = folders.control / f"{who}.point"
        return place.read_text().strip() if place.exists() else ""

    def run(argv: Any, *, env: Any = None, _run: Any = process.run, **more: Any) -> Any:
        return _run(argv, env={**(env or os.environ), "POMS_CRASHPOINT": told("shim")}, **more)

    process.run = run
    crashpoints._die = die
    crashpoints._random.seed(seed)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    due = dict.fromkeys(NETS, time.monotonic() + 1.0)
    turn = seed % len(LOOPS)
    while not stop:
        os.environ["POMS_CRASHPOINT"] = told(name)
        did = 0
        # Not always the same first, or one that dies early and often would never come to the last.
        for loop in (*LOOPS[turn:], *LOOPS[:turn], *(net for net in NETS if due[net] <= time.monotonic())):
            close_old_connections()
            try:
                did += loops.run(loop, budget=1.5)
            except Exception:
                print(f"PASS FAILED {loop}", flush=True)
                traceback.print_exc()
            if loop in NETS:
                due[loop] = time.monotonic() + NETS[loop]
            if stop:
                return
        if not did:
            time.sleep(IDLE_SECONDS)
