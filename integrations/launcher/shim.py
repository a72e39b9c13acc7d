"""Run launch scripts on a launch host, each at most once, and say afterwards what became of them.

One file without dependencies, for Python 3.6 and later on Linux (and, with weaker proofs, macOS):
`python3 -S -E -s -B shim.py start|status|stop|output|present|recent|plans|uploads|clear` reads one JSON document and
answers one. Exit 0, or 2 when the document is unusable, or 1 when it could not be answered (which is *unknown*, never
*absent*).

What it promises and how (reliability.md 1b, F17-F19):

* A launch never runs twice. A script is started only by a process which holds the exclusive flock on `lock`,
  found no `result.json`, found a smaller number in `attempt` (the very one, `after`, that the caller's last
  `status` saw, if it says so), found no living process of an earlier script's
  session, and has put the new number durably into `attempt`. The script and whatever it starts inherit the
  lock, so it is held as long as anything lives that could still submit; the supervisor holds it too, until
  `result.json` is in place, because sudo and Python's subprocess close inherited descriptors. A result is
  final: no attempt follows it.
* Kill -9 anywhere loses no knowledge: no `attempt` means that nothing ran; `attempt`, a free lock and no
  result mean that the script may have run (`vanished`), and whoever wants a new attempt must first ask the
  batch system.
* The script never meets SIGPIPE. Its stdout and stderr are a named pipe which it holds for reading and
  writing, so the death of the supervisor closes nothing. Up to one pipe (64 KiB) of further output waits
  there, and the next `status` or `start` that finds a script without supervisor starts another one, which
  reads on and keeps the wall limit. Only the exit code is lost, so such a launch ends as `vanished`.
* Output is bounded: the first MiB in `output.head`, the rest in the ring `output.tail`, everything counted.
* The submit wrapper (wrapper.py, beside this file) stands first on the script's PATH, whatever the set-up text did to
  that. It lies in `<home>/submit-<hash>`, by its content and interpreter, so that old and new ones do not disturb each
  other; whoever finds it there uses it.

The folder of a launch, `<home>/<uuid[:2]>/<uuid>/`, must lie on a disk of the launch host (flock and process
ids reach no further) and must not be deleted while its lock is held. Besides the files above it holds
`process` (who runs, for stop), `output.pipe`, `job_ids` (written by the submit command), `rescue` (the lock
of a replacement supervisor), `shim.error` (why a supervisor failed) and `uploads` (the sandbox: what its analyst
brought along, as UPLOADS; `clear` takes it away). What was brought is in `<home>/uploads/`, each file named by its
hash.
"""

import binascii
import errno
import fcntl
import gc
import json
import os
import select
import signal
import sys
import time

HEAD_BYTES = 1 << 20
TAIL_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16
# The ring is larger than the tail it promises, so that a reader is not overtaken by a fast script.
RING_BYTES = TAIL_BYTES + 12 * CHUNK_BYTES
RING_HEADER = b"POMS-RING1 %020d\n"
RING_START = len(RING_HEADER % 0)
PAGE_BYTES = 65536
DRAIN_BYTES = 16 << 20
JOB_IDS_BYTES = 16 << 20
UNUSED_SECONDS = 30 * 86400.0

LOCK_PAUSES = (0.0, 0.02, 0.03, 0.05, 0.1)
GRACE_SECONDS = 5.0
# Scripts use the low descriptors themselves (`exec 3>log`) and would close the lock unawares.
LOCK_DESCRIPTOR = 700

OWN_FILES = frozenset(
    b"lock attempt attempt.tmp result.json result.json.tmp process process.tmp "
    b"output.head output.tail output.pipe job_ids rescue shim.error uploads".split()
)

# The setup text runs without the script's arguments in "$@" (files it sources would take them for their own),
# and a text which ends the shell with success (exit 0, an open here-document) is no script that succeeded.
SETUP_BEFORE = """poms_argv=("$@"); set --
trap 'poms_code=$?; echo "poms: the set-up text ended before the script was started" >&2
test $poms_code = 0 && exit 125; exit $poms_code' EXIT
"""
SETUP_AFTER = """

POMS_SUBMIT_DIR=%s; export POMS_SUBMIT_DIR; PATH="$POMS_SUBMIT_DIR${PATH:+:$PATH}"; export PATH
exec "${poms_argv[@]}"
"""

# Under these names the submit wrapper stands on the script's PATH.
SUBMIT_COMMANDS = ("jobsub_submit", "condor_submit", "condor_submit_dag", "sbatch")
SUBMIT_WRAPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrapper.py")
# What every kernel takes as the first line of a program; a longer path, or one with a blank, is run through a shell.
SHEBANG_BYTES = 100

# After a set-up, the shell is asked for programs, none of which it runs; it answers on a descriptor of its own,
# because the set-up may print.
PRESENT_SECONDS = 20.0
PRESENT_AFTER = """
for poms_name in "${poms_argv[@]}"
do type -P -- "$poms_name" >/dev/null 2>&1 && printf '%s\\0' "$poms_name" >&"$POMS_ANSWER"
done
trap - EXIT
exit 0
"""

# What this interpreter, the supervisor or the caller may have set to be ignored.
DEFAULT_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXFSZ,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)

HAS_PROC = os.path.exists("/proc/self/stat")


class Unusable(Exception):
    """The whole document cannot be used."""


class Damaged(Exception):
    """A file of the launch's folder cannot be read as what it should be."""


