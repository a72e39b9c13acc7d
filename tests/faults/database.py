"""A database that fails while a production runs: cut off again and again, a standby promoted, put back to a second.

The batch system's own log is the judge, as in the kill tests: nothing is lost or done twice, whatever the database has
forgotten. Ends with one JSON line: seed, submissions, deeds, lost, double, unrecorded, invariants_broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults import killing, scene, team
from tests.faults.__main__ import say
from tests.faults.reader import Reader

EXTRA = 40
# Calls of before a restore end within seconds here: whoever made them was killed.
SETTLED_AFTER = timedelta(seconds=3)
WORTH_IT = 10  # launches that a restore may forget


def main() -> int:
    """Run once; exit code 0 if nothing was lost, doubled, unrecorded or broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.database", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--promotions", type=int, default=1)
    parser.add_argument("--restores", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--deadline", type=float, default=1500.0, help="seconds after which a run is stuck")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder whatever came out")
    told = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    say(f"seed {seed}; again with: python -m tests.faults.database --seed {seed} --submissions {told.submissions}"
        f" --cuts {told.cuts} --promotions {told.promotions} --restores {told.restores}")  # fmt: skip
    from tests.servers import postgres

    folders, server = scene.Folders(), postgres.Server()
    run = Run(told, seed, folders, server)
    try:
        outcome = run.play()
    finally:
        run.members.stop_all()
        if run.failed or told.keep:
            say(f"the run's folders are kept: {folders.root}, {server.home}")
        else:
            folders.remove()
            server.remove()
    print(json.dumps(outcome), flush=True)
    return 1 if run.failed else 0


