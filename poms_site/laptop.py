"""Everything on one machine: state folder and embedded database, made ready before the settings are read."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from poms_site import embedded

HOME = Path(__file__).resolve().parent.parent / ".poms"
# What is made anew at each start; everything else is kept.
DEMOS = ("demo", "demo_keepup")
VERBS = (*DEMOS, "up")


def prepare(verb: str) -> None:
    """Set POMS_STATE and DATABASE_URL for a demo (a fresh state each time) or `up` (kept).

    The files of the demo before are kept beside, in `demo-before`, so that two runs can be compared.
    """
    state = Path(os.environ.get("POMS_STATE") or HOME / (verb if verb in DEMOS else "run"))
    _refuse_if_running(state / "running")
    if verb in DEMOS:
        _clear(state)
    state.mkdir(parents=True, exist_ok=True)
    os.environ["POMS_STATE"] = str(state)
    os.environ.setdefault("POMS_HTTP_ALLOW", "127.0.0.1,::1")  # webhooks and service desks to try things with
    database.data, database.durable = state / "pg", verb not in DEMOS
    database.start()


class Database:
    """The embedded server of this process, or none where DATABASE_URL names another."""

    def __init__(self) -> None:
        """Know nothing yet: `prepare` says where the data are."""
        self.data = HOME / "pg"
        self.durable = True
        self._server: embedded.EmbeddedServer | None = None

    def start(self) -> None:
        """See that there is a server and that DATABASE_URL names it."""
        try:
            self._server = embedded.ensure(self.data, durable=self.durable)
        except embedded.EmbeddedError as error:
            sys.exit(f"The embedded PostgreSQL did not start: {error}")

    def kill(self) -> bool:
        """End our server at once, by a kill of the process that keeps it; tell whether there was one of ours."""
        server, self._server = self._server, None
        if server is None:
            return False
        os.kill(server.keeper_pid, signal.SIGKILL)
        server.stop()  # waits until every process of it is gone, and clears up
        return True


database = Database()


def _clear(state: Path) -> None:
    before = state.with_name(f"{state.name}-before")
    if (state / "files").is_dir():
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir(parents=True)
        (state / "files").rename(before / "files")
    cluster = state / "pg"
    if cluster.is_symlink():  # where the server's account cannot reach our folder, the data lie elsewhere
        shutil.rmtree(cluster.resolve(), ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)


def _refuse_if_running(mark: Path) -> None:
    if not mark.exists():
        return
    pid = int(mark.read_text() or 0)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return
    except PermissionError:
        pass  # it lives, as somebody else's
    sys.exit(f"POMS runs in {mark.parent} already (process {pid}); stop it first, or set POMS_STATE to another folder.")
