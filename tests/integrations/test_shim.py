"""The launch shim with real processes: never twice, never lost, whoever is killed and whenever."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import functools
import importlib.util
import itertools
import json
import marshal
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integrations.launcher.local import shim_command

SHIM = Path(__file__).parents[2] / "integrations" / "launcher" / "shim.py"
PYTHON = os.environ.get("POMS_SHIM_PYTHON", sys.executable)
LIGHT = [PYTHON, "-S", "-E", "-s", "-B"]
MIB = 1 << 20

_spec = importlib.util.spec_from_file_location("poms_shim", SHIM)
shim = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shim)


def until(seen: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true and return it."""
    end = time.monotonic() + seconds
    while True:
        found = seen()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {seen}"
        time.sleep(0.01)


def processes_with(mark: bytes, without: bytes = b"\0\0\0") -> list[int]:
    """Return the living processes with a text in their environment, and without another."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                env = Path("/proc", name, "environ").read_bytes()
                if mark in env and without not in env:
                    found.append(int(name))
    return found


@functools.lru_cache(maxsize=1)
def numbers(last: int) -> str:
    """Return what `seq 1 last` prints."""
    return "".join(f"{number}\n" for number in range(1, last + 1))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Host:
    """A launch host: a home of launches, a truth outside it, and the shim."""

    def __init__(self, place: Path) -> None:
        self.home = place / "launch home"
        self.truth = place / "truth"
        self.mark = f"POMS_TEST_MARK={uuid.uuid4()}"
        self.env = {**os.environ, "POMS_SHIM_NOSYNC": "1"}
        self.env.update([self.mark.split("=")])

    def popen(self, verb: str, *, env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        more = {"stdin": -1, "stdout": -1, "stderr": -1, **more}
        return subprocess.Popen(shim_command(verb, python=PYTHON), env={**self.env, **(env or {})}, **more)

    def document(self, **question: Any) -> bytes:
        return json.dumps({"home": str(self.home), **question}).encode()

    def ask(self, verb: str, *, env: dict[str, str] | None = None, **question: Any) -> dict[str, Any]:
        with self.popen(verb, env=env) as process:
            out, err = process.communicate(self.document(**question), timeout=60)
        assert process.returncode == 0, err
        assert err == b""
        return json.loads(out)

    def launch(self, *argv: str, **more: Any) -> dict[str, Any]:
        return {"uuid": str(uuid.uuid4()), "attempt": 1, "argv": list(argv), **more}

    def counted(self, *, after: str = "", **more: Any) -> dict[str, Any]:
        """Return a launch whose script says in the truth that it ran."""
        launch = self.launch("/bin/sh", "-c", f'echo "$POMS_SUBMISSION_ID" >> "$1"\n{after}', "sh", **more)
        launch["argv"].append(str(self.truth))
        return launch

    def runs(self, launch: dict[str, Any]) -> int:
        return self.truth.read_text().split().count(launch["uuid"]) if self.truth.exists() else 0

    def start(self, launch: dict[str, Any], **more: Any) -> str:
        env = more.pop("env", None)
        answer = self.ask("start", launches=[{**launch, **more}], env=env)
        return answer["outcomes"][launch["uuid"]]["outcome"]

    def status(self, launch: dict[str, Any]) -> dict[str, Any]:
        return self.ask("status", uuids=[launch["uuid"]])["launches"][launch["uuid"]]

    def glance(self, launch: dict[str, Any]) -> dict[str, Any]:
        """Return the state without an interpreter start (and without mending anything)."""
        return shim.look(os.fsencode(self.folder(launch)))

    def settled(self, launch: dict[str, Any], seconds: float = 15.0) -> dict[str, Any]:
        until(lambda: self.glance(launch)["state"] != "running", seconds)
        return self.status(launch)

    def run(self, launch: dict[str, Any], seconds: float = 15.0) -> dict[str, Any]:
        """Start a launch and return its result."""
        assert self.start(launch) == "started"
        seen = self.settled(launch, seconds)
        assert seen["state"] == "finished", seen
        return seen["result"]

    def folder(self, launch: dict[str, Any]) -> Path:
        return self.home / launch["uuid"][:2] / launch["uuid"]

    def output(self, launch: dict[str, Any], part: str = "head", offset: int = 0, length: int = 65536) -> dict:
        return self.ask("output", uuid=launch["uuid"], part=part, offset=offset, length=length)

    def text(self, launch: dict[str, Any], part: str = "head") -> str:
        """Return a part of the output read to its end, page by page, in this process."""
        question = {"home": str(self.home), "uuid": launch["uuid"], "part": part}
        pages, offset = [], 0
        while True:
            page = shim.output({**question, "offset": offset})
            pages.append(page["text"])
            offset = page["next"]
            if offset >= page["part_size"]:
                return "".join(pages)

    def process(self, launch: dict[str, Any]) -> dict[str, Any]:
        path = self.folder(launch) / "process"
        until(path.exists)
        return json.loads(path.read_text())

    def stored(self, launch: dict[str, Any]) -> int:
        return sum(path.stat().st_size for path in self.folder(launch).iterdir())

    def kill_everything(self, launch: dict[str, Any]) -> None:
        """Kill the supervisor and the script, as by kill -9 of a whole account."""
        record = self.process(launch)
        kill(record["supervisor"])
        os.killpg(record["pid"], signal.SIGKILL)

    def left(self) -> list[int]:
        return processes_with(self.mark.encode())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a host, and see to it that no process is left behind."""
    host = Host(tmp_path)
    yield host
    end = time.monotonic() + 60
    while host.left() and time.monotonic() < end:
        time.sleep(0.02)
    left = host.left()
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            kill(pid)
    assert not left, "processes are left"