class Run:
    """One run from an empty database to its verdict."""

    def __init__(self, told: argparse.Namespace, seed: int, folders: scene.Folders, server: Any) -> None:
        self.told, self.seed, self.folders, self.server = told, seed, folders, server
        self.dice = random.Random(seed)
        self.started = time.monotonic()
        self.failed = True
        self.killer = killing.Killer(folders.root, seed, 0)
        points = team.Points(wanted=0)
        points.off = True
        self.members = team.Team(folders, self.killer, points, workers=told.workers, slots=12, seed=seed)
        self.deeds = ["cut"] * told.cuts + ["promote"] * told.promotions + ["put_back"] * told.restores
        self.dice.shuffle(self.deeds)
        self.done: Counter[str] = Counter()
        self.planned: list[scene.Planned] = []
        self.forgot = 0
        self.web: dict[str, Any] = {"answers": {}}

    def play(self) -> dict[str, Any]:
        """Set up, let the database fail until everything is done, and judge."""
        team.adopt_orphans()
        self.server.start()
        scene.start_django(self.folders, self.seed, self.server.url)
        scene.put_programs(self.folders)
        scene.shorten_leases()
        from experiments.logic import tokens
        from submissions.logic import restoring

        restoring.SETTLED_AFTER = SETTLED_AFTER
        self.scene = scene.Scene(self.folders, self.seed)
        self.planned = self.scene.campaigns(self.told.submissions)
        _, token = tokens.issue(self.scene.cast.operator, "reader")
        self._back_up()
        reader = Reader(self.folders, token)
        try:
            ended = self._until_ended()
        finally:
            self.web = reader.stop()
        self.members.stop_workers()
        return self._judge(ended=ended)

    def _back_up(self) -> None:
        """Take a base backup, which a restore starts from; a restore uses it up."""
        self.backups = getattr(self, "backups", 0) + 1
        self.backup = self.server.backup(f"base{self.backups}")
        self.backed_up = datetime.now(UTC)

    def _until_ended(self) -> bool:
        last, next_deed = 0.0, time.monotonic() + 3.0
        while True:
            self.members.tend()
            made, done, attempts, going, strays = self._ask(
                "SELECT (SELECT count(*) FROM submissions_batch),"
                " (SELECT count(*) FROM submissions_batch WHERE state = 'completed'),"
                " (SELECT count(*) FROM submissions_submission),"
                " (SELECT count(*) FROM campaigns_campaign WHERE state NOT IN ('succeeded', 'cancelled'))"
                " + (SELECT count(*) FROM submissions_restoration WHERE ended_at IS NULL),"
                " (SELECT count(*) FROM submissions_stray)"
            )
            if not going and made >= self.batches:
                if not self.deeds:
                    return True
                self.planned.append(self.scene.extra(len(self.planned), EXTRA))
                self._back_up()  # whoever puts back further would forget the approval too
            elif not self.deeds:
                self._look_after()
            seconds = time.monotonic() - self.started
            if seconds > self.told.deadline:
                return False
            if time.monotonic() - last > 5:
                last = time.monotonic()
                say(f"{seconds:5.1f} s  planned {made}/{self.batches}, done {done}, attempts {attempts},"
                    f" deeds {dict(self.done)}, launches that were forgotten {strays}")  # fmt: skip
            if self.deeds and time.monotonic() >= next_deed and self._may(self.deeds[0]):
                deed = self.deeds.pop(0)
                self._do(deed)
                self.done[deed] += 1
                next_deed = time.monotonic() + self.dice.uniform(0.5, 3.0)
            time.sleep(0.1)

    @property
    def batches(self) -> int:
        """Return how many batches all planning must come to."""
        return sum(planned.batches for planned in self.planned)

    def _expected(self) -> int:
        """Return how many batches there must be at the end."""
        return self.batches

    def _look_after(self) -> None:
        """Do what people do once all is well again: here nothing, for nobody is needed."""

    def _may(self, deed: str) -> bool:
        """Tell whether a deed would do harm now: there must be something to forget."""
        if deed != "put_back":
            return True
        (launched,) = self._ask(
            "SELECT count(*) FROM submissions_submission"
            f" WHERE launched_at > '{self.backed_up.isoformat()}'::timestamptz + interval '3 s'"
        )
        return bool(launched >= WORTH_IT)

    def _do(self, deed: str) -> None:
        from django.db import connection

        if deed == "cut":
            self._meanwhile(lambda: self.server.cut(self.dice.uniform(0.2, 3.0)))
        elif deed == "promote":
            self._meanwhile(self.server.promote)
            self._back_up()
        else:
            # As the guide has it: workers are stopped first. Here they are killed.
            self.members.resting = True
            for pid in self.members.worker_pids():
                self.killer.kill(killing.Seen(pid, 0, "worker"))
            while self.members.worker_pids():
                self.members.tend()
                time.sleep(0.01)
            begin, end = self.backed_up + timedelta(seconds=1), datetime.now(UTC) - timedelta(seconds=1)
            to = begin + (end - begin) * self.dice.random()
            say(f"        put back to {to:%H:%M:%S}, {(datetime.now(UTC) - to).total_seconds():.1f} s ago")
            before = self._ask("SELECT count(*) FROM submissions_submission")[0]
            connection.close()
            self.server.put_back(self.backup, to)
            self.forgot += before - self._ask("SELECT count(*) FROM submissions_submission")[0]
            self.members.resting = False
            self._back_up()

    def _meanwhile(self, deed: Callable[[], None]) -> None:
        from django.db import connection

        connection.close()
        deed()

    def _ask(self, sql: str) -> tuple[Any, ...]:
        """Ask as often as it takes: the database may be away."""
        from django.db import Error, connection

        deadline = time.monotonic() + 120
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    row: tuple[Any, ...] = cursor.fetchone()
                    return row
            except Error:
                assert time.monotonic() < deadline, "the database does not come back"
                connection.close()
                time.sleep(0.2)

    def _judge(self, *, ended: bool) -> dict[str, Any]:
        from django.db import connection

        from integrations.batch.local_daemon import read_log
        from tests.faults import invariants, truth

        log = invariants.Truth.of(read_log(self.folders.spool))
        verdict, breaches = truth.compare(log, self._expected()), invariants.broken(log)
        for what, sentences in {**verdict, **breaches}.items():
            for sentence in sentences[:10]:
                say(f"{what}: {sentence}")
        with connection.cursor() as cursor:
            cursor.execute("SELECT fate, count(*) FROM submissions_stray GROUP BY 1")
            strays = dict(cursor.fetchall())
            cursor.execute("SELECT loop, kind, tries, error FROM core_trouble LIMIT 10")
            troubles = [list(row) for row in cursor.fetchall()]
            cursor.execute("SELECT ended_by, count(*) FROM submissions_restoration GROUP BY 1")
            restorations = dict(cursor.fetchall())
        outcome = {
            "seed": self.seed, "submissions": self.batches, "deeds": dict(self.done),
            **{name: len(sentences) for name, sentences in verdict.items()},
            "invariants_broken": sum(bool(sentences) for sentences in breaches.values()),
            "forgotten": self.forgot, "strays": strays, "restorations": restorations, "troubles": troubles,
            "web": self.web, "other_deaths": dict(self.members.deaths), "ended": ended,
            "seconds": round(time.monotonic() - self.started, 1),
        }  # fmt: skip
        counts = [outcome[name] for name in ("lost", "double", "unrecorded", "invariants_broken")]
        self.failed = any(counts) or not ended or bool(self.deeds) or not set(self.web["answers"]) <= {"200", "503"}
        return outcome


if __name__ == "__main__":
    sys.exit(main())
