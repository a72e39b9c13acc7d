"""How much a launch host that does not answer costs those of other hosts (T10): real ssh, eight ways of being dead.

Four hosts, one sshd, workers that do nothing but launch. Launches fall due at a steady rate at three of them; in every
other phase at the fourth too, whose line goes wrong. Measured is how long each launch at the three others takes from the moment in
which it is due until its jobs are recorded. Ends with one JSON line; exit code 1 where p95 with a dead host is more
than a tenth above p95 without.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.faults import scene
from tests.faults.__main__ import say

GOOD, ILL = ("first", "second", "third"), "ill"
MORE_THAN_A_TENTH = 1.1
SCRIPT = 'echo "1.0@nowhere" >> "$POMS_JOB_IDS_FILE"'
NAP = 0.5  # seconds; eight workers that nap less would themselves be the load


def main() -> int:
    """Measure once; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.dead_hosts", description=__doc__)
    parser.add_argument("--launches", type=int, default=100, help="at the healthy hosts together, in each phase")
    parser.add_argument("--rate", type=float, default=4.0, help="launches a second that fall due at them")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    told = parser.parse_args()
    from tests.servers import sshd

    folders = scene.Folders()
    try:
        with tempfile.TemporaryDirectory(prefix="poms-sshd-") as keys, sshd.running(Path(keys)) as server:
            outcome = Run(told, folders, server).play()
    finally:
        folders.remove()
    print(json.dumps(outcome), flush=True)
    return 1 if outcome["ratio"] > MORE_THAN_A_TENTH else 0


