"""The batch system `htcondor` on a real pool: what all must do, DAGs, several schedds, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from integrations.batch.base import Slots, Wanted
from integrations.batch.htcondor import HTCondorBatch
from integrations.batch.htcondor_log import Reading, read
from integrations.conformance.batch import (
    LASTING,
    BatchConformance,
    Follower,
    ended,
    in_states,
    new,
    states_of,
    wait_for,
)
from integrations.errors import Refused, Unavailable
from tests.servers import htcondor

pytestmark = pytest.mark.live

SUBMIT = """executable = /bin/sh
arguments = "'{folder}/job' $(Process)"
transfer_executable = false
should_transfer_files = NO
output = {folder}/$(Cluster).$(Process).out
error = {folder}/$(Cluster).$(Process).err
log = {folder}/jobs.log
{more}
queue {count}
"""


@pytest.fixture(scope="session")
def pool() -> Iterator[htcondor.Pool]:
    """A pool with two schedds, for all tests of this process."""
    with htcondor.running(schedds=2) as found:
        yield found


class PoolBench:
    """Jobs go by condor_submit, which finds nothing but what `environment` says."""

    def __init__(self, pool: htcondor.Pool, **settings: Any) -> None:
        self.pool = pool
        self.system = HTCondorBatch({
            "collectors": [pool.collector], "schedds": pool.schedds, "config": str(pool.config),
            "log_folders": [str(pool.work)], **settings,
        })  # fmt: skip
        self.unknown = (f"999999.0@{pool.schedds[0]}", f"1.99999@{pool.schedds[0]}", "nonsense")

    def folder(self) -> Path:
        """Return a new folder in which jobs may write."""
        folder = self.pool.work / f"with a blank {uuid4().hex[:8]}"
        folder.mkdir()
        folder.chmod(0o777)
        return folder

    def command(self, wanted: Wanted, *argv: str, cwd: Path, **env: str) -> str:
        """Run a command as the script of a launch does; return what it printed."""
        path = f"{self.pool.bin}:{os.environ['PATH']}"
        done = subprocess.run(
            argv, env={**os.environ, "PATH": path, **self.system.environment(wanted), **env}, cwd=cwd, check=False,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submit(self, wanted: Wanted, scripts: Sequence[str], *, schedd: int = 0, more: str = "") -> list[str]:
        folder = self.folder()
        cases = "".join(f"{n}) {script} ;;\n" for n, script in enumerate(scripts))
        (folder / "job").write_text(f'case "$1" in\n{cases}esac\n')
        text = SUBMIT.format(folder=folder, more=more, count=len(scripts))
        (folder / "submit").write_text(text)
        said = self.command(wanted, "condor_submit", "-name", self.pool.schedds[schedd], "submit", cwd=folder)
        cluster = said.rsplit("cluster ", 1)[1].strip(" .\n")
        return [f"{cluster}.{n}@{self.pool.schedds[schedd]}" for n in range(len(scripts))]

    def ad(self, job_id: str, *names: str) -> dict[str, str]:
        """Return attributes of a job as condor_q prints them, or condor_history."""
        number, _, schedd = job_id.partition("@")
        for command in ("condor_q", "condor_history"):
            printed = self.pool.run(command, "-name", schedd, number, "-af:,", *names).strip()
            if printed:
                return dict(zip(names, printed.split(", "), strict=True))
        return {}

    def recorded(self, job_id: str) -> Mapping[str, Any]:
        names = ("RequestMemory", "RequestDisk", "RequestCpus", "AllowedJobDuration", "JobPrio", "POMS_SUBMISSION_ID",
                 "POMS4_CAMPAIGN_NAME", "POMS4_CAMPAIGN_ID", "POMS4_TEST_LAUNCH")  # fmt: skip
        ad = self.ad(job_id, *names)
        slots = {"memory_mb": int(ad["RequestMemory"]), "cpus": int(ad["RequestCpus"]), "priority": int(ad["JobPrio"])}
        if ad["AllowedJobDuration"] != "undefined":
            slots |= {"wall_s": int(ad["AllowedJobDuration"]), "disk_mb": int(ad["RequestDisk"]) // 1024}
        return {**slots, "tags": {name: ad[name] for name in names[5:]}}

    def down(self) -> AbstractContextManager[object]:
        return self.pool.without("SCHEDD")


class TestHTCondor(BatchConformance):
    """A pool."""

    @pytest.fixture
    def bench(self, pool: htcondor.Pool) -> PoolBench:
        return PoolBench(pool)


# -- submitted otherwise -------------------------------------------------------------------------------------------------


BINDINGS = """
import htcondor2, sys
collector = htcondor2.Collector()
schedd = htcondor2.Schedd(collector.locate(htcondor2.DaemonType.Schedd, sys.argv[1]))
job = htcondor2.Submit({"executable": "/bin/true", "transfer_executable": "false", "should_transfer_files": "NO"})
print(schedd.submit(job).cluster())
"""


@pytest.fixture
def bench(pool: htcondor.Pool) -> PoolBench:
    return PoolBench(pool)


def test_jobs_that_python_submits_carry_the_tags(bench: PoolBench) -> None:
    wanted = new(slots=Slots(memory_mb=77))
    said = bench.command(
        wanted, sys.executable, "-E", "-c", BINDINGS, bench.pool.schedds[0], cwd=bench.pool.work,
        CONDOR_CONFIG=str(bench.pool.config),
    )  # fmt: skip
    job_id = f"{said.strip()}.0@{bench.pool.schedds[0]}"
    assert bench.system.find([wanted.uuid]) == {wanted.uuid: [job_id]}
    assert bench.ad(job_id, "RequestMemory") == {"RequestMemory": "77"}
    bench.system.act("remove", ids=[job_id], reason="the test is over")


def test_slots_become_what_pools_match_by(bench: PoolBench) -> None:
    slots = Slots(
        memory_mb=200, kinds=("onsite", "offsite"), sites=("Loopback", "Elsewhere"), avoid_sites=("Nowhere",),
        avoid_nodes=("bad.example.org",), gpus=0,
    )  # fmt: skip
    (job_id,) = bench.submit(new(slots=slots, tags={"POMS4_X": '$HOME $(X) \\ "é"'}), ["exit 0"])
    assert ended(bench.system, [job_id])[0].site == "Loopback"
    ad = bench.ad(job_id, "DESIRED_usage_model", "DESIRED_Sites", "Blacklist_Sites")
    assert ad == {"DESIRED_usage_model": "DEDICATED,OPPORTUNISTIC,OFFSITE", "DESIRED_Sites": "Loopback,Elsewhere",
                  "Blacklist_Sites": "Nowhere"}  # fmt: skip
    number, _, schedd = job_id.partition("@")
    (tag,) = bench.pool.run("condor_history", "-name", schedd, number, "-af", "POMS4_X").splitlines()
    assert tag == '$HOME $(X) \\\\ "é"', "as condor_q prints it"
    away = bench.submit(new(slots=Slots(memory_mb=200, avoid_sites=("Loopback",))), ["exit 0"])
    gone = bench.submit(new(slots=Slots(memory_mb=200, sites=("Elsewhere",))), ["exit 0"])
    other = bench.submit(new(slots=Slots(memory_mb=200)), ["exit 0"])
    assert ended(bench.system, other)[0].state == "succeeded"
    assert [job.state for job in bench.system.jobs([*away, *gone])[0]] == ["idle", "idle"], "no slot is there for them"
    bench.system.act("remove", ids=[*away, *gone], reason="the test is over")


def test_what_the_submit_file_says_itself_stays(bench: PoolBench) -> None:
    wanted = new(slots=Slots(memory_mb=999, disk_mb=10))
    (job_id,) = bench.submit(wanted, [LASTING], more="request_memory = 55")
    assert bench.recorded(job_id)["memory_mb"] == 55
    bench.system.act("remove", ids=[job_id], reason="the test is over")


# -- DAGs ----------------------------------------------------------------------------------------------------------------


def dag(
    bench: PoolBench, wanted: Wanted, text: str, *, again: bool = False, folder: Path | None = None
) -> tuple[str, Path]:
    """Submit a DAG of jobs that exit with the variable `code`; return DAGMan's id and the folder."""
    schedd = bench.pool.schedds[0]
    if folder is None:
        folder = bench.pool.work / f"dag-{uuid4().hex[:8]}"
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "node.submit").write_text(
            "executable = /bin/sh\narguments = \"-c 'test -e go || $(code)'\"\ntransfer_executable = false\n"
            "should_transfer_files = NO\nlog = nodes.log\nqueue\n"
        )
        (folder / "work.dag").write_text(text)
    bench.command(
        wanted, "condor_submit_dag", *([] if again else ["-f"]), "work.dag", cwd=folder, _CONDOR_SCHEDD_HOST=schedd
    )
    found = bench.system.find([wanted.uuid])[wanted.uuid]
    return found[0], folder


