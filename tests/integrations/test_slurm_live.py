"""A real Slurm keeps the contract of batch systems, arrays and all."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from integrations.batch.base import Slots, Wanted
from integrations.batch.slurm import Slurm
from integrations.conformance.batch import LASTING, BatchConformance, Follower, ended, in_states, new, wait_for
from integrations.errors import Refused, Unavailable
from tests.servers import slurm
from tests.servers.slurm import CLUSTER

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("slurm")]


class SlurmBench:
    """Submits as a script under the wrapper does: with the words that POMS gives for sbatch."""

    unknown = (f"999999@{CLUSTER}", f"999998_3@{CLUSTER}")

    def __init__(self, server: slurm.Slurm) -> None:
        self.server = server
        self.system = Slurm({"conf": str(server.configuration), "cluster": CLUSTER, "logs": [str(server.home)]})

    def submit(self, wanted: Wanted, scripts: Sequence[str]) -> list[str]:
        given = self.system.environment(wanted)
        return self.array(scripts, *words(given), env={**given, **wanted.tags})

    def array(self, scripts: Sequence[str], *options: str, env: Mapping[str, str]) -> list[str]:
        cases = "\n".join(f"{n}) exec sh -c {shlex.quote(text)} ;;" for n, text in enumerate(scripts))
        home = self.server.home
        script = f"case $SLURM_ARRAY_TASK_ID in\n{cases}\nesac"
        files = (f"--output={home}/o-%A_%a", f"--error={home}/e-%A_%a")
        parent = self.server.submit(f"--array=0-{len(scripts) - 1}", *files, *options, script=script, env=env)
        return [f"{parent}_{n}@{CLUSTER}" for n in range(len(scripts))]

    def recorded(self, job_id: str) -> Mapping[str, Any]:
        text = self.server.run("scontrol", "show", "job", job_id.partition("@")[0])
        said = dict(re.findall(r"(\w+(?:/\w+)?)=(\S+)", text))
        limit = re.fullmatch(r"(\d+):(\d+):00", said["TimeLimit"])
        return {
            "memory_mb": int(said["MinMemoryNode"].rstrip("M")), "cpus": int(said["NumCPUs"]),
            "disk_mb": int(said["MinTmpDiskNode"].rstrip("M")),
            "wall_s": (int(limit[1]) * 60 + int(limit[2])) * 60 if limit else 0,
        }  # fmt: skip

    @contextmanager
    def down(self) -> Iterator[None]:
        self.server.stop_controller()
        try:
            yield
        finally:
            self.server.start_controller()


def words(given: Mapping[str, str]) -> list[str]:

    return [word for pair in json.loads(given["POMS_SUBMIT_WORDS"])["sbatch"] for word in pair]


@pytest.fixture(scope="module")
def server() -> Iterator[slurm.Slurm]:
    with slurm.running() as found:
        yield found


@pytest.fixture
def bench(server: slurm.Slurm) -> Iterator[SlurmBench]:
    yield SlurmBench(server)
    print(server.logs())  # pytest shows it where the test failed


class TestSlurm(BatchConformance):
    """What every batch system must do."""

    def test_what_the_accounting_was_not_told_yet_proves_nothing(self, bench: SlurmBench, server: slurm.Slurm) -> None:
        wanted = new()
        server.stop_accounting()
        try:
            ids = bench.submit(wanted, ["true"])
            with pytest.raises(Unavailable):
                bench.system.find([wanted.uuid, str(uuid4())])
            follower = Follower(bench.system, json.dumps({"at": time.time(), "jobs": {}}))
            wait_for(lambda: follower.look().get(ids[0]) is not None, "the queue is read on")
        finally:
            server.start_accounting()
        wait_for(lambda: _found(bench.system, wanted.uuid) == ids, "then all is known")
        wait_for(lambda: follower.look()[ids[0]].state == "succeeded", "and the end is told")

    def test_a_bare_sbatch_is_tagged_by_its_environment(self, bench: SlurmBench) -> None:
        wanted = new(slots=Slots(memory_mb=120, wall_s=3600))
        given = bench.system.environment(wanted)
        ids = bench.array(["true", "exit 7"], env=given)
        assert [(job.exit_code, job.uuid) for job in ended(bench.system, ids)] == [(0, wanted.uuid), (7, wanted.uuid)]
        assert bench.system.find([wanted.uuid]) == {wanted.uuid: ids}
        assert bench.recorded(ids[0])["memory_mb"] == 120

    def test_what_sbatch_refuses_is_no_job(self, bench: SlurmBench, server: slurm.Slurm) -> None:
        wanted = new(slots=Slots(memory_mb=99_000_000))
        given = bench.system.environment(wanted)
        refused = server.tried("sbatch", *words(given), "--wrap=true", env=given)
        assert refused.returncode
        assert "configuration is not available" in refused.stderr
        assert bench.system.find([wanted.uuid]) == {wanted.uuid: []}

    def test_what_was_removed_while_it_was_held_is_found(self, bench: SlurmBench) -> None:
        wanted = new()
        ids = bench.array(["true"] * 3, "--hold", *words(bench.system.environment(wanted)), env={})
        assert {job.state for job in bench.system.jobs(ids)[0]} == {"held"}
        assert bench.system.act("remove", ids=ids, reason="not wanted") == dict.fromkeys(ids, "done")
        ended(bench.system, ids)
        tasks = {job_id.partition("@")[0] for job_id in ids}
        wait_for(
            lambda: (
                tasks
                == {job.id for job in bench.system._history(time.time() - 3600, ()) if job.seen.uuid == wanted.uuid}
            ),
            "the accounting has each task",
        )

    def test_a_task_of_which_slurm_keeps_no_record_was_removed(self, bench: SlurmBench, server: slurm.Slurm) -> None:
        ids = bench.array(["true"] * 3, "--hold", *words(bench.system.environment(new())), env={})
        follower = Follower(bench.system)
        wait_for(lambda: set(ids) <= set(follower.look()), "all are seen")
        server.run("scancel", ids[1].partition("@")[0])
        wait_for(lambda: follower.look()[ids[1]].state == "removed", "its removal is told")
        assert (follower.jobs[ids[0]].state, follower.jobs[ids[2]].state) == ("held", "held")
        assert "keeps no record" in follower.jobs[ids[1]].reason
        assert bench.system.snapshot(follower.position).jobs == []
        bench.system.act("remove", ids=[ids[0], ids[2]], reason="the test is over")

    def test_an_array_is_spoken_of_by_its_own_id_too(self, bench: SlurmBench) -> None:
        ids = bench.submit(new(), [LASTING] * 3)
        parent = ids[0].partition("_")[0]
        in_states(bench.system, ids, ["processing"])
        seen, absent = bench.system.jobs([parent])
        assert ([job.id for job in seen], absent) == (ids, [])
        assert bench.system.act("remove", ids=[f"{parent}@{CLUSTER}"], reason="x") == {f"{parent}@{CLUSTER}": "done"}
        assert {job.state for job in ended(bench.system, ids)} == {"removed"}

    def test_an_end_is_told_with_what_it_used(self, bench: SlurmBench) -> None:
        follower = Follower(bench.system)
        (job_id,) = bench.submit(new(), ["head -c 60000000 /dev/zero | tail | wc -c; sleep 3"])
        wait_for(
            lambda: follower.look().get(job_id) is not None and follower.jobs[job_id].state == "succeeded", "its end"
        )
        job = follower.jobs[job_id]
        assert job.cpu_s is not None
        assert job.memory_mb is not None
        assert (job.memory_mb > 0, job.site, job.slot_type, job.node) == (True, CLUSTER, "farm", job.node)

    def test_a_job_that_runs_past_its_time_says_so(self, bench: SlurmBench) -> None:
        ids = bench.array([LASTING], *words(bench.system.environment(new(slots=Slots(memory_mb=50, wall_s=1)))), env={})
        (job,) = ended(bench.system, ids)
        assert (job.state, job.code, job.reason) == ("failed", "wall", "it ran past its time (TIMEOUT)")

    def test_a_job_whose_node_is_lost_begins_anew(self, bench: SlurmBench, server: slurm.Slurm) -> None:
        wanted = Wanted(str(uuid4()), slots=Slots(memory_mb=50, avoid_nodes=("here",)))
        ids = bench.submit(wanted, [LASTING])
        assert in_states(bench.system, ids, ["processing"])[ids[0]].node == "there"
        server.run("scontrol", "update", "NodeName=there", "State=DOWN", "Reason=test")
        wait_for(lambda: bench.system.jobs(ids)[0][0].state == "idle", "it waits again")
        server.tried("scontrol", "update", "NodeName=there", "State=RESUME")  # it may have come back by itself
        again = in_states(bench.system, ids, ["processing"])[ids[0]]
        assert (again.starts, again.node, again.uuid) == (2, "there", wanted.uuid)
        bench.system.act("remove", ids=ids, reason="the test is over")
        assert ended(bench.system, ids)[0].starts == 2

    def test_slots_and_sites_are_those_of_the_row(self, bench: SlurmBench, server: slurm.Slurm) -> None:
        system = Slurm({
            "conf": str(server.configuration), "cluster": CLUSTER,
            "kinds": {"onsite": {"partition": "near"}, "offsite": {"partition": "far"}},
            "sites": {"FNAL": {"constraint": "fnal"}, "BNL": {"constraint": "bnl", "nodes": "there"}},
        })  # fmt: skip
        bench.system = system
        for slots, node, partition in (
            (Slots(memory_mb=50, kinds=("onsite",)), "here", "near"),
            (Slots(memory_mb=50, kinds=("offsite",)), "there", "far"),
            (Slots(memory_mb=50, sites=("BNL",)), "there", "farm"),
            (Slots(memory_mb=50, avoid_sites=("BNL",)), "here", "farm"),
            (Slots(memory_mb=50, avoid_nodes=("there",), cpus=2), "here", "farm"),
            (Slots(memory_mb=50, gpus=1, kinds=("onsite", "offsite"), sites=("FNAL", "BNL")), "here", "near"),
        ):
            (job,) = ended(system, bench.submit(new(slots=slots), ["true"]))
            assert (job.state, job.node) == ("succeeded", node), slots
            assert job.slot_type == {"near": "onsite", "far": "offsite"}.get(partition, partition)

    def test_the_log_of_a_job_long_gone_is_found_by_its_command(self, bench: SlurmBench, server: slurm.Slurm) -> None:
        (job_id,) = bench.submit(new(), ["echo here I am"])
        ended(bench.system, [job_id])
        gone = Slurm({**bench.system.settings, "commands": str(without(server, "scontrol"))})
        wait_for(lambda: bool(bench.system._accounted([job_id.partition("@")[0]], ())), "the accounting has it")
        assert gone.log(job_id, "out", 0, 100)["text"] == "here I am\n"
        elsewhere = Slurm({**bench.system.settings, "logs": [str(server.home / "logs")]})
        with pytest.raises(Refused, match="none of the folders"):
            elsewhere.log(job_id, "out", 0, 100)


def without(server: slurm.Slurm, name: str) -> Path:
    """Return a folder of Slurm's commands in which one says that it knows no job."""
    folder = server.home / f"without-{name}"
    folder.mkdir(exist_ok=True)
    for program in ("squeue", "sacct", "sdiag", "sinfo", "scancel", "scontrol"):
        (folder / program).unlink(missing_ok=True)
        (folder / program).symlink_to(shutil.which(program) or program)
    (folder / name).unlink()
    (folder / name).write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    (folder / name).chmod(0o755)
    return folder


def _found(system: Slurm, uuid: str) -> list[str]:
    try:
        return system.find([uuid])[uuid]
    except Unavailable:
        return []


def test_without_accounting_absence_is_never_claimed() -> None:
    """It works from the queue alone, and says so of itself."""
    with slurm.running(accounting=False, slots=4) as server:
        bench = SlurmBench(server)
        bench.system = Slurm({"conf": str(server.configuration), "cluster": CLUSTER, "accounting": False})
        wanted = new()
        ids = bench.submit(wanted, ["true", "exit 3"])
        follower = Follower(bench.system)
        wait_for(lambda: [j.exit_code for j in follower.look().values()] == [0, 3], "the ends are told")
        assert not bench.system.capabilities.find_by_uuid
        assert bench.system.find([wanted.uuid]) == {wanted.uuid: ids}
        with pytest.raises(Unavailable, match="no accounting"):
            bench.system.find([wanted.uuid, str(uuid4())])
        with pytest.raises(Unavailable, match="disabled"):
            Slurm({"conf": str(server.configuration)}).find([wanted.uuid])