class Run:
    """One measurement on a database of its own."""

    def __init__(self, told: argparse.Namespace, folders: scene.Folders, server: Any) -> None:
        self.told, self.folders, self.server = told, folders, server
        self.dice = random.Random(7)

    def play(self) -> dict[str, Any]:
        """Let phases without and with a fault take turns; return both p95 (seconds) and how they compare."""
        from tests.stand_ins.ssh_lines import FAULTS

        scene.start_django(self.folders, 7)
        os.environ["POMS_CREDENTIAL_FAULTS_KEY_FILE"] = str(self.server.key)
        self._enter()
        daemon = self._daemon()
        rounds = range(self.told.rounds)
        # All before the first worker runs: nobody else may take a launch before its time, which is set later.
        planned = [
            self._plan_phase(f"{number}x", ill=number % 2 == 0) for number in range(1 + 2 * len(FAULTS) * len(rounds))
        ]
        workers = [_worker(self.folders.log / f"worker{number}.log") for number in range(self.told.workers)]
        healthy: list[float] = []
        beside: dict[str, list[float]] = {fault.name: [] for fault in FAULTS}
        try:
            self._phase(planned.pop(), None)
            for _ in rounds:
                for fault in FAULTS:
                    healthy += self._phase(planned.pop(), None)
                    beside[fault.name] += self._phase(planned.pop(), fault)
                    say(f"{fault.name}: p95 {_p95(beside[fault.name]):.3f} s; without {_p95(healthy):.3f} s so far")
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGTERM)
            for pid in workers:
                os.waitpid(pid, 0)
            daemon.terminate()
            daemon.wait()
        with_one = [seconds for some in beside.values() for seconds in some]
        return {
            "launches": len(healthy) + len(with_one),
            "p95_well_s": round(_p95(healthy), 3),
            "p95_beside_dead_s": round(_p95(with_one), 3),
            "ratio": round(_p95(with_one) / _p95(healthy), 3),
            "each": {name: round(_p95(some) / _p95(healthy), 3) for name, some in beside.items()},
        }

    def _enter(self) -> None:
        from integrations.models import BatchSystem, LaunchHost
        from tests import builders
        from tests.cast import assemble
        from tests.stand_ins.ssh_lines import Line

        self.cast = assemble()
        BatchSystem.objects.create(name="local", backend="local")
        script = self.folders.control / "submit"
        script.write_text(f"#!/bin/sh\n{SCRIPT}\n")
        script.chmod(0o755)
        self.script = script
        key = self.server.known_hosts.read_text().split(" ", 1)[1]
        self.lines = {name: Line(self.server.port) for name in (*GOOD, ILL)}
        for name, line in self.lines.items():
            LaunchHost.objects.create(
                experiment=self.cast.experiment, name=name, address="127.0.0.1", port=line.port, account="root",
                home=str(self.folders.root / "hosts" / name), credential="faults-key", python=sys.executable,
                known_hosts=f"[127.0.0.1]:{line.port} {key}", most_at_once=1000,
            )  # fmt: skip
            builders.login_setup(self.cast, name, launcher="ssh", host=name)

    def _daemon(self) -> subprocess.Popen[bytes]:
        """Start the batch system: it is asked about launches of which the dead host told nothing."""
        from integrations.batch import local

        argv = [sys.executable, "-S", "-E", "-s", str(local.DAEMON), "serve", "--spool", str(self.folders.spool),
                "--slots", "1", "--end-jobs"]  # fmt: skip
        with (self.folders.log / "daemon.log").open("wb") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log)

    def _plan_phase(self, name: str, *, ill: bool) -> dict[str, list[int]]:
        """Return the launches of one phase, by host; those of the fourth host only where they are asked for."""
        each = -(-self.told.launches // len(GOOD))
        return {host: self._plan(f"{name}{host}", host, each) for host in ((*GOOD, ILL) if ill else GOOD)}

    def _phase(self, ids: dict[str, list[int]], fault: Any) -> list[float]:
        """Let launches fall due at all hosts; return the seconds of those at the healthy ones. All are made in the end."""
        from integrations.models import LaunchHost
        from submissions.models import Submission

        self.lines[ILL].fault = fault
        due = self._let_fall_due(ids)
        good = [pk for host in GOOD for pk in ids[host]]
        self._await(good)
        self.lines[ILL].fault = None
        LaunchHost.objects.update(failures=0, silent_since=None, error="", retry_at=_now())
        Submission.objects.filter(state="launching").update(look_at=_now())
        self._await(ids.get(ILL, []))
        launched = dict(Submission.objects.filter(pk__in=good).values_list("pk", "launched_at"))
        return [(launched[pk] - due[pk]).total_seconds() for pk in good]

    def _plan(self, name: str, host: str, number: int) -> list[int]:
        from submissions.models import Submission
        from tests import builders

        made = builders.waiting(self.cast, name, number, shlex.quote(str(self.script)), host)
        Submission.objects.filter(campaign=made).update(look_at=_now() + timedelta(days=1))
        found = list(Submission.objects.filter(campaign=made).values_list("pk", flat=True))
        assert len(found) == number
        return found

    def _let_fall_due(self, ids: dict[str, list[int]]) -> dict[int, Any]:
        """Spread the launches of each host over the phase, in no order; return when each is due."""
        from submissions.models import Submission

        begin, due = _now() + timedelta(seconds=0.5), {}
        length = len(GOOD) * len(ids[GOOD[0]]) / self.told.rate
        rows = []
        for pk in (pk for some in ids.values() for pk in some):
            due[pk] = begin + timedelta(seconds=self.dice.uniform(0, length))
            rows.append(Submission(pk=pk, look_at=due[pk]))
        Submission.objects.bulk_update(rows, ["look_at"])
        return due

    def _await(self, ids: Sequence[int]) -> None:
        from submissions.models import Submission

        deadline = time.monotonic() + 300
        while left := Submission.objects.filter(pk__in=ids).exclude(state="submitted").values_list("state", "why"):
            assert time.monotonic() < deadline, f"not launched: {list(left)[:5]}"
            time.sleep(0.5)


def _now() -> Any:
    from core.clock import now

    return now()


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def _worker(log: Path) -> int:
    """Fork a process that launches, and nothing else, until SIGTERM."""
    from django.db import connections

    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        stop: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        from core import loops

        while not stop:
            if not loops.run("launch", budget=1.5):
                time.sleep(NAP)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