class Settled(Exception):
    """A launch that is not started now: outcome, detail and the attempt that is recorded."""

    def __init__(self, outcome: str, detail: str, attempt: "int | None" = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.attempt = attempt


def crashpoint(name: str) -> None:
    """Die by SIGKILL if POMS_CRASHPOINT names this point (`name`, or `name:p` for the probability p)."""
    told = os.environ.get("POMS_CRASHPOINT")
    if not told:
        return
    point, _, probability = told.partition(":")
    if point != name:
        return
    if probability:
        seed = "%s %d %r" % (os.environ.get("POMS_CRASH_SEED", ""), os.getpid(), time.time())
        dice = binascii.crc32(seed.encode()) * 2654435761 % (1 << 32) / float(1 << 32)
        if dice >= float(probability):
            return
    os.kill(os.getpid(), 9)


# --------------------------------------------------------------------------------------------------- files


def as_bytes(text: str) -> bytes:
    """Return the bytes of a text of the document; U+DC80..U+DCFF stand for bytes outside UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def as_text(name: bytes) -> str:
    """Return a path for a message."""
    return name.decode("utf-8", "backslashreplace")


def write_all(fd: int, data: bytes) -> None:
    """Write all of data."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int) -> None:
    """Make a file or folder durable (POMS_SHIM_NOSYNC=1 leaves it out, for tests)."""
    if os.environ.get("POMS_SHIM_NOSYNC") != "1":
        os.fsync(fd)


def sync_folder(folder: bytes) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def create(path: bytes, mode: int = 0o600) -> int:
    """Open a file for writing from its beginning."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)


def remove(path: bytes) -> None:
    """Delete a file if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def read_bytes(path: bytes, limit: int) -> "bytes | None":
    """Return at most limit bytes of a file; None if there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        pieces = []
        while limit > 0:
            piece = os.read(fd, min(limit, 1 << 20))
            if not piece:
                break
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def read_object(path: bytes) -> "dict | None":
    """Return the JSON object of a file; None if there is no such file. Raises Damaged."""
    data = read_bytes(path, 64 << 20)
    if data is None:
        return None
    try:
        found = json.loads(data.decode("utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Damaged("%s cannot be read" % as_text(path))
    return found


def read_attempt(folder: bytes) -> "int | None":
    """Return the number of the last attempt; None if there was none. Raises Damaged."""
    recorded = read_object(folder + b"/attempt")
    if recorded is None:
        return None
    number = recorded.get("attempt")
    if not isinstance(number, int):
        raise Damaged("%s/attempt holds no number" % as_text(folder))
    return number


def read_result(folder: bytes) -> "dict | None":
    """Return the result; None if there is none. One that cannot be read is a result without knowledge."""
    try:
        return read_object(folder + b"/result.json")
    except Damaged as error:
        uuid = as_text(os.path.basename(folder))
        known = {"uuid": uuid, "timed_out": False, "job_ids": [], "output_bytes": 0}
        unknown = dict.fromkeys(("attempt", "exit_code", "signal", "started", "ended"))
        return dict(known, notes=[str(error)], **unknown)


def read_job_ids(folder: bytes, complete: bool) -> "list[str]":
    """Return the job ids, each once; if complete, nobody is still writing a last line without newline."""
    data = read_bytes(folder + b"/job_ids", JOB_IDS_BYTES) or b""
    lines = data.split(b"\n")
    if not complete:
        lines.pop()
    ids = []  # type: list[str]
    seen = set()
    for line in lines:
        name = line.strip().decode("utf-8", "replace")
        if name and name not in seen:
            seen.add(name)
            ids.append(name)
    return ids


def complain(folder: bytes, text: str) -> None:
    """Leave a sentence about a failed supervisor in the launch's folder, where status finds it."""
    fd = os.open(folder + b"/shim.error", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode("utf-8", "replace")[-4000:])
    finally:
        os.close(fd)


def take_lock(path: bytes) -> "int | None":
    """Return a descriptor with the exclusive lock; None if somebody holds it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A lock on a file which was meanwhile deleted excludes nobody.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            os.close(fd)
            continue
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


# ------------------------------------------------------------------------------------------------ processes


class Seen:
    """One line of the process table."""

    __slots__ = ("group", "pid", "session", "start", "state")

    def __init__(self, pid: int, fields: "list[bytes]") -> None:
        self.pid = pid
        self.state = fields[0]
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.start = fields[19].decode("ascii")

    @property
    def dead(self) -> bool:
        """Whether it is only waiting to be reaped."""
        return self.state in (b"Z", b"X", b"x")


def look_up(pid: "int | bytes") -> "Seen | None":
    """Return what /proc says of a process; None if there is none."""
    try:
        with open(b"/proc/%s/stat" % (pid if isinstance(pid, bytes) else b"%d" % pid), "rb") as file:
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may itself hold blanks and brackets.
    return Seen(int(line.split(b" ", 1)[0]), line.rpartition(b")")[2].split())


def process_table() -> "list[Seen] | None":
    """Return all visible processes; None where there is no /proc."""
    if not HAS_PROC:
        return None
    found = (look_up(name) for name in os.listdir(b"/proc") if name.isdigit())
    return [seen for seen in found if seen is not None]


def boot_id() -> str:
    """Return what tells this run of the host from the one before; empty where the host does not say."""
    data = read_bytes(b"/proc/sys/kernel/random/boot_id", 100)
    return "" if data is None else data.decode("ascii").strip()


def group_lives(group: int, table: "list[Seen] | None" = None) -> bool:
    """Tell whether a process group has members; with a process table, zombies do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return table is None or any(seen.group == group and not seen.dead for seen in table)


def script_lives(record: "dict | None", table: "list[Seen] | None") -> bool:
    """Tell whether anything of the recorded script's session lives, though it may have let go of the lock."""
    if not record or record["boot"] != boot_id():
        return False
    session = record["pid"]
    if table is None:
        return group_lives(session)
    if any(seen.pid == session and seen.start != record["start"] for seen in table):
        return False  # the number belongs to another process by now
    return any(seen.session == session and not seen.dead for seen in table) or is_hidden(session)


def is_hidden(group: int) -> bool:
    """Tell whether a process group is another account's (sudo) which /proc may hide: not known as dead."""
    try:
        os.killpg(group, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False  # zombies of ours only, or the process table would show it


def supervisor_lives(record: dict) -> bool:
    """Tell whether the recorded supervisor is alive."""
    if HAS_PROC:
        seen = look_up(record["supervisor"])
        return seen is not None and not seen.dead and seen.start == record["supervisor_start"]
    try:
        os.kill(record["supervisor"], 0)
    except ProcessLookupError:
        return False
    return True


def send_signal(session: int, number: int) -> None:
    """Send a signal to the script's process group and to what left the group but not the session."""
    targets = [(os.killpg, session)]
    targets += [
        (os.kill, seen.pid)
        for seen in process_table() or ()
        if seen.session == session and seen.group != session and not seen.dead
    ]
    for function, target in targets:
        try:
            function(target, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or another account's (sudo): whoever waits for its end sees that it lives


def read_process(folder: bytes) -> "dict | None":
    """Return who runs the current attempt; None if no script got that far."""
    try:
        return read_object(folder + b"/process")
    except Damaged:
        return None  # put in place by rename: torn only by a power cut, which ended the script


def detach() -> None:
    """Become a process of its own: no terminal, no pipe to the caller, deaf to the caller's signals."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.setsid()
    os.chdir("/")
    # A shutdown signals everybody: the supervisor must live on to record how the script ended.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def close_inherited() -> None:
    """Close what the caller left open by mistake, or the supervisors would keep its pipes and locks alive."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    folder = "/proc/self/fd" if HAS_PROC else "/dev/fd"
    for name in os.listdir(folder):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError as error:
                if error.errno != errno.EBADF:  # the listing's own descriptor is closed already
                    raise


# --------------------------------------------------------------------------------------------------- output


class Ring:
    """Keeps the first MiB and the last MiBs of a stream, and counts it."""

    def __init__(self, folder: bytes, resume: bool = False) -> None:
        self.folder = folder
        self.error = ""
        self.tail = -1
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.head = os.open(folder + b"/output.head", flags, 0o600)
        self.total = stored_total(folder) if resume else 0

    def add(self, data: bytes) -> None:
        """Store what fits the rules and count all; a full disk stops the storing, not the script."""
        if not self.error:
            try:
                self._store(data)
            except OSError as error:
                self.error = "output after byte %d was not stored: %s" % (self.total, error.strerror)
        self.total += len(data)

    def _store(self, data: bytes) -> None:
        position = self.total
        if position < HEAD_BYTES:
            piece = data[: HEAD_BYTES - position]
            os.lseek(self.head, position, os.SEEK_SET)
            write_all(self.head, piece)
            position += len(piece)
            data = data[len(piece) :]
        if not data:
            return
        if self.tail < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self.tail = os.open(self.folder + b"/output.tail", flags, 0o600)
        end = position + len(data)
        while data:
            place = (position - HEAD_BYTES) % RING_BYTES
            piece = data[: RING_BYTES - place]
            os.lseek(self.tail, RING_START + place, os.SEEK_SET)
            write_all(self.tail, piece)
            position += len(piece)
            data = data[len(piece) :]
        # The count comes after the data: whoever reads the count may read what it counts.
        os.lseek(self.tail, 0, os.SEEK_SET)
        write_all(self.tail, RING_HEADER % end)


def stored_total(folder: bytes) -> int:
    """Return how many bytes of output were stored or passed through the ring."""
    header = read_bytes(folder + b"/output.tail", RING_START) or b""
    if header.startswith(b"POMS-RING1 ") and header.endswith(b"\n"):
        return int(header.split()[1])
    try:
        return min(os.stat(folder + b"/output.head").st_size, HEAD_BYTES)
    except FileNotFoundError:
        return 0


def read_range(path: bytes, offset: int, length: int) -> bytes:
    """Return bytes of a file, fewer at its end and none if there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


def read_stream(folder: bytes, start: int, end: int) -> bytes:
    """Return the bytes start..end of the stream from head and ring."""
    pieces = []
    if start < HEAD_BYTES:
        pieces.append(read_range(folder + b"/output.head", start, min(end, HEAD_BYTES) - start))
        start = min(end, HEAD_BYTES)
    while start < end:
        place = (start - HEAD_BYTES) % RING_BYTES
        length = min(end - start, RING_BYTES - place)
        pieces.append(read_range(folder + b"/output.tail", RING_START + place, length))
        start += length
    return b"".join(pieces)


def whole_characters(data: bytes) -> int:
    """Return the length of data without a UTF-8 character that is cut off at its end."""
    for back in range(1, min(3, len(data) - 1) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if width <= back else len(data) - back
        if byte < 0x80:
            break
    return len(data)


# ----------------------------------------------------------------------------------------------- supervisor


class Launch:
    """One launch of a start document, checked."""

    def __init__(self, item: dict, home: bytes) -> None:
        self.uuid = item["uuid"]
        self.home = home
        self.folder = folder_of(home, self.uuid)
        self.submit_folder = b""
        attempt = item.get("attempt")
        if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
            raise Settled("refused", "attempt must be a whole number from 1")
        self.attempt = attempt
        self.after = item.get("after")
        if self.after is not None and (not isinstance(self.after, int) or isinstance(self.after, bool)):
            raise Settled("refused", "after must be the number of an attempt, 0 for none")
        argv = item.get("argv")
        if not isinstance(argv, list) or not argv or not argv[0]:
            raise Settled("refused", "argv must be a list that begins with the script")
        self.argv = [plain(word, "argv") for word in argv]
        self.setup = plain(item.get("setup", ""), "setup")
        env, files = item.get("env", {}), item.get("files", {})
        if not isinstance(env, dict) or not isinstance(files, dict):
            raise Settled("refused", "env and files must be objects")
        self.env = {plain(name, "env"): plain(value, "env") for name, value in env.items()}
        if any(not name or b"=" in name for name in self.env):
            raise Settled("refused", "a name in env is empty or holds an equals sign")
        self.files = {plain(name, "files"): plain(text, "files", zero=True) for name, text in files.items()}
        for name in self.files:
            if not name or b"/" in name or name in (b".", b"..") or name in OWN_FILES or len(name) > 200:
                raise Settled("refused", "%s cannot be the name of a file of the launch" % as_text(name))
        self.uploads = uploads_of(item)
        wall_s = item.get("wall_s", 600)
        if not isinstance(wall_s, (int, float)) or isinstance(wall_s, bool) or not 0 < wall_s < 1e9:
            raise Settled("refused", "wall_s must be a number of seconds above 0")
        self.wall_s = wall_s
        self.lock = -1
        self.fence = -1

    def release(self) -> None:
        """Let go of the lock (a supervisor that was forked meanwhile keeps it)."""
        for fd in (self.lock, self.fence):
            if fd >= 0:
                os.close(fd)
        self.lock = self.fence = -1

    def command(self) -> "list[bytes]":
        """Return what is executed."""
        if not self.setup:
            return self.argv
        text = as_bytes(SETUP_BEFORE) + self.setup + as_bytes(SETUP_AFTER) % quoted(self.submit_folder)
        return [b"bash", b"-c", text, b"poms-setup", *self.argv]

    def environment(self) -> "dict[bytes, bytes]":
        """Return the script's environment: the shim's own, the launch's over it, ours over that."""
        env = dict(os.environb)
        env.update(self.env)
        env.pop(b"POMS_CRASHPOINT", None)
        env[b"POMS_SUBMISSION_ID"] = as_bytes(self.uuid)
        env[b"POMS_LAUNCH_DIR"] = self.folder
        env[b"POMS_JOB_IDS_FILE"] = self.folder + b"/job_ids"
        if self.uploads:
            env[b"UPLOADS"] = self.folder + b"/uploads"
        env[b"POMS_SUBMIT_DIR"] = self.submit_folder
        env[b"PATH"] = self.submit_folder + b":" + env.get(b"PATH", b"/bin:/usr/bin")
        return env


def plain(value: object, where: str, zero: bool = False) -> bytes:
    """Return the bytes of a text for the operating system. Raises Settled (refused)."""
    if not isinstance(value, str):
        raise Settled("refused", "%s must hold texts only" % where)
    try:
        data = as_bytes(value)
    except UnicodeEncodeError:
        raise Settled("refused", "%s holds half a character" % where) from None
    if not zero and b"\0" in data:
        raise Settled("refused", "%s holds a zero byte" % where)
    return data


def quoted(text: bytes) -> bytes:
    """Return a text as one word of a shell."""
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


def is_uuid(value: object) -> bool:
    """Tell whether this is a uuid as we write it: another spelling would be a second folder for a launch."""
    if not isinstance(value, str) or len(value) != 36:
        return False
    parts = value.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and not set(value) - set("0123456789abcdef-")


def folder_of(home: bytes, uuid: str) -> bytes:
    """Return the folder of a launch."""
    name = as_bytes(uuid)
    return b"/".join((home, name[:2], name))


class Watch:
    """Reads a script's output into the ring and keeps its wall limit."""

    def __init__(self, pipe: int, ring: Ring, session: int, seconds: float) -> None:
        self.pipe = pipe
        self.ring = ring
        self.session = session
        self.at_end = False
        self.over_limit = False
        self.next_signal = time.monotonic() + seconds
        self.poller = select.poll()
        self.poller.register(pipe, select.POLLIN)

    def turn(self, seconds: float) -> None:
        """Wait for output, a wake-up or the limit, at most the given seconds, and see to what came."""
        seconds = max(0.0, min(seconds, self.next_signal - time.monotonic()))
        for fd, _ in self.poller.poll(int(seconds * 1000) + 1):
            if fd == self.pipe:
                self.read(32 * CHUNK_BYTES)
            else:
                os.read(fd, 4096)
        if time.monotonic() >= self.next_signal:
            self._enforce()

    def read(self, limit: int) -> None:
        """Store what waits in the pipe."""
        while limit > 0 and not self.at_end:
            try:
                data = os.read(self.pipe, CHUNK_BYTES)
            except BlockingIOError:
                return
            if not data:
                self.at_end = True
                self.poller.unregister(self.pipe)
                return
            self.ring.add(data)
            limit -= len(data)

    def _enforce(self) -> None:
        if self.over_limit:
            send_signal(self.session, signal.SIGKILL)
            self.next_signal = time.monotonic() + 1.0
        else:
            self.over_limit = True
            send_signal(self.session, signal.SIGTERM)
            send_signal(self.session, signal.SIGCONT)
            self.next_signal = time.monotonic() + GRACE_SECONDS


def set_fence(launch: Launch) -> None:
    """Put the attempt's number on record, durably: from here on it never runs again.

    Each supervisor does this for itself, because a disk serves a hundred waiting for it as fast as one.
    """
    folder = launch.folder
    sync(launch.fence)
    os.close(launch.fence)
    launch.fence = -1
    os.rename(folder + b"/attempt.tmp", folder + b"/attempt")
    shelf = os.path.dirname(folder)
    for place in (folder, shelf, os.path.dirname(shelf)):
        sync_folder(place)
    crashpoint("shim.after_attempt")


def supervise(launch: Launch) -> None:
    """Set the fence of a launch whose lock is held, run its script and record the result."""
    set_fence(launch)
    folder = launch.folder
    pipe = os.open(folder + b"/output.pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    both = os.open(folder + b"/output.pipe", os.O_RDWR | os.O_CLOEXEC)
    ring = Ring(folder)
    wake, wake_end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake_end)
    own = look_up(b"self") if HAS_PROC else None
    record = {
        "attempt": launch.attempt,
        "boot": boot_id(),
        "supervisor": os.getpid(),
        "supervisor_start": own.start if own else "",
        "deadline": time.time() + launch.wall_s,
    }
    started = time.time()
    crashpoint("shim.after_fork")
    child = os.fork()
    if child == 0:
        become_script(launch, record, both)
    os.close(both)

    watch = Watch(pipe, ring, child, launch.wall_s)
    watch.poller.register(wake, select.POLLIN)
    status, timed_out = wait_for_script(watch, child)
    crashpoint("shim.after_script")
    watch.read(DRAIN_BYTES)
    notes = [ring.error] if ring.error else []
    if watch.over_limit and not timed_out:
        notes.append("what the script left running was ended at the wall limit")
    result = {
        "uuid": launch.uuid,
        "attempt": launch.attempt,
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "timed_out": timed_out,
        "job_ids": read_job_ids(folder, complete=True),
        "output_bytes": ring.total,
        "started": started,
        "ended": time.time(),
        "notes": notes,
    }
    record_result(folder, result)
    os.close(launch.lock)
    crashpoint("shim.after_result")
    # A daemon which left the session may still write to the pipe: it must not be blocked by our end.
    os.set_blocking(pipe, True)
    while os.read(pipe, CHUNK_BYTES):
        continue


def wait_for_script(watch: Watch, child: int) -> "tuple[int, bool]":
    """Wait until the script and its process group have ended; return the wait status and if it hit the limit.

    What the script left running in its group may still submit, so the launch lasts until that ends, too.
    """
    timed_out = False
    pid = 0
    while pid == 0:
        watch.turn(3600.0)
        timed_out = watch.over_limit
        pid, status = os.waitpid(child, os.WNOHANG)
    pause = 0.005
    look_closer = time.monotonic() + 1.0
    while group_lives(child):
        watch.turn(pause)
        pause = min(pause * 1.5, 0.25)
        if time.monotonic() >= look_closer:
            # Where nobody reaps orphans, zombies keep the group's number in use.
            if not group_lives(child, process_table()):
                break
            look_closer = time.monotonic() + 2.0
    return status, timed_out


def become_script(launch: Launch, record: dict, both: int) -> None:
    """Turn this fork of the supervisor into the script; never return."""
    code = 126
    try:
        os.setsid()
        os.dup2(both, 1)
        os.dup2(both, 2)
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        own = look_up(b"self") if HAS_PROC else None
        record.update(pid=os.getpid(), start=own.start if own else "")
        fd = create(launch.folder + b"/process.tmp")
        write_all(fd, json.dumps(record).encode("ascii"))
        os.close(fd)
        os.rename(launch.folder + b"/process.tmp", launch.folder + b"/process")
        os.set_inheritable(duplicate_high(launch.lock), True)
        os.chdir(launch.folder)
        execute(launch.command(), launch.environment())
    except FileNotFoundError as error:
        code = 127
        write_all(2, b"poms: cannot start %s: %s\n" % (launch.argv[0], as_bytes(str(error.strerror))))
    except Exception as error:  # noqa: BLE001 - reported in the output, which is where a person looks for it
        write_all(2, b"poms: cannot start %s: %s\n" % (launch.argv[0], as_bytes(str(error))))
    finally:
        os._exit(code)


def duplicate_high(fd: int) -> int:
    """Return a copy of a descriptor with a number that scripts do not use themselves."""
    place = min(LOCK_DESCRIPTOR, os.sysconf("SC_OPEN_MAX") - 8)
    return fcntl.fcntl(fd, fcntl.F_DUPFD, max(place, 10))


def execute(argv: "list[bytes]", env: "dict[bytes, bytes]") -> None:
    """Replace this process; a program without slash is searched on the script's PATH. Raises OSError."""
    if b"/" in argv[0]:
        os.execve(argv[0], argv, env)  # noqa: S606 - argv as it is, no shell
    failure = FileNotFoundError(errno.ENOENT, "not found on PATH")  # type: OSError
    for place in env.get(b"PATH", b"/bin:/usr/bin").split(b":"):
        path = os.path.join(place or b".", argv[0])
        try:
            os.execve(path, argv, env)  # noqa: S606 - argv as it is, no shell
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            # A folder of the PATH that we may not enter says nothing about the program.
            failure = error if os.path.exists(path) else failure
    raise failure


def record_result(folder: bytes, result: dict) -> None:
    """Put the result in place, durably; on a full disk try until it succeeds, still holding the lock."""
    pause = 0.5
    while True:
        try:
            fd = create(folder + b"/result.json.tmp")
            try:
                write_all(fd, json.dumps(result).encode("ascii"))
                sync(fd)
            finally:
                os.close(fd)
            crashpoint("shim.before_result_rename")
            os.rename(folder + b"/result.json.tmp", folder + b"/result.json")
            sync_folder(folder)
            remove(folder + b"/output.pipe")
        except FileNotFoundError:
            return  # somebody deleted the folder: there is nothing left to tell about
        except OSError as error:
            if pause < 1:
                result["notes"].append("the result was written late: %s" % error.strerror)
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
        else:
            return


def rescue(folder: bytes, record: dict) -> None:
    """Start another supervisor for a script which lost its own, to read the output and keep the limit."""
    fd = take_lock(folder + b"/rescue")
    if fd is None:
        return
    if os.fork():
        os.close(fd)
        return
    code = 1
    try:
        detach()
        read_on(folder, record)
        code = 0
    except BaseException as error:  # noqa: BLE001 - a forked process must end here, and says why
        complain(folder, "the replacement supervisor failed: %r\n" % error)
    finally:
        os._exit(code)


def read_on(folder: bytes, record: dict) -> None:
    """Watch a script that is not our child until its session is empty."""
    pipe = os.open(folder + b"/output.pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    # Only a script which is alive now proves that the pipe is its own and not that of a later attempt.
    if not script_lives(record, process_table()):
        return
    watch = Watch(pipe, Ring(folder, resume=True), record["pid"], record["deadline"] - time.time())
    next_look = 0.0
    while True:
        watch.turn(0.2)
        if time.monotonic() >= next_look:
            if not script_lives(record, process_table()):
                break
            next_look = time.monotonic() + 0.5
    watch.read(DRAIN_BYTES)


# ---------------------------------------------------------------------------------------------------- verbs


def home_of(request: dict) -> bytes:
    """Return the home folder of the launches. Raises Unusable."""
    home = request.get("home")
    if not isinstance(home, str) or not home:
        raise Unusable("home must name a folder")
    return os.path.abspath(os.path.expanduser(plain_or_unusable(home)))


def plain_or_unusable(text: str) -> bytes:
    """Return the bytes of a text. Raises Unusable."""
    try:
        return plain(text, "home")
    except Settled as reason:
        raise Unusable(reason.detail) from None


def uuids_of(request: dict) -> "list[str]":
    """Return the uuids of a document, each once. Raises Unusable."""
    uuids = request.get("uuids")
    if not isinstance(uuids, list):
        raise Unusable("uuids must be a list")
    for uuid in uuids:
        if not is_uuid(uuid):
            raise Unusable("%r is not a uuid in lower case" % (uuid,))
    return list(dict.fromkeys(uuids))


def start(request: dict) -> dict:
    """Start each launch of the document unless it runs, ran, or an attempt as new is on record."""
    gc.disable()  # a collection in each supervisor would copy the pages it shares with the others
    home = home_of(request)
    items = request.get("launches")
    if not isinstance(items, list):
        raise Unusable("launches must be a list")
    outcomes = {}  # type: dict[str, dict]
    launches = {}  # type: dict[str, Launch]
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not is_uuid(item.get("uuid")):
            detail = "a launch needs a uuid in lower case"
            outcomes["launches[%d]" % number] = {"outcome": "refused", "detail": detail, "attempt": None}
            continue
        uuid = item["uuid"]
        if uuid in launches or uuid in outcomes:
            continue
        try:
            launches[uuid] = Launch(item, home)
        except Settled as reason:
            settle(outcomes, uuid, reason)
    # Whoever only looks at a lock holds it for a moment: held is believed only after several looks.
    left = list(launches.values())
    for pause in LOCK_PAUSES:
        if left:
            time.sleep(pause)
            left = [launch for launch in left if not start_one(launch, outcomes)]
    for launch in left:
        try:
            settle(outcomes, launch.uuid, held(launch.folder))
        except (OSError, Damaged) as error:
            settle(outcomes, launch.uuid, Settled("running", "the lock is held; %s" % error))
    crashpoint("shim.before_answer")
    return {"outcomes": outcomes}


def settle(outcomes: "dict[str, dict]", uuid: str, reason: Settled) -> None:
    """Note the outcome of a launch."""
    outcomes[uuid] = {"outcome": reason.outcome, "detail": reason.detail, "attempt": reason.attempt}


def held(folder: bytes) -> Settled:
    """Return what to say of a launch whose lock stays held."""
    result = read_result(folder)
    if result is not None:
        return Settled("finished", "it has a result", result.get("attempt"))
    record = read_process(folder)
    if record and not supervisor_lives(record) and script_lives(record, process_table()):
        rescue(folder, record)
    return Settled("running", "its script or supervisor is alive", read_attempt(folder))


def start_one(launch: Launch, outcomes: "dict[str, dict]") -> bool:
    """Start a launch and note the outcome; tell whether there is one (none yet if the lock is held)."""
    try:
        claim(launch)
        prepare(launch)
        fork_supervisor(launch)
        settle(outcomes, launch.uuid, Settled("started", "", launch.attempt))
    except Settled as reason:
        if reason.outcome == "held":
            return False
        settle(outcomes, launch.uuid, reason)
    except (OSError, Damaged) as error:
        settle(outcomes, launch.uuid, Settled("refused", str(error)))
    finally:
        launch.release()
    return True


def make_folder(folder: bytes) -> None:
    """Make a folder for this account alone, and durably those above it that are missing."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = os.path.dirname(folder)
        make_folder(parent)
        sync_folder(os.path.dirname(parent))
        make_folder(folder)


def claim(launch: Launch) -> None:
    """Take the lock of a launch that may start. Raises Settled for one that may not."""
    folder = launch.folder
    crashpoint("shim.before_lock")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        result = read_result(folder)  # a result is final, no lock is needed to believe it
        if result is not None:
            raise Settled("finished", "it has a result", result.get("attempt")) from None
    except FileNotFoundError:
        make_folder(os.path.dirname(folder))
        make_folder(folder)
    lock = take_lock(folder + b"/lock")
    if lock is None:
        raise Settled("held", "")
    launch.lock = lock
    crashpoint("shim.after_lock")
    result = read_result(folder)
    if result is not None:
        raise Settled("finished", "it has a result", result.get("attempt"))
    recorded = read_attempt(folder)
    if launch.after is not None and (recorded or 0) != launch.after:
        # Something ran since the caller looked: what it concluded from that look holds no more.
        raise Settled("stale", "attempt %s is on record, not %d" % (recorded or 0, launch.after), recorded)
    if recorded is None:
        return
    record = read_process(folder)
    if record and script_lives(record, process_table()):
        raise Settled("held", "")  # by processes that let go of the lock
    if recorded >= launch.attempt:
        raise Settled("stale", "attempt %d is on record" % recorded, recorded)
    ids = read_job_ids(folder, complete=True)
    if ids:
        detail = "an earlier attempt submitted %s; a person must decide" % ", ".join(ids[:5])
        raise Settled("refused", detail, recorded)


def submit_folder(home: bytes) -> bytes:
    """Return the folder with the submit wrapper under the names of the commands, made whole if it is not there."""
    if b":" in home:
        raise Settled("refused", "%s cannot be put on a PATH: it holds a colon" % as_text(home))
    with open(SUBMIT_WRAPPER, "rb") as file:
        text = first_lines(os.fsencode(os.path.realpath(sys.executable))) + file.read()
    # hashlib takes longer to load than everything else here.
    folder = b"%s/submit-%08x%08x" % (home, binascii.crc32(text), binascii.crc32(text[::-1]))
    program = folder + b"/wrapper.py"
    # Each under a name of its own, then moved into its place: two who make it at once leave one that is whole.
    own = b"%s/.%d" % (folder, os.getpid())
    if not os.path.exists(program):
        make_folder(folder)
        fd = create(own, 0o700)
        try:
            write_all(fd, text)
            sync(fd)  # an empty one would be a command that does nothing and succeeds
        finally:
            os.close(fd)
        os.rename(own, program)
    for name in SUBMIT_COMMANDS:
        if not os.path.exists(folder + b"/" + as_bytes(name)):
            remove(own)
            os.symlink(b"wrapper.py", own)
            os.rename(own, folder + b"/" + as_bytes(name))
    return folder


def first_lines(python: bytes) -> bytes:
    """Return how a program begins that this interpreter runs, whatever a script does to PATH and PYTHONHOME."""
    if len(python) <= SHEBANG_BYTES and len(python.split()) == 1:
        return b"#!%s -SEsB\n" % python
    # Read by a shell, it becomes the interpreter; read by that, it is a text without use.
    for mark in b'\\"$`':
        python = python.replace(b"%c" % mark, b"\\%c" % mark)
    return b"#!/bin/sh\n'''exec' \"%s\" -SEsB \"$0\" \"$@\"\n' '''\n" % python


def prepare(launch: Launch) -> None:
    """Write everything the script finds, and the fence under its temporary name."""
    folder = launch.folder
    launch.submit_folder = submit_folder(launch.home)
    # A replacement supervisor of an earlier attempt may still hold the old files: leave those to it.
    for name in (b"/process", b"/output.head", b"/output.tail", b"/output.pipe", b"/shim.error"):
        remove(folder + name)
    fill_sandbox(launch)
    os.mkfifo(folder + b"/output.pipe", 0o600)
    for name, text in launch.files.items():
        path = os.path.join(folder, name)
        remove(path)
        fd = create(path, 0o700 if text.startswith(b"#!") else 0o600)
        try:
            write_all(fd, text)
        finally:
            os.close(fd)
    launch.fence = create(folder + b"/attempt.tmp")
    fence = {"attempt": launch.attempt, "pid": os.getpid(), "started": time.time()}
    write_all(launch.fence, json.dumps(fence).encode("ascii"))


# -------------------------------------------------------------------------------------------------- uploads


def is_digest(value: object) -> bool:
    """Tell whether this is a SHA-256 as we write it: it becomes the name of a file."""
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def hash_of(data: bytes) -> str:
    """Return the SHA-256 of data."""
    import hashlib  # noqa: PLC0415 - only launches with uploads pay for it

    return hashlib.sha256(data).hexdigest()


def uploads_of(item: dict) -> "dict[bytes, str]":
    """Return the names of a launch's uploads with their hashes. Raises Settled (refused)."""
    uploads = item.get("uploads", {})
    if not isinstance(uploads, dict) or not all(is_digest(digest) for digest in uploads.values()):
        raise Settled("refused", "uploads must be names with SHA-256 hashes")
    found = {plain(name, "uploads"): digest for name, digest in uploads.items()}
    for name in found:
        if not name or b"/" in name or name in (b".", b"..") or len(name) > 200:
            raise Settled("refused", "%s cannot be the name of an upload" % as_text(name))
    return found


def fill_sandbox(launch: Launch) -> None:
    """Put the uploads of a launch into its folder, as they were when they were chosen. Raises Settled (refused).

    They are copies: what a script does to its own files changes no other launch's.
    """
    sandbox = launch.folder + b"/uploads"
    empty_folder(sandbox)
    if not launch.uploads:
        return
    os.mkdir(sandbox, 0o700)
    store = store_of(launch.folder)
    for name, digest in launch.uploads.items():
        data = read_bytes(store + b"/" + as_bytes(digest), 1 << 40)
        if data is None or hash_of(data) != digest:
            remove(store + b"/" + as_bytes(digest))  # a spoilt one is brought anew
            raise Settled("refused", "the upload %s is not on this host" % as_text(name))
        fd = create(sandbox + b"/" + name, 0o700 if data.startswith(b"#!") else 0o600)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)


def store_of(folder: bytes) -> bytes:
    """Return where contents are kept, beside the folders of launches."""
    return os.path.dirname(os.path.dirname(folder)) + b"/uploads"


def empty_folder(folder: bytes) -> None:
    """Remove a folder with whatever a script has put into it."""
    if os.path.isdir(folder):
        import shutil  # noqa: PLC0415 - only launches with uploads pay for it

        shutil.rmtree(folder)


def uploads(request: dict) -> dict:
    """Keep contents by their hash, and say which of those asked for are not here."""
    store = home_of(request) + b"/uploads"
    asked, put = request.get("asked"), request.get("put", {})
    if not isinstance(asked, list) or not isinstance(put, dict) or not all(map(is_digest, [*asked, *put])):
        raise Unusable("asked and put must name SHA-256 hashes")
    make_folder(store)
    for digest, text in put.items():
        data = binascii.a2b_base64(text)
        if hash_of(data) != digest:
            raise Unusable("what came for %s is not it" % digest)
        own = store + b"/.%s.%d" % (as_bytes(digest), os.getpid())
        fd = create(own)
        try:
            write_all(fd, data)
            sync(fd)
        finally:
            os.close(fd)
        os.rename(own, store + b"/" + as_bytes(digest))
    lacks = []
    for digest in asked:
        try:
            os.utime(store + b"/" + as_bytes(digest))  # in use: the next clearing leaves it
        except FileNotFoundError:
            lacks.append(digest)
    return {"lacks": lacks}


def clear(request: dict) -> dict:
    """Take away the sandboxes of launches of which nothing runs, and contents that no launch has used for long."""
    home = home_of(request)
    cleared = {}
    for uuid in uuids_of(request):
        folder = folder_of(home, uuid)
        if not os.path.isdir(folder):
            cleared[uuid] = True
            continue
        lock = take_lock(folder + b"/lock")
        if lock is not None:
            try:
                empty_folder(folder + b"/uploads")
            finally:
                os.close(lock)
        cleared[uuid] = lock is not None
    store = home + b"/uploads"
    for name in os.listdir(store) if os.path.isdir(store) else ():
        path = store + b"/" + name
        if time.time() - os.stat(path).st_mtime > UNUSED_SECONDS:
            remove(path)
    return {"cleared": cleared}


# ---------------------------------------------------------------------------------------------------- start


def fork_supervisor(launch: Launch) -> None:
    """Fork the supervisor, which keeps the lock; its parent ends soon, so one fork and setsid detach it."""
    if os.fork():
        return
    code = 1
    try:
        detach()
        supervise(launch)
        code = 0
    except BaseException as error:  # noqa: BLE001 - a forked process must end here, and says why
        complain(launch.folder, "the supervisor failed: %r\n" % error)
    finally:
        os._exit(code)


def status(request: dict) -> dict:
    """Say of each uuid: never_seen, running, finished, or vanished (killed without a result)."""
    home = home_of(request)
    answer = {}  # type: dict[str, dict]
    doubtful = {}
    for uuid in uuids_of(request):
        folder = folder_of(home, uuid)
        try:
            answer[uuid] = look(folder)
            if answer[uuid]["state"] in ("vanished", "running"):
                record = read_process(folder)
                if record and (answer[uuid]["state"] == "vanished" or not supervisor_lives(record)):
                    doubtful[uuid] = record
        except OSError as error:
            # What cannot be read is not absent; a state of its own keeps the others' answers.
            answer[uuid] = {
                "state": "unknown",
                "attempt": None,
                "result": None,
                "job_ids": [],
                "detail": str(error),
            }
    # The process table is read after the locks were looked at: a session without members gets no new ones.
    table = process_table() if doubtful else None
    for uuid, record in doubtful.items():
        if script_lives(record, table):
            answer[uuid]["state"] = "running"
            rescue(folder_of(home, uuid), record)
    return {"launches": answer}


def look(folder: bytes) -> dict:
    """Return the state of a launch by its files and lock."""
    answer = {"state": "finished", "attempt": None, "result": read_result(folder), "job_ids": []}  # type: dict
    try:
        fd = os.open(folder + b"/lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = -1
    try:
        if answer["result"] is None:
            try:
                if fd >= 0:
                    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                # Read while no start can be half-way: the lock is ours for these few lines.
                answer["result"] = read_result(folder)
                answer["state"] = "vanished" if answer["result"] is None else "finished"
            except BlockingIOError:
                answer["state"] = "running"
        try:
            answer["attempt"] = read_attempt(folder)
            if answer["attempt"] is None and answer["state"] == "vanished":
                answer["state"] = "never_seen"
            elif fd < 0 and os.path.exists(folder + b"/lock"):
                return look(folder)  # a first start came between our two looks
        except Damaged as error:
            answer["detail"] = str(error)
    finally:
        if fd >= 0:
            os.close(fd)
    answer["job_ids"] = read_job_ids(folder, complete=answer["state"] != "running")
    if answer["state"] in ("vanished", "never_seen"):
        failure = read_bytes(folder + b"/shim.error", 4000)
        if failure:
            answer["detail"] = failure.decode("utf-8", "replace")
    return answer


def stop(request: dict) -> dict:
    """End the scripts: SIGTERM to the process group, SIGKILL to what is left after 5 s."""
    home = home_of(request)
    outcomes = {}
    alive = {}
    for uuid in uuids_of(request):
        record = running_script(folder_of(home, uuid))
        outcomes[uuid] = "stopped" if record else "not_running"
        if record:
            alive[uuid] = record
    for number in (signal.SIGTERM, signal.SIGKILL):
        for record in alive.values():
            send_signal(record["pid"], number)
            send_signal(record["pid"], signal.SIGCONT)
        end = time.monotonic() + GRACE_SECONDS
        while alive and time.monotonic() < end:
            time.sleep(0.02)
            table = process_table()
            alive = {uuid: record for uuid, record in alive.items() if script_lives(record, table)}
    outcomes.update((uuid, "still_running") for uuid in alive)
    # Whoever asks for the status next should find the result.
    end = time.monotonic() + 2.0
    for uuid, outcome in outcomes.items():
        folder = folder_of(home, uuid)
        while outcome == "stopped" and look(folder)["state"] == "running" and time.monotonic() < end:
            time.sleep(0.02)
    return {"outcomes": outcomes}


def running_script(folder: bytes) -> "dict | None":
    """Return the process record of a launch that runs; one just being started gets a moment to show it."""
    end = time.monotonic() + 10.0
    while True:
        state = look(folder)
        if state["state"] in ("never_seen", "finished"):
            return None
        record = read_process(folder)
        if record and record["attempt"] == state["attempt"] and script_lives(record, process_table()):
            return record
        if state["state"] == "vanished" or time.monotonic() >= end:
            return None
        time.sleep(0.02)


def output(request: dict) -> dict:
    """Return a piece of the script's output: of its first MiB (head) or of its last 4 MiB (tail)."""
    folder = folder_of(home_of(request), uuids_of({"uuids": [request.get("uuid")]})[0])
    part = request.get("part", "head")
    offset, length = request.get("offset", 0), request.get("length", PAGE_BYTES)
    if not isinstance(offset, int) or offset < 0:
        raise Unusable("offset must be a number from 0")
    if not isinstance(length, int) or not 0 < length <= PAGE_BYTES:
        raise Unusable("length must be a number from 1 to %d" % PAGE_BYTES)
    if part not in ("head", "tail"):
        raise Unusable("part must be head or tail")
    for _ in range(5):
        total = stored_total(folder)
        first = 0 if part == "head" else max(0, total - TAIL_BYTES)
        size = min(total, HEAD_BYTES) if part == "head" else total - first
        begin = first + min(offset, size)
        data = read_stream(folder, begin, min(begin + length, first + size))
        # A script that writes faster than we read may have overwritten the place meanwhile: look again.
        if begin < HEAD_BYTES or begin + RING_BYTES >= stored_total(folder) + 2 * CHUNK_BYTES:
            break
    used = len(data)
    if offset + used < size:
        used = whole_characters(data)
    text = data[:used].decode("utf-8", "replace")
    # Nothing where something is promised (files lost): whoever pages on must still come to an end.
    following = min(offset, size) + used if data else size
    return {"text": text, "total": total, "part_size": size, "start": first, "next": following}


def recent(request: dict) -> dict:
    """Name the launches that were begun since a time of this host's clock, in seconds since 1970."""
    home, since = home_of(request), request.get("since")
    if isinstance(since, bool) or not isinstance(since, (int, float)):
        raise Unusable("since must be a number of seconds")
    found = []
    for first in listed(home):
        if len(first) != 2:
            continue
        for name in listed(os.path.join(home, first)):
            uuid = as_text(name)
            if is_uuid(uuid) and changed_at(os.path.join(home, first, name, b"attempt")) >= since:
                found.append(uuid)
    return {"launches": sorted(found)}


def listed(folder: bytes) -> "list[bytes]":
    """Return the names in a folder; none where it is gone or no folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def changed_at(path: bytes) -> float:
    """Return when a file was written last; before all times where there is none."""
    try:
        return os.stat(path).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return float("-inf")


def plans(request: dict) -> dict:
    """Return the jobs.json of launches; null where it is gone or cannot be read as one."""
    home = home_of(request)
    answer = {}
    for uuid in uuids_of(request):
        try:
            answer[uuid] = read_object(folder_of(home, uuid) + b"/jobs.json")
        except Damaged:
            answer[uuid] = None
    return {"plans": answer}


def present(request: dict) -> dict:
    """Tell of programs whether a script with this set-up would find them; Unusable if the set-up does not end well."""
    setup, programs = request.get("setup", ""), request.get("programs")
    if not isinstance(setup, str) or not isinstance(programs, list):
        raise Unusable("present needs a set-up and a list of programs")
    try:
        names = [plain(name, "programs") for name in programs]
        text = as_bytes(SETUP_BEFORE) + plain(setup, "setup") + as_bytes("\n" + PRESENT_AFTER)
    except Settled as reason:
        raise Unusable(reason.detail) from None
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        ask_shell(text, names, told)
    os.close(told)
    data = b""
    end = time.monotonic() + PRESENT_SECONDS
    try:
        while True:
            ready, _, _ = select.select([answer], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(answer, CHUNK_BYTES) if ready else None
            if not piece:
                break
            data += piece
        if piece is None:
            os.killpg(child, signal.SIGKILL)
    finally:
        os.close(answer)
        status = os.waitpid(child, 0)[1]
    if piece is None:
        raise Unusable("the set-up did not end within %d s" % PRESENT_SECONDS)
    if status != 0:
        raise Unusable("the set-up ended with %d" % (os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1))
    found = set(data.split(b"\0"))
    return {"present": {name: as_bytes(name) in found for name in programs}}


def ask_shell(text: bytes, names: "list[bytes]", told: int) -> None:
    """Become the shell that answers `present`, in a session of its own."""
    try:
        os.setsid()
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.set_inheritable(told, True)
        env = dict(os.environb)
        env[b"POMS_ANSWER"] = b"%d" % told
        execute([b"bash", b"-c", text, b"poms-setup", *names], env)
    except BaseException:  # noqa: BLE001 - a forked process must end here; its exit code says so
        os._exit(126)


def main(argv: "list[str]") -> int:
    """Answer one document; return the exit code."""
    verbs = {
        "start": start,
        "status": status,
        "stop": stop,
        "output": output,
        "present": present,
        "recent": recent,
        "plans": plans,
        "uploads": uploads,
        "clear": clear,
    }
    if len(argv) != 2 or argv[1] not in verbs:
        sys.stderr.write("usage: shim.py %s < document.json\n" % "|".join(verbs))
        return 2
    close_inherited()
    try:
        request = json.loads((sys.stdin.buffer.read() if sys.stdin else b"").decode("utf-8"))
        if not isinstance(request, dict):
            raise Unusable("the document must be an object")
    except (Unusable, ValueError) as error:
        sys.stderr.write("poms shim: the document cannot be read: %s\n" % error)
        return 2
    try:
        answer = verbs[argv[1]](request)
    except Unusable as error:
        sys.stderr.write("poms shim: %s\n" % error)
        return 2
    except OSError as error:
        sys.stderr.write("poms shim: cannot answer: %s\n" % error)
        return 1
    try:
        write_all(1, json.dumps(answer).encode("ascii") + b"\n")
    except BrokenPipeError:
        # The caller is gone. Everything is on record; whoever comes next asks for the status.
        sys.stderr.write("poms shim: nobody read the answer\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
