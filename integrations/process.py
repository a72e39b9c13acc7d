"""The one place that runs other programs: argument lists only, a time limit, a cap on what they print."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from integrations.errors import Refused, Unsure


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it printed (at most the cap)."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def run(
    argv: Sequence[str], *, stdin: bytes = b"", seconds: float = 30.0, cap: int = 64 * 1024 * 1024,
    env: Mapping[str, str] | None = None,
) -> Finished:  # fmt: skip
    """Run a program to its end and return exit code and output.

    Raises Refused if it cannot be started, Unsure if it ran past its time (it may have done its work). What
    it prints goes to files, so that a background child that keeps them open cannot block us.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            child = subprocess.Popen(argv, stdin=given, stdout=out, stderr=err, env=env, start_new_session=True)
        except OSError as error:
            raise Refused(f"{argv[0]} cannot be started: {error}") from error
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise Unsure(f"{argv[0]} did not end within {seconds:g} s and was stopped") from error
        out.seek(0)
        err.seek(0)
        return Finished(code, out.read(cap), err.read(64 * 1024))


def attend(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a program on our own terminal to its end; return its exit code."""
    return subprocess.run(argv, env=env, check=False).returncode


class Resident:
    """A program that we keep running beside us, with its output in a file."""

    def __init__(self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Start the program in a session of its own."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, start_new_session=True
            )

    @property
    def exit_code(self) -> int | None:
        """Return how it ended, or None while it runs."""
        return self._child.poll()

    def kill(self) -> int:
        """End it and everything in its session at once, as a power cut would; return its exit code."""
        return self.stop(seconds=0, politely=False)

    def stop(self, seconds: float = 15.0, *, politely: bool = True) -> int:
        """End it and everything in its session: politely, then by force; return its exit code."""
        if politely and self._child.poll() is None:
            self._child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        with suppress(ProcessLookupError):  # nothing is left: that is what we want
            os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()