# ------------------------------------------------------------------------------------------- the plain way


def test_the_shim_is_one_file_for_python_3_6_with_the_standard_library() -> None:
    tree = ast.parse(SHIM.read_text(), feature_version=(3, 6))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        assert not isinstance(node, ast.ImportFrom)
    assert imported <= set(sys.stdlib_module_names)


def test_a_launch_runs_and_leaves_its_result(host: Host) -> None:
    launch = host.launch("/bin/sh", "-c", "printf '1.0@x\\n1.1@x\\n' > $POMS_JOB_IDS_FILE; echo hello; exit 3")
    before = time.time()
    result = host.run(launch)
    assert before - 1 < result.pop("started") <= result.pop("ended") < time.time() + 1
    assert result == {
        "uuid": launch["uuid"], "attempt": 1, "exit_code": 3, "signal": None, "timed_out": False,
        "job_ids": ["1.0@x", "1.1@x"], "output_bytes": 6, "notes": [],
    }  # fmt: skip
    page = host.output(launch)
    assert (page["text"], page["total"], page["part_size"]) == ("hello\n", 6, 6)
    assert host.output(launch, "tail")["text"] == "hello\n"
    seen = host.status(launch)
    assert (seen["state"], seen["attempt"], seen["job_ids"]) == ("finished", 1, ["1.0@x", "1.1@x"])


def test_the_script_finds_its_surroundings(host: Host) -> None:
    look = (
        "import json,os,sys;print(json.dumps({'env':dict(os.environ),'cwd':os.getcwd(),'sid':os.getsid(0),"
        "'pid':os.getpid(),'in':sys.stdin.read(),'jobs':open('jobs.json').read(),'tool':os.access('tool',os.X_OK)}))"
    )
    files = {"jobs.json": '{"é": 1}', "tool": "#!/bin/sh\n"}
    launch = host.launch(sys.executable, "-c", look, env={"COLOUR": "grün", "LANG": "C.UTF-8"}, files=files)
    host.start(launch, env={"POMS_CRASHPOINT": "nowhere", "COLOUR": "red", "KEPT": "yes"})
    host.settled(launch)
    found = json.loads(host.text(launch))
    folder = host.folder(launch)
    assert found["env"]["COLOUR"] == "grün"
    assert found["env"]["KEPT"] == "yes"
    assert found["env"]["POMS_SUBMISSION_ID"] == launch["uuid"]
    assert found["env"]["POMS_LAUNCH_DIR"] == str(folder)
    assert found["env"]["POMS_JOB_IDS_FILE"] == str(folder / "job_ids")
    assert "POMS_CRASHPOINT" not in found["env"]
    assert found["cwd"] == str(folder)
    assert found["sid"] == found["pid"]
    assert (found["in"], found["jobs"], found["tool"]) == ("", '{"é": 1}', True)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "jobs.json").stat().st_mode & 0o777 == 0o600


AWKWARD = [
    "",
    "two words",
    "'",
    '"',
    "a\nb",
    "\n",
    "tab\t",
    "$(touch x)",
    "`touch x`",
    "-n",
    "--",
    "*",
    "\\",
    "ÿ€𝄞",
]
AWKWARD += ["$HOME", ";touch x", "!", "~", "a=b", "\udcff\udc80", " lead", "trail ", "%s", "\x01\x1b[31m"]


@pytest.mark.parametrize("setup", ["", "true", "set -- changed; shift; cd .", "IFS=,"])
def test_arguments_arrive_byte_for_byte(host: Host, setup: str) -> None:
    show = "import os,sys;print([os.fsencode(word) for word in sys.argv[1:]])"
    launch = host.launch(sys.executable, "-c", show, *AWKWARD, setup=setup)
    result = host.run(launch)
    assert result["exit_code"] == 0
    assert ast.literal_eval(host.text(launch)) == [word.encode("utf-8", "surrogateescape") for word in AWKWARD]
    assert not (host.folder(launch) / "x").exists()


def test_the_set_up_text_prepares_the_scripts_environment(host: Host) -> None:
    setup = "export SEEN='it works'\nsource ./more.sh\nfalse"
    files = {"more.sh": "export ARGUMENTS=$#\n"}
    launch = host.launch("/bin/sh", "-c", 'echo "$SEEN $ARGUMENTS"', "a", "b", setup=setup, files=files)
    assert host.run(launch)["exit_code"] == 0
    assert host.text(launch) == "it works 0\n"


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        ("exit 7", 7),
        ("set -e\nfalse", 1),
        ("exit 0", 125),
        ("cat <<END", 125),
        ("if true; then", 2),
        ("echo 'open", 2),
        ("kill -9 $$", None),
    ],
)
def test_set_up_text_that_fails_ends_the_launch_without_the_script(host: Host, setup: str, code: int) -> None:
    launch = host.counted(setup=setup)
    result = host.run(launch)
    assert result["exit_code"] == code
    assert result["signal"] == (9 if code is None else None)
    assert host.runs(launch) == 0


def test_set_up_text_that_ends_in_a_backslash_does_not_swallow_the_script(host: Host) -> None:
    launch = host.counted(setup="true \\")
    assert host.run(launch)["exit_code"] == 0
    assert host.runs(launch) == 1


@pytest.mark.parametrize(("argv", "code"), [(["/no/such"], 127), (["no-such-program"], 127), (["/etc"], 126)])
def test_a_script_that_cannot_be_started_says_so(host: Host, argv: list[str], code: int) -> None:
    launch = host.launch(*argv)
    assert host.run(launch)["exit_code"] == code
    assert f"cannot start {argv[0]}" in host.text(launch)


