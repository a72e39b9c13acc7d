"""What Linux tells of processes: a tree by parentage, the memory it holds, and how to end all of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PAGE = os.sysconf("SC_PAGESIZE")
_MIB = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)

# A process may end between two looks at it; that is never an error here.
_gone = contextlib.suppress(FileNotFoundError, ProcessLookupError)


def _prctl(option: int, value: int | bytes) -> None:
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    nought = ctypes.c_ulong(0)
    if _libc.prctl(option, argument, nought, nought, nought):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends, so that none can slip away."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def name_process(name: str) -> None:
    """Set the name that process lists show (at most 15 characters)."""
    _prctl(_PR_SET_NAME, name.encode("ascii"))


def name_of(pid: int) -> str:
    """Return the name that a process goes by, empty if there is none."""
    with _gone, open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().rstrip("\n")
    return ""


_KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with _gone:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with _gone, open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(map(int, file.read().split()))
    return found


def _all_parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with _gone, open(f"/proc/{name}/stat", "rb") as file:
                yield int(name), int(file.read().rpartition(b")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, parents before children."""
    below: dict[int, list[int]] = {}
    if not _KERNEL_LISTS_CHILDREN:
        for child, parent in _all_parents():
            below.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        children = _children(parent) if _KERNEL_LISTS_CHILDREN else below.get(parent, [])
        found.extend(children)
        todo.extend(children)
    return found


def own_memory_mb() -> float:
    """Return the memory this process holds, in MiB."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE / _MIB


def memory_mb(pids: list[int]) -> float:
    """Estimate what the processes hold together, in MiB; pages they share with files count once.

    Cheap, and never too low; memory that a parent shares with its forks is counted for each of them. Where it
    matters ask `exact_memory_mb`.
    """
    private = shared = 0
    for pid in pids:
        with _gone, open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, of_files = map(int, file.read().split()[:3])
            private += resident - of_files
            shared = max(shared, of_files)
    return (private + shared) * _PAGE / _MIB


def exact_memory_mb(pids: list[int]) -> float:
    """Return what the processes hold together, in MiB, each shared page divided among those who share it."""
    kilobytes = 0
    closed = []
    for pid in pids:
        try:
            with _gone, open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                for line in file:
                    if line.startswith(b"Pss:"):
                        kilobytes += int(line.split()[1])
        except PermissionError:
            closed.append(pid)  # a set-uid program: only the rough account is open to us
    return kilobytes / 1024 + memory_mb(closed)


def kill(pids: list[int]) -> None:
    """Kill processes; those already gone, and set-uid programs that are not ours to kill, are no error."""
    for pid in pids:
        with _gone, contextlib.suppress(PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_descendants() -> None:
    """Kill everything below this process and wait until nothing is left; needs `adopt_orphans` before."""
    pause = 0.001
    while True:
        kill(descendants(os.getpid()))
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(pause)
                pause = min(2 * pause, 0.1)
        except ChildProcessError:
            return


def marked(mark: bytes) -> list[int]:
    """Return the processes started with `mark` (NAME=value) in their environment, as far as we may look."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        # Not ours to read means not ours at all.
        with _gone, contextlib.suppress(PermissionError), open(f"/proc/{name}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                found.append(int(name))
    return found


def end_marked(mark: bytes, patience: float = 2.0) -> list[int]:
    """Kill the marked processes; return those that are still there after `patience` seconds."""
    until = time.monotonic() + patience
    while left := marked(mark):
        if time.monotonic() > until:
            break
        kill(left)
        time.sleep(0.005)
    return left
