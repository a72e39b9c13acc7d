"""The commands of jobsub_lite, as far as POMS and scripts use them, with the real formats and the real bad habits.

`commands(folder)` writes them into a folder. They keep a little queue in a file and run its jobs as processes; with a
folder of HTCondor's own commands they hand everything on to a real pool, as jobsub_lite does. `orders` tells them to fail.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("program.py")
NAMES = (
    "jobsub_submit", "jobsub_q", "jobsub_history", "jobsub_rm", "jobsub_hold", "jobsub_release", "jobsub_fetchlog",
)  # fmt: skip


@dataclass
class Commands:
    """Where the commands are, and where they keep what they know."""

    bin: Path
    home: Path

    def order(self, **orders: str) -> None:
        """Tell commands, by their names, how to behave from now on.

        silent: prints nothing and ends with 0; down: says on standard error that the schedd does not answer, ends with
        0; garbage: prints half an answer; hang: does nothing for ever; lose: does its work and then hangs; noise: prints
        what its tracing has to say first.
        """
        (self.home / "orders.json").write_text(json.dumps(orders))

    def ads(self) -> list[dict[str, Any]]:
        """Return every job in queue and history."""
        path = self.home / "queue.json"
        return list(json.loads(path.read_text()).values()) if path.exists() else []

    def stop(self) -> None:
        """End whatever still runs."""
        for ad in self.ads():
            with suppress(ProcessLookupError, PermissionError):
                if ad.get("pid"):
                    os.killpg(ad["pid"], signal.SIGKILL)


def commands(folder: Path, *, condor: Path | None = None, schedd: str = "jobsub01.fnal.gov") -> Commands:
    """Write the commands; `condor` is a folder with HTCondor's own, to which they hand everything on."""
    place = Commands(folder / "bin", folder / "state")
    place.bin.mkdir(parents=True)
    place.home.mkdir()
    place.home.chmod(0o777)
    known = {"home": str(place.home), "condor": str(condor or ""), "schedd": schedd}
    for name in NAMES:
        text = f"#!/bin/sh\nexec '{sys.executable}' -S -E -s '{PROGRAM}' {name} '{json.dumps(known)}' \"$@\"\n"
        (place.bin / name).write_text(text)
        (place.bin / name).chmod(0o755)
    return place
