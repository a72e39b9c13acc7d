"""Cuts of the network: workers, database and launch host in network namespaces of their own, and lines between them.

The lines are cut again and again while campaigns run, for longer than leases and time limits too; the workers' clocks
go ahead and behind. Afterwards the batch system's log is the judge, as in the kill tests. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.faults import scene, team
from tests.faults.__main__ import say

ROOT = Path(__file__).resolve().parents[2]
# Addresses of the test's own namespaces: nothing of them can be reached from elsewhere.
WORKER_TO = {"database": ("10.99.1.1", "10.99.1.2"), "host": ("10.99.2.1", "10.99.2.2")}
PORT = 5432
HOST = "far"
# Ahead, behind, as it is: seconds by which the clocks of the workers are wrong (F15).
SKEWS = (600, -600, 0)
LONGEST_CUT = 45.0


def main() -> int:
    """Run once; exit code 0 if nothing was lost, doubled, unrecorded or broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.network", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--deadline", type=float, default=1500.0, help="seconds after which a run is stuck")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder whatever came out")
    parser.add_argument("--worker", nargs=3, metavar=("ROOT", "NAME", "SEED"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.worker:
        return _work(*told.worker)
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    say(f"seed {seed}; again with: python -m tests.faults.network --seed {seed} --submissions {told.submissions}"
        f" --cuts {told.cuts}")  # fmt: skip
    folders = scene.Folders()
    failed = True
    try:
        with ExitStack() as undo:
            run = Run(told, seed, folders, undo)
            outcome = run.play()
            failed = run.failed
    finally:
        if failed or told.keep:
            say(f"the run's folder is kept: {folders.root}")
        else:
            folders.remove()
    print(json.dumps(outcome), flush=True)
    return 1 if failed else 0


class Namespaces:
    """Network namespaces of this run, named by the first letter of what is in them; lines are laid by who uses them."""

    def __init__(self, *inhabitants: str) -> None:
        self.names = {what: f"poms{os.getpid()}{what[0]}" for what in inhabitants}
        for name in self.names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")

    def lay(self, near: str, far: str, near_address: Sequence[str], far_address: Sequence[str]) -> None:
        """Lay a line between two of them; the far end is called by both letters and 1."""
        here, there = f"p{os.getpid()}{far[0]}{near[0]}0", f"p{os.getpid()}{far[0]}{near[0]}1"
        ends = ["netns", self.names[near], "type", "veth", "peer", "name", there, "netns", self.names[far]]
        ip("link", "add", here, *ends)
        for what, device, address in ((near, here, near_address), (far, there, far_address)):
            ip("-n", self.names[what], "address", "add", *address, "dev", device)
            ip("-n", self.names[what], "link", "set", device, "up")

    def within(self, what: str) -> list[str]:
        """Return what goes before a command that runs in a namespace."""
        return ["ip", "netns", "exec", self.names[what]]

    def remove(self) -> None:
        """Delete the namespaces, and the lines with them."""
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False)


class Net(Namespaces):
    """Three namespaces: of the workers, of the database, of the launch host; two lines from the first one."""

    def __init__(self) -> None:
        super().__init__("worker", *WORKER_TO)
        for what, (near, far) in WORKER_TO.items():
            self.lay("worker", what, [f"{near}/24"], [f"{far}/24"])

    def cut(self, what: str) -> None:
        """Let nothing through any more; nobody is told."""
        ip("-n", self.names[what], "link", "set", f"p{os.getpid()}{what[0]}w1", "down")

    def mend(self, what: str) -> None:
        """Let everything through again."""
        ip("-n", self.names[what], "link", "set", f"p{os.getpid()}{what[0]}w1", "up")


def ip(*words: str) -> None:
    """Run `ip`, which must not fail."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {shlex.join(words)}: {done.stderr}"


@contextmanager
def database(net: Namespaces, home: Path) -> Iterator[str]:
    """Run PostgreSQL in its namespace; give the address by which we reach it past the line that is cut."""
    from poms_site import embedded

    made = embedded.start(home / "data", durable=False)
    programs, cluster = Path(os.readlink(f"/proc/{made.pid}/exe")).parent, made.data / "cluster"
    made.stop()
    owner = cluster.stat()
    with (cluster / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.99.1.0/24 trust\n")
    socket = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    os.chown(socket, owner.st_uid, owner.st_gid)
    settings = {"listen_addresses": WORKER_TO["database"][1], "port": str(PORT), "fsync": "off",
                "unix_socket_directories": str(socket), "max_connections": "60"}  # fmt: skip
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    who = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
    with (home / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            [*net.within("database"), "setpriv", *who, str(programs / "postgres"), "-D", str(cluster), *words],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        ready = [str(programs / "pg_isready"), "-q", "-h", str(socket), "-p", str(PORT)]
        while subprocess.run(ready, check=False).returncode:
            assert server.poll() is None and time.monotonic() < deadline, (home / "postgres.log").read_text()
            time.sleep(0.1)
        yield f"postgresql://{embedded.USER}@:{PORT}/{str(socket).replace('/', '%2F')}/{embedded.DATABASE}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


class Run:
    """One run from an empty database to its verdict."""

    def __init__(self, told: argparse.Namespace, seed: int, folders: scene.Folders, undo: ExitStack) -> None:
        self.told, self.seed, self.folders, self.undo = told, seed, folders, undo
        self.dice = random.Random(seed)
        self.started = time.monotonic()
        self.failed = True
        self.cuts: dict[str, int] = {}
        self.down: dict[str, float] = {}
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def play(self) -> dict[str, Any]:
        """Set up, cut lines until everything is done, and judge."""
        from tests.servers import sshd

        team.adopt_orphans()
        self.net = Net()
        self.undo.callback(self.net.remove)
        url = self.undo.enter_context(database(self.net, self.folders.root))
        scene.start_django(self.folders, self.seed, url)
        keys = self.folders.root / "keys"
        keys.mkdir()
        far = WORKER_TO["host"][1]
        server = self.undo.enter_context(sshd.running(keys, far, self.net.within("host")))
        self.scene = scene.Scene(self.folders, self.seed)
        self._enter_host(server)
        self.planned = [self.scene.far("far", self.told.submissions)]
        self._start_daemon()
        ended = self._until_ended()
        for what in list(self.down):
            self._mend(what)
        self._stop_workers()
        return self._judge(ended=ended)

    def _enter_host(self, server: Any) -> None:
        from integrations.models import LaunchHost
        from tests import builders

        cast = self.scene.cast
        LaunchHost.objects.create(
            experiment=cast.experiment, name=HOST, address=WORKER_TO["host"][1], port=server.port, account="root",
            home=str(self.folders.root / "far"), credential="faults-key", python=sys.executable,
            known_hosts=server.known_hosts.read_text(),
        )  # fmt: skip
        builders.login_setup(cast, HOST, launcher="ssh", host=HOST)
        self.key = server.key

    def _start_daemon(self) -> None:
        from integrations.batch import local

        argv = [sys.executable, "-S", "-E", "-s", str(local.DAEMON), "serve", "--spool", str(self.folders.spool),
                "--slots", "12", "--end-jobs"]  # fmt: skip
        with (self.folders.log / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self.undo.callback(daemon.wait)
        self.undo.callback(daemon.terminate)

    def _tend(self) -> None:
        """Start workers again that have ended: a supervisor of services does so."""
        database = f"postgresql://poms@{WORKER_TO['database'][1]}:{PORT}/poms"
        for number, _ in enumerate(SKEWS):
            name = f"worker{number}"
            if name in self.workers and self.workers[name].poll() is None:
                continue
            argv = [*self.net.within("worker"), sys.executable, "-m", "tests.faults.network", "--worker",
                    str(self.folders.root), name, str(self.dice.randrange(1 << 30))]  # fmt: skip
            env = os.environ | {"DATABASE_URL": database, "POMS_CREDENTIAL_FAULTS_KEY_FILE": str(self.key)}
            with (self.folders.log / f"{name}.log").open("ab") as log:
                self.workers[name] = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log)
                self.undo.callback(self.workers[name].kill)

    def _until_ended(self) -> bool:
        from django.db import connection

        batches, last = sum(planned.batches for planned in self.planned), 0.0
        while True:
            self._tend()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT (SELECT count(*) FROM submissions_batch),"
                    " (SELECT count(*) FROM submissions_batch WHERE state = 'completed'),"
                    " (SELECT count(*) FROM submissions_submission),"
                    " (SELECT count(*) FROM campaigns_campaign WHERE state NOT IN ('succeeded', 'cancelled'))"
                )
                made, done, attempts, going = cursor.fetchone()
            if not going and made >= batches:
                return True
            seconds = time.monotonic() - self.started
            if seconds > self.told.deadline:
                return False
            if time.monotonic() - last > 5:
                last = time.monotonic()
                say(f"{seconds:5.1f} s  planned {made}/{batches}, done {done}, attempts {attempts}, cuts {self.cuts},"
                    f" down {list(self.down)}")  # fmt: skip
            self._cut_and_mend((made + done) / (2 * batches))
            time.sleep(0.2)

    def _cut_and_mend(self, share: float) -> None:
        for what, until in list(self.down.items()):
            if time.monotonic() > until:
                self._mend(what)
        number = sum(self.cuts.values())
        if not self.down and number < self.told.cuts * min(1.0, 0.1 + share) and self.dice.random() < 0.2:
            # One in four lasts until both ends have given the line up.
            seconds = LONGEST_CUT if number % 4 == 3 else self.dice.uniform(1, 8)
            for what in self.dice.choice((["database"], ["host"], ["database", "host"])):
                self.net.cut(what)
                self.cuts[what] = self.cuts.get(what, 0) + 1
                self.down[what] = time.monotonic() + seconds

    def _mend(self, what: str) -> None:
        self.net.mend(what)
        del self.down[what]

    def _stop_workers(self) -> None:
        for worker in self.workers.values():
            worker.terminate()
        for worker in self.workers.values():
            try:
                worker.wait(150)
            except subprocess.TimeoutExpired:
                worker.kill()

    def _judge(self, *, ended: bool) -> dict[str, Any]:
        from integrations.batch.local_daemon import read_log
        from tests.faults import invariants, truth

        log = invariants.Truth.of(read_log(self.folders.spool))
        batches = sum(planned.batches for planned in self.planned)
        verdict, breaches = truth.compare(log, batches), invariants.broken(log)
        for what, sentences in {**verdict, **breaches}.items():
            for sentence in sentences[:10]:
                say(f"{what}: {sentence}")
        outcome = {
            "seed": self.seed, "submissions": batches, "cuts": self.cuts,
            **{name: len(sentences) for name, sentences in verdict.items()},
            "invariants_broken": sum(bool(sentences) for sentences in breaches.values()),
            "ended": ended, "seconds": round(time.monotonic() - self.started, 1),
        }  # fmt: skip
        counts = [outcome[name] for name in ("lost", "double", "unrecorded", "invariants_broken")]
        self.failed = any(counts) or not ended or sum(self.cuts.values()) < self.told.cuts
        return outcome


def _work(root: str, name: str, seed: str) -> int:
    """Be a worker whose clock is wrong, until SIGTERM."""
    import django

    from core import clock

    django.setup()
    scene.shorten_leases()
    from integrations.launcher import ssh

    ssh.CALL_S = 15.0
    folders = object.__new__(scene.Folders)
    folders.root = Path(root)
    folders.control, folders.hits = folders.root / "control", folders.root / "hits"
    skew = timedelta(seconds=SKEWS[int(name[-1]) % len(SKEWS)])
    with suppress(KeyboardInterrupt), clock.shifted(skew):
        team.work(int(seed), folders, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
