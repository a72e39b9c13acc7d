"""One job from stage-in to its end, in a process of its own that outlives the daemon.

The runner holds a `flock` on the sandbox folder for as long as it lives, and writes each phase to the log
itself, each time only if the log holds nothing new that forbids it. So a job starts at most once between two
releases, whoever is killed when, and the end of a job never overrules what was commanded before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import gc
import json
import os
import resource
import shutil
import signal
import stat
import sys
import time
import zlib
from typing import Any, NoReturn

from . import processes
from .book import manifest_name
from .faults import Faults
from .log import Log, ring

NUDGE = signal.SIGUSR1
RUNNER_NAME = "poms-runner"
POLL_S = 0.1
COPY = 1 << 20
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
NOT_PASSED_ON = ("POMS_CRASHPOINT", "POMS_CRASH_SEED")
NOT_OUTPUTS = ("out", "err", "outputs.json")


class Start:
    """What the daemon tells the runner: which job, its document, and up to where the daemon knew the log."""

    def __init__(
        self,
        *,
        spool: str,
        job_id: str,
        document: dict[str, Any],
        proc: int,
        starts: int,
        node: str,
        position: int,
    ) -> None:
        self.spool = spool
        self.job_id = job_id
        self.uuid: str = document["uuid"]
        self.cluster: int = document["cluster"]
        self.proc = proc
        self.asked: dict[str, Any] = document["jobs"][proc]
        self.starts = starts
        self.node = node
        self.position = position

    @property
    def sandbox(self) -> str:
        """The folder in which the job runs."""
        return sandbox_of(self.spool, self.cluster, self.proc)


def sandbox_of(spool: str, cluster: int, proc: int) -> str:
    """Return the folder of a job."""
    return os.path.join(spool, "jobs", f"{cluster}.{proc}")


def mark_of(sandbox: str) -> bytes:
    """Return what every process of a job has in its environment."""
    return b"POMS_SANDBOX=" + os.fsencode(sandbox)


class Stopped(Exception):
    """The log says that this job is to be held or removed, or (`buried`) that its runner is dead already."""

    def __init__(self, buried: bool) -> None:
        super().__init__(buried)
        self.buried = buried


class Failed(Exception):
    """The job cannot succeed: `code` for machines, the text for people."""

    def __init__(self, code: str, reason: str, killed: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.signal = int(signal.SIGKILL) if killed else None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def run_detached(start: Start, errors: int) -> NoReturn:
    """Become the runner of a job, in a fresh fork of the daemon; messages go to the file `errors`."""
    code = 1
    try:
        _detach(errors)
        code = Runner(start).run()
    finally:
        # Never back into the daemon's code, of which this process is a copy.
        try:
            if sys.exc_info()[0] is not None:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
        finally:
            os._exit(code)


def _detach(errors: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, NUDGE})
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    # Above all the daemon's own lock: while a runner had it open, no other daemon could start.
    os.closerange(3, 1 << 20)
    # Collecting would write into memory still shared with the daemon, and so copy it.
    gc.disable()
    processes.adopt_orphans()
    processes.name_process(RUNNER_NAME)


class Runner:
    """The life of one start of one job."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.asked = start.asked
        self.sandbox = start.sandbox
        self.log = Log(start.spool)
        self.faults = Faults(start.spool)
        self.log.after_append = self.faults.point
        self.position = start.position
        self.needle = f'"job":"{start.job_id}"'.encode("ascii")
        self.peak_mb = 0.0
        self.wall_s = 0.0
        self.written: list[str] = []

    def run(self) -> int:
        """Run the job to its end; 0 also when it is not ours to run."""
        if not self._take_sandbox() or not self._begin():
            return 0
        try:
            outcome = self._outcome()
            self.faults.point("runner.before_end")
            self._append("end", **outcome)
        except Stopped as stopped:
            processes.end_descendants()
            self._withdraw()
            if not stopped.buried:
                with self.log:
                    self.log.append("stopped", {"job": self.start.job_id, **self._used()})
        ring(self.start.spool)
        return 0

    # -- the log -------------------------------------------------------------------------------------------

    def _news(self, data: bytes) -> list[dict[str, Any]]:
        self.position += len(data)
        if self.needle not in data:
            return []
        events = [json.loads(line) for line in data.splitlines() if self.needle in line]
        mine = [event for event in events if event.get("job") == self.start.job_id]
        return [event for event in mine if event["event"] != "prio"]

    def _look(self, held: bool = False) -> list[dict[str, Any]]:
        """Return what the log newly says about this job."""
        news: list[dict[str, Any]] = []
        while data := self.log.read(self.position, held=held):
            news += self._news(data)
        return news

    def _stop_if_told(self, held: bool = False) -> None:
        told = {event["event"] for event in self._look(held)}
        if told & {"hold", "remove", "end", "stopped"}:
            raise Stopped(buried=bool(told & {"end", "stopped"}))

    def _append(self, event: str, **fields: Any) -> None:
        """Write an event of this job, unless the log says meanwhile that it is to stop."""
        self._stop_if_told()
        with self.log:
            self._stop_if_told(held=True)
            self.log.append(event, {"job": self.start.job_id, **fields})
            self.position = self.log.end

    def _heed(self) -> None:
        """Look into the log if the daemon nudged us."""
        if signal.sigtimedwait({NUDGE}, 0):
            self._stop_if_told()

    # -- the phases ----------------------------------------------------------------------------------------

    def _take_sandbox(self) -> bool:
        os.makedirs(self.sandbox, 0o700, exist_ok=True)
        # The folder itself is locked: a job can delete any file in it, but not it.
        folder = os.open(self.sandbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _begin(self) -> bool:
        """Write `stage_in`, if the job is still as the daemon saw it when it picked it."""
        if self._look():
            return False
        with self.log:
            if self._look(held=True):
                return False
            self.log.append(
                "stage_in",
                {
                    "job": self.start.job_id,
                    "starts": self.start.starts,
                    "node": self.start.node,
                    "pid": os.getpid(),
                },
            )
            self.position = self.log.end
        return True

    def _outcome(self) -> dict[str, Any]:
        exit_code = by_signal = None
        try:
            self._stage_in()
            exit_code, by_signal = self._process()
            if by_signal is not None:
                raise Failed("signal", f"ended by signal {by_signal}")
            if exit_code:
                raise Failed("exit", f"ended with exit code {exit_code}")
            result = {"outputs": 0, "manifest": None} | self._stage_out()
            return {
                "state": "succeeded",
                "exit_code": 0,
                "signal": None,
                "code": None,
                **result,
                **self._used(),
            }
        except Failed as failed:
            code, reason, by_signal = failed.code, str(failed), by_signal or failed.signal
        except OSError as error:
            code, reason = "runner_error", str(error)
        processes.end_descendants()
        self._withdraw()
        return {
            "state": "failed",
            "exit_code": exit_code,
            "signal": by_signal,
            "code": code,
            "reason": reason,
            "outputs": 0,
            "manifest": None,
            **self._used(),
        }

    def _used(self) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            # A job may be gone before anybody could look.
            "memory_mb": round(self.peak_mb, 1) or None,
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "wall_s": round(self.wall_s, 3),
        }

    def _stage_in(self) -> None:
        for entry in os.scandir(self.sandbox):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        for item in self.asked["inputs"]:
            source = item["path"]
            try:
                if not stat.S_ISREG(os.stat(source).st_mode):
                    raise Failed("input_missing", f"input {item['name']} is not a file: {source}")
                self._copy(source, os.path.join(self.sandbox, item["name"]))
            except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
                raise Failed("input_missing", f"input {item['name']}: {error}") from error

    def _copy(self, source: str, target: str) -> tuple[int, str]:
        """Copy a file under a passing name, then rename it; return its size and checksum."""
        folder, name = os.path.split(target)
        passing = os.path.join(folder, f".{name}.{self.start.cluster}.{self.start.proc}.part")
        adler, size = 1, 0
        try:
            with open(source, "rb", buffering=0) as from_file, open(passing, "wb", buffering=0) as to_file:
                os.fchmod(to_file.fileno(), stat.S_IMODE(os.fstat(from_file.fileno()).st_mode) | stat.S_IWUSR)
                while chunk := from_file.read(COPY):
                    adler = zlib.adler32(chunk, adler)
                    size += len(chunk)
                    while chunk:
                        chunk = chunk[to_file.write(chunk) :]
                    self._heed()
            os.replace(passing, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(passing)
            raise
        return size, f"adler32:{adler:08x}"

    def _process(self) -> tuple[int | None, int | None]:
        """Run the job's command; return its exit code and signal, one of them None."""
        self._append("execute", pid=os.getpid())
        self.faults.point("runner.before_exec")
        began = time.monotonic()
        # Our fork counts as memory of the job until it has become the job; that must not be held against it.
        not_its_own = processes.own_memory_mb() * 1.05 + 2
        child = self._fork_and_exec()
        self.faults.point("runner.after_exec")
        try:
            status = self._watch(child, began)
        finally:
            self.wall_s = time.monotonic() - began
        processes.end_descendants()
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        if largest > not_its_own:
            self.peak_mb = max(self.peak_mb, largest)
        limit = self.asked["memory_mb"]
        if limit and self.peak_mb > limit:
            raise Failed("memory", f"held {self.peak_mb:.0f} MiB of the {limit:g} MiB asked for")
        if os.WIFSIGNALED(status):
            return None, os.WTERMSIG(status)
        return os.WEXITSTATUS(status), None

    def _fork_and_exec(self) -> int:
        told, tell = os.pipe2(os.O_CLOEXEC)
        runner = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                self._become_the_job(runner)
            except (OSError, ValueError) as error:
                os.write(tell, str(error).encode("utf-8", "replace"))
            finally:
                os._exit(127)
        os.close(tell)
        with open(told, "rb") as pipe:
            trouble = pipe.read()
        if trouble:
            raise Failed("exec_failed", f"cannot be started: {trouble.decode('utf-8')}")
        return child

    def _become_the_job(self, runner: int) -> None:
        os.setsid()
        processes.die_with(runner)
        os.chdir(self.sandbox)
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            os.dup2(file, number)
            os.close(file)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        argv = self.asked["argv"]
        os.execvpe(argv[0], argv, self._environment())  # noqa: S606 - no shell is the point

    def _environment(self) -> dict[str, str]:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment.update(self.asked["env"])
        for name in NOT_PASSED_ON:
            environment.pop(name, None)
        if self.asked["memory_mb"]:
            environment["POMS_MEMORY_MB"] = f"{self.asked['memory_mb']:g}"
        return environment | {
            "POMS_JOB_ID": self.start.job_id,
            "POMS_JOB_INDEX": str(self.asked["index"]),
            "POMS_STARTS": str(self.start.starts),
            "POMS_SUBMISSION_ID": self.start.uuid,
            "POMS_NODE": self.start.node,
            "POMS_SANDBOX": self.sandbox,
        }

    def _watch(self, child: int, began: float) -> int:
        """Wait for the job while keeping it to its limits; return its wait status."""
        wall = self.asked["wall_s"]
        self._weigh()
        while True:
            heard = signal.sigtimedwait({signal.SIGCHLD, NUDGE}, POLL_S)
            if heard and heard.si_signo == NUDGE:
                self._stop_if_told()
            status = self._reap(child)
            if status is not None:
                return status
            if wall and time.monotonic() - began > wall:
                raise Failed("wall", f"ran longer than the {wall:g} s asked for", killed=True)
            if not heard:
                self._weigh()

    def _weigh(self) -> None:
        """Look at the memory of everything the job has started."""
        tree = processes.descendants(os.getpid())
        limit, memory = self.asked["memory_mb"], processes.memory_mb(tree)
        if limit and memory > limit and len(tree) > 1:
            memory = processes.exact_memory_mb(tree)
        self.peak_mb = max(self.peak_mb, memory)
        if limit and memory > limit:
            raise Failed("memory", f"held {memory:.0f} MiB of the {limit:g} MiB asked for", killed=True)

    def _reap(self, child: int) -> int | None:
        """Take note of every process that ended or stopped; return the job's own wait status if it ended."""
        ended = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            if pid != child:
                continue
            if os.WIFSTOPPED(status):
                self._append("suspend")
            elif os.WIFCONTINUED(status):
                self._append("resume")
            else:
                ended = status

    # -- outputs -------------------------------------------------------------------------------------------

    def _stage_out(self) -> dict[str, Any]:
        self._append("stage_out")
        folder = self.asked["output_dir"]
        if folder is None:
            return {}
        try:
            told = self._told_outputs()
            os.makedirs(folder, exist_ok=True)
            outputs = [self._put(name, folder, told.get(name, {})) for name in self._output_names(told)]
            manifest = os.path.join(folder, manifest_name(self.start.uuid, self.start.cluster, self.start.proc))
            self._write_manifest(manifest, outputs)
        except OSError as error:
            raise Failed("output_failed", f"outputs cannot be copied: {error}") from error
        return {"outputs": len(outputs), "manifest": manifest}

    def _output_names(self, told: dict[str, Any]) -> list[str]:
        """Return the files that match the patterns; an input is none, unless `outputs.json` says so."""
        inputs = {item["name"] for item in self.asked["inputs"]}
        patterns = self.asked["output_patterns"]
        return sorted(
            entry.name
            for entry in os.scandir(self.sandbox)
            if entry.is_file(follow_symlinks=False)
            and entry.name not in NOT_OUTPUTS
            and (entry.name not in inputs or entry.name in told)
            and any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in patterns)
        )

    def _told_outputs(self) -> dict[str, dict[str, Any]]:
        """Return what the job says of its outputs in `outputs.json`, by name."""
        path = os.path.join(self.sandbox, "outputs.json")
        if not os.path.isfile(path):
            return {}
        try:
            with open(path, encoding="utf-8") as file:
                return {item["name"]: item for item in json.load(file, parse_constant=_no_constant)}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Failed("output_failed", f"outputs.json is not a list of objects with a name: {error}") from error

    def _put(self, name: str, folder: str, told: dict[str, Any]) -> dict[str, Any]:
        target = os.path.join(folder, name)
        size, checksum = self._copy(os.path.join(self.sandbox, name), target)
        self.written.append(target)
        entry = {
            "name": name,
            "path": target,
            "size": size,
            "checksum": checksum,
            "events": told.get("events"),
            "metadata": told.get("metadata") or {},
            "parents": told.get("parents") or [],
        }
        if "units" in told:
            entry["units"] = told["units"]
        return entry

    def _write_manifest(self, path: str, outputs: list[dict[str, Any]]) -> None:
        manifest = {
            "job": self.start.job_id,
            "uuid": self.start.uuid,
            "starts": self.start.starts,
            "units": self.asked["units"],
            "outputs": outputs,
        }
        folder, name = os.path.split(path)
        passing = os.path.join(folder, f".{name}.part")
        with open(passing, "w", encoding="utf-8") as file:
            json.dump(manifest, file)
        os.replace(passing, path)
        self.written.append(path)

    def _withdraw(self) -> None:
        """Take back what this start has already put into the output folder: it does not count."""
        for path in self.written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.written = []
