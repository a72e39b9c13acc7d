"""`python -m tests.faults`: 1,000 submissions under 200 kill -9 and every crash point, checked against the log.

Prints its seed first, progress meanwhile, and one JSON line at the end; exit code 1 if anything was lost, done
twice or not recorded, or an invariant is broken. The folder of a run that failed is kept and named.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults import killing, scene, team

ROUNDS_OF_FULL = 15
HITS = 5
EXTRA_SUBMISSIONS = 60
PAUSES_A_KILL = 0.25


def main() -> int:
    """Run once, or many times for the full size; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the killer's dice; drawn and printed if not given")
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--slots", type=int, default=12, help="of the batch daemon")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds after which a run is stuck")
    parser.add_argument("--full", action="store_true", help=f"{ROUNDS_OF_FULL} runs, one after the other")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder whatever came out")
    told = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    if told.full:
        return _full(told, seed)
    say(f"seed {seed}; again with: python -m tests.faults --seed {seed} --submissions {told.submissions}"
        f" --kills {told.kills}")  # fmt: skip
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    run = Run(told, seed)
    try:
        outcome = run.play()
    except KeyboardInterrupt:
        say("stopped")
        run.failed = False
        return 130
    finally:
        run.clear_up()
    print(json.dumps(outcome), flush=True)
    return 1 if run.failed else 0


def _end(number: int, frame: object) -> None:
    """End the run, with the clearing up that a second signal must not cut short."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Tell whoever watches."""
    print(text, file=sys.stderr, flush=True)