THREE = """JOB first node.submit
VARS first code="exit 0" POMS_JOB_INDEX="0"
JOB second node.submit
VARS second code="exit {code}"
PARENT first CHILD second
"""


def test_nodes_of_a_dag_are_jobs_and_dagman_lasts_as_long_as_it(bench: PoolBench) -> None:
    wanted = new()
    manager, _ = dag(bench, wanted, THREE.format(code=0))
    (seen,) = ended(bench.system, [manager])
    assert (seen.state, seen.slot_type, seen.exit_code, seen.index) == ("succeeded", "dagman", 0, None)
    ids = bench.system.find([wanted.uuid])[wanted.uuid]
    assert len(ids) == 3
    nodes = bench.system.jobs([job_id for job_id in ids if job_id != manager])[0]
    assert [(job.state, job.uuid, job.slot_type) for job in nodes] == [("succeeded", wanted.uuid, "")] * 2
    follower = Follower(bench.system)
    assert set(ids) <= set(follower.look())


def test_a_dag_that_failed_leaves_a_rescue_that_goes_on_where_it_stopped(bench: PoolBench) -> None:
    wanted, again = new(), new()
    manager, folder = dag(bench, wanted, THREE.format(code=7))
    (seen,) = ended(bench.system, [manager])
    assert (seen.state, seen.exit_code) == ("failed", 1)
    assert "1 are done and 1 failed; a rescue DAG lies beside" in seen.reason
    assert (folder / "work.dag.rescue001").exists()
    nodes = bench.system.jobs(bench.system.find([wanted.uuid])[wanted.uuid])[0]
    assert sorted(job.exit_code or 0 for job in nodes if job.id != manager) == [0, 7]
    (folder / "go").touch()
    rescued, _ = dag(bench, again, "", again=True, folder=folder)
    assert ended(bench.system, [rescued])[0].state == "succeeded"
    assert len(bench.system.find([again.uuid])[again.uuid]) == 2, "DAGMan and the node that had failed"