def test_the_callers_pipes_end_at_once_and_nothing_of_the_caller_is_kept(host: Host) -> None:
    launch = host.launch("sleep", "60")
    read, write = os.pipe()
    with host.popen("start", pass_fds=[write]) as process:
        os.close(write)
        process.communicate(host.document(launches=[launch]), timeout=30)
        assert os.read(read, 1) == b"", "the supervisor keeps a descriptor of the caller"
    os.close(read)
    assert host.status(launch)["state"] == "running", "what was read had waited for the script"
    host.ask("stop", uuids=[launch["uuid"]])


def test_many_launches_in_one_call_and_one_status(host: Host) -> None:
    launches = [host.counted() for _ in range(120)]
    outcomes = host.ask("start", launches=launches)["outcomes"]
    assert {outcome["outcome"] for outcome in outcomes.values()} == {"started"}
    for launch in launches:
        until(lambda launch=launch: host.glance(launch)["state"] == "finished")
    assert sorted(host.truth.read_text().split()) == sorted(outcomes)
    seen = host.ask("status", uuids=[*outcomes, *(str(uuid.uuid4()) for _ in range(400))])["launches"]
    assert [found["state"] for found in seen.values()] == ["finished"] * 120 + ["never_seen"] * 400


# ------------------------------------------------------------------------------------------ what is refused


BAD = [
    {"attempt": 0}, {"attempt": "1"}, {"attempt": True}, {"attempt": None}, {"argv": []}, {"argv": "ls"},
    {"argv": [""]}, {"argv": ["a\0b"]}, {"argv": [1]}, {"argv": ["\ud800"]}, {"env": {"A=B": "c"}},
    {"env": {"A": 1}}, {"env": []}, {"files": {"../x": ""}}, {"files": {"lock": ""}}, {"files": {"..": ""}},
    {"files": {"": ""}}, {"files": {"x": 1}}, {"files": {"job_ids": ""}}, {"wall_s": 0}, {"wall_s": "10"},
    {"wall_s": float("nan")}, {"setup": None},
    {"after": "0"}, {"after": True},
]  # fmt: skip


def test_a_bad_launch_is_refused_and_the_others_go_on(host: Host) -> None:
    bad = [{**host.launch("true"), **wrong} for wrong in BAD]
    good = host.counted()
    nameless = [{"attempt": 1, "argv": ["true"]}, {**host.launch("true"), "uuid": "../../x"}, "text"]
    nameless.append({**host.launch("true"), "uuid": str(uuid.uuid4()).upper().replace("1", "A")})
    outcomes = host.ask("start", launches=[*bad, *nameless, good])["outcomes"]
    assert outcomes.pop(good["uuid"])["outcome"] == "started"
    assert len(outcomes) == len(bad) + len(nameless)
    assert {outcome["outcome"] for outcome in outcomes.values()} == {"refused"}
    assert all(outcome["detail"] for outcome in outcomes.values())
    for launch in bad:
        assert host.status(launch)["state"] == "never_seen"
    host.settled(good)
    assert host.runs(good) == 1


@pytest.mark.parametrize(
    ("verb", "document"),
    [
        ("start", b""), ("start", b"{"), ("start", b"[]"), ("start", b'{"launches": []}'),
        ("start", b'{"home": "x"}'), ("start", b'{"home": "a\\u0000b", "launches": []}'), ("stop", b"\xff"),
        ("status", b'{"home": "x", "uuids": ["../.."]}'), ("status", b'{"home": "x"}'), ("dance", b"{}"),
        ("output", b'{"home": "x", "uuid": "y"}'),
    ],
)  # fmt: skip
def test_an_unusable_document_is_exit_2_and_a_sentence(host: Host, verb: str, document: bytes) -> None:
    with host.popen(verb) as process:
        out, err = process.communicate(document, timeout=30)
    assert (process.returncode, out) == (2, b"")
    assert err.count(b"\n") == 1
    assert b"Traceback" not in err


def test_a_uuid_given_twice_in_one_call_runs_once(host: Host) -> None:
    launch = host.counted()
    outcomes = host.ask("start", launches=[launch, {**launch, "attempt": 2}])["outcomes"]
    assert outcomes[launch["uuid"]]["outcome"] == "started"
    host.settled(launch)
    assert host.runs(launch) == 1


def test_what_cannot_be_read_is_unknown_and_not_absent(host: Host) -> None:
    launch, other = host.launch("true"), host.launch("true")
    other["uuid"] = "00" + other["uuid"][2:]
    launch["uuid"] = "ff" + launch["uuid"][2:]
    host.home.mkdir()
    (host.home / "ff").write_text("a file where a folder should be")
    seen = host.ask("status", uuids=[launch["uuid"], other["uuid"]])["launches"]
    assert seen[launch["uuid"]]["state"] == "unknown"
    assert seen[other["uuid"]]["state"] == "never_seen"
    assert host.start(launch) == "refused"


# -------------------------------------------------------------------------------------------------- fencing


def test_a_finished_launch_never_runs_again(host: Host) -> None:
    launch = host.counted()
    host.run(launch)
    for attempt in (1, 2, 99):
        assert host.start(launch, attempt=attempt) == "finished"
    assert host.runs(launch) == 1


