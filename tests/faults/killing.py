"""Finds this run's processes in /proc by what they are, and kills them at random."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# What is killed, how often relative to each other.
WEIGHTS = {
    "worker": 20, "worker_tree": 15, "shim_call": 10, "supervisor": 18, "script": 14, "submit": 8, "daemon": 7,
    "runner": 12, "job": 4,
}  # fmt: skip
# Of the kills that are still to come so many may be preferred to the next one, if only they find their target now.
REACH = 12
# Of these rather the oldest: it hangs, or its script does, and whoever dies then leaves something alive behind.
LINGERING = ("supervisor", "script")
# Who is stopped for a while and then goes on, past its lease, and how often relative to each other.
PAUSES = {"shim_call": 8, "worker": 6, "supervisor": 3, "script": 3}
LONGEST_PAUSE = 4.0


@dataclass(frozen=True)
class Seen:
    """One living process of this run."""

    pid: int
    parent: int
    kind: str


def processes(root: Path, workers: frozenset[int] = frozenset(), daemon: int = 0) -> list[Seen]:
    """Return this run's processes: the workers and the daemon, which are our children, and what they started."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        try:
            if pid in workers:
                found.append(Seen(pid, os.getpid(), "worker"))
            elif kind := kind_of(root, pid):
                found.append(Seen(pid, _parent(pid), "daemon" if pid == daemon else kind))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile
    return found


def _words(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").split(b"\0")


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


def kind_of(root: Path, pid: int) -> str:
    """Tell what a process of the run below `root` is by its command line; empty for anybody else's.

    Forks keep the command line of their parent until they execute something else.
    """
    words = _words(pid)
    home = os.fsencode(root)
    if home + b"/host" in words:  # the shim is imported from there
        # A supervisor has gone to the root folder, its fork that becomes the script to the launch's.
        folder = os.readlink(f"/proc/{pid}/cwd")
        return "supervisor" if folder == "/" else "script" if "/launches/" in folder else "shim_call"
    if home + b"/host/local_daemon/__main__.py" in words:
        return "submit" if b"submit" in words else "runner"
    if home + b"/control" in words:
        return "job" if words[1:2] == [b"-c"] else "script"
    return ""


class Killer:
    """Kills by its own dice, and keeps count by kind."""

    def __init__(self, root: Path, seed: int, kills: int) -> None:
        self.root = root
        self.dice = random.Random(seed)
        self.by_kind: Counter[str] = Counter()
        self.killed: set[int] = set()
        self.pauses: Counter[str] = Counter()
        self.paused: list[tuple[float, Seen]] = []
        self.deck = self.dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills)

    @property
    def count(self) -> int:
        """Return how many kills there have been; a whole tree is one."""
        return sum(self.by_kind.values())

    def kill_one(self, workers: frozenset[int], daemon: int, *, choosy: bool = True) -> str:
        """Kill what the dice had laid down to be next, or the first after it that lives now; return its kind.

        Scripts live for milliseconds and workers for ever: without this order only workers would be killed.
        """
        seen = processes(self.root, workers, daemon)
        by_kind: dict[str, list[Seen]] = {}
        for entry in sorted(seen, key=lambda entry: entry.pid):
            by_kind.setdefault(entry.kind, []).append(entry)
        # Prefer a worker whose shim is at work: that is the moment that matters.
        calling = {entry.parent for entry in by_kind.get("shim_call", ())}
        ours = by_kind.get("worker", [])
        by_kind["worker_tree"] = [entry for entry in ours if entry.pid in calling] or ours
        for place, kind in enumerate(self.deck[: REACH if choosy else None]):
            targets = by_kind.get(kind)
            if targets and kind in LINGERING and self.dice.random() < 0.7:
                targets = targets[:1]
            if targets and self._strike(self.dice.choice(targets), seen, tree=kind == "worker_tree"):
                del self.deck[place]
                self.by_kind[kind] += 1
                return kind
        return ""

    def pause_one(self, workers: frozenset[int], daemon: int) -> None:
        """Stop something for longer than a lease; the worker that waits for a stopped shim may die meanwhile."""
        kind = self.dice.choices(list(PAUSES), list(PAUSES.values()))[0]
        seen = processes(self.root, workers, daemon)
        targets = sorted((entry for entry in seen if entry.kind == kind), key=lambda entry: entry.pid)
        if not targets:
            return
        target = self.dice.choice(targets)
        if self._send(target, signal.SIGSTOP):
            self.pauses[kind] += 1
            self.paused.append((time.monotonic() + self.dice.uniform(0.5, LONGEST_PAUSE), target))
            caller = next((entry for entry in seen if entry.pid == target.parent and entry.kind == "worker"), None)
            if kind == "shim_call" and caller and self.dice.random() < 0.6 and self.kill(caller):
                self.by_kind["worker_of_a_paused_shim"] += 1

    def resume(self, *, everybody: bool = False) -> None:
        """Let those go on whose pause is over."""
        due = [entry for entry in self.paused if everybody or entry[0] <= time.monotonic()]
        self.paused = [entry for entry in self.paused if entry not in due]
        for _, target in due:
            self._send(target, signal.SIGCONT)

    def _strike(self, target: Seen, seen: list[Seen], *, tree: bool) -> bool:
        if not tree:
            return self.kill(target)
        doomed, grown = {target.pid}, True
        while grown:
            more = {entry.pid for entry in seen if entry.parent in doomed} - doomed
            doomed |= more
            grown = bool(more)
        # The worker first, or it would see its shim die and write that down.
        hit = self.kill(target)
        for entry in seen:
            if entry.pid in doomed - {target.pid}:
                self.kill(entry)
        return hit

    def kill(self, target: Seen) -> bool:
        """Kill one process if it still is what it was; tell whether it was hit."""
        hit = self._send(target, signal.SIGKILL)
        if hit:
            self.killed.add(target.pid)
        return hit

    def _send(self, target: Seen, number: int) -> bool:
        try:
            handle = os.pidfd_open(target.pid)
        except ProcessLookupError:
            return False
        try:
            # The number cannot be given away while we hold the handle: look again, then strike.
            if target.kind != "worker" and not kind_of(self.root, target.pid):
                return False
            signal.pidfd_send_signal(handle, number)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        finally:
            os.close(handle)
        return True
