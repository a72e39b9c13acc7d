"""The append-only log: one writer at a time, one line an event, never rewritten.

`<spool>/log.jsonl` holds one JSON object a line. Its sequence number `n` is the byte offset at which the line
begins, plus one: unique, rising, known without counting, and `n > 0` for every event. A line is written by
one `write` under an exclusive `flock` on `<spool>/log.lock`, so that a writer killed at any moment leaves
either the whole line or a torn one without its newline, which the next writer cuts off. The lock file holds
the last cluster number and the last time given out; it is written before the line, so that no number is given
out twice and no time comes before an earlier one.

Killed processes lose nothing; a machine that loses power may lose what its kernel had not yet written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

# The accelerators of `json` without the package around them: its import costs as much as all else together.
try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:
    make_scanner = None  # type: ignore[assignment, misc]  # json's own, where CPython has it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

CHUNK = 1 << 20
SIGKILL = 9  # the module `signal` would cost a submission eight milliseconds


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _not_json(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON")


if make_scanner is not None:

    class _Rules:
        """What the scanner of the standard library asks of its decoder."""

        strict = True
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = staticmethod(_no_constant)
        memo: dict[str, str] = {}

    _scan: Any = make_scanner(_Rules())  # type: ignore[arg-type]  # json's own, where CPython has it
    _encode: Any = make_encoder(None, _not_json, encode_basestring_ascii, None, ":", ",", False, False, False)

    def loads(text: str) -> Any:
        """Read one JSON value; ValueError when the text is anything else."""
        text = text.strip(" \t\r\n")
        try:
            value, end = _scan(text, 0)
        except StopIteration as stop:
            raise ValueError(f"no JSON value at character {stop.value}") from None
        if end != len(text):
            raise ValueError(f"more text after the JSON value, at character {end}")
        return value

    def dumps(value: object) -> str:
        """Write a value as JSON on one line, in ASCII; ValueError or TypeError when it cannot be."""
        return "".join(_encode(value, 0))

else:
    import json

    def loads(text: str) -> Any:
        """Read one JSON value; ValueError when the text is anything else."""
        return json.loads(text, parse_constant=_no_constant)

    def dumps(value: object) -> str:
        """Write a value as JSON on one line, in ASCII; ValueError or TypeError when it cannot be."""
        return json.dumps(value, separators=(",", ":"), allow_nan=False)


def complain(text: str) -> None:
    """Tell whoever reads our standard error; where nobody is left to read it, work goes on all the same."""
    try:
        os.write(2, f"{text}\n".encode("utf-8", "replace"))
    except OSError:
        return


def die() -> None:
    """End this process as the machine would: at once, with nothing put in order."""
    os.kill(os.getpid(), SIGKILL)


def crashpoint(name: str) -> None:
    """Die here if POMS_CRASHPOINT names this point, or names it with a probability (`name:0.2`)."""
    wanted = os.environ.get("POMS_CRASHPOINT")
    if not wanted or not wanted.startswith(name):
        return
    rest = wanted[len(name) :]
    if not rest or (rest[0] == ":" and chance(float(rest[1:]))):
        die()


def chance(probability: float) -> bool:
    """Throw a die, seeded by POMS_CRASH_SEED, the process and the time (importing `random` is slow)."""
    seed = int(os.environ.get("POMS_CRASH_SEED") or 0) + (os.getpid() << 40) + time.time_ns()
    for _ in range(3):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        seed ^= seed >> 29
    return (seed >> 11) / (1 << 53) < probability


class Log:
    """One process's hold on the log; `with log:` is the exclusive lock, under which alone it may append."""

    def __init__(self, spool: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.fd = os.open(os.path.join(spool, "log.jsonl"), flags | os.O_APPEND, 0o600)
        self.lock = os.open(os.path.join(spool, "log.lock"), flags, 0o600)
        self.end = 0
        self.after_append: Callable[[str], None] | None = None

    def __enter__(self) -> Log:
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.end = os.fstat(self.fd).st_size
        if self.end and os.pread(self.fd, 1, self.end - 1) != b"\n":
            self._cut_torn_line()
        return self

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self.lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give back the file descriptors."""
        os.close(self.fd)
        os.close(self.lock)

    def append(self, event: str, fields: dict[str, Any], new_cluster: bool = False) -> dict[str, Any]:
        """Write one event and return it with its `n`, `at` (and `cluster`); the lock must be held.

        `at` is the time of day in seconds, but never less than that of an earlier event. OSError when the
        line cannot be written whole; nothing of it is then left in the log.
        """
        cluster, last = self._given_out()
        at = round(max(time.time(), last), 6)
        record: dict[str, Any] = {"n": self.end + 1, "at": at, "event": event}
        if new_cluster:
            cluster += 1
            record["cluster"] = cluster
        record.update(fields)
        line = (dumps(record) + "\n").encode("ascii")
        os.pwrite(self.lock, b"%020d %020.6f\n" % (cluster, at), 0)
        try:
            written = os.write(self.fd, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, "no room for the whole line in the log")
        except OSError:
            os.ftruncate(self.fd, self.end)
            raise
        self.end += written
        if self.after_append:
            self.after_append(event)
        return record

    def read(self, position: int, held: bool = False) -> bytes:
        """Return the whole lines from `position` on, about a mebibyte of them; empty at the end.

        Under a shared lock, because a torn line that is cut off and overwritten during the read would show
        the beginning of one event with the end of another.
        """
        if os.fstat(self.fd).st_size <= position:
            return b""
        if not held:
            fcntl.flock(self.lock, fcntl.LOCK_SH)
        try:
            size = CHUNK
            while True:
                data = os.pread(self.fd, size, position)
                whole = data.rfind(b"\n") + 1
                if whole or len(data) < size:
                    return data[:whole]
                size *= 4
        finally:
            if not held:
                fcntl.flock(self.lock, fcntl.LOCK_UN)

    def _given_out(self) -> tuple[int, float]:
        """Return the last cluster number and time given out; without a lock file the log itself tells."""
        text = os.pread(self.lock, 64, 0).split()
        if len(text) == 2:
            return int(text[0]), float(text[1])
        cluster, at, position = 0, 0.0, 0
        while data := self.read(position, held=True):
            position += len(data)
            for line in data.splitlines():
                record = loads(line.decode("ascii"))
                cluster, at = max(cluster, record.get("cluster", 0)), max(at, record["at"])
        return cluster, at

    def _cut_torn_line(self) -> None:
        end = self.end
        while end:
            begin = max(0, end - CHUNK)
            newline = os.pread(self.fd, end - begin, begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        os.ftruncate(self.fd, end)
        self.end = end


def read_log(spool: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield every whole event of a spool's log in order; what is torn or not yet written is not an event."""
    if not os.path.exists(os.path.join(spool, "log.jsonl")):
        return
    log = Log(os.fspath(spool))
    try:
        position = 0
        while data := log.read(position):
            position += len(data)
            for line in data.splitlines():
                yield loads(line.decode("ascii"))
    finally:
        log.close()


def ring(spool: str) -> None:
    """Wake the daemon. It looks by itself every second, so a bell that nobody hears loses nothing."""
    try:
        bell = os.open(os.path.join(spool, "bell"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # No bell yet, or nobody behind it: the daemon is down and reads the log when it starts.
        if error.errno not in (errno.ENOENT, errno.ENXIO):
            complain(f"the daemon could not be woken: {error}")
        return
    try:
        os.write(bell, b"!")
    except BlockingIOError:
        return  # rung so often that it is full: the daemon is about to look
    except BrokenPipeError:
        return  # the daemon went down just now
    finally:
        os.close(bell)
