"""Kill tests with HTCondor as the truth: real ssh to launch hosts, a real pool, kill -9 of everybody, the schedd too.

Afterwards the pool is asked what it was given: of each uuid one cluster or none, of each input one cluster that ran it.
Ends with one JSON line: seed, submissions, kills, lost, double, unrecorded, invariants_broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults import killing, scene, team
from tests.faults.__main__ import say

HERE = Path(__file__).parent
SYSTEM = "farm"
ENOUGH = 0.9  # of the kills; some find nothing to kill before the last launch is done
HOSTS = ("first", "second")
# What is killed, how often relative to each other.
WEIGHTS = {"worker": 20, "ssh": 15, "shim_call": 10, "supervisor": 18, "script": 14, "submit": 15, "schedd": 5}


def main() -> int:
    """Run once; exit code 0 if nothing was lost, doubled, unrecorded or broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.farm", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--deadline", type=float, default=1200.0, help="seconds after which a run is stuck")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder whatever came out")
    told = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    say(f"seed {seed}; again with: python -m tests.faults.farm --seed {seed} --submissions {told.submissions}"
        f" --kills {told.kills}")  # fmt: skip
    from tests.servers import htcondor, sshd

    folders = Folders()
    run = None
    try:
        with (
            htcondor.running(slots=32, slot_mb=256) as pool,
            tempfile.TemporaryDirectory(prefix="poms-sshd-") as keys,
            sshd.running(Path(keys)) as server,
        ):
            run = Run(told, seed, folders, pool, server)
            outcome = run.play()
            run.clear_up()
    finally:
        if run is not None and not run.failed and not told.keep:
            folders.remove()
        else:
            say(f"the run's folder is kept: {folders.root}")
    print(json.dumps(outcome), flush=True)
    return 1 if run.failed else 0


class Folders(scene.Folders):
    """Folders that the account of the pool may enter; without a blank, for a job's arguments."""

    def __init__(self) -> None:
        super().__init__()
        plain = Path(tempfile.mkdtemp(prefix="poms-faults-", dir="/tmp"))
        for name, path in list(vars(self).items()):
            if name != "root":
                setattr(self, name, plain / path.relative_to(self.root))
        self.root.rename(plain / "unused")
        self.root = plain
        for folder in (self.host, self.control, self.log, self.temporary, self.spool, self.root / "state", self.files):
            folder.mkdir(exist_ok=True)
        self.hits.touch()
        for folder in (self.root, self.control, self.files):
            folder.chmod(0o777)
        (self.control / "runs").touch()
        (self.control / "runs").chmod(0o666)
        job = self.control / "job"
        job.write_text((HERE / "farm_job").read_text())
        job.chmod(0o755)


class Team(team.Team):
    """Workers alone: the batch system is none of ours."""

    def _start_daemon(self) -> None:
        return

    def _give_points(self) -> None:
        return