def test_an_older_or_equal_attempt_is_stale(host: Host) -> None:
    launch = host.counted(attempt=5, after="exec sleep 60")
    host.start(launch)
    until(lambda: host.runs(launch))
    assert host.start(launch, attempt=6) == "running"
    host.kill_everything(launch)
    seen = host.settled(launch)
    assert (seen["state"], seen["attempt"], seen["result"]) == ("vanished", 5, None)
    for attempt in (1, 4, 5):
        assert host.start(launch, attempt=attempt) == "stale"
    launch = {
        **launch,
        "argv": [*launch["argv"][:2], 'echo "$POMS_SUBMISSION_ID" >> "$1"', *launch["argv"][3:]],
    }
    assert host.start(launch, attempt=6) == "started"
    assert host.settled(launch)["result"]["attempt"] == 6
    assert host.runs(launch) == 2


def test_an_attempt_starts_only_after_the_one_that_its_caller_saw(host: Host) -> None:
    launch = host.counted(after="exec sleep 60")
    assert host.start(launch, after=1) == "stale"
    assert host.status(launch)["state"] == "never_seen"
    assert host.start(launch, after=0) == "started"
    until(lambda: host.runs(launch))
    assert host.start(launch, attempt=2, after=0) == "running"
    host.kill_everything(launch)
    host.settled(launch)
    assert host.start(launch, attempt=2, after=0) == "stale"
    assert host.start(launch, attempt=3, after=2) == "stale"
    assert host.runs(launch) == 1
    assert host.start(launch, attempt=3, after=1) == "started"
    until(lambda: host.runs(launch) == 2)
    host.ask("stop", uuids=[launch["uuid"]])


def test_an_attempt_that_submitted_is_not_followed_by_another(host: Host) -> None:
    launch = host.counted(after="echo 7.0@local > job_ids; exec sleep 60")
    host.start(launch)
    until(lambda: host.glance(launch)["job_ids"])
    host.kill_everything(launch)
    seen = host.settled(launch)
    assert (seen["state"], seen["job_ids"]) == ("vanished", ["7.0@local"])
    assert host.start(launch, attempt=2) == "refused"
    assert host.runs(launch) == 1


@pytest.mark.parametrize("name", ["attempt", "result.json"])
def test_a_damaged_record_never_leads_to_a_run(host: Host, name: str) -> None:
    launch = host.counted()
    folder = host.folder(launch)
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / name).write_bytes(b"\0\0\0")
    assert host.start(launch, attempt=9) == ("refused" if name == "attempt" else "finished")
    seen = host.status(launch)
    assert seen["state"] == ("vanished" if name == "attempt" else "finished")
    assert host.runs(launch) == 0


def test_a_half_written_job_id_counts_only_when_nobody_writes(host: Host) -> None:
    launch = host.launch("/bin/sh", "-c", "printf '1.0@x\\n\\n1.0@x\\n 2.0@x\\n3.0' > job_ids; exec sleep 60")
    host.start(launch)
    until(lambda: host.glance(launch)["job_ids"])
    assert host.status(launch)["job_ids"] == ["1.0@x", "2.0@x"]
    host.ask("stop", uuids=[launch["uuid"]])
    assert host.status(launch)["result"]["job_ids"] == ["1.0@x", "2.0@x", "3.0"]


@pytest.mark.parametrize(("name", "outcome"), [("result.json", "finished"), ("attempt", "stale")])
def test_what_another_start_did_before_the_lock_came_free_counts(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str, outcome: str
) -> None:
    launch = shim.Launch(host.counted(), os.fsencode(host.home))
    real = shim.take_lock

    def another_came_first(path: bytes) -> int:
        Path(os.fsdecode(launch.folder), name).write_text('{"attempt": 1}')
        return real(path)

    Path(os.fsdecode(launch.folder)).mkdir(parents=True)
    monkeypatch.setattr(shim, "take_lock", another_came_first)
    with pytest.raises(shim.Settled) as settled:
        shim.claim(launch)
    launch.release()
    assert settled.value.outcome == outcome


