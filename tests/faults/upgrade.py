"""A rolling upgrade in mid-campaign: two worker hosts and one database host, each in a network namespace of its own.

The code of before the newest migrations makes the tables, approves the campaigns and works on both hosts. Then the new
code migrates while they work, host after host is restarted with it, one goes back for a while and comes again. The
batch system's log is the judge, as in the kill tests, and PostgreSQL's: neither code may ask for what the tables lack.
Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults import network, resident, scene, team
from tests.faults.__main__ import say

ROOT = Path(__file__).resolve().parents[2]
RESIDENT = Path(resident.__file__)
HOUSES = ("core", "integrations", "submissions")  # whose newest migrations the old code lacks
DATABASE = network.WORKER_TO["database"][1]
ADDRESSES = {"one": "10.99.1.1", "two": "10.99.1.3"}
WORKERS_A_HOST = 2
SLOTS = 8
SHARE_BEFORE = 1 / 3  # of the submissions; they are done before the tables change
# Of the submissions so many are launched between two steps at least, by both hosts as they are then.
BETWEEN = 1 / 12
TRIES = 20
LAUNCHES = "SELECT count(*) FROM submissions_submission WHERE launched_at IS NOT NULL"
# What PostgreSQL says to code that its tables do not suit.
UNSUITED = re.compile(
    r"(?:column|relation|table|type) \S+(?: of relation \S+)? does not exist|function \S+\(.*\) does not exist"
    r"|null value in column|violates (?:check|not-null) constraint|invalid input value for enum"
)


class NoHistory(Exception):
    """There is no commit before the newest migrations here."""


def main() -> int:
    """Run once; exit code 0 if nothing was lost, doubled, unrecorded or broken, and every step was taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.upgrade", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--old", metavar="COMMIT", help="the old code; else that of before the newest migrations")
    parser.add_argument("--deadline", type=float, default=1500.0, help="seconds after which a run is stuck")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder whatever came out")
    told = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    told.old = told.old or before_newest()
    say(f"seed {seed}; again with: python -m tests.faults.upgrade --seed {seed} --submissions {told.submissions}"
        f" --old {told.old[:12]}")  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then too
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


