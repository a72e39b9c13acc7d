"""The daemon: picks jobs, forks their runners, finds runners that died, answers questions.

It keeps nothing that the log does not hold, so it may be killed at any moment; runners go on without it, and
the next daemon finds them by the locks on their sandboxes.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import tempfile
import time
from collections import Counter
from typing import Any

from . import processes
from .answers import BadRequest, answer
from .book import RUNNING, Book, Job, manifest_name
from .faults import Faults
from .log import Log, complain
from .runner import NUDGE, RUNNER_NAME, Start, mark_of, run_detached, sandbox_of

SLOTS_A_NODE = 4
LARGEST_REQUEST = 16 << 20
MOST_CLIENTS = 200
PATIENCE_S = 5.0
ENDING_S = 10.0
HANGING_S = 60.0
PATROL_S = 1.0
BLOCKED_LOOKED_AT = 1000
FALSE_STARTS = 12
FOLDER = "poms-local-"


class Client:
    """One connection: one request in, one answer out."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.answer = memoryview(b"")
        self.mute = False
        self.until = time.monotonic() + PATIENCE_S


class Daemon:
    """One daemon on one spool."""

    def __init__(self, spool: str, slots: int, site: str, memory_mb: float | None, end_jobs: bool) -> None:
        self.spool = spool
        self.slots = slots
        self.site = site
        self.memory_mb = memory_mb
        self.end_jobs = end_jobs
        self.started = time.time()
        self.log = Log(spool)
        self.faults = Faults(spool)
        self.log.after_append = self.faults.point
        self.book = Book(self.log)
        self.nodes = {
            f"{site}-{number // SLOTS_A_NODE + 1:02d}": min(SLOTS_A_NODE, slots - number)
            for number in range(0, slots, SLOTS_A_NODE)
        }
        # Runners that this daemon forked and has not yet waited for, and where it put them.
        self.children: dict[int, Job] = {}
        self.placed: dict[Job, str] = {}
        # Jobs whose runner ended before it began: how often, and when to try again.
        self.false_starts: dict[Job, tuple[int, float]] = {}
        self.selector = selectors.DefaultSelector()
        self.clients: set[Client] = set()
        self.ending = False
        self.next_patrol = 0.0
        self.document = functools.lru_cache(maxsize=8)(self.book.document)
        self.errors = os.open(
            os.path.join(spool, "runners.err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )

    # -- life ----------------------------------------------------------------------------------------------

    def serve(self) -> int:
        """Serve until told to end; return the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {NUDGE})
        self._hear_signals()
        self._hear_bell()
        self.book.catch_up()
        # What the log held is there to stay: collecting need never look at it again.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        self._open_socket()
        try:
            while not self.ending:
                self._turn(PATROL_S)
            return self._end_all_jobs() if self.end_jobs else 0
        finally:
            self._close_socket()

    def _turn(self, timeout: float, start_jobs: bool = True) -> None:
        """Do whatever is to be done, then wait for the next thing."""
        wait = timeout
        try:
            self._reap()
            self.book.catch_up()
            if time.monotonic() >= self.next_patrol:
                self.next_patrol = time.monotonic() + PATROL_S
                self._patrol()
            if start_jobs:
                wait = min(wait, self._start_jobs())
        except OSError as error:
            # A full disk, no more processes: nothing is lost, the log says what is still to do.
            complain(f"the queue stands still: {error}")
        for key, events in self.selector.select(wait):
            try:
                key.data(events)
            except OSError as error:
                complain(f"a client could not be served: {error}")

    def _end_all_jobs(self) -> int:
        until = time.monotonic() + ENDING_S
        self.selector.unregister(self.listener)
        while time.monotonic() < until:
            self._turn(0.05, start_jobs=False)
            if not self.book.active and not self.children:
                return 0
            with self.log:
                self.book.catch_up_held()
                stop = [job for job in self.book.active if job.state in RUNNING]
                for job in stop:
                    self.log.append("remove", {"job": job.id, "reason": "the batch system was ended"})
            self.book.catch_up()
            for job in stop:
                self.stop_runner(job)
        complain(f"{len(self.book.active)} jobs would not end")
        return 1

    def _hear_signals(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._wakeup = (ours, theirs)

        def heard(_: int) -> None:
            numbers = ours.recv(4096)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                self.ending = True

        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.selector.register(ours, selectors.EVENT_READ, heard)

    def _hear_bell(self) -> None:
        path = os.path.join(self.spool, "bell")
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Open for writing too, so that it never reports an end of file between two ringers.
        bell = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector.register(bell, selectors.EVENT_READ, lambda _: os.read(bell, 65_536))

    # -- jobs ----------------------------------------------------------------------------------------------

    def _start_jobs(self) -> float:
        """Fork runners while slots are free; return in how many seconds to try again at the latest."""
        busy = self.book.active | set(self.placed)
        used = Counter(self.placed.get(job) or job.node for job in busy)
        memory = sum(job.wants_mb for job in busy)
        free, blocked, soon = self.slots - len(busy), 0, PATROL_S
        if free <= 0:
            return soon
        chosen: list[tuple[Job, str]] = []
        impossible: list[tuple[Job, str]] = []
        now = time.monotonic()
        for job in self.book.waiting():
            if len(chosen) == free or blocked > BLOCKED_LOOKED_AT:
                break
            why = self._never_fits(job)
            if why:
                impossible.append((job, why))
                continue
            not_before = self.false_starts.get(job, (0, 0.0))[1]
            node = self._node_for(job, used)
            too_much = self.memory_mb and memory + job.wants_mb > self.memory_mb
            if job in busy or not_before > now or not node or too_much:
                blocked += 1
                soon = min(soon, not_before - now) if not_before > now else soon
                continue
            used[node] += 1
            memory += job.wants_mb
            chosen.append((job, node))
        for job, why in impossible:
            self._hold(job, why)
        for job, node in chosen:
            self._start(job, node)
        return soon

    def _never_fits(self, job: Job) -> str | None:
        if job.avoids and set(self.nodes) <= set(job.avoids):
            return "it avoids every node of this site"
        if self.memory_mb and job.wants_mb > self.memory_mb:
            return f"it asks for {job.wants_mb:g} MiB, the site has {self.memory_mb:g} MiB"
        return None

    def _node_for(self, job: Job, used: Counter[str | None]) -> str | None:
        wished = job.cluster.avoids
        others = not wished or any(node not in wished and node not in job.avoids for node in self.nodes)
        for node, slots in self.nodes.items():
            if used[node] < slots and node not in job.avoids and not (others and node in wished):
                return node
        return None

    def _start(self, job: Job, node: str) -> None:
        self.faults.refresh()
        self.faults.point("daemon.after_pick")
        start = Start(
            spool=self.spool,
            job_id=job.id,
            document=self.document(job.cluster),
            proc=job.proc,
            starts=job.starts + 1,
            node=node,
            position=self.book.position,
        )
        pid = os.fork()
        if pid == 0:
            run_detached(start, self.errors)
        self.faults.point("daemon.after_fork")
        self.children[pid] = job
        self.placed[job] = node

    def _hold(self, job: Job, why: str) -> None:
        """Hold a job that cannot start, unless something happened to it meanwhile."""
        with self.log:
            self.book.catch_up_held()
            if job.state == "idle":
                self.log.append("hold", {"job": job.id, "reason": why})
        self.book.catch_up()

    def _reap(self) -> None:
        """Wait for runners that ended; most have written everything themselves."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self.children.pop(pid)
            self.placed.pop(job)
            self.book.catch_up()
            if job in self.book.active and job.pid == pid:
                self._settle(job)
            elif job.state == "idle" and job.pid != pid:
                self._count_false_start(job)
            else:
                self.false_starts.pop(job, None)

    def _count_false_start(self, job: Job) -> None:
        """Slow down for a job whose runner ended before it began: killed, beaten by another, in trouble."""
        count = self.false_starts.get(job, (0, 0.0))[0] + 1
        self.false_starts[job] = count, time.monotonic() + min(0.02 * 2**count, 1.0)
        if count >= FALSE_STARTS:
            del self.false_starts[job]
            self._hold(job, f"its runner could not begin {count} times; see runners.err in the spool")

    def _patrol(self) -> None:
        """Look after runners of earlier daemons, runners that have been told to stop, and slow clients."""
        self._drop_slow_clients()
        for job in list(self.book.active):
            if self.children.get(job.pid) is not job and not self._runner_lives(job):
                self._settle(job)
            elif job.state not in RUNNING:
                self.stop_runner(job)

    def _runner_lives(self, job: Job) -> bool:
        try:
            folder = os.open(self._sandbox(job), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            # The job has deleted its own sandbox; a lock on what is gone cannot be asked for.
            return processes.name_of(job.pid) == RUNNER_NAME
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    def stop_runner(self, job: Job) -> None:
        """Tell the runner of a job to look into the log; if it is gone, the next patrol finds that."""
        try:
            runner = os.pidfd_open(job.pid)
        except ProcessLookupError:
            return
        try:
            # The lock is still held, so this process is still the runner that wrote its pid into the log.
            if self._runner_lives(job):
                signal.pidfd_send_signal(runner, NUDGE)
        except ProcessLookupError:
            return
        finally:
            os.close(runner)

    def _settle(self, job: Job) -> None:
        """Write the end of a job whose runner is gone, unless the runner wrote it just before."""
        sandbox = self._sandbox(job)
        self.book.catch_up()
        pid = job.pid
        if job not in self.book.active:
            return
        left = processes.end_marked(mark_of(sandbox))
        if left:
            complain(f"processes of {job.id} that cannot be killed: {left}")
        asked = self.document(job.cluster)["jobs"][job.proc]
        if asked["output_dir"]:
            # Written but never confirmed by an end event: it must not look like a result.
            name = manifest_name(job.cluster.uuid, job.cluster.number, job.proc)
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(asked["output_dir"], name))
            except OSError as error:
                complain(f"a manifest of {job.id} that does not count is left: {error}")
        with self.log:
            self.book.catch_up_held()
            if job not in self.book.active or job.pid != pid:
                return
            if job.state in RUNNING:
                reason = "its runner vanished"
                self.log.append(
                    "end",
                    {
                        "job": job.id,
                        "state": "failed",
                        "exit_code": None,
                        "signal": None,
                        "code": "runner_vanished",
                        "reason": reason,
                        "memory_mb": None,
                        "cpu_s": None,
                        "wall_s": None,
                        "outputs": 0,
                        "manifest": None,
                    },
                )
            else:
                self.log.append("stopped", {"job": job.id})
        self.book.catch_up()

    def _sandbox(self, job: Job) -> str:
        return sandbox_of(self.spool, job.cluster.number, job.proc)

    # -- answering -----------------------------------------------------------------------------------------

    def _open_socket(self) -> None:
        self._forget_former_socket()
        folder = tempfile.mkdtemp(prefix=FOLDER)
        if len(folder) > 90:
            # The path of a socket has room for about 100 bytes, and TMPDIR may be anywhere.
            os.rmdir(folder)
            folder = tempfile.mkdtemp(prefix=FOLDER, dir="/tmp")
        self.folder = folder
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.setblocking(False)
        address = os.path.join(folder, "s")
        self.listener.bind(address)
        self.listener.listen(128)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        path = os.path.join(self.spool, "daemon.json")
        with open(path + ".part", "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "socket": address, "started": self.started}, file)
        os.replace(path + ".part", path)

    def _forget_former_socket(self) -> None:
        """Remove the socket folder of a daemon that was killed."""
        try:
            with open(os.path.join(self.spool, "daemon.json"), encoding="utf-8") as file:
                folder = os.path.dirname(json.load(file)["socket"])
        except FileNotFoundError:
            return
        if os.path.basename(folder).startswith(FOLDER):
            shutil.rmtree(folder, ignore_errors=True)

    def _close_socket(self) -> None:
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.spool, "daemon.json"))

    def _accept(self, _: int) -> None:
        self._drop_slow_clients()
        while True:
            try:
                connection, _address = self.listener.accept()
            except BlockingIOError:
                return
            if len(self.clients) >= MOST_CLIENTS:
                connection.close()
                continue
            connection.setblocking(False)
            client = Client(connection)
            self.clients.add(client)
            self.selector.register(connection, selectors.EVENT_READ, functools.partial(self._hear, client))

    def _drop_slow_clients(self) -> None:
        now = time.monotonic()
        for client in [client for client in self.clients if client.until < now]:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        self.clients.discard(client)
        self.selector.unregister(client.connection)
        client.connection.close()

    def _hear(self, client: Client, _: int) -> None:
        if client not in self.clients:
            return  # dropped while this event was on its way
        try:
            part = client.connection.recv(1 << 20)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            part = b""
        if client.mute:
            if not part:
                self._drop(client)
            return
        client.received += part
        if len(client.received) > LARGEST_REQUEST:
            too_large = f"the request is larger than {LARGEST_REQUEST >> 20} MiB"
            self._say(client, _error("bad_request", too_large))
        elif b"\n" in part or (not part and client.received):
            self._answer(client, bytes(client.received))
        elif not part:
            self._drop(client)

    def _answer(self, client: Client, line: bytes) -> None:
        self.faults.refresh()
        fault = self.faults.answer()
        said = _error("unavailable", "told so by faults.json") if fault == "refuse" else self._result(line)
        if fault == "hang":
            client.mute = True
            client.until = time.monotonic() + HANGING_S
            return
        if fault == "close":
            self._drop(client)
            return
        self._say(client, b'{"jobs": [{"id"\xff\n' if fault == "garbage" else said)

    def _result(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return _error("bad_request", f"the request is not JSON: {error}")
        try:
            return _line(answer(self, request))
        except BadRequest as error:
            return _error("bad_request", str(error))
        except OSError as error:
            return _error("unavailable", str(error))

    def _say(self, client: Client, said: bytes) -> None:
        client.answer = memoryview(said)
        client.until = time.monotonic() + PATIENCE_S
        self.selector.modify(client.connection, selectors.EVENT_WRITE, functools.partial(self._send, client))
        self._send(client, 0)

    def _send(self, client: Client, _: int) -> None:
        try:
            client.answer = client.answer[client.connection.send(client.answer) :]
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            self._drop(client)
            return
        client.until = time.monotonic() + PATIENCE_S
        if not client.answer:
            self._drop(client)


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n"


def _error(kind: str, detail: str) -> bytes:
    return _line({"error": kind, "detail": detail})


def _only_daemon(spool: str) -> bool:
    """Take the lock of the one daemon of a spool, for as long as this process lives."""
    lock = os.open(os.path.join(spool, "daemon.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A runner forked by a daemon that was killed at that moment needs an instant to let go of its copy.
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    os.close(lock)
    return False


def main(arguments: list[str]) -> int:
    """Serve a spool; exit code 3 when another daemon does."""
    parser = argparse.ArgumentParser(prog="local_daemon serve", description="Run the jobs of a spool.")
    parser.add_argument("--spool", required=True, help="folder of the queue; made if it is not there")
    parser.add_argument("--slots", type=int, required=True, help="how many jobs run at once")
    parser.add_argument("--site", default="local", help="name of the site; nodes are named after it")
    parser.add_argument("--memory-mb", type=float, help="memory of the whole site; no limit if not given")
    parser.add_argument("--end-jobs", action="store_true", help="on SIGTERM end running jobs too")
    told = parser.parse_args(arguments)
    if told.slots < 1:
        parser.error("--slots must be at least 1")
    spool = os.path.abspath(told.spool)
    os.makedirs(os.path.join(spool, "jobs"), 0o700, exist_ok=True)
    if not _only_daemon(spool):
        complain(f"another daemon serves {spool}")
        return 3
    return Daemon(spool, told.slots, told.site, told.memory_mb, told.end_jobs).serve()
