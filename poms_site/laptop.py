"""Everything on one machine: state folder and embedded database, made ready before the settings are read."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from poms_site import embedded

HOME = Path(__file__).resolve().parent.parent / ".poms"


def prepare(verb: str) -> None:
    """Set POMS_STATE and DATABASE_URL for `demo` (a fresh state each time) or `up` (kept).

    The files of the demo before are kept beside, in `demo-before`, so that two runs can be compared.
    """
    state = Path(os.environ.get("POMS_STATE") or HOME / ("demo" if verb == "demo" else "run"))
    _refuse_if_running(state / "running")
    if verb == "demo":
        _clear(state)
    state.mkdir(parents=True, exist_ok=True)
    os.environ["POMS_STATE"] = str(state)
    os.environ.setdefault("POMS_HTTP_ALLOW", "127.0.0.1,::1")  # webhooks and service desks to try things with
    try:
        embedded.ensure(state / "pg", durable=verb != "demo")
    except embedded.EmbeddedError as error:
        sys.exit(f"The embedded PostgreSQL did not start: {error}")


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
