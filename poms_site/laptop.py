"""Everything on one machine: state folder and embedded database, made ready before the settings are read."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from poms_site import embedded

HOME = Path(__file__).resolve().parent.parent / ".poms"


def prepare(verb: str) -> None:
    """Set POMS_STATE and DATABASE_URL for `demo` (a fresh state each time) or `up` (kept)."""
    state = Path(os.environ.get("POMS_STATE") or HOME / ("demo" if verb == "demo" else "run"))
    if verb == "demo":
        if (state / "batch" / "daemon.json").exists() and (state / "running").exists():
            _refuse_if_running(state / "running")
        shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    os.environ["POMS_STATE"] = str(state)
    try:
        embedded.ensure(state / "pg", durable=verb != "demo")
    except embedded.EmbeddedError as error:
        sys.exit(f"The embedded PostgreSQL did not start: {error}")


def _refuse_if_running(mark: Path) -> None:
    pid = int(mark.read_text() or 0)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return
    except PermissionError:
        pass  # it lives, as somebody else's
    sys.exit(f"Another demo runs in this folder (process {pid}); wait for it, or stop it, and start again.")
