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

from tests.faults.killing import Killer, processes
from tests.faults.scene import Folders

LOOPS = ("plan", "launch", "observe", "settle", "recover", "act")
# Nets below the others, with periods in seconds.
# How long a process keeps a point before it is another's turn.
TURN_SECONDS = 8.0
IDLE_SECONDS = 0.2
NETS = {"sweep": 2.0, "seal": 3.0, "retain": 60.0}
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

# How likely a process dies at a point each time it comes by; the default suits points that every launch passes.
CHANCE = 0.04
CHANCES = {
    "launch.after_claim": 0.2, "launch.after_lock": 0.2, "launch.after_start": 0.2, "launch.after_status": 0.1,
    "launch.after_find": 0.3, "launch.after_restart": 0.5, "plan.after_batch": 0.01, "plan.before_end": 0.15,
    "plan.after_commit": 0.15, "observe.after_snapshot": 0.05, "observe.before_commit": 0.1,
    "observe.after_commit": 0.1, "act.after_ask": 0.5, "shim.before_answer": 0.2, "daemon.after_pick": 0.03,
    "daemon.after_fork": 0.03,
}  # fmt: skip


def points() -> list[str]:
    """Return every crash point that the code names."""
    import re

    here = Path(__file__).resolve().parents[2]
    places = ["submissions", "core", "integrations", "campaigns", "approvals"]
    found: set[str] = set()
    for path in (path for place in places for path in (here / place).rglob("*.py")):
        found |= set(re.findall(r"(?:crashpoint|\.point)\(\"([a-z_]+\.[a-z_]+)\"\)", path.read_text()))
    return sorted(found)


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

    def is_due(self, name: str, since: float) -> bool:
        """Tell whether somebody with this point, since then, should get another."""
        return (self.off and bool(name)) or name not in self.missing() or time.monotonic() - since > TURN_SECONDS

    def draw(self, dice: random.Random, taken: set[str], *prefixes: str) -> str:
        """Return a point of these families that still needs hits and that nobody has now; or nothing."""
        open_points = [n for n in self.missing() if n not in taken and n.startswith(prefixes)] if not self.off else []
        return dice.choice(open_points) if open_points else ""

    def setting(self, name: str) -> str:
        """Return what POMS_CRASHPOINT is set to for a point."""
        return f"{name}:{min(1.0, CHANCES.get(name, CHANCE) * self.boost):g}" if name else ""


class Team:
    """Four workers and a daemon, always."""

    def __init__(self, folders: Folders, killer: Killer, points: Points, *, workers: int, slots: int, seed: int) -> None:
        self.folders = folders
        self.killer = killer
        self.points = points
        self.slots = slots
        self.seed = seed
        self.dice = random.Random(seed + 1)
        self.workers = [Member(f"worker{number}") for number in range(workers)]
        self.daemon = Member("daemon")
        self.script = Member("submit")
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
        own = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and member.pid not in self.killer.killed
        now = self.folders.control / f"{member.name}.now"
        point = now.read_text().partition(":")[0] if member is not self.daemon and now.exists() else ""
        if own and point and not point.startswith("shim."):
            self.points.hits[point] += 1
        elif own and member is self.daemon and member.point:
            pass  # it has noted the point itself
        elif not self.resting and member.pid not in self.killer.killed:
            self.deaths[f"{member.name} status {status}"] += 1
        member.pid = 0

    def _read_hits(self) -> None:
        """Count the crash points that shims, submit commands, daemons and runners have noted."""
        noted = Counter(self.folders.hits.read_text().split())
        for name, count in noted.items():
            self.points.hits[name] = count

    def _give_points(self) -> None:
        """Tell everybody the point to die at: workers and scripts by a file each, the daemon by its faults.json."""
        families = ("plan.", "launch.", "observe.", "settle.", "recover.", "act.", "shim.")
        members = [*((member, families) for member in self.workers[1:]),  # one goes on undisturbed
                   (self.daemon, ("daemon.", "runner.")), (self.script, ("submit.",))]  # fmt: skip
        for member, family in members:
            if not self.points.is_due(member.point, member.since):
                continue
            taken = {other.point for other, _ in members if other is not member}
            member.point, member.since = self.points.draw(self.dice, taken, *family), time.monotonic()
            text, file = self.points.setting(member.point), self.folders.control / f"{member.name}.point"
            if member is self.daemon:
                name, _, chance = text.partition(":")
                text = json.dumps({"die_at": name, "probability": float(chance)} if name else {})
                file = self.folders.spool / "faults.json"
            fresh = file.with_suffix(".new")
            fresh.write_text(f"{text}\n" if text else "")
            fresh.rename(file)

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
        work(seed, self.folders.control / f"{member.name}.point")

    def _start_daemon(self) -> None:
        from integrations.batch import local

        argv = [sys.executable, "-S", "-E", "-s", "-B", str(local.DAEMON), "serve", "--spool", str(self.folders.spool),
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


def work(seed: int, told: Path) -> None:
    """Run all loops in turn until SIGTERM, as the tasks of a queue worker do, each error ending one pass only.

    `told` names the crash point of the moment; what it was at the end lies beside it, with the ending `.now`.
    """
    from django.db import close_old_connections

    from core import crashpoints, loops

    crashpoints._random.seed(seed)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    due = dict.fromkeys(NETS, time.monotonic() + 1.0)
    os.environ["POMS_CRASHPOINT"] = ""
    told.with_suffix(".now").unlink(missing_ok=True)
    turn = seed % len(LOOPS)
    while not stop:
        point = told.read_text().strip() if told.exists() else ""
        if point != os.environ["POMS_CRASHPOINT"]:
            told.with_suffix(".now").write_text(point)
            os.environ["POMS_CRASHPOINT"] = point
            family = point.partition(".")[0].replace("shim", "launch")
            turn = LOOPS.index(family) if family in LOOPS else turn
        did = 0
        # Not always the same first, or one that dies early and often would never come to the last.
        for name in (*LOOPS[turn:], *LOOPS[:turn], *(net for net in NETS if due[net] <= time.monotonic())):
            close_old_connections()
            try:
                did += loops.run(name, budget=1.5)
            except Exception:
                print(f"PASS FAILED {name}", flush=True)
                traceback.print_exc()
            if name in NETS:
                due[name] = time.monotonic() + NETS[name]
            if stop:
                return
        if not did:
            time.sleep(IDLE_SECONDS)
