"""The local launcher: runs the launch shim on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from integrations import process
from integrations.errors import Refused, Unsure
from integrations.launcher import shim
from integrations.launcher.asking import RUN_SHIM, AsksShim

SHIM = Path(__file__).with_name("shim.py")
WRAPPER = Path(__file__).with_name("wrapper.py")  # beside the shim, which puts it before submit commands
# What scripts may know of our own environment: never the database's address or a key.
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "KRB5CCNAME")
PASSED_ON_TO_SHIM = ("POMS_SHIM_NOSYNC", "POMS_CRASHPOINT", "POMS_CRASH_SEED")


class LocalLauncher(AsksShim):
    """Launcher `local`: scripts run under the account of the worker."""

    def __init__(self, home: Path, *, seconds: float = 60.0) -> None:
        """Keep the launches' folders below `home`; a shim call may take the given seconds."""
        self.home = str(home)
        self.seconds = seconds

    def output(self, uuid: str, part: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a script printed: the shim only reads for it, so it needs no process of its own."""
        question = {"home": self.home, "uuid": uuid, "part": part, "offset": offset, "length": length}
        try:
            return shim.output(question)
        except shim.Unusable as error:
            raise Refused(f"the launch shim refuses: {error}") from error
        except OSError as error:
            raise Unsure(f"the launch shim cannot answer: {error}") from error

    def _run(self, verb: str, document: bytes) -> process.Finished:
        environment = {name: os.environ[name] for name in (*PASSED_ON, *PASSED_ON_TO_SHIM) if name in os.environ}
        return process.run(shim_command(verb), stdin=document, seconds=self.seconds, env=environment)


def shim_command(verb: str, *, python: str = sys.executable) -> list[str]:
    """Return the command that answers one document on its standard input."""
    run = f"import sys; sys.path.append(sys.argv[1]); {RUN_SHIM}"
    return [python, "-S", "-E", "-s", "-c", run, str(SHIM.parent), verb]
