"""The local batch system with real processes: what it promises while any of them is killed at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from integrations.batch.local_daemon import ENTRY, read_log
from integrations.batch.local_daemon.book import Book
from integrations.batch.local_daemon.client import NoDaemon, ask
from integrations.batch.local_daemon.log import Log, dumps, loads
from integrations.batch.local_daemon.submit import BadDocument, checked
from tests import processes

PYTHON = [sys.executable, "-S", "-E", "-s", "-B", ENTRY]
ENDED = {"succeeded", "failed", "removed"}
LETTER = {
    "stage_in": "i",
    "execute": "x",
    "suspend": "z",
    "resume": "r",
    "stage_out": "o",
    "end": "e",
    "hold": "H",
    "release": "L",
    "remove": "R",
    "stopped": "s",
    "prio": "",
}
# What may happen to a job, `stopped` left out; written down here apart from the code.
START = "(i(x(zr)*z?o?)?)"
LAWFUL = re.compile(f"({START}?HL)*({START}e|{START}?H?R?)")


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true value of `what`."""
    until = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.01)
    return value


def sh(text: str, **more: Any) -> dict[str, Any]:
    """A job that runs a piece of shell."""
    return {"argv": ["sh", "-c", text], **more}


class Box:
    """A spool, its daemon, and the outside's view of both."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.daemons: list[subprocess.Popen[bytes]] = []

    def serve(self, slots: int = 4, *more: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [*PYTHON, "serve", "--spool", str(self.spool), "--slots", str(slots), *more]
        daemon = subprocess.Popen(command, env={**os.environ, **(env or {})})
        self.daemons.append(daemon)
        return daemon

    def up(self, slots: int = 4, *more: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        daemon = self.serve(slots, *more, env=env)
        wait_for(lambda: self.answers(daemon.pid))
        return daemon

    def answers(self, pid: int) -> bool:
        with contextlib.suppress(NoDaemon):
            return self.ask("ping").get("pid") == pid
        return False

    def kill(self) -> None:
        """Kill the daemon as the machine would."""
        self.daemons[-1].kill()
        self.daemons[-1].wait()

    def submit_raw(self, document: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [*PYTHON, "submit", "--spool", str(self.spool)]
        return subprocess.run(
            command,
            input=document,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def submit(self, *jobs: dict[str, Any], uuid: str = "u-1") -> list[str]:
        """Submit a cluster and return its job ids."""
        done = self.submit_raw(json.dumps({"uuid": uuid, "owner": "demo", "jobs": jobs}))
        assert done.returncode == 0, done.stderr
        ids: list[str] = json.loads(done.stdout)["job_ids"]
        return ids

    def ask(self, verb: str, **more: Any) -> dict[str, Any]:
        return ask(self.spool, {"ask": verb, **more}, timeout=10)

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("jobs", ids=[job_id])["jobs"][0]
        return found

    def all_jobs(self) -> dict[str, dict[str, Any]]:
        return {job["id"]: job for job in self.ask("snapshot", since=0)["jobs"]}

    def until(self, job_id: str, *states: str, seconds: float = 60.0) -> dict[str, Any]:
        job: dict[str, Any] = wait_for(lambda: (job := self.job(job_id))["state"] in states and job, seconds)
        return job

    def until_all_ended(self, seconds: float = 60.0) -> dict[str, dict[str, Any]]:
        wait_for(lambda: all(job["state"] in ENDED for job in self.all_jobs().values()), seconds)
        return self.all_jobs()

    def events(self, job_id: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        return [
            event
            for event in read_log(self.spool)
            if job_id in (None, event.get("job")) and kind in (None, event["event"])
        ]

    def runner(self, job_id: str) -> int:
        pid: int = wait_for(lambda: self.events(job_id, "stage_in"))[-1]["pid"]
        return pid

    def said_pid(self, job_id: str) -> int:
        """Return the process id that a job has written to its output."""
        return int(wait_for(lambda: self.ask("log", id=job_id)["text"]))

    def processes(self) -> list[int]:
        """Every live process that belongs to this spool: daemons, runners, jobs and what they started."""
        return list(processes.that_name(self.spool))

    def check_lawful(self) -> None:
        """Hold the whole log against the rules, apart from the daemon's own reading of it."""
        told: dict[str, str] = {}
        starts: Counter[str] = Counter()
        n = at = 0.0
        clusters = set()
        for event in read_log(self.spool):
            assert event["n"] > n
            assert event["at"] >= at
            n, at = event["n"], event["at"]
            if event["event"] == "submit":
                assert event["cluster"] not in clusters
                clusters.add(event["cluster"])
                continue
            job = event["job"]
            told[job] = told.get(job, "") + LETTER[event["event"]]
            if event["event"] == "stage_in":
                starts[job] += 1
                assert event["starts"] == starts[job]
        for job, letters in told.items():
            assert LAWFUL.fullmatch(letters.replace("s", "")), (job, letters)
            assert letters.count("x") <= 1 + letters.count("L"), (job, letters)
            before, *runs = letters.split("i")
            assert "s" not in before, (job, letters)
            # A runner has the last word on its start, and nobody starts before it was said.
            last_words = [run.count("s") + run.count("e") for run in runs]
            assert all(words == 1 for words in last_words[:-1]), (job, letters)
            assert all(words <= 1 for words in last_words), (job, letters)
            assert all(re.search("[HR]", run.partition("s")[0]) for run in runs if "s" in run), (job, letters)

    def close(self) -> None:
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.terminate()
                daemon.wait(60)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        address = self.spool / "daemon.json"
        if address.exists():
            shutil.rmtree(Path(json.loads(address.read_text())["socket"]).parent, ignore_errors=True)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A spool in a path with a blank; its log is lawful when the test is over."""
    spool = tmp_path / "a spool"
    spool.mkdir()
    box = Box(spool)
    try:
        yield box
        box.check_lawful()
    finally:
        box.close()


# -- a job ---------------------------------------------------------------------------------------------------


def test_a_job_gets_its_inputs_and_leaves_outputs_and_a_manifest(box: Box, tmp_path: Path) -> None:
    source, out = tmp_path / "in put.root", tmp_path / "out put"
    source.write_bytes(b"12345")
    script = (
        'cat in.root in.root > twice.root; echo x > other.txt; echo "$POMS_JOB_ID $POMS_JOB_INDEX '
        '$POMS_STARTS $POMS_SUBMISSION_ID $POMS_MEMORY_MB $POMS_NODE $COLOUR${POMS_CRASHPOINT-}"; echo oh >&2; '
        'echo \'[{"name": "twice.root", "events": 7, "metadata": {"a": 1}, "parents": ["in.root"]}]\' '
        "> outputs.json"
    )
    box.up()
    job_id = box.submit(
        sh(
            script,
            env={"COLOUR": "red", "POMS_CRASHPOINT": "x"},
            memory_mb=100,
            wall_s=20,
            index=3,
            units=["file:a"],
            inputs=[{"name": "in.root", "path": str(source)}],
            output_dir=str(out),
            output_patterns=["*.root"],
        )
    )[0]
    job = box.until(job_id, "succeeded", "failed")
    assert job_id == "1.0@local"
    assert (job["state"], job["exit_code"], job["signal"], job["code"]) == ("succeeded", 0, None, None)
    assert (job["index"], job["units"], job["starts"], job["site"]) == (3, ["file:a"], 1, "local")
    assert (job["node"], job["slot_type"], job["cluster"], job["proc"]) == ("local-01", "onsite", 1, 0)
    assert job["wall_s"] > 0
    assert [event["event"] for event in box.events(job_id)] == ["stage_in", "execute", "stage_out", "end"]
    manifest = json.loads(Path(job["manifest"]).read_text())
    assert Path(job["manifest"]) == out / "u-1.1.0.manifest.json"
    expected = {
        "job": job_id,
        "uuid": "u-1",
        "starts": 1,
        "units": ["file:a"],
        "outputs": [
            {
                "name": "twice.root",
                "path": str(out / "twice.root"),
                "size": 10,
                "checksum": f"adler32:{zlib.adler32(b'1234512345'):08x}",
                "events": 7,
                "metadata": {"a": 1},
                "parents": ["in.root"],
            }
        ],
    }
    assert manifest == expected
    assert sorted(path.name for path in out.iterdir()) == ["twice.root", "u-1.1.0.manifest.json"]
    assert box.ask("manifests", uuids=["u-1", "u-2"]) == {
        "manifests": {"u-1": [expected], "u-2": []},
        "unreadable": {},
    }
    assert box.ask("log", id=job_id)["text"] == "1.0@local 3 1 u-1 100 local-01 red\n"
    assert box.ask("log", id=job_id, stream="err") == {"text": "oh\n", "total": 3}
    assert box.ask("log", id=job_id, offset=4, length=5)["text"] == "local"


def test_a_job_without_its_input_fails_and_never_runs(box: Box, tmp_path: Path) -> None:
    box.up()
    here = [{"name": "x", "path": str(tmp_path / "nowhere")}]
    folder = [{"name": "x", "path": str(tmp_path)}]
    first, second = box.submit(sh("true", inputs=here), sh("true", inputs=folder))
    for job_id in (first, second):
        job = box.until(job_id, *ENDED)
        assert (job["state"], job["code"]) == ("failed", "input_missing")
        assert box.events(job_id, "execute") == []
    assert "nowhere" in box.job(first)["reason"]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (sh("exit 3"), (3, None, "exit")),
        (sh("kill -15 $$"), (None, 15, "signal")),
        ({"argv": ["/no/such/command"]}, (None, None, "exec_failed")),
        (sh("sleep 60 & sleep 60", wall_s=0.3), (None, 9, "wall")),
        (sh("echo '{' > outputs.json", output_dir="OUT"), (0, None, "output_failed")),
        (sh("echo x > a", output_dir="/proc/nowhere", output_patterns=["*"]), (0, None, "output_failed")),
    ],
)
def test_a_failed_job_says_why(
    box: Box, tmp_path: Path, job: dict[str, Any], said: tuple[int | None, int | None, str]
) -> None:
    if job.get("output_dir") == "OUT":
        job = {**job, "output_dir": str(tmp_path / "out")}
    box.up()
    seen = box.until(box.submit(job)[0], *ENDED)
    assert seen["state"] == "failed"
    assert (seen["exit_code"], seen["signal"], seen["code"]) == said
    assert seen["reason"]
    assert seen["manifest"] is None
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])


HOG = "b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096])"


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-c", f"{HOG}; import time; time.sleep(30)"],
        # Gone before anybody polls: the kernel's own account tells.
        [sys.executable, "-S", "-c", HOG],
        # Not the job itself but what it started, in a session of its own.
        ["sh", "-c", f'setsid "{sys.executable}" -c "{HOG}; import time; time.sleep(30)" & sleep 30'],
    ],
    ids=["lasting", "short", "grandchild"],
)
def test_a_job_that_takes_too_much_memory_is_killed(box: Box, command: list[str]) -> None:
    box.up()
    job = box.until(box.submit({"argv": command, "memory_mb": 100})[0], *ENDED)
    assert (job["state"], job["code"]) == ("failed", "memory")
    assert job["memory_mb"] > 100
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])


def test_the_daemons_own_memory_is_not_held_against_a_small_job(box: Box) -> None:
    box.up()
    job = box.until(box.submit(sh("sleep 0.3", memory_mb=8))[0], *ENDED)
    assert job["state"] == "succeeded", job
    assert 0 < job["memory_mb"] < 8


def test_a_job_may_delete_all_it_finds_and_leave_processes_behind(box: Box) -> None:
    box.up()
    job_id = box.submit(sh("rm -rf ./* ../*/; setsid sleep 60 & sleep 0.3"))[0]
    assert box.until(job_id, *ENDED)["state"] == "succeeded"
    assert box.ask("log", id=job_id) == {"text": "", "total": 0}
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])


def test_a_job_that_deletes_its_sandbox_is_still_known_and_obeys(box: Box) -> None:
    box.up()
    first, second = box.submit(*[sh('rm -rf "$POMS_SANDBOX"; sleep 1.5')] * 2)
    wait_for(lambda: not list((box.spool / "jobs").iterdir()) and len(box.events(kind="execute")) == 2)
    box.kill()
    box.up()
    assert box.ask("hold", ids=[second])["outcomes"] == {second: "done"}
    wait_for(lambda: box.events(second, "stopped"), 1)
    assert box.until(first, *ENDED)["state"] == "succeeded"
    assert len(box.events(first, "end")) == 1


def test_a_runner_believed_dead_does_not_speak_again(box: Box) -> None:
    box.up()
    job_id = box.submit(sh("sleep 60"))[0]
    box.until(job_id, "processing")
    box.kill()
    runner = box.runner(job_id)
    os.kill(runner, signal.SIGSTOP)
    (box.spool / "jobs" / "1.0").rename(box.spool / "jobs" / "elsewhere")
    (box.spool / "jobs" / "1.0").mkdir()
    box.up()
    assert box.until(job_id, *ENDED)["code"] == "runner_vanished"
    os.kill(runner, signal.SIGCONT)
    wait_for(lambda: not Path(f"/proc/{runner}").exists())
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])
    assert [event["event"] for event in box.events(job_id)] == ["stage_in", "execute", "end"]


def test_a_jobs_output_is_never_followed_out_of_its_sandbox(box: Box) -> None:
    box.up()
    first, second = box.submit(sh("ln -sf /etc/passwd out"), sh("rm out; mkfifo out"))
    box.until_all_ended()
    assert box.ask("log", id=first)["error"] == "unavailable"
    assert box.ask("log", id=second)["error"] == "bad_request"


def test_an_input_is_not_an_output_of_the_same_job(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "a.root"
    source.write_text("x")
    box.up()
    job = box.until(
        box.submit(
            sh(
                "echo y > b.root",
                inputs=[{"name": "a.root", "path": str(source)}],
                output_dir=str(tmp_path / "out"),
                output_patterns=["*"],
            )
        )[0],
        *ENDED,
    )
    assert [item["name"] for item in json.loads(Path(job["manifest"]).read_text())["outputs"]] == ["b.root"]


def test_a_stopped_process_shows_as_suspended(box: Box) -> None:
    box.up()
    job_id = box.submit(sh("echo $$; sleep 0.5"))[0]
    pid = box.said_pid(job_id)
    os.kill(pid, signal.SIGSTOP)
    box.until(job_id, "suspended")
    os.kill(pid, signal.SIGCONT)
    assert box.until(job_id, *ENDED)["state"] == "succeeded"
    assert [event["event"] for event in box.events(job_id)][2:4] == ["suspend", "resume"]


# -- where and when ------------------------------------------------------------------------------------------


def test_no_more_jobs_run_than_there_are_slots_on_each_node(box: Box) -> None:
    box.up(6, "--site", "alpha")
    box.submit(*[sh("sleep 0.1")] * 20)
    box.until_all_ended()
    running: dict[str, str] = {}
    most: Counter[str] = Counter()
    for event in box.events():
        if event["event"] == "stage_in":
            running[event["job"]] = event["node"]
            now = Counter(running.values())
            most = most | now
            assert len(running) <= 6
        elif event["event"] == "end":
            del running[event["job"]]
    assert most == {"alpha-01": 4, "alpha-02": 2}


def test_a_higher_priority_goes_first(box: Box) -> None:
    box.up(1)
    blocker = box.submit(sh("sleep 0.7"))[0]
    box.until(blocker, "processing")
    first, second, high, low = (box.submit(sh("true"))[0] for _ in range(4))
    assert box.ask("prio", ids=[high], value=5)["outcomes"] == {high: "done"}
    assert box.ask("prio", ids=[high], value=5)["outcomes"] == {high: "already"}
    assert box.ask("prio", ids=[low], value=-5)["outcomes"] == {low: "done"}
    box.submit(sh("true"))
    box.until_all_ended()
    assert [event["job"] for event in box.events(kind="stage_in")] == [
        blocker,
        high,
        first,
        second,
        "6.0@local",
        low,
    ]


def test_a_job_avoids_nodes_and_is_held_where_it_can_never_run(box: Box) -> None:
    box.up(8, "--memory-mb", "1000")
    away, never, large, fits = box.submit(
        sh("true", avoid_nodes=["local-01"]),
        sh("true", avoid_nodes=["local-01", "local-02"]),
        sh("true", memory_mb=2000),
        sh("true", memory_mb=1000),
    )
    assert box.until(away, *ENDED)["node"] == "local-02"
    assert "avoids every node" in box.until(never, "held")["reason"]
    assert "2000 MiB" in box.until(large, "held")["reason"]
    box.until(fits, "succeeded")


def test_a_cluster_is_kept_from_nodes_as_long_as_there_are_others(box: Box, monkeypatch) -> None:
    box.up(8)
    monkeypatch.setenv("POMS_AVOID_NODES", '["local-01"]')
    kept = box.submit(*[sh("true")] * 3)
    monkeypatch.setenv("POMS_AVOID_NODES", '["local-01", "local-02"]')
    (anywhere,) = box.submit(sh("true"))
    assert {box.until(job, *ENDED)["node"] for job in kept} == {"local-02"}
    assert box.until(anywhere, *ENDED)["state"] == "succeeded"
    monkeypatch.setenv("POMS_AVOID_NODES", '"local-01"')
    with pytest.raises(AssertionError, match="POMS_AVOID_NODES"):
        box.submit(sh("true"))


def test_jobs_wait_for_the_memory_of_the_site(box: Box) -> None:
    box.up(4, "--memory-mb", "1000")
    box.submit(*[sh("sleep 0.1", memory_mb=600)] * 3)
    box.until_all_ended()
    assert [LETTER[event["event"]] for event in box.events()[1:]] == list("ixoe" * 3)


# -- commands ------------------------------------------------------------------------------------------------


def in_phase(box: Box, tmp_path: Path, phase: str) -> str:
    """Bring a job into a phase in which it stays for a long time, and return its id."""
    if phase == "idle":
        blocker = box.submit(*[sh("sleep 60")] * 4, uuid="u-blocker")
        for job_id in blocker:
            box.until(job_id, "processing")
        return box.submit(sh("true"))[0]
    if phase == "staging_in":
        huge = tmp_path / "huge"
        with huge.open("wb") as file:
            file.truncate(64 << 30)
        job_id = box.submit(sh("true", inputs=[{"name": "huge", "path": str(huge)}]))[0]
    elif phase == "staging_out":
        script = 'echo y > a.root; [ "$POMS_STARTS" -gt 1 ] || truncate -s 64G huge.root'
        job_id = box.submit(sh(script, output_dir=str(tmp_path / "out"), output_patterns=["*.root"]))[0]
    else:
        job_id = box.submit(sh('[ "$POMS_STARTS" -gt 1 ] || { setsid sleep 60 & sleep 60; }'))[0]
    box.until(job_id, phase)
    return job_id


PHASES = ["idle", "staging_in", "processing", "staging_out"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_held_job_stops_and_runs_again_when_released(box: Box, tmp_path: Path, phase: str) -> None:
    box.up()
    job_id = in_phase(box, tmp_path, phase)
    assert box.ask("hold", ids=[job_id], reason="wait")["outcomes"] == {job_id: "done"}
    assert box.ask("hold", ids=[job_id])["outcomes"] == {job_id: "already"}
    job = box.job(job_id)
    assert (job["state"], job["reason"]) == ("held", "wait")
    started = len(box.events(job_id, "stage_in"))
    assert started == (phase != "idle")
    if started:
        wait_for(lambda: box.events(job_id, "stopped"))
        wait_for(lambda: box.processes() == [box.daemons[-1].pid])
        assert list((tmp_path / "out").glob("*")) == []
    if phase == "staging_in":
        (tmp_path / "huge").write_text("small now")
    if phase == "idle":
        box.ask("remove", uuids=["u-blocker"])
    assert box.ask("release", ids=[job_id])["outcomes"] == {job_id: "done"}
    job = box.until(job_id, *ENDED)
    assert (job["state"], job["starts"]) == ("succeeded", started + 1)
    assert box.ask("release", ids=[job_id])["outcomes"][job_id].startswith("refused")


@pytest.mark.parametrize("phase", [*PHASES, "held"])
def test_a_removed_job_stops_for_good(box: Box, tmp_path: Path, phase: str) -> None:
    box.up()
    job_id = in_phase(box, tmp_path, phase if phase != "held" else "processing")
    if phase == "held":
        box.ask("hold", ids=[job_id])
    assert box.ask("remove", uuids=["u-1"], reason="no")["outcomes"] == {job_id: "done"}
    assert box.job(job_id)["state"] == "removed"
    if phase not in ("idle", "held"):
        wait_for(lambda: box.events(job_id, "stopped"))
    if phase != "idle":
        wait_for(lambda: box.processes() == [box.daemons[-1].pid])
    assert box.ask("remove", ids=[job_id])["outcomes"] == {job_id: "already"}
    assert box.ask("hold", ids=[job_id])["outcomes"][job_id].startswith("refused")
    assert box.ask("release", ids=[job_id])["outcomes"][job_id].startswith("refused")
    assert list((tmp_path / "out").glob("*")) == []


def test_a_suspended_job_can_be_removed(box: Box) -> None:
    box.up()
    job_id = box.submit(sh("echo $$; sleep 60"))[0]
    os.kill(box.said_pid(job_id), signal.SIGSTOP)
    box.until(job_id, "suspended")
    box.ask("remove", ids=[job_id])
    wait_for(lambda: box.events(job_id, "stopped"))
    assert box.processes() == [box.daemons[-1].pid]


def test_a_command_for_nobody_says_so(box: Box) -> None:
    box.up()
    outcomes = box.ask("remove", ids=["7.0@local", "x", "1.0@elsewhere"], uuids=["u-9"])["outcomes"]
    assert outcomes == dict.fromkeys(["7.0@local", "x", "1.0@elsewhere", "u-9"], "absent")


def test_a_command_is_obeyed_although_the_daemon_dies_right_after_writing_it(box: Box) -> None:
    box.up()
    job_id = box.submit(sh("sleep 60"))[0]
    box.until(job_id, "processing")
    (box.spool / "faults.json").write_text('{"die_at": "hold"}')
    with pytest.raises(NoDaemon):
        box.ask("hold", ids=[job_id])
    box.daemons[-1].wait(60)
    (box.spool / "faults.json").unlink()
    assert box.events(job_id, "stopped") == []
    box.up()
    wait_for(lambda: box.events(job_id, "stopped"))
    assert box.job(job_id)["state"] == "held"
    assert box.processes() == [box.daemons[-1].pid]


def test_commands_and_ends_that_race_agree_on_one_outcome(box: Box) -> None:
    box.up(8)
    ids = box.submit(*[sh("sleep 0.05")] * 120)
    said: dict[str, str] = {}
    dice = random.Random(4)
    while len(said) < 60:
        job_id = dice.choice(ids)
        outcome = box.ask("remove", ids=[job_id])["outcomes"][job_id]
        if said.get(job_id) == "done":
            assert outcome == "already"
        else:
            said[job_id] = outcome
    jobs = box.until_all_ended()
    for job_id, outcome in said.items():
        assert (jobs[job_id]["state"] == "removed") == (outcome == "done"), (job_id, outcome)
    box.check_lawful()


# -- submitting ----------------------------------------------------------------------------------------------


def test_clusters_submitted_without_a_daemon_run_when_there_is_one(box: Box, tmp_path: Path) -> None:
    note = tmp_path / "job ids"
    done = box.submit_raw(
        json.dumps({"jobs": [sh("true")] * 2}),
        env={"POMS_SUBMISSION_ID": "from-env", "POMS_JOB_IDS_FILE": str(note)},
    )
    assert json.loads(done.stdout) == {"cluster": 1, "job_ids": ["1.0@local", "1.1@local"]}
    assert note.read_text() == "1.0@local\n1.1@local\n"
    assert box.submit(sh("true"), uuid="u-2") == ["2.0@local"]
    box.up()
    assert box.ask("find", uuids=["from-env", "u-2", "u-3"])["found"] == {
        "from-env": ["1.0@local", "1.1@local"],
        "u-2": ["2.0@local"],
        "u-3": [],
    }
    assert {job["state"] for job in box.until_all_ended().values()} == {"succeeded"}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "wall_s": NaN}]}', "not JSON"),
        ('{"uuid": "a", "jobs": []} x', "more text"),
        ("[]", "not a JSON object"),
        ('{"jobs": [{"argv": ["x"]}]}', "no uuid"),
        ('{"uuid": "a/../b", "jobs": [{"argv": ["x"]}]}', "no uuid"),
        ('{"uuid": "a", "jobs": []}', "at least one job"),
        ('{"uuid": "a", "jobs": [{"argv": []}]}', "no command"),
        ('{"uuid": "a", "jobs": [{"argv": ["x", 1]}]}', "argv"),
        ('{"uuid": "a", "jobs": [{"argv": ["x\\u0000"]}]}', "argv"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "env": {"A=B": "c"}}]}', "env"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "memory_mb": -1}]}', "memory_mb"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "wall_s": true}]}', "wall_s"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "inputs": [{"name": "../y", "path": "/y"}]}]}', "input"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "inputs": [{"name": "out", "path": "/y"}]}]}', "input"),
        ('{"uuid": "a", "jobs": [{"argv": ["x"], "units": "abc"}]}', "units"),
    ],
)
def test_a_bad_document_is_refused_with_a_sentence(box: Box, document: str, why: str) -> None:
    done = box.submit_raw(document)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert list(read_log(box.spool)) == []


def test_a_spool_that_is_not_there_is_never_made_by_a_submission(tmp_path: Path) -> None:
    done = Box(tmp_path / "typo").submit_raw('{"uuid": "a", "jobs": [{"argv": ["x"]}]}')
    assert done.returncode == 2
    assert "no spool" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_two_hundred_submissions_at_once_are_all_there_exactly_once(box: Box) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda k: (k, box.submit(sh("true"), sh("true"), uuid=f"u-{k}")), range(200)))
    assert len({job_id for _, ids in answers for job_id in ids}) == 400
    box.up(8)
    found = box.ask("find", uuids=[f"u-{k}" for k in range(200)])["found"]
    assert found == {f"u-{k}": ids for k, ids in answers}
    jobs = box.until_all_ended(60)
    assert len(jobs) == 400
    assert Counter(event["job"] for event in box.events(kind="execute")) == dict.fromkeys(jobs, 1)


def test_a_submission_loads_no_more_than_it_must(box: Box) -> None:
    # Its price is what it loads: `json` alone would double it. So this is watched, not the noisy clock.
    command = [sys.executable, "-X", "importtime", *PYTHON[1:], "submit", "--spool", str(box.spool)]
    document = json.dumps({"uuid": "u", "jobs": [sh("true")]})
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "local_daemon.submit" in loaded
    for dear in ("json", "re", "enum", "signal", "typing", "argparse", "socket", "random", "site"):
        assert dear not in loaded
    # Compiled once, kept in the spool.
    assert {path.name.split(".")[0] for path in box.spool.rglob("*.pyc")} == {"__init__", "log", "submit"}


# -- being killed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "there", "noted"),
    [("before_append", 0, 0), ("after_append", 1, 0), ("after_ids", 1, 1)],
)
def test_a_killed_submission_is_there_wholly_or_not_at_all(
    box: Box, tmp_path: Path, point: str, there: int, noted: int
) -> None:
    note = tmp_path / "ids"
    document = json.dumps({"uuid": "u-1", "jobs": [sh("true")]})
    env = {"POMS_CRASHPOINT": f"submit.{point}", "POMS_JOB_IDS_FILE": str(note)}
    assert box.submit_raw(document, env).returncode == -signal.SIGKILL
    assert note.exists() == bool(noted)
    box.up()
    assert len(box.ask("find", uuids=["u-1"])["found"]["u-1"]) == there
    box.until_all_ended()


@pytest.mark.parametrize("point", ["daemon.after_pick", "daemon.after_fork"])
def test_a_daemon_killed_while_it_starts_a_job_neither_loses_nor_doubles_it(
    box: Box, tmp_path: Path, point: str
) -> None:
    ran = tmp_path / "ran"
    ids = box.submit(*[sh(f"echo $POMS_JOB_ID >> '{ran}'; sleep 0.1")] * 5)
    for _ in range(3):
        box.serve(2, env={"POMS_CRASHPOINT": point}).wait(60)
        assert box.daemons[-1].returncode == -signal.SIGKILL
    box.up(2)
    jobs = box.until_all_ended()
    assert {job["state"] for job in jobs.values()} == {"succeeded"}
    assert sorted(ran.read_text().split()) == ids


@pytest.mark.parametrize(
    ("point", "began"),
    [("runner.before_exec", False), ("runner.after_exec", True), ("runner.before_end", True)],
)
def test_a_runner_killed_at_any_point_ends_its_job_once(box: Box, tmp_path: Path, point: str, began: bool) -> None:
    ran, out = tmp_path / "ran", tmp_path / "out"
    box.up(env={"POMS_CRASHPOINT": point})
    job_id = box.submit(sh(f"echo x > a.root; echo x >> '{ran}'", output_dir=str(out), output_patterns=["*.root"]))[0]
    job = box.until(job_id, *ENDED)
    assert (job["state"], job["code"], job["starts"]) == ("failed", "runner_vanished", 1)
    if point != "runner.after_exec":
        assert ran.exists() == began
    assert len(box.events(job_id, "execute")) == 1
    assert list(out.glob("*.manifest.json")) == []
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])


@pytest.mark.parametrize("event", ["stage_in", "execute", "stage_out", "end"])
def test_a_runner_that_dies_after_an_event_ends_its_job_once(box: Box, event: str) -> None:
    (box.spool / "faults.json").write_text(json.dumps({"die_at": event}))
    box.up()
    job_id = box.submit(sh("true"))[0]
    wait_for(lambda: box.events(job_id, event))
    if event == "end":
        # The runner has said all there is to say.
        assert box.until(job_id, *ENDED)["state"] == "succeeded"
        return
    (box.spool / "faults.json").unlink()
    job = box.until(job_id, *ENDED)
    assert (job["state"], job["code"]) == ("failed", "runner_vanished")


def late_runner(box: Box, document: dict[str, Any], position: int) -> subprocess.Popen[str]:
    """Start a runner of job 1.0 whose daemon knew the log up to `position` and died right after the fork."""
    code = (
        "import json, signal, sys; from integrations.batch.local_daemon import runner as r; "
        "signal.pthread_sigmask(signal.SIG_BLOCK, {r.NUDGE}); told = json.load(sys.stdin); "
        "sys.exit(r.Runner(r.Start(**told)).run())"
    )
    told = {"spool": str(box.spool), "job_id": "1.0@local", "document": document, "proc": 0, "starts": 1}
    runner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, text=True, cwd=Path(ENTRY).parents[3]
    )
    assert runner.stdin is not None
    runner.stdin.write(json.dumps({**told, "node": "local-01", "position": position}))
    runner.stdin.close()
    return runner


def test_a_runner_that_comes_too_late_runs_nothing(box: Box, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    job_id = box.submit(sh(f"echo x >> '{ran}'"))[0]
    document = box.events(kind="submit")[0]
    position = (box.spool / "log.jsonl").stat().st_size
    box.up()
    box.until(job_id, "succeeded")
    before = box.events()
    assert late_runner(box, document, position).wait(60) == 0
    assert box.events() == before
    assert ran.read_text() == "x\n"


def test_a_runner_obeys_what_is_written_while_it_waits_to_begin(box: Box, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    job_id = box.submit(sh(f"echo x >> '{ran}'"))[0]
    document = box.events(kind="submit")[0]
    log = Log(str(box.spool))
    with log:
        runner = late_runner(box, document, log.end)
        # It stands before the lock that we hold, having seen nothing against it.
        wait_for(lambda: waits_for_lock(runner.pid))
        log.append("remove", {"job": job_id, "reason": "no"})
    assert runner.wait(60) == 0
    assert [event["event"] for event in box.events()] == ["submit", "remove"]
    assert not ran.exists()


def waits_for_lock(pid: int) -> bool:
    """Say whether a process waits for a file lock that another one holds."""
    return any("->" in line and line.split()[5] == str(pid) for line in Path("/proc/locks").read_text().splitlines())


def test_fifty_running_jobs_outlive_a_killed_daemon_and_end_exactly_once(box: Box, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    box.up(50)
    ids = box.submit(*[sh(f"echo $POMS_JOB_ID >> '{ran}'; sleep 1.5; echo done")] * 50)
    wait_for(lambda: box.ask("queue")["running"] == 50)
    box.kill()
    more = box.submit(sh("true"), uuid="u-2")
    time.sleep(0.3)
    box.up(50)
    assert box.ask("queue")["idle"] + box.ask("queue")["running"] >= 1
    jobs = box.until_all_ended()
    assert {job["state"] for job in jobs.values()} == {"succeeded"}
    assert sorted(jobs) == sorted(ids + more)
    assert sorted(ran.read_text().split()) == sorted(ids)
    assert Counter(event["job"] for event in box.events(kind="end")) == dict.fromkeys(jobs, 1)


def test_a_runner_killed_while_the_daemon_is_down_is_found_by_the_next(box: Box) -> None:
    box.up()
    dead, alive = box.submit(sh("setsid sleep 60 & sleep 60"), sh("sleep 1"))
    box.until(dead, "processing")
    box.until(alive, "processing")
    box.kill()
    os.kill(box.runner(dead), signal.SIGKILL)
    box.up()
    job = box.until(dead, *ENDED)
    assert (job["state"], job["code"]) == ("failed", "runner_vanished")
    assert box.until(alive, *ENDED)["state"] == "succeeded"
    assert box.processes() == [box.daemons[-1].pid]


@pytest.mark.parametrize("phase", ["staging_in", "processing", "staging_out"])
def test_a_killed_runner_takes_its_whole_job_with_it(box: Box, tmp_path: Path, phase: str) -> None:
    box.up()
    job_id = in_phase(box, tmp_path, phase)
    os.kill(box.runner(job_id), signal.SIGKILL)
    job = box.until(job_id, *ENDED)
    assert (job["state"], job["code"], job["starts"]) == ("failed", "runner_vanished", 1)
    assert box.processes() == [box.daemons[-1].pid]
    for name in ("a spool/jobs/1.0/.huge.1.0.part", "out/.huge.root.1.0.part"):
        (tmp_path / name).unlink(missing_ok=True)


def test_a_held_job_whose_runner_is_killed_can_still_be_released(box: Box) -> None:
    box.up()
    job_id = box.submit(sh('[ "$POMS_STARTS" = 2 ] || sleep 60'))[0]
    box.until(job_id, "processing")
    os.kill(box.runner(job_id), signal.SIGSTOP)
    assert box.ask("hold", ids=[job_id])["outcomes"] == {job_id: "done"}
    assert box.ask("release", ids=[job_id])["outcomes"] == {job_id: "done"}
    time.sleep(0.2)
    assert box.job(job_id)["state"] == "idle", "started beside its own former runner"
    os.kill(box.runner(job_id), signal.SIGKILL)
    job = box.until(job_id, *ENDED)
    assert (job["state"], job["starts"]) == ("succeeded", 2)


def test_nothing_is_lost_or_doubled_under_random_kills(box: Box, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    dice = random.Random(11)
    box.up(8)
    ids: list[str] = []
    killed = 0
    for round_ in range(12):
        ids += box.submit(*[sh(f"echo $POMS_JOB_ID >> '{ran}'; sleep 0.1")] * 10, uuid=f"u-{round_}")
        time.sleep(dice.random() * 0.2)
        box.kill()
        if round_ % 3 == 0:
            active = {event["job"]: event["pid"] for event in box.events(kind="stage_in")}
            for event in box.events(kind="end"):
                active.pop(event["job"], None)
            for pid in list(active.values())[:2]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        box.serve(8)
    wait_for(lambda: box.answers(box.daemons[-1].pid))
    jobs = box.until_all_ended(60)
    assert sorted(jobs) == sorted(ids)
    assert max(Counter(ran.read_text().split()).values()) == 1
    states = Counter(job["code"] for job in jobs.values())
    assert set(states) <= {None, "runner_vanished"}
    assert 0 < states["runner_vanished"] <= killed
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])


# -- the log -------------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_no_event_and_does_not_hurt_the_next(box: Box) -> None:
    box.submit(sh("true"), uuid="u-1")
    with (box.spool / "log.jsonl").open("ab") as file:
        file.write(b'{"n":99,"at":1.0,"event":"submit","cluster":2,"uuid":"torn"' + b" " * (3 << 20))
    assert len(list(read_log(box.spool))) == 1
    box.up()
    assert box.ask("find", uuids=["u-1", "torn"])["found"] == {"u-1": ["1.0@local"], "torn": []}
    assert box.submit(sh("true"), uuid="u-2") == ["2.0@local"]
    assert box.ask("find", uuids=["u-2"])["found"] == {"u-2": ["2.0@local"]}
    box.until_all_ended()


def test_a_lost_lock_file_repeats_no_cluster_number(box: Box) -> None:
    box.submit(sh("true"))
    box.submit(sh("true"))
    (box.spool / "log.lock").unlink()
    assert box.submit(sh("true")) == ["3.0@local"]


def test_times_never_go_back_although_the_clock_does(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(str(box.spool))
    with log:
        first = log.append("prio", {"job": "1.0@local"})
        monkeypatch.setattr(time, "time", lambda: first["at"] - 3600)
        second = log.append("prio", {"job": "1.0@local"})
    assert second["at"] == first["at"]
    assert second["n"] > first["n"]
    (box.spool / "log.jsonl").unlink()


def test_a_line_that_does_not_fit_leaves_nothing_behind(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(str(box.spool))
    with log:
        log.append("submit", {"uuid": "a", "jobs": []}, new_cluster=True)
        before = (box.spool / "log.jsonl").read_bytes()
        whole = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data: whole(fd, data[:10]))
            with pytest.raises(OSError, match="no room"):
                log.append("submit", {"uuid": "b", "jobs": []}, new_cluster=True)
        assert (box.spool / "log.jsonl").read_bytes() == before
        assert log.append("submit", {"uuid": "c", "jobs": []}, new_cluster=True)["cluster"] == 3


def test_a_damaged_line_in_the_middle_costs_only_itself(box: Box, capfd: pytest.CaptureFixture[str]) -> None:
    box.submit(sh("true"), uuid="u-1")
    with (box.spool / "log.jsonl").open("ab") as file:
        file.write(b"what a mess\n")
    box.submit(sh("true"), uuid="u-2")
    log = Log(str(box.spool))
    book = Book(log)
    book.catch_up()
    log.close()
    assert [len(book.jobs_of(uuid)) for uuid in ("u-1", "u-2")] == [1, 1]
    assert "damaged at byte" in capfd.readouterr().err
    (box.spool / "log.jsonl").unlink()


def test_the_quick_json_reads_and_writes_like_the_librarys() -> None:
    for value in ({"a": [1, -2.5, None, True, 'é\n"\ud800 \u2028'], "": {}}, [], "x", 1e300, 10**30):
        assert json.loads(dumps(value)) == value == loads(json.dumps(value, indent=1) + "\n")
    for bad in (float("nan"), {1, 2}):
        with pytest.raises((ValueError, TypeError)):
            dumps(bad)
    for text in ("", "{", "nope", '"a" "b"', '{"a": 1,}', "Infinity", '"\t"'):
        with pytest.raises(ValueError, match=r".*"):
            loads(text)


def test_increments_of_the_snapshot_add_up_to_the_whole(box: Box) -> None:
    box.up(8)
    view: dict[str, dict[str, Any]] = {}
    seq, asked = 0, 0

    def add(jobs: list[dict[str, Any]]) -> None:
        """An increment has of each job all that is so now, but of its phases only those that are new."""
        for job in jobs:
            earlier = view.get(job["id"], {"phases": []})["phases"]
            view[job["id"]] = job | {"phases": [*earlier, *job["phases"]]}

    for round_ in range(8):
        ids = box.submit(*[sh("sleep 0.05")] * 10, uuid=f"u-{round_}")
        box.ask("hold", ids=ids[:2])
        box.ask("remove", ids=ids[2:3])
        answer = box.ask("snapshot", since=seq, limit=3)
        assert answer["seq"] > seq
        seq = answer["seq"]
        asked += len(answer["jobs"])
        add(answer["jobs"])
    box.ask("remove", uuids=[f"u-{round_}" for round_ in range(8)])
    box.until_all_ended()
    wait_for(lambda: box.processes() == [box.daemons[-1].pid])
    while (answer := box.ask("snapshot", since=seq, limit=3))["jobs"]:
        assert answer["seq"] > seq
        seq = answer["seq"]
        add(answer["jobs"])
    whole = box.all_jobs()
    assert set(view) == set(whole)
    for ident, job in whole.items():
        assert view[ident] == job
    assert len(whole) == 80
    assert box.ask("snapshot", since=seq) == {"seq": seq, "jobs": []}
    assert box.ask("snapshot", since=seq + 1)["reset"] is True
    box.kill()
    box.up()
    assert box.all_jobs() == whole, "another daemon reads the same log otherwise"


def test_a_limited_increment_never_divides_what_one_event_changed(box: Box) -> None:
    box.submit(*[sh("true")] * 10, uuid="u-1")
    box.submit(*[sh("true")] * 5, uuid="u-2")
    log = Log(str(box.spool))
    book = Book(log)
    book.catch_up()
    log.close()
    seq, first = book.changed(0, 3)
    assert [job.cluster.uuid for job in first] == ["u-1"] * 10
    seq, second = book.changed(seq, 3)
    assert [job.cluster.uuid for job in second] == ["u-2"] * 5
    assert book.changed(seq, 3) == (seq, [])


# -- the socket ----------------------------------------------------------------------------------------------


def test_what_cannot_be_understood_is_answered_and_hurts_nobody(box: Box) -> None:
    box.up()
    box.submit(sh("true"))
    for request in (
        "x",
        [],
        {},
        {"ask": []},
        {"ask": "nothing"},
        {"ask": "find"},
        {"ask": "find", "uuids": [1]},
        {"ask": "jobs", "ids": "1.0@local"},
        {"ask": "snapshot", "since": -1},
        {"ask": "snapshot", "since": True},
        {"ask": "snapshot", "since": 10**30},
        {"ask": "hold", "ids": None},
        {"ask": "hold", "ids": [], "reason": 4},
        {"ask": "prio", "ids": ["1.0@local"]},
        {"ask": "prio", "ids": ["1.0@local"], "value": "high"},
        {"ask": "log", "id": {}},
        {"ask": "log", "id": "1.0@local", "stream": "../../log.jsonl"},
        {"ask": "log", "id": "1.0@local", "offset": -4},
    ):
        assert ask(box.spool, request, 10)["error"] == "bad_request", request  # type: ignore[arg-type]
    for text in (b"", b"\n", b"\xff\xfe\n", b"[" * 200_000 + b"\n", b"{"):
        with connected(box) as peer:
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            assert not text or b"bad_request" in peer.recv(4096)
    box.until_all_ended()


@contextlib.contextmanager
def connected(box: Box) -> Iterator[socket.socket]:
    address = json.loads((box.spool / "daemon.json").read_text())["socket"]
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(address)
        yield peer


def test_a_slow_or_greedy_client_keeps_nobody_waiting(box: Box) -> None:
    box.up()
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(box)) for _ in range(50)]
        silent[0].sendall(b'{"ask":')
        assert box.ask("ping")["pong"]
        greedy = stack.enter_context(connected(box))
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                greedy.sendall(b" " * (1 << 20))
        assert box.ask("ping")["pong"]
        # Whoever does not finish a request within the daemon's patience is cut off.
        assert silent[0].recv(10) == b""
    assert box.ask("ping")["pong"]


def test_the_daemon_can_be_told_to_answer_badly(box: Box) -> None:
    box.up()
    job_id = box.submit(sh("sleep 60"))[0]
    faults = box.spool / "faults.json"
    faults.write_text('{"answer": "refuse"}')
    assert box.ask("hold", ids=[job_id])["error"] == "unavailable"
    faults.unlink()
    assert box.job(job_id)["state"] != "held", "refused means not done"
    faults.write_text('{"answer": "garbage"}')
    with pytest.raises(NoDaemon):
        box.ask("hold", ids=[job_id])
    faults.write_text('{"answer": "hang"}')
    with pytest.raises(TimeoutError):
        ask(box.spool, {"ask": "release", "ids": [job_id]}, timeout=0.5)
    faults.write_text('{"answer": "close"}')
    with pytest.raises(NoDaemon):
        box.ask("prio", ids=[job_id], value=3)
    faults.write_text('{"answer": "refuse", "probability": 0.3}')
    refused = sum("error" in box.ask("ping") for _ in range(100))
    assert 10 < refused < 60
    faults.unlink()
    done = [event["event"] for event in box.events(job_id) if event["event"] in ("hold", "release", "prio")]
    assert done == ["hold", "release", "prio"], "an answer gone wrong does not undo what was asked"
    box.ask("remove", ids=[job_id])


def test_people_can_ask_too(box: Box) -> None:
    command = [*PYTHON, "ask", "--spool", str(box.spool)]
    down = subprocess.run(command, input=b'{"ask": "ping"}', capture_output=True, check=False)
    assert down.returncode == 4
    assert b"no daemon" in down.stderr
    box.up()
    up = subprocess.run(command, input=b'{"ask": "queue"}', capture_output=True, check=False)
    assert up.returncode == 0
    assert json.loads(up.stdout) == {"idle": 0, "running": 0, "held": 0, "slots": 4, "memory_mb": 0}
    assert subprocess.run(command, input=b"x", capture_output=True, check=False).returncode == 2


# -- the daemon's life ---------------------------------------------------------------------------------------


def test_a_second_daemon_is_refused(box: Box) -> None:
    first = box.up()
    second = subprocess.run(
        [*PYTHON, "serve", "--spool", str(box.spool), "--slots", "1"], capture_output=True, check=False
    )
    assert second.returncode == 3
    assert b"another daemon" in second.stderr
    assert box.answers(first.pid)


def test_a_terminated_daemon_leaves_jobs_running_and_no_socket(box: Box, tmp_path: Path) -> None:
    box.up()
    job_id = box.submit(sh("sleep 1"))[0]
    box.until(job_id, "processing")
    address = Path(json.loads((box.spool / "daemon.json").read_text())["socket"])
    assert address.parent.stat().st_mode & 0o777 == 0o700
    box.daemons[-1].terminate()
    assert box.daemons[-1].wait(60) == 0
    assert not address.parent.exists()
    assert not (box.spool / "daemon.json").exists()
    wait_for(lambda: box.events(job_id, "end"))
    box.up()
    assert box.job(job_id)["state"] == "succeeded"


def test_a_daemon_told_to_end_its_jobs_leaves_no_process(box: Box) -> None:
    box.up(4, "--end-jobs")
    ids = box.submit(*[sh("setsid sleep 60 & sleep 60")] * 6)
    for job_id in ids[:4]:
        box.until(job_id, "processing")
    box.daemons[-1].terminate()
    assert box.daemons[-1].wait(60) == 0
    assert box.processes() == []
    assert {event["job"] for event in box.events(kind="remove")} == set(ids[:4])
    assert {event["job"] for event in box.events(kind="stopped")} == set(ids[:4])


def test_runners_hold_nothing_of_the_daemons_caller(box: Box) -> None:
    command = [*PYTHON, "serve", "--spool", str(box.spool), "--slots", "1"]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    box.daemons.append(daemon)
    job_id = box.submit(sh("sleep 60"))[0]
    wait_for(lambda: box.events(job_id, "execute"))
    box.kill()
    assert daemon.stdout is not None
    assert daemon.stdout.read() == b""
    # Had the runner a descriptor of the caller, the reading would have lasted as long as the job.
    os.kill(box.runner(job_id), signal.SIGKILL)


def test_a_killed_daemons_socket_folder_is_cleared_away_by_the_next(box: Box) -> None:
    box.up()
    folder = Path(json.loads((box.spool / "daemon.json").read_text())["socket"]).parent
    box.kill()
    assert folder.exists()
    box.up()
    assert not folder.exists()


def test_a_job_whose_runner_never_begins_is_held_and_not_tried_for_ever(box: Box) -> None:
    (box.spool / "jobs").mkdir()
    (box.spool / "jobs" / "1.0").write_text("in the way")
    box.up()
    job_id = box.submit(sh("true"))[0]
    assert "runners.err" in box.until(job_id, "held", seconds=60)["reason"]
    (box.spool / "jobs" / "1.0").unlink()
    box.ask("release", ids=[job_id])
    assert box.until(job_id, *ENDED)["state"] == "succeeded"


def test_documents_are_kept_whole() -> None:
    document = {"uuid": "a", "jobs": [{"argv": ["x"], "inputs": [{"name": "n", "path": "rel"}]}]}
    kept = checked(document)
    assert kept["jobs"][0]["inputs"] == [{"name": "n", "path": os.path.abspath("rel")}]
    assert kept["jobs"][0]["index"] == 0
    with pytest.raises(BadDocument):
        checked({"uuid": "a", "jobs": "x"})