def test_two_starts_at_once_run_the_script_once(host: Host) -> None:
    for turn in range(20):
        launch = host.counted(after="sleep 0.05" if turn % 2 else "")
        starts = [host.popen("start") for _ in range(2)]
        documents = [host.document(launches=[{**launch, "attempt": 1 + (turn + i) % 3 // 2}]) for i in range(2)]
        gate = threading.Barrier(2)
        answers: list[str] = []

        def send(process: Any, document: bytes, gate: Any = gate, answers: list = answers) -> None:
            gate.wait()
            out, _ = process.communicate(document, timeout=30)
            answers.extend(found["outcome"] for found in json.loads(out)["outcomes"].values())

        threads = [threading.Thread(target=send, args=pair) for pair in zip(starts, documents, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        host.settled(launch)
        assert host.runs(launch) == 1
        assert answers.count("started") == 1, answers
        assert set(answers) <= {"started", "running", "finished", "stale"}


def test_somebody_who_only_looks_does_not_hinder_a_start(host: Host) -> None:
    launch = host.counted()
    host.folder(launch).mkdir(parents=True)
    with (host.folder(launch) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        threading.Timer(0.12, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        assert host.start(launch) == "started"
        fcntl.flock(lock, fcntl.LOCK_UN)
    host.settled(launch)


def test_two_lookers_do_not_see_each_other(host: Host) -> None:
    launch = host.launch("true")
    host.folder(launch).mkdir(parents=True)
    with (host.folder(launch) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert host.status(launch)["state"] == "never_seen"
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert host.status(launch)["state"] == "running"
        assert host.start(launch) == "running"


# ------------------------------------------------------------------------------------------------- crashes


CRASHES = {
    # point: (exit code of start, state afterwards, runs so far)
    "shim.before_lock": (-9, "never_seen", 0),
    "shim.after_lock": (-9, "never_seen", 0),
    "shim.after_attempt": (0, "vanished", 0),
    "shim.after_fork": (0, "vanished", 0),
    "shim.after_script": (0, "vanished", 1),
    "shim.before_result_rename": (0, "vanished", 1),
    "shim.after_result": (0, "finished", 1),
    "shim.before_answer": (-9, "finished", 1),
}


def recover(host: Host, launch: dict[str, Any]) -> None:
    """Do what the launch protocol does after a crash, with the truth as the batch system that is asked."""
    seen = host.settled(launch)
    runs = host.runs(launch)
    assert runs <= 1
    if seen["state"] == "never_seen":
        assert runs == 0
        assert host.start(launch) == "started"
    elif seen["state"] == "vanished":
        assert host.start(launch) == "stale"
        if runs == 0:
            assert host.start(launch, attempt=2) == "started"
    else:
        assert seen["state"] == "finished"
        assert host.start(launch, attempt=2) == "finished"
        # A script killed in its first moment is known to have been killed: that is no loss.
        assert host.runs(launch) == runs == (0 if seen["result"]["signal"] else 1)
        return
    assert host.settled(launch)["state"] == ("finished" if runs == 0 else "vanished")
    assert host.runs(launch) == 1


@pytest.mark.parametrize("point", CRASHES)
def test_a_crash_at_a_named_point_neither_loses_nor_doubles_a_launch(host: Host, point: str) -> None:
    launch = host.counted()
    code, state, runs = CRASHES[point]
    with host.popen("start", env={"POMS_CRASHPOINT": point}) as process:
        process.communicate(host.document(launches=[launch]), timeout=30)
    assert process.returncode == code
    assert host.settled(launch)["state"] == state
    assert host.runs(launch) == runs
    recover(host, launch)


def test_a_crash_in_a_list_leaves_each_launch_recoverable(host: Host) -> None:
    for point in ("shim.after_lock:0.1", "shim.after_attempt:0.1", "shim.after_fork:0.5"):
        launches = [host.counted() for _ in range(8)]
        with host.popen("start", env={"POMS_CRASHPOINT": point, "POMS_CRASH_SEED": "1"}) as process:
            process.communicate(host.document(launches=launches), timeout=30)
        for launch in launches:
            recover(host, launch)


def test_a_crash_point_has_a_probability(host: Host) -> None:
    for probability, code in (("0.0", 0), ("1.0", -9)):
        with host.popen("start", env={"POMS_CRASHPOINT": f"shim.before_answer:{probability}"}) as process:
            process.communicate(host.document(launches=[]), timeout=30)
        assert process.returncode == code


# Kills the shim's main process (depth 0), its supervisor (1) or the script before exec (2) at its Nth line.
KILLER = """
import marshal, os, signal, sys
path, verb, depth, line = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
mark, shim = sys.argv[5:]
now = {"depth": 0, "lines": 0}
fork = os.fork
def counted_fork():
    pid = fork()
    if pid == 0:
        now["depth"] += 1
        now["lines"] = 0
    return pid
os.fork = counted_fork
def trace(frame, event, argument):
    if frame.f_code.co_filename != path:
        return None
    if event == "line" and now["depth"] == depth:
        now["lines"] += 1
        if now["lines"] == line:
            os.mkdir(mark)
            os.kill(os.getpid(), signal.SIGKILL)
    return trace
code = marshal.load(open(path, "rb"))
names = {"__name__": "shim", "__file__": shim}
exec(code, names)
sys.settrace(trace)
code = names["main"](["shim", verb])
sys.settrace(None)
sys.exit(code)
"""


def kill_at_lines(host: Host, depth: int, lines: Iterator[int]) -> int:
    """Kill at the given lines until one is beyond the end of the process; return how many hit."""
    compiled = host.home.with_name("shim.marshal")
    compiled.write_bytes(marshal.dumps(compile(SHIM.read_text(), str(compiled), "exec")))
    for hits, line in enumerate(lines):
        launch = host.counted()
        mark = host.truth.with_name(launch["uuid"])
        told = ["start", str(depth), str(line), str(mark), str(SHIM)]
        subprocess.run(
            [sys.executable, "-S", "-E", "-s", "-B", "-c", KILLER, str(compiled), *told],
            input=host.document(launches=[launch]),
            env=host.env,
            capture_output=True,
            timeout=60,
            check=False,
        )
        until(lambda: not host.left())
        recover(host, launch)
        if not mark.exists():
            return hits
    return -1


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_kill_at_any_line_neither_loses_nor_doubles_a_launch(host: Host, depth: int) -> None:
    step = (23, 23, 13)[depth]
    hits = kill_at_lines(host, depth, itertools.count(1 + os.getpid() % step, step))
    assert hits >= 5, "hardly a line was hit"


@pytest.mark.faults
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_kill_at_every_line_neither_loses_nor_doubles_a_launch(host: Host, depth: int) -> None:
    hits = kill_at_lines(host, depth, itertools.count(1))
    assert hits >= (200, 150, 60)[depth]


def test_a_caller_who_is_gone_before_the_answer_finds_the_launch_by_status(host: Host) -> None:
    launch = host.counted()
    read, write = os.pipe()
    os.close(read)
    with host.popen("start", stdout=write) as process:
        os.close(write)
        process.communicate(host.document(launches=[launch]), timeout=30)
    assert process.returncode == 0
    assert host.settled(launch)["state"] == "finished"
    assert host.start(launch) == "finished"
    assert host.runs(launch) == 1


def test_the_fence_is_on_disk_before_anything_is_started(host: Host, tmp_path: Path) -> None:
    watched = tmp_path / "calls"
    spy = (
        "import os,sys\n"
        "log=os.open(sys.argv[1],os.O_WRONLY|os.O_CREAT|os.O_APPEND)\n"
        "def spy(name, show):\n"
        "    real=getattr(os,name)\n"
        "    def call(*a):\n"
        "        os.write(log,(name+' '+show(*a)+chr(10)).encode())\n"
        "        return real(*a)\n"
        "    setattr(os,name,call)\n"
        "spy('fsync',lambda fd: os.path.basename(os.readlink('/proc/self/fd/%d'%fd)))\n"
        "spy('rename',lambda a,b: os.path.basename(os.fsdecode(b)))\n"
        "spy('fork',lambda: '')\n"
        "names={'__name__':'shim','__file__':sys.argv[2]}\n"
        "exec(compile(open(sys.argv[2]).read(),sys.argv[2],'exec'),names)\n"
        "names['close_inherited']=lambda: None\n"
        "names['main'](['shim','start'])\n"
    )
    launch = host.counted()
    for nosync in ("0", "1"):
        watched.write_text("")
        subprocess.run(
            [*LIGHT, "-c", spy, str(watched), str(SHIM)], check=True, capture_output=True, timeout=30,
            input=host.document(launches=[launch]), env={**host.env, "POMS_SHIM_NOSYNC": nosync},
        )  # fmt: skip
        host.settled(launch)
        until(lambda: "result.json" in watched.read_text())
        calls = watched.read_text().splitlines()
        start = calls[: calls.index("fork ") + 1]
        if nosync == "1":
            assert not [call for call in calls if call.startswith("fsync")]
        else:
            # The first call makes the home, whose own name must be durable, too.
            assert start[0] == f"fsync {tmp_path.name}"
            place, shelf, home = f"fsync {launch['uuid']}", f"fsync {launch['uuid'][:2]}", f"fsync {host.home.name}"
            fence = ["fsync attempt.tmp", "rename attempt", place, shelf, home]
            assert calls[calls.index("fsync attempt.tmp") - 1 :][:7] == ["fork ", *fence, "fork "]
            after = calls[calls.index("fsync result.json.tmp") :]
            assert after == ["fsync result.json.tmp", "rename result.json", place]
        launch = host.counted()


# ------------------------------------------------------------------------------------------ who may be killed


def test_a_script_that_is_killed_has_a_result(host: Host) -> None:
    launch = host.counted(after="exec sleep 60")
    host.start(launch)
    until(lambda: host.runs(launch))
    kill(host.process(launch)["pid"])
    result = host.settled(launch)["result"]
    assert (result["exit_code"], result["signal"], result["timed_out"]) == (None, 9, False)
    assert host.start(launch, attempt=2) == "finished"


def test_a_script_whose_supervisor_is_killed_goes_on_with_its_output(host: Host) -> None:
    # 400 KB more than a pipe holds; a write that fails would end the script before it has counted.
    after = "sleep 2; seq 1 60000; echo end; echo 5.0@local > job_ids; echo again $POMS_SUBMISSION_ID >> $1"
    launch = host.counted(after=after)
    host.start(launch)
    until(lambda: host.runs(launch))
    kill(host.process(launch)["supervisor"])
    assert host.status(launch)["state"] == "running"
    assert host.start(launch) == "running"
    assert host.start(launch, attempt=2) == "running"
    seen = host.settled(launch)
    assert (seen["state"], seen["result"], seen["job_ids"]) == ("vanished", None, ["5.0@local"])
    assert host.runs(launch) == 2, "the script did not come to its end"
    expected = numbers(60000) + "end\n"
    assert until(lambda: host.text(launch) == expected), "output is missing"
    assert host.start(launch) == "stale"


def test_a_killed_supervisor_does_not_end_a_script_of_little_output(host: Host) -> None:
    launch = host.counted(after="sleep 0.4; echo one; echo two >&2; echo $POMS_SUBMISSION_ID >> $1")
    host.start(launch)
    until(lambda: host.runs(launch))
    kill(host.process(launch)["supervisor"])
    until(lambda: host.glance(launch)["state"] == "vanished")
    assert host.runs(launch) == 2


def test_the_wall_limit_holds_though_the_supervisor_was_killed(host: Host) -> None:
    launch = host.counted(after="exec sleep 60", wall_s=1)
    host.start(launch)
    record = host.process(launch)
    kill(record["supervisor"])
    assert host.status(launch)["state"] == "running"
    assert host.status(launch)["state"] == "running"
    assert host.settled(launch, 8)["state"] == "vanished"


def test_killed_replacement_supervisors_are_replaced(host: Host) -> None:
    launch = host.launch("/bin/sh", "-c", "seq 1 500000; exec sleep 60")
    host.start(launch)
    kill(host.process(launch)["supervisor"])

    def supervisors() -> list[int]:
        return processes_with(host.mark.encode(), without=launch["uuid"].encode())

    for _ in range(3):
        host.status(launch)
        for pid in until(supervisors):
            kill(pid)
        until(lambda: not supervisors())
    host.status(launch)
    until(lambda: host.text(launch, "tail").endswith("\n500000\n"))
    assert host.ask("stop", uuids=[launch["uuid"]])["outcomes"] == {launch["uuid"]: "stopped"}
    assert host.settled(launch)["state"] == "vanished"


def test_only_one_replacement_supervisor_is_started(host: Host) -> None:
    launch = host.launch("sleep", "60")
    host.start(launch)
    record = host.process(launch)
    kill(record["supervisor"])
    for _ in range(4):
        host.status(launch)
    until(lambda: len(host.left()) == 2)
    time.sleep(0.3)
    assert len(host.left()) == 2, "more than the script and one supervisor"
    host.ask("stop", uuids=[launch["uuid"]])


@pytest.mark.parametrize("closing", ['for fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done', "exec 3>log 9>log"])
def test_a_script_that_uses_low_descriptors_keeps_the_lock(host: Host, closing: str) -> None:
    launch = host.counted(after="exec sleep 60", setup=closing)
    host.start(launch)
    until(lambda: host.runs(launch))
    kill(host.process(launch)["supervisor"])
    until(lambda: len(host.left()) == 1)
    assert host.glance(launch)["state"] == "running"
    os.killpg(host.process(launch)["pid"], signal.SIGKILL)
    assert host.settled(launch)["state"] == "vanished"


def test_a_child_that_let_go_of_the_lock_still_blocks_a_new_attempt(host: Host) -> None:
    # Python's subprocess closes inherited descriptors: such a command may outlive all who hold the lock.
    script = "import subprocess,sys;subprocess.run(sys.argv[1:])"
    child = ["sh", "-c", 'echo ready >> "$1"; exec sleep 60', "sh", str(host.truth)]
    launch = host.launch(sys.executable, "-c", script, *child)
    host.start(launch)
    until(host.truth.exists)
    record = host.process(launch)
    kill(record["supervisor"])
    kill(record["pid"])
    assert until(lambda: host.glance(launch)["state"] == "vanished"), "the child was meant to hold no lock"
    assert host.status(launch)["state"] == "running"
    assert host.start(launch, attempt=2) == "running"
    assert host.ask("stop", uuids=[launch["uuid"]])["outcomes"] == {launch["uuid"]: "stopped"}
    assert host.settled(launch)["state"] == "vanished"
    assert host.start(launch, attempt=2) == "started"
    host.ask("stop", uuids=[launch["uuid"]])


def test_a_supervisor_does_not_fall_to_the_signals_of_a_shutdown(host: Host) -> None:
    launch = host.launch("sleep", "60")
    host.start(launch)
    record = host.process(launch)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(record["supervisor"], number)
    os.kill(record["pid"], signal.SIGTERM)
    assert host.settled(launch)["result"]["signal"] == signal.SIGTERM


# ---------------------------------------------------------------------------------- limits, stop, left behind


def test_the_wall_limit_ends_the_whole_process_group(host: Host) -> None:
    launch = host.launch("/bin/bash", "-c", "sleep 61 & sleep 62 | sleep 63", wall_s=0.5)
    result = host.run(launch)
    assert (result["exit_code"], result["signal"], result["timed_out"]) == (None, 15, True)
    assert result["ended"] - result["started"] < 4


def test_a_script_that_ignores_the_limit_is_killed_5_seconds_later(host: Host) -> None:
    launch = host.launch("/bin/bash", "-c", "trap '' TERM; sleep 61; sleep 62", wall_s=0.5)
    result = host.run(launch)
    assert (result["exit_code"], result["signal"], result["timed_out"]) == (None, 9, True)
    assert 5 < result["ended"] - result["started"] < 9


def test_what_a_script_leaves_running_belongs_to_the_launch(host: Host) -> None:
    launch = host.counted(after="(sleep 1; echo $POMS_SUBMISSION_ID >> $1; echo late; echo 8.0@x > job_ids) & exit 4")
    host.start(launch)
    until(lambda: host.runs(launch))
    time.sleep(0.2)
    assert host.status(launch)["state"] == "running"
    result = host.settled(launch)["result"]
    assert host.runs(launch) == 2
    assert (result["exit_code"], result["job_ids"], result["output_bytes"]) == (4, ["8.0@x"], 5)


def test_what_a_script_leaves_running_ends_at_the_wall_limit(host: Host) -> None:
    launch = host.counted(after="sleep 60 & exit 0", wall_s=1)
    result = host.run(launch)
    assert (result["exit_code"], result["timed_out"]) == (0, False)
    assert "left running" in result["notes"][0]


def test_a_daemon_with_a_session_of_its_own_delays_nothing_and_is_not_blocked(host: Host) -> None:
    daemon = "while :; do seq 1 2000; sleep 0.01; echo x >> daemon.log; done"
    launch = host.counted(after=f"setsid sh -c '{daemon}' & sleep 0.2")
    host.start(launch)
    folder = host.folder(launch)
    until((folder / "result.json").exists)
    assert host.status(launch)["state"] == "finished"
    assert host.start(launch, attempt=2) == "finished"
    grown = len((folder / "daemon.log").read_text())
    until(lambda: len((folder / "daemon.log").read_text()) > grown + 20)
    assert host.stored(launch) < 6 * MIB
    for pid in processes_with(launch["uuid"].encode()):
        with contextlib.suppress(ProcessLookupError):
            kill(pid)


def test_stop_ends_script_and_children(host: Host) -> None:
    plain = host.counted(after="sleep 61 & sleep 62")
    deaf = host.launch("/bin/bash", "-c", "trap '' TERM; echo deaf; sleep 61; sleep 62")
    never, done = host.launch("true"), host.counted()
    host.run(done)
    host.ask("start", launches=[plain, deaf])
    until(lambda: host.runs(plain) and host.glance(deaf)["attempt"] and host.text(deaf))
    uuids = [launch["uuid"] for launch in (plain, deaf, never, done)]
    outcomes = host.ask("stop", uuids=uuids)["outcomes"]
    assert list(outcomes.values()) == ["stopped", "stopped", "not_running", "not_running"]
    assert host.status(plain)["result"]["signal"] == signal.SIGTERM
    assert host.status(deaf)["result"]["signal"] == signal.SIGKILL
    assert host.runs(done) == 1


def test_stop_reaches_what_left_the_process_group_but_not_the_session(host: Host) -> None:
    launch = host.counted(after="exec bash -mc 'sleep 61 & wait'")
    host.start(launch)
    until(lambda: host.runs(launch))
    until(lambda: len(processes_with(launch["uuid"].encode())) >= 2)
    assert host.ask("stop", uuids=[launch["uuid"]])["outcomes"] == {launch["uuid"]: "stopped"}
    until(lambda: not processes_with(launch["uuid"].encode()))


def test_stop_right_after_start_finds_the_script(host: Host) -> None:
    for _ in range(5):
        launch = host.launch("sleep", "60")
        host.start(launch)
        assert host.ask("stop", uuids=[launch["uuid"]])["outcomes"] == {launch["uuid"]: "stopped"}
        assert host.status(launch)["state"] == "finished"


# ---------------------------------------------------------------------------------------------------- output


def test_fifty_megabytes_of_output_keep_the_first_and_the_last(host: Host) -> None:
    launch = host.launch("seq", "1", "6500000")
    result = host.run(launch, 60)
    whole = numbers(6500000)
    assert result["exit_code"] == 0
    assert result["output_bytes"] == len(whole) > 50 * 1000 * 1000
    assert host.stored(launch) < 6 * MIB
    assert host.text(launch, "head") == whole[:MIB]
    assert host.text(launch, "tail") == whole[-4 * MIB :]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB, 5 * MIB + 7, 9 * MIB + 3])
def test_the_tail_is_the_end_of_the_output_whatever_its_size(host: Host, size: int) -> None:
    launch = host.launch("/bin/sh", "-c", f"seq 1 2000000 | head -c {size}")
    assert host.run(launch)["output_bytes"] == size
    whole = numbers(2000000)[:size]
    assert host.text(launch, "head") == whole[:MIB]
    assert host.text(launch, "tail") == whole[-4 * MIB :]
    assert host.output(launch, "tail", offset=10**9)["text"] == ""


def test_lost_output_does_not_make_a_reader_page_for_ever(host: Host) -> None:
    launch = host.launch("seq", "1", "1000000")
    host.run(launch)
    os.truncate(host.folder(launch) / "output.tail", 1000)
    assert len(host.text(launch, "tail")) < 4 * MIB


def test_endless_output_is_bounded_and_ends_at_the_wall_limit(host: Host) -> None:
    launch = host.launch("yes", "0123456789", wall_s=2)
    host.start(launch)
    supervisor = host.process(launch)["supervisor"]
    until(lambda: host.output(launch, "tail")["total"] > 20 * MIB)
    page = host.output(launch, "tail", offset=1000)
    assert len(page["text"]) == 65536
    assert set(page["text"].split("\n")[1:-1]) == {"0123456789"}
    peak = Path(f"/proc/{supervisor}/status").read_text().split("VmHWM:")[1].split()[0]
    assert int(peak) < 200 * 1024
    result = host.settled(launch)["result"]
    assert result["timed_out"]
    assert result["ended"] - result["started"] < 7
    assert result["output_bytes"] > 20 * MIB
    assert host.stored(launch) < 6 * MIB


def test_output_that_is_no_text_is_shown_with_replacements(host: Host) -> None:
    launch = host.launch("/bin/sh", "-c", r"printf 'a\377\376b\000c\033[31m== completed: 1 ==\n\303'")
    host.run(launch)
    assert host.output(launch)["text"] == "a��b\0c\x1b[31m== completed: 1 ==\n�"


def test_pages_do_not_cut_characters(host: Host) -> None:
    launch = host.launch("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do printf 'aä€𝄞'; done")
    host.run(launch)
    for length in (4, 5, 7, 11):
        pages, offset = [], 0
        while True:
            page = host.output(launch, "tail", offset=offset, length=length) if length == 7 else None
            page = page or shim.output(json.loads(host.document(uuid=launch["uuid"], offset=offset, length=length)))
            pages.append(page["text"])
            offset = page["next"]
            if offset >= page["part_size"]:
                break
        assert "".join(pages) == "aä€𝄞" * 9


def test_a_full_disk_stops_the_storing_and_not_the_script(host: Host) -> None:
    launch = host.counted(after="head -c 3000000 /dev/zero | cat; echo $POMS_SUBMISSION_ID >> $1")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with host.popen("start", preexec_fn=small_files) as process:
        process.communicate(host.document(launches=[launch]), timeout=30)
    result = host.settled(launch)["result"]
    assert host.runs(launch) == 2
    assert (result["exit_code"], result["output_bytes"]) == (0, 3_000_000)
    assert "not stored" in result["notes"][0]


def test_a_result_that_cannot_be_written_is_tried_again_under_the_lock(host: Host) -> None:
    launch = host.counted(after="mkdir result.json.tmp; sleep 0.2")
    host.start(launch)
    until((host.folder(launch) / "result.json.tmp").is_dir)
    time.sleep(0.6)
    assert host.status(launch)["state"] == "running"
    assert host.start(launch, attempt=2) == "running"
    (host.folder(launch) / "result.json.tmp").rmdir()
    result = host.settled(launch)["result"]
    assert result["exit_code"] == 0
    assert "late" in result["notes"][0]
