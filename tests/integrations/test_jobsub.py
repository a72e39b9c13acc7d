"""The batch system jobsub against commands that print and fail as the real ones do: with a queue of their own, and a pool."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from integrations.batch import attributes
from integrations.batch.base import Slots, Wanted
from integrations.batch.jobsub import JobsubBatch, _arrays
from integrations.conformance.batch import LASTING, BatchConformance, ended, in_states, new, wait_for
from integrations.errors import OutsideError, Refused, Unavailable, Unsure
from integrations.launcher import shim
from tests.servers import htcondor
from tests.stand_ins import jobsub

SCHEDD = "jobsub01.fnal.gov"


class JobsubBench:
    """Jobs are sent by jobsub_submit with the submit wrapper before it, as in a launch."""

    def __init__(self, folder: Path, commands: jobsub.Commands, schedd: str = SCHEDD, **settings: Any) -> None:
        self.folder, self.commands, self.schedd = folder, commands, schedd
        self.unknown = (f"99999999.0@{schedd}", f"1.99999@{schedd}", "1.0@elsewhere", "nonsense")
        told = {"group": "demo", "schedds": [schedd], "path": str(commands.bin), "slots": 16, "memory_mb": 4000}
        self.system = JobsubBatch({**told, **settings})
        self.submit_folder = os.fsdecode(shim.submit_folder(os.fsencode(folder / "launches")))

    def script(self, scripts: Sequence[str]) -> Path:
        path = Path(tempfile.mkdtemp(dir=self.folder), "job.sh")
        path.parent.chmod(0o755)
        path.write_text(
            '#!/bin/sh\ncase "$1" in\n' + "".join(f"{n}) {script} ;;\n" for n, script in enumerate(scripts)) + "esac\n"
        )
        path.chmod(0o755)
        return path

    def submitted(self, wanted: Wanted, words: Sequence[str], *, path: str = "", **env: str) -> tuple[list[str], Any]:
        """Run jobsub_submit as a script does; return the ids that were noted, and how it ended."""
        note = Path(tempfile.mkdtemp(dir=self.folder), "ids")
        path = path or f"{self.submit_folder}:{self.commands.bin}:{os.environ['PATH']}"
        # What the launch itself puts into the environment, and names of it that become tags.
        launched = {
            **wanted.tags,
            **self.system.environment(wanted),
            "POMS_JOB_IDS_FILE": str(note),
            "PATH": path,
            **env,
        }
        done = subprocess.run(
            ["jobsub_submit", *words], env={**os.environ, **launched}, capture_output=True, text=True, timeout=120
        )
        return note.read_text().split() if note.exists() else [], done

    def submit(self, wanted: Wanted, scripts: Sequence[str]) -> list[str]:
        words = ["-N", str(len(scripts)), f"file://{self.script(scripts)}", "$(Process)"]
        ids, done = self.submitted(wanted, words)
        assert len(ids) == len(scripts), done
        return ids

    def ad(self, job_id: str) -> dict[str, Any]:
        (found,) = [ad for ad in self.commands.ads() if f"{ad['ClusterId']}.{ad['ProcId']}@{self.schedd}" == job_id]
        return found

    def recorded(self, job_id: str) -> Mapping[str, Any]:
        ad = self.ad(job_id)
        return {
            "memory_mb": ad["RequestMemory"], "disk_mb": ad["RequestDisk"] // 1024, "cpus": ad["RequestCpus"],
            "wall_s": ad["JOB_EXPECTED_MAX_LIFETIME"], "tags": {name: str(value) for name, value in ad.items()},
        }  # fmt: skip

    @contextmanager
    def down(self) -> Iterator[None]:
        self.commands.order(**dict.fromkeys(jobsub.NAMES, "down"))
        yield
        self.commands.order()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[JobsubBench]:
    commands = jobsub.commands(tmp_path / "jobsub commands")
    yield JobsubBench(tmp_path, commands)
    commands.stop()


class TestJobsub(BatchConformance):
    """Commands with a queue of their own."""


class PoolBench(JobsubBench):
    """The commands hand everything on to a real pool."""

    def __init__(self, folder: Path, commands: jobsub.Commands, pool: htcondor.Pool) -> None:
        super().__init__(folder, commands, pool.schedds[0])
        self.pool = pool

    def ad(self, job_id: str) -> dict[str, Any]:
        for command in ("condor_q", "condor_history"):
            printed = self.pool.run(command, "-name", self.schedd, job_id.partition("@")[0], "-json").strip()
            if printed not in ("", "[\n]", "[]"):
                return dict(json.loads(printed)[0])
        raise AssertionError(f"nobody knows {job_id}")

    @contextmanager
    def down(self) -> Iterator[None]:
        with self.pool.without("SCHEDD"):
            yield


@pytest.fixture(scope="module")
def pool() -> Iterator[htcondor.Pool]:
    with htcondor.running(slots=8) as running:
        yield running


@pytest.mark.live
class TestJobsubOnAPool(BatchConformance):
    """Commands before a real schedd."""

    @pytest.fixture
    def bench(self, pool: htcondor.Pool) -> PoolBench:
        folder = pool.work / f"jobsub {uuid4()}".replace(" ", "-")
        folder.mkdir()
        folder.chmod(0o777)
        commands = jobsub.commands(folder / "commands", condor=pool.bin, schedd=pool.schedds[0])
        return PoolBench(folder, commands, pool)

    def test_dagmans_own_job_carries_the_uuid(self, bench: PoolBench, pool: htcondor.Pool) -> None:
        """It gets no lines of jobsub: what is configured in the environment reaches it, and its nodes."""
        wanted = new()
        (bench.folder / "node.sub").write_text(
            f"executable = {bench.script(['true'])}\narguments = 0\ntransfer_executable = false\n"
            "should_transfer_files = NO\nrequest_memory = 100\nqueue\n"
        )
        (bench.folder / "x.dag").write_text("JOB a node.sub\nJOB b node.sub\n")
        said = subprocess.run(
            [pool.bin / "condor_submit_dag", "x.dag"], capture_output=True, text=True, check=True, cwd=bench.folder,
            env={**os.environ, **bench.system.environment(wanted)},
        ).stdout  # fmt: skip
        cluster = said.rpartition("submitted to cluster ")[2].partition(".")[0]
        assert f"{cluster}.0@{bench.schedd}" in bench.system.find([wanted.uuid])[wanted.uuid]
        wait_for(lambda: len(bench.system.find([wanted.uuid])[wanted.uuid]) == 3, "both nodes are found")


# ------------------------------------------------------------------------------------------- what can be believed


@pytest.mark.parametrize("order", ["down", "silent", "garbage"])
@pytest.mark.parametrize("command", ["jobsub_q", "jobsub_history"])
def test_what_fails_with_exit_status_0_is_no_answer(bench: JobsubBench, command: str, order: str) -> None:
    system, nobody = bench.system, str(uuid4())
    bench.commands.order(**{command: order})
    asks = [lambda: system.find([nobody]), lambda: system.jobs([bench.unknown[0]]), lambda: system.snapshot("")]
    if order == "silent" and command == "jobsub_q":
        asks.pop()  # of changes nothing is concluded: whoever missed one is asked for by its id
    for ask in [*asks, system.depth] if command == "jobsub_q" else asks:
        with pytest.raises(Unavailable):
            ask()


def test_a_schedd_that_dies_between_the_questions_is_not_an_empty_one(bench: JobsubBench) -> None:
    """The queue prints nothing, as for nobody: only the count tells them apart."""
    unknown = str(uuid4())
    assert bench.system.find([unknown]) == {unknown: []}
    bench.commands.order(jobsub_q="silent")
    with pytest.raises(Unavailable, match="does not count"):
        bench.system.find([unknown])


def test_what_its_tracing_says_spoils_no_answer(bench: JobsubBench) -> None:
    bench.commands.order(**dict.fromkeys(jobsub.NAMES, "noise"))
    wanted, nobody = new(), str(uuid4())
    ids = bench.submit(wanted, ["true", "exit 2"])
    assert [job.state for job in ended(bench.system, ids)] == ["succeeded", "failed"]
    assert bench.system.find([wanted.uuid, nobody]) == {wanted.uuid: ids, nobody: []}


def test_several_arrays_and_what_stands_between_them_are_read() -> None:
    one, two = {"ClusterId": 1, "ProcId": 0}, {"ClusterId": 2, "ProcId": 0, "Rank": "/Expr(0.0)/"}
    text = f"Note: tracing\n{json.dumps([one], indent=1)}\n{json.dumps([two])}\n[\n]\n-- words [not json\n"
    assert _arrays(text.encode()) == [one, {"ClusterId": 2, "ProcId": 0}]
    assert _arrays(b"") is None
    assert _arrays(b"[\n]\n") == []
    with pytest.raises(Unavailable, match="breaks off"):
        _arrays(b'[\n{"ClusterId": 1,')


def test_a_command_that_hangs_is_unavailable_and_one_that_changes_is_unsure(bench: JobsubBench) -> None:
    ids = bench.submit(new(), [LASTING])
    in_states(bench.system, ids, ["processing"])
    patient, bench.system.seconds = bench.system.seconds, 1.0
    bench.commands.order(jobsub_q="hang")
    with pytest.raises(Unavailable):
        bench.system.find([str(uuid4())])
    bench.system.seconds = 3.0
    bench.commands.order(jobsub_rm="lose")
    with pytest.raises(Unsure):
        bench.system.act("remove", ids=ids, reason="x")
    bench.commands.order()
    bench.system.seconds = patient
    assert bench.system.act("remove", ids=ids, reason="x") == {ids[0]: "already"}


def test_an_act_that_was_not_done_is_told_though_the_command_ends_with_0(bench: JobsubBench) -> None:
    ids = bench.submit(new(), [LASTING])
    in_states(bench.system, ids, ["processing"])
    bench.commands.order(jobsub_hold="down")
    (outcome,) = bench.system.act("hold", ids=ids, reason="x").values()
    assert outcome == "refused: SECMAN:2007:Failed."
    bench.commands.order()
    assert in_states(bench.system, ids, ["processing"])


def test_priorities_are_refused(bench: JobsubBench) -> None:
    (job_id,) = bench.submit(new(), [LASTING])
    assert bench.system.act("prio", ids=[job_id], reason="x", value=3) == {
        job_id: "refused: jobsub has no command for priorities"
    }


def test_settings_that_cannot_be_meant_and_commands_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="group or no schedds"):
        JobsubBatch({"group": "demo"})
    with pytest.raises(Refused, match="cannot be started"):
        JobsubBatch({"group": "demo", "schedds": SCHEDD, "path": str(tmp_path)}).depth()


def test_a_token_is_named_and_not_read(bench: JobsubBench) -> None:
    env = bench.folder / "env"
    (bench.commands.bin / "jobsub_q").write_text(f"#!/bin/sh\nenv > '{env}'\n")
    bench.system.token_file = "/no/such/token"
    with pytest.raises(OutsideError):
        bench.system.depth()
    said = env.read_text().splitlines()
    assert {"BEARER_TOKEN_FILE=/no/such/token", "GROUP=demo", "JOBSUB_GROUP=demo"} <= set(said)
    assert not [line for line in said if line.startswith(("DATABASE_URL", "SECRET", "POMS_"))]


# ------------------------------------------------------------------------------------------------------ submitting


def test_success_is_the_printed_id_and_not_the_exit_status(bench: JobsubBench) -> None:
    bench.commands.order(jobsub_submit="down")
    ids, done = bench.submitted(new(), ["file:///bin/true"])
    assert (ids, done.returncode) == ([], 0)
    assert "failed status code 1" in done.stderr


def test_slots_are_said_in_the_words_of_jobsub_unless_the_script_says_them(bench: JobsubBench) -> None:
    slots = Slots(
        memory_mb=3000, wall_s=7200, disk_mb=20, cpus=2, gpus=1, kinds=["offsite", "dedicated"],
        avoid_sites=["C", "D"], avoid_nodes=['n"1', "n2"],
    )  # fmt: skip
    (job_id,), _ = bench.submitted(new(slots=slots), ["file:///bin/true"])
    ad = bench.ad(job_id)
    names = (
        "RequestMemory",
        "RequestDisk",
        "RequestCpus",
        "RequestGPUs",
        "JOB_EXPECTED_MAX_LIFETIME",
        "DESIRED_usage_model",
        "Blacklist_Sites",
    )
    assert [ad[name] for name in names] == [3000, 20 * 1024, 2, "1", 7200, "DEDICATED,OFFSITE", "C,D"]
    assert ad["Requirements"] == '(TARGET.Machine =!= "n\\"1") && (TARGET.Machine =!= "n2")'
    said = ["--memory=1GB", "--onsite", "--expected-lifetime", "short", "--blacklist=X", "file:///bin/true", "--cpu=9"]
    (job_id,), _ = bench.submitted(new(slots=slots), said)
    ad = bench.ad(job_id)
    assert [ad[name] for name in names] == [1024, 20 * 1024, 2, "1", 10800, "OPPORTUNISTIC,DEDICATED", "X"]
    (job_id,), _ = bench.submitted(new(slots=Slots(sites=["A", "B"])), ["file:///bin/true"])
    assert bench.ad(job_id)["DESIRED_Sites"] == "A,B"


TAGS = {
    "POMS4_SUBMISSION_ID": "41", "POMS4_CAMPAIGN_NAME": "a, b", "POMS_TASK_ID": "41", "POMS_CAMPAIGN_ID": "7",
    "FIFE_CATEGORIES": "POMS_TASK_ID_41,POMS_CAMPAIGN_ID_7",
}  # fmt: skip


def test_jobs_carry_numbers_as_numbers_and_the_environment_is_passed_on(bench: JobsubBench) -> None:
    wanted = new(tags=TAGS)
    (job_id,), _ = bench.submitted(wanted, ["file:///bin/true"])
    ad = bench.ad(job_id)
    # The categories stand there twice, as jobsub_lite lets nobody choose; the last line counts.
    assert {name: ad[name] for name in TAGS} == {
        **TAGS, "POMS4_SUBMISSION_ID": 41, "POMS_TASK_ID": 41, "POMS_CAMPAIGN_ID": 7,
        "FIFE_CATEGORIES": "POMS_TASK_ID_41;POMS_CAMPAIGN_ID_7",
    }  # fmt: skip
    assert (ad["POMS_SUBMISSION_ID"], ad["env"]["POMS_SUBMISSION_ID"], ad["env"]["POMS_TASK_ID"]) == (
        wanted.uuid,
        wanted.uuid,
        "41",
    )


def test_jobs_of_a_script_that_goes_past_the_wrapper_are_tagged_all_the_same(bench: JobsubBench) -> None:
    wanted = new(tags=TAGS)
    ids, done = bench.submitted(wanted, ["file:///bin/true"], path=f"{bench.commands.bin}:{os.environ['PATH']}")
    assert ids == []
    (job_id,) = bench.system.find([wanted.uuid])[wanted.uuid]
    assert f"Use job id {job_id} to retrieve" in done.stdout
    ad = bench.ad(job_id)
    assert ad["POMS_TASK_ID"] == 41
    assert ad["FIFE_CATEGORIES"] == "POMS_TASK_ID_41;POMS_CAMPAIGN_ID_7"
    assert "POMS4_CAMPAIGN_NAME" not in ad, "lines are parted at commas there"


@pytest.mark.parametrize(
    ("name", "value", "literal"),
    [
        ("POMS4_SUBMISSION_ID", "17", "17"), ("POMS4_CAMPAIGN_NAME", "17", '"17"'), ("X", "017", '"017"'), ("X", "0", "0"),
        ("X", "-1", '"-1"'), ("X", "9" * 19, f'"{"9" * 19}"'), ("X", "\u0661", '"\u0661"'), ("X", "", '""'),
        ("X", 'a "b" \\c\nd', '"a \\"b\\" \\\\c\\nd"'),
    ],
)  # fmt: skip
def test_a_value_is_a_number_or_a_quoted_text(name: str, value: str, literal: str) -> None:
    assert attributes.literal(name, value) == literal