def test_nodes_without_a_tag_belong_to_their_dag(bench: PoolBench) -> None:
    """As where a pool gives the tag to DAGMan only, by `-append`."""
    wanted, schedd = new(), bench.pool.schedds[0]
    folder = bench.folder()
    (folder / "node.submit").write_text(
        "executable = /bin/true\ntransfer_executable = false\nshould_transfer_files = NO\nqueue\n"
    )
    (folder / "work.dag").write_text("JOB a node.submit\nJOB b node.submit\n")
    done = subprocess.run(
        [bench.pool.bin / "condor_submit_dag", "-append", f'+POMS_SUBMISSION_ID="{wanted.uuid}"', "work.dag"], cwd=folder,
        env={**os.environ, "_CONDOR_SCHEDD_HOST": schedd}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    follower = Follower(bench.system)
    wait_for(
        lambda: len([job for job in follower.look().values() if job.uuid == wanted.uuid]) == 3, "all three are seen"
    )
    (manager, *nodes) = bench.system.find([wanted.uuid])[wanted.uuid]
    assert len(nodes) == 2
    assert {job.uuid for job in ended(bench.system, [manager, *nodes])} == {wanted.uuid}


def test_whoever_removes_all_removes_the_dag(bench: PoolBench) -> None:
    wanted = new()
    dag(bench, wanted, "".join(f'JOB {name} node.submit\nVARS {name} code="sleep 600"\n' for name in "ab"))
    wait_for(lambda: len(bench.system.find([wanted.uuid])[wanted.uuid]) == 3, "its nodes are submitted")
    ids = bench.system.find([wanted.uuid])[wanted.uuid]
    outcomes = bench.system.act("remove", ids=ids, reason="not wanted")
    assert set(outcomes.values()) <= {"done", "already"}
    assert {job.state for job in ended(bench.system, ids)} == {"removed"}


# -- what goes wrong -----------------------------------------------------------------------------------------------------


def test_two_schedds_are_asked_and_numbers_of_one_are_not_those_of_the_other(bench: PoolBench) -> None:
    wanted = new()
    ids = bench.submit(wanted, ["exit 0"], schedd=0) + bench.submit(wanted, ["exit 1"], schedd=1)
    assert [job.state for job in ended(bench.system, ids)] == ["succeeded", "failed"]
    assert sorted(bench.system.find([wanted.uuid])[wanted.uuid]) == sorted(ids)
    follower = Follower(bench.system)
    wait_for(lambda: set(ids) <= set(follower.look()), "both are told")
    cluster = ids[0].partition("@")[0]
    assert bench.system.act("remove", ids=[f"{int(cluster.split('.')[0]) + 99999}.0@{bench.pool.schedds[1]}"], reason="x") == {
        f"{int(cluster.split('.')[0]) + 99999}.0@{bench.pool.schedds[1]}": "absent"
    }  # fmt: skip


def test_one_schedd_that_is_silent_leaves_nothing_absent(bench: PoolBench) -> None:
    wanted = new()
    ids = bench.submit(wanted, [LASTING], schedd=1)
    with bench.pool.without("SCHEDD"):
        for ask in (lambda: bench.system.find([str(uuid4())]), lambda: bench.system.snapshot("")):
            with pytest.raises(Unavailable, match="first@"):
                ask()
        assert bench.system.jobs(ids)[0][0].id == ids[0], "who is asked for by name is asked alone"
    assert bench.system.act("remove", ids=ids, reason="the test is over") == {ids[0]: "done"}


def test_a_schedd_that_nobody_knows_is_unavailable_never_absent(bench: PoolBench) -> None:
    with pytest.raises(Unavailable, match="its name is wrong"):
        bench.system.jobs(["1.0@nobody@poms.test"])
    with pytest.raises(Unavailable):
        PoolBench(bench.pool, schedds=["nobody@poms.test"]).system.find([str(uuid4())])


def test_jobs_outlive_a_schedd_that_is_killed(bench: PoolBench) -> None:
    wanted = new()
    ids = bench.submit(wanted, ["sleep 20", "exit 2"])
    in_states(bench.system, ids[:1], ["processing"])
    follower = Follower(bench.system)
    follower.look()
    bench.pool.restart()
    assert bench.system.find([wanted.uuid]) == {wanted.uuid: ids}
    jobs = ended(bench.system, ids)
    assert [(job.state, job.exit_code) for job in jobs] == [("succeeded", 0), ("failed", 2)]
    wait_for(lambda: [follower.look()[job].state for job in ids] == ["succeeded", "failed"], "what came after is told")


def test_an_evicted_job_is_idle_and_starts_again(bench: PoolBench) -> None:
    (job_id,) = bench.submit(new(), [LASTING])
    in_states(bench.system, [job_id], ["processing"])
    number, _, schedd = job_id.partition("@")
    bench.pool.run("condor_vacate_job", "-name", schedd, "-fast", number)
    wait_for(lambda: bench.system.jobs([job_id])[0][0].starts == 2, "it starts again")
    in_states(bench.system, [job_id], ["processing"])
    bench.system.act("remove", ids=[job_id], reason="the test is over")


def test_the_event_log_of_a_schedd_tells_what_queue_and_history_tell(bench: PoolBench) -> None:
    path = bench.pool.home / "log" / "EventLog"
    position, told = Reading(), {}
    ids = bench.submit(new(), ["exit 0", "exit 3", "kill -9 $$", LASTING])
    in_states(bench.system, ids[3:], ["processing"])
    bench.system.act("hold", ids=ids[3:], reason="look at it")
    seen = {
        job.id: job for job in [*ended(bench.system, ids[:3]), *in_states(bench.system, ids[3:], ["held"]).values()]
    }

    def all_told() -> bool:
        nonlocal position
        position, news = read(path, position)
        told.update({f"{job.id}@{bench.pool.schedds[0]}": job for job in news})
        return all(told.get(job_id) and told[job_id].state == seen[job_id].state for job_id in ids)

    wait_for(all_told, "the log tells all")
    for job_id in ids:
        log, ad = told[job_id], seen[job_id]
        assert (log.uuid, log.index, log.starts, log.exit_code, log.signal, log.node, log.code) == (
            ad.uuid, ad.index, ad.starts, ad.exit_code, ad.signal, ad.node, ad.code,
        )  # fmt: skip
        assert abs(log.at - ad.at) <= 2, "the clock is the schedd's"
    watching = Follower(PoolBench(bench.pool, event_logs={bench.pool.schedds[0]: str(path)}).system)
    assert states_of(watching, ids) == ["succeeded", "failed", "failed", "held"]
    assert bench.system.act("remove", ids=ids[3:], reason="the test is over") == {ids[3]: "done"}
    wait_for(lambda: states_of(watching, ids)[3] == "removed", "the end is told")


def test_logs_are_read_only_in_the_folders_that_are_shared(bench: PoolBench, tmp_path: Path) -> None:
    (job_id,) = bench.submit(new(), ["echo said"])
    ended(bench.system, [job_id])
    with pytest.raises(Refused, match="enter it as log_folders"):
        PoolBench(bench.pool, log_folders=[]).system.log(job_id, "out", 0, 10)
    with pytest.raises(Refused, match="none of the folders"):
        PoolBench(bench.pool, log_folders=[str(tmp_path)]).system.log(job_id, "out", 0, 10)
    (stolen,) = bench.submit(new(), ["true"], more="output = /etc/passwd")
    bench.system.act("remove", ids=[stolen], reason="the test is over")
    with pytest.raises(Refused, match="none of the folders"):
        bench.system.log(stolen, "out", 0, 10)


def test_a_configuration_that_does_not_suit_ends_no_worker(bench: PoolBench, tmp_path: Path) -> None:
    bad = tmp_path / "config"
    bad.write_text("ENABLE_IPV4 = FALSE\nENABLE_IPV6 = FALSE\n")
    with pytest.raises(Unavailable, match="gave up"):
        PoolBench(bench.pool, config=str(bad)).system.depth()
    with pytest.raises(Unavailable, match="cannot be read"):
        PoolBench(bench.pool, config=str(tmp_path / "none")).system.depth()