class Killer(killing.Killer):
    """Kills processes of both ends of the line, and the schedd."""

    def kill_next(self, workers: frozenset[int], pool: Any) -> str:
        """Kill what the dice say, or the next that lives now; return its kind."""
        by_kind: dict[str, list[killing.Seen]] = defaultdict(list)
        for seen in processes(self.root, workers):
            by_kind[seen.kind].append(seen)
        for place, kind in enumerate(self.deck):
            if kind == "schedd":
                try:
                    pool.kill("SCHEDD")
                except ProcessLookupError:  # the one that was killed before has no follower yet
                    continue
            elif not by_kind[kind] or not self._strike_there(self.dice.choice(by_kind[kind])):
                continue
            del self.deck[place]
            self.by_kind[kind] += 1
            return kind
        return ""

    def _strike_there(self, target: killing.Seen) -> bool:
        try:
            os.kill(target.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.killed.add(target.pid)
        return True


def processes(root: Path, workers: frozenset[int]) -> list[killing.Seen]:
    """Return the processes of this run by what their command lines say of it."""
    found, home = [], os.fsencode(root)
    for name in (name for name in os.listdir("/proc") if name.isdigit()):
        pid = int(name)
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if pid in workers:
                kind = "worker"
            elif words[0].rpartition(b"/")[2] == b"ssh" and home in b" ".join(words):
                kind = "ssh"
            elif home not in b" ".join(words):
                continue
            elif b"condor_submit" in b" ".join(words):
                kind = "submit"
            elif any(b"/shim-" in word for word in words):
                folder = os.readlink(f"/proc/{pid}/cwd")
                kind = "supervisor" if folder == "/" else "script" if "/launches/" in folder else "shim_call"
            elif any(word.endswith(b"/farm_submit") for word in words):
                kind = "script"
            else:
                continue
        except OSError:
            continue  # it has ended meanwhile
        found.append(killing.Seen(pid, 0, kind))
    return found


class Run:
    """One run from an empty database to its verdict."""

    def __init__(self, told: argparse.Namespace, seed: int, folders: Folders, pool: Any, server: Any) -> None:
        self.told, self.seed, self.folders, self.pool, self.server = told, seed, folders, pool, server
        self.failed = True
        self.started = time.monotonic()
        self.killer = Killer(folders.root, seed, 0)
        self.killer.deck = self.killer.dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=told.kills)
        self.points = team.Points(wanted=0)
        self.points.off = True
        self.members = Team(folders, self.killer, self.points, workers=told.workers, slots=0, seed=seed)

    def play(self) -> dict[str, Any]:
        """Set up, kill until everything is done, and judge."""
        team.adopt_orphans()
        scene.start_django(self.folders, self.seed)
        os.environ["POMS_CREDENTIAL_FAULTS_KEY_FILE"] = str(self.server.key)
        scene.shorten_leases()
        batches = self._approve()
        ended = self._until_ended(batches)
        self.members.stop_workers()
        return self._judge(batches, ended=ended)

    def _approve(self) -> int:
        from integrations.models import BatchSystem, LaunchHost
        from tests import builders
        from tests.cast import assemble

        cast = assemble()
        known = {"collectors": self.pool.collector, "schedds": self.pool.schedds, "config": str(self.pool.config)}
        BatchSystem.objects.create(name=SYSTEM, backend="htcondor", settings=known)
        (kind,) = {line.split(" ", 1)[1] for line in self.server.known_hosts.read_text().splitlines()}
        python = shlex.quote(sys.executable)
        setup = f"export PATH={self.pool.bin}:$PATH POMS_FARM_WORK={self.pool.work} POMS_FARM_PYTHON={python}"
        for name in HOSTS:
            LaunchHost.objects.create(
                experiment=cast.experiment, name=name, address="127.0.0.1", port=self.server.port, account="root",
                home=str(self.folders.root / "hosts" / name), credential="faults-key", python=sys.executable,
                known_hosts=f"[127.0.0.1]:{self.server.port} {kind}",
            )  # fmt: skip
            builders.login_setup(cast, name, launcher="ssh", host=name, setup=setup, batch=SYSTEM)
        n = self.told.submissions // 4
        script = f"{shlex.quote(str(HERE / 'farm_submit'))} {self.folders.control}"
        for number, name in enumerate(HOSTS):
            stages = (
                f"[campaign_stage gen]\nstage_type=generator\nevents={2 * n}\nevents_per_job=1\n"
                "cs_split_type=nevents(2)\nseed=7\n[campaign_stage next]\ndataset_or_split_data=from_parent\n"
                "cs_split_type=nfiles(2)\nfiles_per_job=1\n"
                "[dependencies next]\ncampaign_stage_1=gen\ngate_1=each\n"
            )
            text = (
                f"[campaign]\nexperiment=demo\nname=farm{number}\npoms_role=production\n"
                f"[campaign_defaults]\njob_type=fault\nlogin_setup={name}\ncompletion_pct=100\nmemory_mb=10\n"
                f"wall_s=600\nrecovery_rounds=15\n{stages}"
                f"[job_type fault]\nlaunch_script={script}\noutput_file_patterns=%.txt\n"
            )
            builders.approved_campaign(cast, text, title=f"farm{number}")
        return 4 * n

    def _until_ended(self, batches: int) -> bool:
        """Keep the workers going, and kill in step with the work; False: it did not end in time."""
        from django.db import connection

        last = 0.0
        while True:
            self.members.tend()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT (SELECT count(*) FROM submissions_batch),"
                    " (SELECT count(*) FROM submissions_batch WHERE state <> 'pending'),"
                    " (SELECT count(*) FROM submissions_batch WHERE state = 'completed'),"
                    " (SELECT count(*) FROM submissions_submission),"
                    " (SELECT count(*) FROM campaigns_campaign WHERE state NOT IN ('succeeded', 'cancelled'))"
                )
                planned, launched, done, attempts, going = cursor.fetchone()
            if not going and planned >= batches:
                return True
            seconds = time.monotonic() - self.started
            if seconds > self.told.deadline:
                return False
            if time.monotonic() - last > 5:
                last = time.monotonic()
                say(f"{seconds:5.1f} s  planned {planned}/{batches}, launched {launched}, done {done},"
                    f" attempts {attempts}, kills {self.killer.count}")  # fmt: skip
            if self.killer.count < self.told.kills * min(1.0, 0.05 + (launched + done) / (1.9 * batches)):
                self.killer.kill_next(self.members.worker_pids(), self.pool)
            time.sleep(self.killer.dice.uniform(0.05, 0.2))

    def _judge(self, batches: int, *, ended: bool) -> dict[str, Any]:
        from django.db import connection

        from tests.faults import invariants

        def rows(sql: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()

        clusters = self._clusters()
        submissions = rows("SELECT uuid::text, state, job_ids, launched_at IS NOT NULL FROM submissions_submission")
        lost = [f"batch {pk} is {state}" for pk, state in
                rows("SELECT id, state FROM submissions_batch WHERE state <> 'completed'")]  # fmt: skip
        lost += [f"{uuid} is {state}, and the pool never heard of it" for uuid, state, _, launched in submissions
                 if launched and not clusters[uuid]]  # fmt: skip
        if (made := rows("SELECT count(*) FROM submissions_batch")[0][0]) != batches:
            lost.append(f"{batches} batches were to be planned, there are {made}")
        double = [f"{uuid} was submitted as clusters {sorted(found)}" for uuid, found in clusters.items()
                  if len(found) > 1]  # fmt: skip
        ran: dict[str, set[str]] = defaultdict(set)
        for line in (self.folders.control / "runs").read_text().splitlines():
            uuid, _, *keys = line.split(" ")
            stage = rows(f"SELECT b.stage_id FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id"
                         f" WHERE s.uuid = '{uuid}'")  # fmt: skip
            for key in keys:
                ran[f"{stage[0][0] if stage else 'nobody'} {key}"].add(uuid)
        double += [f"input {key} was run by {sorted(uuids)}" for key, uuids in ran.items() if len(uuids) > 1]
        known = {uuid for uuid, *_ in submissions}
        unrecorded = [f"cluster of {uuid}, of which nobody knows" for uuid in clusters if uuid not in known]
        unrecorded += [f"{uuid} is {state} and has jobs {sorted(clusters[uuid])}" for uuid, state, ids, _ in submissions
                       if clusters[uuid] and not ids]  # fmt: skip
        breaches = {
            "I4": invariants.transitions_are_unbroken(), "I5": invariants.slices_are_a_partition(),
            "I6": invariants.ticks_have_one_outcome(), "I8": invariants.links_stay_in_one_experiment(),
        }  # fmt: skip
        for what, sentences in {"lost": lost, "double": double, "unrecorded": unrecorded, **breaches}.items():
            for sentence in sentences[:10]:
                say(f"{what}: {sentence}")
        for (batch,) in rows("SELECT id FROM submissions_batch WHERE state <> 'completed' ORDER BY id LIMIT 3"):
            self._tell_of(batch, rows)
        outcome = {
            "seed": self.seed, "submissions": made, "kills": self.killer.count, "lost": len(lost),
            "double": len(double), "unrecorded": len(unrecorded),
            "invariants_broken": sum(bool(sentences) for sentences in breaches.values()),
            "kills_by_kind": dict(self.killer.by_kind), "attempts": len(submissions),
            "states": dict(Counter(state for _, state, _, _ in submissions)), "ended": ended,
            "other_deaths": dict(self.members.deaths), "seconds": round(time.monotonic() - self.started, 1),
        }  # fmt: skip
        self.failed = bool(lost or double or unrecorded or outcome["invariants_broken"] or not ended)
        self.failed |= self.killer.count < ENOUGH * self.told.kills
        return outcome

    def _tell_of(self, batch: int, rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
        """Say all that is known of a batch that did not come to its end, and what the pool says of its jobs."""
        of_batch = f"s.batch_id = {batch}"
        for table, key in (
            ("submissions_submission", "t.id = s.id"), ("submissions_jobcount", "t.submission_id = s.id"),
            ("submissions_job", "t.submission_id = s.id"),
            ("core_transition", "(t.kind, t.thing_id) = ('submission', s.id)"),
            ("core_transition", "t.kind = 'job' AND t.thing_id IN (SELECT j.id FROM submissions_job j"
                                " WHERE j.submission_id = s.id)"),
        ):  # fmt: skip
            for (text,) in rows(f"SELECT to_jsonb(t) - 'plan' FROM {table} t JOIN submissions_submission s ON {key}"
                                f" WHERE {of_batch} ORDER BY t.*"):  # fmt: skip
                say(f"  {table}: {text}")
        for table in ("core_trouble", "integrations_batchsystem"):
            for (text,) in rows(f"SELECT to_jsonb(t) FROM {table} t"):
                say(f"  {table}: {text}")
        facts = ("ClusterId", "ProcId", "JobStatus", "EnteredCurrentStatus", "CompletionDate", "NumJobStarts",
                 "NumShadowStarts", "JobRunCount", "HoldReason", "POMS_SUBMISSION_ID")  # fmt: skip
        for uuid, where in (
            (uuid, where)
            for (uuid,) in rows(f"SELECT uuid::text FROM submissions_submission s WHERE {of_batch}")
            for where in (["condor_q", "-allusers"], ["condor_history"])
        ):
            told = self.pool.run(*where, "-constraint", f'POMS_SUBMISSION_ID == "{uuid}"', "-af:h", *facts)
            say(f"  {where[0]}: {told}")

    def clear_up(self) -> None:
        """End every process of the run."""
        self.members.stop_workers()
        for seen in processes(self.folders.root, frozenset()):
            with suppress(ProcessLookupError):
                os.kill(seen.pid, signal.SIGKILL)
        self.members.tend()

    def _clusters(self) -> dict[str, set[int]]:
        """Return the clusters that the pool was given, by the uuid that they carry: queue and history, asked plainly."""
        found: dict[str, set[int]] = defaultdict(set)
        self.pool.wait(self.pool.answers, "the schedd answers")
        for command in ("condor_q", "condor_history"):
            of_all = ["-allusers"] if command == "condor_q" else []
            told = self.pool.run(command, *of_all, "-af", "POMS_SUBMISSION_ID", "ClusterId")
            for uuid, cluster in (line.split() for line in told.splitlines()):
                found[uuid].add(int(cluster))
        return found


if __name__ == "__main__":
    sys.exit(main())
