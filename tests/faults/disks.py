"""Disks that are full while a production runs: each folder in turn, the database's too; afterwards nothing is lost or double.

Each folder is a small file system of its own, is filled to the last byte for a while, and emptied again. Whatever
ends meanwhile is started again, as a supervisor of services does; nobody else helps. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from tests.faults import database, scene
from tests.faults.__main__ import say

SIZES_MB = {"spool": 48, "launches": 48, "files": 24, "tmp": 24, "state": 24, "database": 420}
PIECE = 1 << 16


def main() -> int:
    """Run once; exit code 0 if nothing was lost, doubled, unrecorded or broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.disks", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--times", type=int, default=5, help="that each folder is filled")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--deadline", type=float, default=1500.0, help="seconds after which a run is stuck")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder whatever came out")
    told = parser.parse_args()
    told.cuts = told.promotions = told.restores = 0
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    say(f"seed {seed}; again with: python -m tests.faults.disks --seed {seed} --submissions {told.submissions}"
        f" --times {told.times}")  # fmt: skip
    from tests.servers import postgres

    folders = scene.Folders()
    disks = {"spool": folders.spool, "launches": folders.launches, "files": folders.files, "tmp": folders.temporary,
             "state": folders.root / "state"}  # fmt: skip
    mounted: list[Path] = []
    try:
        for name, folder in disks.items():
            mounted.append(mount(folder, SIZES_MB[name]))
        # Not below the run's folder: its own account cannot go there.
        disks["database"] = mount(Path(tempfile.mkdtemp(prefix="poms-disk-", dir="/tmp")), SIZES_MB["database"])
        mounted.append(disks["database"])
        server = postgres.Server(disks["database"])
        run = Run(told, seed, folders, server)
        run.disks = disks
        run.deeds = [name for name in disks for _ in range(told.times)]
        run.dice.shuffle(run.deeds)
        try:
            outcome = run.play()
        finally:
            run.members.stop_all()
            server.remove()
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
        if "database" in disks:
            disks["database"].rmdir()
    if run.failed or told.keep:
        say(f"the run's folders are kept, but for what lay on the small disks: {folders.root}")
    else:
        folders.remove()
    print(json.dumps(outcome), flush=True)
    return 1 if run.failed else 0


def mount(folder: Path, size_mb: int) -> Path:
    """Make a folder a small file system of its own."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", "tmpfs", str(folder)], check=True)
    return folder


class Run(database.Run):
    """One run in which disks are full for a while."""

    disks: dict[str, Path]
    relaunched = 0

    def _back_up(self) -> None:
        # Each wait is longer than the ones before together, and all together longer than a disk is full.
        settings.RELAUNCH_SECONDS = [0.5, 1.0, 2.0, 4.0]

    def _look_after(self) -> None:
        """Launch batches again that were given up: their jobs had no room for outputs, round after round."""
        from submissions.logic import recovering
        from submissions.models import Batch

        for batch in Batch.objects.filter(state="failed"):
            recovering.relaunch(batch, actor="user:operator", reason="the disk has room again")
            self.relaunched += 1

    def _expected(self) -> int:
        # A stage below one that was given up has cut what had come; what came after the relaunch is one batch more.
        made: int = self._ask("SELECT count(*) FROM submissions_batch")[0]
        return max(self.batches, made) if self.relaunched else self.batches

    def _may(self, deed: str) -> bool:
        return True

    def _do(self, deed: str) -> None:
        filler = self.disks[deed] / "filler"
        fill(filler)
        until = time.monotonic() + self.dice.uniform(1.0, 5.0)
        while time.monotonic() < until:
            fill(filler)  # what others have given back meanwhile
            self.members.tend()
            time.sleep(0.1)
        filler.unlink()
        if self.server.has_ended():
            say("        the database had ended; it is started again")
            self.server.start()

    def _judge(self, *, ended: bool) -> dict[str, Any]:
        return super()._judge(ended=ended) | {"relaunched": self.relaunched}


def fill(filler: Path) -> None:
    """Write until nothing more fits."""
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * PIECE)
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 512)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("only root can make file systems")
    sys.exit(main())
