"""The local launcher: runs the launch shim on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from integrations import process
from integrations.errors import Refused, Unsure
from integrations.launcher import shim
from integrations.launcher.base import Fate, Launch, Started

SHIM = Path(__file__).with_name("shim.py")
# Imported, not run by its path, so that its bytecode is kept: to compile it costs as much as everything else it does.
# Its folder comes last, so that no neighbour of it can stand in for a module of the standard library.
_RUN = "import sys; sys.path.append(sys.argv[1]); import shim; sys.exit(shim.main(sys.argv[1:]))"
# What scripts may know of our own environment: never the database's address or a key.
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "KRB5CCNAME")
PASSED_ON_TO_SHIM = ("POMS_SHIM_NOSYNC", "POMS_CRASHPOINT", "POMS_CRASH_SEED")


class LocalLauncher:
    """Launcher `local`: scripts run under the account of the worker."""

    def __init__(self, home: Path, *, seconds: float = 60.0) -> None:
        """Keep the launches' folders below `home`; a shim call may take the given seconds."""
        self.home = home
        self.seconds = seconds

    def start(self, launches: Sequence[Launch]) -> dict[str, Started]:
        """Start scripts through one call of the shim."""
        answer = self._call("start", {"launches": [launch.as_dict() for launch in launches]})
        return {
            uuid: Started(outcome["outcome"], outcome.get("detail", "")) for uuid, outcome in answer["outcomes"].items()
        }

    def status(self, uuids: Sequence[str]) -> dict[str, Fate]:
        """Ask the shim what became of each launch."""
        answer = self._call("status", {"uuids": list(uuids)})
        return {uuid: _fate(seen) for uuid, seen in answer["launches"].items()}

    def stop(self, uuids: Sequence[str]) -> dict[str, str]:
        """End running scripts."""
        answer = self._call("stop", {"uuids": list(uuids)})
        return dict(answer.get("outcomes", answer))

    def present(self, setup: str, programs: Sequence[str]) -> dict[str, bool]:
        """Run the set-up and ask its shell for the programs."""
        answer = self._call("present", {"setup": setup, "programs": list(programs)})
        return {name: bool(answer["present"].get(name)) for name in programs}

    def output(self, uuid: str, part: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a script printed: the shim only reads for it, so it needs no process of its own."""
        question = {"home": str(self.home), "uuid": uuid, "part": part, "offset": offset, "length": length}
        try:
            return shim.output(question)
        except shim.Unusable as error:
            raise Refused(f"the launch shim refuses: {error}") from error
        except OSError as error:
            raise Unsure(f"the launch shim cannot answer: {error}") from error

    def _call(self, verb: str, question: dict[str, Any]) -> dict[str, Any]:
        argv = shim_command(verb)
        document = json.dumps({"home": str(self.home), **question}).encode()
        environment = {name: os.environ[name] for name in (*PASSED_ON, *PASSED_ON_TO_SHIM) if name in os.environ}
        ended = process.run(argv, stdin=document, seconds=self.seconds, env=environment)
        if ended.exit_code == 2:
            raise Refused(f"the launch shim refuses: {ended.stderr.decode(errors='replace').strip()}")
        if ended.exit_code != 0:
            why = ended.stderr.decode(errors="replace").strip()[-500:]
            raise Unsure(f"the launch shim ended with {ended.exit_code}: {why}")
        try:
            return dict(json.loads(ended.stdout))
        except ValueError as error:
            raise Unsure("the launch shim's answer cannot be read") from error


def shim_command(verb: str, *, python: str = sys.executable) -> list[str]:
    """Return the command that answers one document on its standard input."""
    return [python, "-S", "-E", "-s", "-c", _RUN, str(SHIM.parent), verb]


def _fate(seen: dict[str, Any]) -> Fate:
    result = seen.get("result") or {}
    return Fate(
        state=seen["state"], attempt=seen.get("attempt"), exit_code=result.get("exit_code"),
        timed_out=bool(result.get("timed_out")), job_ids=tuple(result.get("job_ids") or seen.get("job_ids") or ()),
    )  # fmt: skip