def _full(told: argparse.Namespace, seed: int) -> int:
    """Run in fresh processes, each with a database of its own, and add the outcomes up."""
    import subprocess

    total: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    points: Counter[str] = Counter()
    code = 0
    for number in range(ROUNDS_OF_FULL):
        argv = [sys.executable, "-m", "tests.faults", "--seed", str(seed + number), "--submissions",
                str(told.submissions), "--kills", str(told.kills), "--workers", str(told.workers), "--slots",
                str(told.slots), "--deadline", str(told.deadline)]  # fmt: skip
        ended = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
        code = code or ended.returncode
        try:
            outcome = json.loads(ended.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            say(f"the run with seed {seed + number} ended with {ended.returncode} and no outcome")
            code = code or 1
            continue
        total.update(
            {k: outcome[k] for k in ("submissions", "kills", "lost", "double", "unrecorded", "invariants_broken")}
        )
        by_kind.update(outcome["kills_by_kind"])
        points.update(outcome["crashpoints"])
        say(f"run {number + 1} of {ROUNDS_OF_FULL}: {json.dumps(outcome)}")
    print(json.dumps({"seed": seed, "runs": ROUNDS_OF_FULL, **total, "kills_by_kind": by_kind, "crashpoints": points}))
    return code


class Run:
    """One run from an empty database to its verdict."""

    def __init__(self, told: argparse.Namespace, seed: int) -> None:
        self.told = told
        self.seed = seed
        self.started = time.monotonic()
        self.failed = True
        self.folders = scene.Folders()
        self.killer = killing.Killer(self.folders.root, seed, told.kills)
        self.points = team.Points(wanted=HITS)
        self.team = team.Team(self.folders, self.killer, self.points, workers=told.workers, slots=told.slots, seed=seed)
        self.planned: list[scene.Planned] = []
        self.last_said = 0.0

    @property
    def seconds(self) -> float:
        """Return how long the run has lasted."""
        return time.monotonic() - self.started

    def play(self) -> dict[str, Any]:
        """Set up, kill until everything is done, and judge."""
        team.adopt_orphans()
        scene.start_django(self.folders, self.seed)
        scene.put_programs(self.folders)
        scene.shorten_leases()
        self.scene = scene.Scene(self.folders, self.seed)
        from tests.faults.people import People

        self.people = People(self.seed)
        self.planned = self.scene.campaigns(self.told.submissions)
        say(f"{self.seconds:5.1f} s  {self.batches} batches in {len(self.planned)} campaigns are approved")
        ended = self._until_all_ended(kills=self.told.kills)
        for number in range(4):
            if not ended or not self.points.missing():
                break
            say(f"{self.seconds:5.1f} s  crash points with fewer than {HITS} hits: {', '.join(self.points.missing())}")
            self.points.boost = 3.0
            self.planned.append(self.scene.extra(number, EXTRA_SUBMISSIONS))
            ended = self._until_all_ended(kills=0)
        self.points.off = True
        self.killer.resume(everybody=True)
        if ended:
            ended = self._until_quiet()
        if not ended:
            self._explain()
        self.team.stop_workers()
        outcome = self._judge(ended=ended)
        self.team.stop_all()
        return outcome

    @property
    def batches(self) -> int:
        """Return how many batches all planning must come to."""
        return sum(planned.batches for planned in self.planned)

    def _until_all_ended(self, *, kills: int) -> bool:
        """Keep the team going, and kill in step with the work, until every campaign has ended; False: in time."""
        next_look, next_deed = 0.0, time.monotonic() + 2.0
        share, killed_before = 0.0, self.killer.count
        while True:
            self.team.tend()
            if time.monotonic() >= next_look:
                share, over = self._progress()
                if over:
                    return True
                next_look = time.monotonic() + 0.5
            if self.seconds > self.told.deadline:
                return False
            begun = min(1.0, self.seconds / 20)
            due = kills * min(1.0, 0.1 * begun + 0.95 * share)
            if self.killer.count - killed_before < due:
                self.killer.kill_one(self.team.worker_pids(), self.team.daemon.pid, choosy=share < 0.95)
                self.team.tend()
            self.killer.resume()
            if time.monotonic() >= next_deed:
                self.people.act(mischief=share < 0.9)
                next_deed = time.monotonic() + 0.6
                if kills and sum(self.killer.pauses.values()) < kills * PAUSES_A_KILL * share:
                    self.killer.pause_one(self.team.worker_pids(), self.team.daemon.pid)
            time.sleep(self.killer.dice.uniform(0.02, 0.06))

    def _progress(self) -> tuple[float, bool]:
        """Return which share of the work is done, launching and running counted alike, and whether all has ended."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM submissions_batch),"
                " (SELECT count(*) FROM submissions_batch WHERE state NOT IN ('pending')),"
                " (SELECT count(*) FROM submissions_batch WHERE state = 'completed'),"
                " (SELECT count(*) FROM submissions_submission),"
                " (SELECT count(*) FROM campaigns_campaign WHERE state NOT IN ('succeeded', 'cancelled'))"
            )
            planned, launched, done, attempts, open_campaigns = cursor.fetchone()
        if time.monotonic() - self.last_said > 5:
            self.last_said = time.monotonic()
            hit = sum(min(HITS, self.points.hits[name]) for name in self.points.names)
            say(f"{self.seconds:5.1f} s  planned {planned}/{self.batches}, launched {launched}, done {done},"
                f" attempts {attempts}, kills {self.killer.count}, crash points {hit}/{HITS * len(self.points.names)}")  # fmt: skip
        return (launched + done) / (2 * self.batches), open_campaigns == 0 and planned >= self.batches

    def _until_quiet(self, seconds: float = 30.0) -> bool:
        """Wait until nothing of the run lives but the team, and POMS has seen what the log says last."""
        from django.db import connection

        from integrations.batch.local_daemon import read_log

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.team.tend()
            kinds = {seen.kind for seen in killing.processes(
                self.folders.root, self.team.worker_pids(), self.team.daemon.pid)}  # fmt: skip
            if not kinds & {"script", "submit", "supervisor", "runner", "job"}:
                last = max((event["n"] for event in read_log(self.folders.spool)), default=0)
                with connection.cursor() as cursor:
                    cursor.execute("SELECT position FROM integrations_batchsystem")
                    if int(cursor.fetchone()[0] or 0) >= last:
                        return True
            time.sleep(0.1)
        say(f"not quiet: {kinds}")
        return False

    def _explain(self) -> None:
        """Say what is stuck, and why."""
        from django.db import connection

        questions = {
            "campaigns": "SELECT id, name, state FROM campaigns_campaign ORDER BY id",
            "stages": "SELECT id, name, completed_at IS NOT NULL, succeeded FROM campaigns_stage ORDER BY id",
            "batches": "SELECT state, count(*), min(due_at), min(id) FROM submissions_batch GROUP BY state",
            "submissions": "SELECT state, count(*), min(look_at), min(id) FROM submissions_submission GROUP BY state",
            "why": "SELECT id, batch_id, state, attempt, look_at, unknown_since, why FROM submissions_submission"
            " WHERE state NOT IN ('completed', 'failed', 'launch_failed', 'removed') ORDER BY id LIMIT 20",
            "open batches": "SELECT id, stage_id, state, done, n_units, rounds, due_at FROM submissions_batch"
            " WHERE state <> 'completed' ORDER BY id LIMIT 20",
            "commands": "SELECT id, verb, state, tries, due_at, outcome FROM submissions_command"
            " WHERE state IN ('wanted', 'asked') LIMIT 20",
            "notes": "SELECT stage_id, count(*), min(due_at) FROM submissions_plandue GROUP BY 1",
            "trouble": "SELECT loop, kind, thing_id, tries, next_at, error FROM core_trouble LIMIT 20",
            "heartbeats": "SELECT loop, started_at, errors, last_error FROM core_heartbeat",
        }
        with connection.cursor() as cursor:
            for what, sql in questions.items():
                cursor.execute(sql)
                for row in cursor.fetchall():
                    say(f"  {what}: {tuple(str(value) for value in row)}")

    def _judge(self, *, ended: bool) -> dict[str, Any]:
        from django.db import connection

        from integrations.batch.local_daemon import read_log
        from tests.faults import invariants, truth

        log = invariants.Truth.of(read_log(self.folders.spool))
        verdict = truth.compare(log, self.batches)
        breaches = invariants.broken(log)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*), (SELECT count(*) FROM submissions_submission WHERE attempt > 1)"
                           " FROM submissions_submission")  # fmt: skip
            attempts, again = cursor.fetchone()
            cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            (deadlocks,) = cursor.fetchone()
            cursor.execute(
                "SELECT loop, kind, count(*), max(tries), min(error) FROM core_trouble GROUP BY 1, 2, left(error, 60)"
            )
            troubles = [tuple(row) for row in cursor.fetchall()]
            cursor.execute("SELECT kind || ' ' || state, count(*) FROM submissions_submission GROUP BY 1 ORDER BY 1")
            kinds = dict(cursor.fetchall())
        for what, sentences in {**verdict, **breaches}.items():
            for sentence in sentences[:10]:
                say(f"{what}: {sentence}")
        missed = self.points.missing()
        if missed:
            say(f"crash points hit fewer than {HITS} times: {', '.join(missed)}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = resource.getrusage(resource.RUSAGE_SELF)
        outcome = {
            "seed": self.seed, "submissions": self.batches, "kills": self.killer.count,
            **{name: len(sentences) for name, sentences in verdict.items()},
            "invariants_broken": sum(bool(sentences) for sentences in breaches.values()),
            "kills_by_kind": dict(self.killer.by_kind), "crashpoints": {n: self.points.hits[n] for n in self.points.names},
            "pauses": dict(self.killer.pauses), "attempts": attempts, "started_again": again, "by_kind": kinds, "people": dict(self.people.did),
            "deadlocks": deadlocks, "troubles": troubles, "failed_passes": self._failed_passes(),
            "relaunched": self.people.relaunched, "other_deaths": dict(self.team.deaths),
            "ended": ended, "seconds": round(self.seconds, 1),
            "cpu_by_who": {who: round(seconds, 1) for who, seconds in self.team.cpu.items()} | {
                "parent": round(own.ru_utime + own.ru_stime, 1)
            },
            "cpu_s": round(used.ru_utime + used.ru_stime + own.ru_utime + own.ru_stime, 1),
        }  # fmt: skip
        counts = [outcome[name] for name in ("lost", "double", "unrecorded", "invariants_broken")]
        self.failed = any(counts) or bool(missed) or not ended or self.killer.count < self.told.kills
        return outcome

    def _failed_passes(self) -> dict[str, int]:
        """Return how often which error ended a loop's pass, from the workers' logs."""
        found: Counter[str] = Counter()
        for path in self.folders.log.glob("worker*.log"):
            lines = path.read_text(errors="replace").splitlines()
            for number, line in enumerate(lines):
                if line.startswith("PASS FAILED"):
                    error = next((text for text in lines[number + 1 :] if text and not text[0].isspace()
                                  and not text.startswith(("Traceback", "During", "The above"))), "")  # fmt: skip
                    found[f"{line[12:]}: {error[:120]}"] += 1
        return dict(found)

    def clear_up(self) -> None:
        """End every process of the run; remove its folder unless somebody should look into it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self.team.stop_all()
        if self.failed or self.told.keep:
            say(f"the run's folder is kept: {self.folders.root}")
        else:
            self.folders.remove()


if __name__ == "__main__":
    sys.exit(main())
