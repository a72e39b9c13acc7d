"""The programs that a running POMS on one machine consists of: batch daemon, web, clock, workers."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from django.conf import settings

from integrations.batch.local import DAEMON
from integrations.process import Resident

PATIENCE = 30.0


class ResidentError(Exception):
    """A resident program did not start or has ended."""


class Residents:
    """Start them in order, notice when one ends, stop them in reverse order."""

    def __init__(self, *, port: int, slots: int = 2) -> None:
        """Serve the site at 127.0.0.1:port (0: any free port) and give the local batch system its slots."""
        self.port = port or _free_port()
        self.slots = slots
        self.running: list[Resident] = []

    @property
    def url(self) -> str:
        """Return where the site is."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start them all and wait until they answer; stop those that did start if one does not."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them all."""
        self.stop()

    def _start(self) -> None:
        python, manage = sys.executable, str(settings.BASE_DIR / "manage.py")
        spool = settings.LOCAL_SPOOL
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        serve = ["serve", "--spool", str(spool), "--slots", str(self.slots), "--end-jobs"]
        self._run("batch", [python, "-S", "-E", "-s", str(DAEMON), *serve])
        web = [python, "-m", "gunicorn", "poms_site.wsgi", "--bind", f"127.0.0.1:{self.port}", "--threads", "8"]
        web += ["--keep-alive", "30", "--worker-tmp-dir", str(settings.STATE_DIR), "--no-control-socket"]
        self._run("web", web)
        self._run("workers", [python, manage, "qcluster"])
        self._run("clock", [python, manage, "clock"])
        self._await((spool / "daemon.json").exists)
        self._await(self._answers)

    def _run(self, name: str, argv: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(settings.BASE_DIR)}
        self.running.append(Resident(name, argv, log=settings.STATE_DIR / "log" / f"{name}.log", env=environment))

    def _await(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ResidentError(f"POMS did not start within {PATIENCE:g} s; see {settings.STATE_DIR / 'log'}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def check(self) -> None:
        """Raise if one of them has ended, with the end of what it said."""
        for resident in self.running:
            if resident.exit_code is not None:
                said = resident.log.read_text(errors="replace")[-1500:]
                raise ResidentError(f"{resident.name} ended with {resident.exit_code}:\n{said}")

    def kill(self) -> None:
        """End them all at once, with no word to any: what they were doing is left as it is."""
        while self.running:
            self.running.pop().kill()

    def stop(self) -> None:
        """Stop them, last started first."""
        while self.running:
            self.running.pop().stop()


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


@contextmanager
def marked() -> Iterator[None]:
    """Leave a note of our process id in the state folder for as long as we run."""
    mark = settings.STATE_DIR / "running"
    mark.write_text(str(os.getpid()))
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