def before_newest(root: Path = ROOT) -> str:
    """Return the commit before the first of those that brought the newest migrations; raises NoHistory."""
    newest = []
    for house in HOUSES:
        names = _git(root, "ls-tree", "--name-only", "HEAD", f"{house}/migrations/").split()
        newest.append(max(name for name in names if re.fullmatch(r"\d+_\w+\.py", Path(name).name)))
    brought = _git(root, "log", "--topo-order", "--no-renames", "--diff-filter=A", "--format=%H", "--", *newest).split()
    if not brought:
        raise NoHistory("No commit brought the newest migrations; name the old code with --old.")
    before = _git(root, "rev-parse", "--verify", f"{brought[-1]}^").strip()
    if there := _git(root, "ls-tree", "--name-only", before, "--", *newest).split():
        raise NoHistory(f"{before[:12]} has {', '.join(there)} already; name the old code with --old.")
    return before


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoHistory("There is no git here.") from error
    if done.returncode:
        raise NoHistory(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def unsuited(lines: Iterable[str]) -> list[str]:
    """Return the lines in which PostgreSQL says that the tables do not suit the code."""
    return [line.strip() for line in lines if UNSUITED.search(line)]


class Hosts(network.Namespaces):
    """Three namespaces: of the database and of two worker hosts, each with a line of its own to the database."""

    def __init__(self) -> None:
        super().__init__("database", *ADDRESSES)
        for what, address in ADDRESSES.items():
            self.lay(what, "database", [address, "peer", DATABASE], [DATABASE, "peer", address])


class Host:
    """The workers of one host, all of one code."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self.run = name, run
        self.code = ""
        self.workers: list[subprocess.Popen[bytes]] = []
        self.starts = 0

    def start(self, code: str) -> None:
        """Start workers, and wait until they work."""
        self.code = code
        started = [self._start() for _ in range(WORKERS_A_HOST)]
        self.workers = [worker for worker, _ in started]
        until = time.monotonic() + 120
        for worker, log in started:
            while resident.READY not in log.read_text():
                assert worker.poll() is None and time.monotonic() < until, log.read_text()
                self.run.feed()
                time.sleep(0.2)

    def _start(self) -> tuple[subprocess.Popen[bytes], Path]:
        self.starts += 1
        path = self.run.folders.log / f"{self.name}-{self.starts}-{self.code}.log"
        argv = [*self.run.net.within(self.name), *self.run.resident("worker", f"{self.name}{self.starts}")]
        env = self.run.environment(self.code) | {"DATABASE_URL": f"postgresql://poms@{DATABASE}:{network.PORT}/poms"}
        with path.open("wb") as log:
            worker = subprocess.Popen(argv, env=env, cwd=self.run.tree(self.code), stdout=log, stderr=log)
        self.run.undo.callback(worker.wait)
        self.run.undo.callback(worker.kill)
        return worker, path

    def tend(self) -> None:
        """Start workers again that have ended, as a supervisor of services does; nobody should."""
        for place, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.run.deaths[f"{self.name}, {self.code} code, status {worker.returncode}"] += 1
                self.workers[place], _ = self._start()

    def stop(self) -> None:
        """Let the workers end what they do, and go."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(90)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            if worker.returncode:
                self.run.deaths[f"{self.name}, {self.code} code, told to end, status {worker.returncode}"] += 1
        self.workers = []


class Run:
    """One run from an empty database to its verdict."""

    def __init__(self, told: argparse.Namespace, seed: int, folders: scene.Folders, undo: ExitStack) -> None:
        self.told, self.seed, self.folders, self.undo = told, seed, folders, undo
        self.dice = random.Random(seed)
        self.started = time.monotonic()
        self.failed = True
        self.old = folders.root / "old"
        self.hosts = {name: Host(name, self) for name in ADDRESSES}
        self.batches = 0
        self.deaths: Counter[str] = Counter()
        self.migrated: dict[str, Any] = {}
        self.between = max(5, round(told.submissions * BETWEEN))
        self.steps: list[tuple[str, Callable[[], None]]] = [
            ("old code on new tables", self._migrate),
            ("one host new", lambda: self._restart("one", "new")),
            ("both hosts new", lambda: self._restart("two", "new")),
            ("one host back", lambda: self._restart("one", "old")),
            ("both hosts new again", lambda: self._restart("one", "new")),
        ]
        self.now = "old code on old tables"
        self.launched: dict[str, int] = {}

    def play(self) -> dict[str, Any]:
        """Set up with the old code, take the steps while the work goes on, and judge."""
        team.adopt_orphans()
        self._check_out()
        self.net = Hosts()
        self.undo.callback(self.net.remove)
        url = self.undo.enter_context(network.database(self.net, self.folders.root))
        scene.start_django(self.folders, self.seed, url, tables=False)
        self._start_daemon()
        self._start_site()
        self._approve(self.told.submissions)
        say(f"{self.seconds:5.1f} s  {self.batches} batches are approved by the old code, {self.told.old[:12]}")
        for host in self.hosts.values():
            host.start("old")
        ended = self._until_ended()
        for host in self.hosts.values():
            host.stop()
        return self._judge(ended=ended)

    @property
    def seconds(self) -> float:
        """Return how long the run has lasted."""
        return time.monotonic() - self.started

    def tree(self, code: str) -> Path:
        """Return the folder of a code."""
        return self.old if code == "old" else ROOT

    def environment(self, code: str) -> dict[str, str]:
        """Return the environment of a process that runs a code."""
        return os.environ | {"PYTHONPATH": f"{self.tree(code)}:{self.tree(code) / 'client'}"}

    def resident(self, what: str, name: str) -> list[str]:
        """Return the command of a process; the folder of its file is not on its path."""
        root, seed = str(self.folders.root), str(self.dice.randrange(1 << 30))
        return [sys.executable, "-P", str(RESIDENT), what, root, name, seed]

    def _check_out(self) -> None:
        _git(ROOT, "worktree", "add", "--quiet", "--detach", str(self.old), self.told.old)
        self.undo.callback(_git, ROOT, "worktree", "remove", "--force", str(self.old))

    def _start_daemon(self) -> None:
        from integrations.batch import local

        daemon = self.old / local.DAEMON.relative_to(ROOT)
        argv = [sys.executable, "-S", "-E", "-s", str(daemon), "serve", "--spool", str(self.folders.spool),
                "--slots", str(SLOTS), "--end-jobs"]  # fmt: skip
        with (self.folders.log / "daemon.log").open("wb") as log:
            started = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self.undo.callback(started.wait)
        self.undo.callback(started.terminate)

    def _start_site(self) -> None:
        with (self.folders.log / "site-old.log").open("wb") as log:
            self.site = subprocess.Popen(
                self.resident("site", "site"), env=self.environment("old"), cwd=self.old, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.undo.callback(self.site.wait)
        self.undo.callback(self.site.kill)

    def _approve(self, submissions: int) -> None:
        """Have the old code approve campaigns that come to so many submissions; it makes the tables first."""
        assert self.site.stdin
        assert self.site.stdout
        print(submissions, file=self.site.stdin, flush=True)
        answer = self.site.stdout.readline()
        assert answer, (self.folders.log / "site-old.log").read_text()
        self.batches += json.loads(answer)

    def _until_ended(self) -> bool:
        last = begun = 0
        while True:
            for host in self.hosts.values():
                host.tend()
            made, done, launches, going = self._ask(
                "SELECT (SELECT count(*) FROM submissions_batch),"
                " (SELECT count(*) FROM submissions_batch WHERE state = 'completed'),"
                " (SELECT count(*) FROM submissions_submission WHERE launched_at IS NOT NULL),"
                " (SELECT count(*) FROM campaigns_campaign WHERE state NOT IN ('succeeded', 'cancelled'))"
            )
            self.launched[self.now] = launches - begun
            if not going and made >= self.batches and not self.steps:
                return True
            if self.seconds > self.told.deadline:
                return False
            if self.seconds - last > 5:
                last = round(self.seconds)
                say(f"{self.seconds:5.1f} s  planned {made}/{self.batches}, done {done}, {self.now}: {launches - begun}"
                    " launches")  # fmt: skip
            if self.steps and not self.feed() and self._due(done, launches - begun):
                say(f"{self.seconds:5.1f} s  next: {self.steps[0][0]}")
                self.now, take = self.steps.pop(0)
                take()
                # What was launched while it was taken belongs to neither side.
                (begun,) = self._ask(LAUNCHES)
            time.sleep(0.2)

    def feed(self) -> bool:
        """Have more approved where work runs out, for every step is taken in mid-campaign; tell whether it was so."""
        (done,) = self._ask("SELECT count(*) FROM submissions_batch WHERE state = 'completed'")
        if not self.batches or self.batches - done >= 2 * self.between:
            return False
        self._approve(4 * self.between)
        return True

    def _due(self, done: int, launches: int) -> bool:
        """Tell whether enough was done by both hosts as they are now."""
        enough = launches >= self.between
        return enough if self.migrated else enough and done >= self.told.submissions * SHARE_BEFORE

    def _migrate(self) -> None:
        """Migrate with the new code while the old works, as the guide has it: again where a lock was not had."""
        count = "SELECT count(*) FROM django_migrations"
        before, launches = self._ask(count)[0], self._ask(LAUNCHES)[0]
        argv = [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"]
        for tries in range(1, TRIES + 1):
            began, path = time.monotonic(), self.folders.log / f"migrate-{tries}-new.log"
            with path.open("wb") as log:
                going = subprocess.Popen(argv, env=self.environment("new"), cwd=ROOT, stdout=log, stderr=log)
            self.undo.callback(going.wait)
            self.undo.callback(going.kill)
            while going.poll() is None:
                self.feed()
                time.sleep(0.2)
            if going.returncode == 0:
                break
            assert "A lock was not had" in path.read_text() and tries < TRIES, path.read_text()
        self.migrated = {
            "migrations": self._ask(count)[0] - before, "tries": tries, "last_s": round(time.monotonic() - began, 1),
            "launched_meanwhile": self._ask(LAUNCHES)[0] - launches,
        }  # fmt: skip

    def _restart(self, host: str, code: str) -> None:
        self.hosts[host].stop()
        self.hosts[host].start(code)

    def _ask(self, sql: str) -> tuple[Any, ...]:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(sql)
            row: tuple[Any, ...] = cursor.fetchone()
            return row

    def _judge(self, *, ended: bool) -> dict[str, Any]:
        from integrations.batch.local_daemon import read_log
        from tests.faults import invariants, truth

        log = invariants.Truth.of(read_log(self.folders.spool))
        said = {"unsuited": self._unsuited()}
        verdict, breaches = truth.compare(log, self.batches), invariants.broken(log)
        for what, sentences in {**verdict, **breaches, **said}.items():
            for sentence in sentences[:10]:
                say(f"{what}: {sentence}")
        outcome = {
            "seed": self.seed, "old": self.told.old[:12], "submissions": self.batches, "migrated": self.migrated,
            "launched": self.launched, **{name: len(sentences) for name, sentences in verdict.items()},
            "invariants_broken": sum(bool(sentences) for sentences in breaches.values()),
            "unsuited": len(said["unsuited"]), "failed_passes": self._failed_passes(), "deaths": dict(self.deaths),
            "ended": ended, "seconds": round(self.seconds, 1),
        }  # fmt: skip
        counts = [outcome[name] for name in ("lost", "double", "unrecorded", "invariants_broken", "unsuited")]
        taken = not self.steps and self.migrated.get("migrations") and self.migrated["launched_meanwhile"]
        self.failed = any(counts) or not ended or not taken or bool(self.deaths)
        return outcome

    def _unsuited(self) -> list[str]:
        """Return what PostgreSQL and the processes have said of tables that do not suit them, and what rows keep of it."""
        from django.db import connection

        found = unsuited((self.folders.root / "postgres.log").read_text(errors="replace").splitlines())
        for path in sorted(self.folders.log.glob("*.log")):
            found += [f"{path.name}: {line}" for line in unsuited(path.read_text(errors="replace").splitlines())]
        with connection.cursor() as cursor:
            cursor.execute("SELECT error FROM core_trouble UNION ALL SELECT last_error FROM core_heartbeat")
            found += unsuited(error for (error,) in cursor.fetchall())
        return found

    def _failed_passes(self) -> dict[str, int]:
        """Return how often which loop's pass ended in an error, by code."""
        return dict(Counter(
            f"{path.stem.rpartition('-')[2]} code: {line.removeprefix('PASS FAILED ')}"
            for path in self.folders.log.glob("*.log")
            for line in path.read_text(errors="replace").splitlines() if line.startswith("PASS FAILED")
        ))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
