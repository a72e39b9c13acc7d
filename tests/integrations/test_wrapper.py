"""The submit wrapper with real processes: what the command gets and gives, byte for byte, and which ids are noted."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from integrations.launcher import shim, wrapper

PYTHON = os.environ.get("POMS_SHIM_PYTHON", sys.executable)
PATIENCE_S = 60.0
# What a real command is told to do, in the environment: a test needs its arguments for something else.
COMMAND = """#!{python} -SE
import os, sys, time
told = os.environ.get("TOLD", "")
with open(os.path.join({place!r}, "seen"), "wb") as file:
    file.write(repr([os.fsencode(word) for word in sys.argv[1:]]).encode())
exec(told)
"""
AWKWARD = [
    b"", b"two words", b"'", b'"', b"a\nb", b"\n", b"tab\t", b"$(touch x)", b"`touch x`", b"-n", b"--", b"*", b"\\",
    "ÿ€𝄞".encode(), b"$HOME", b";touch x", b"!", b"~", b"a=b", b"\xff\x80", b" lead", b"trail ", b"%s", b"\x01\x1b[31m",
]  # fmt: skip


class Desk:
    """A PATH with the wrapper, made as the shim makes it, before commands that do what a test tells them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.real = place / "real commands"
        self.real.mkdir()
        self.ids = place / "job ids"
        python = os.path.realpath(PYTHON)
        folder = os.fsencode(place / "submit")
        os.mkdir(folder)
        Path(os.fsdecode(folder), "wrapper.py").write_bytes(
            shim.first_lines(os.fsencode(python)) + shim_wrapper().read_bytes()
        )
        Path(os.fsdecode(folder), "wrapper.py").chmod(0o755)
        for name in shim.SUBMIT_COMMANDS:
            Path(os.fsdecode(folder), name).symlink_to("wrapper.py")
            (self.real / name).write_text(COMMAND.format(python=os.path.realpath(sys.executable), place=str(place)))
            (self.real / name).chmod(0o755)
        self.submit = place / "submit"
        self.env = {
            **os.environ, "PATH": f"{self.submit}:{self.real}:/usr/bin:/bin", "POMS_SUBMISSION_ID": "u",
            "POMS_JOB_IDS_FILE": str(self.ids), "POMS_SCHEDD": "p", "POMS_CLUSTER": "k",
        }  # fmt: skip

    def popen(self, name: str, *words: Any, told: str = "", env: Mapping[str, str] | None = None, **more: Any) -> Any:
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen([self.submit / name, *words], env={**self.env, "TOLD": told, **(env or {})}, **more)

    def run(self, name: str, *words: Any, stdin: bytes = b"", **more: Any) -> tuple[int, bytes, bytes]:
        """Run a command to its end; return exit code, output and errors."""
        with self.popen(name, *words, stdin=subprocess.PIPE, **more) as process:
            out, err = process.communicate(stdin, timeout=PATIENCE_S)
        return process.returncode, out, err

    def seen(self) -> list[bytes]:
        """Return the words that the real command got last."""
        return ast.literal_eval((self.place / "seen").read_text())

    def added(self, name: str, words: Sequence[Sequence[str]], *said: str, **more: Any) -> list[str]:
        """Return what is added of these words, where the script says the others."""
        code, _, err = self.run(name, *said, env={"POMS_SUBMIT_WORDS": json.dumps({name: words})}, **more)
        assert (code, err) == (0, b"")
        got = [word.decode() for word in self.seen()]
        assert got[len(got) - len(said) :] == list(said), "the script's words come last, as they are"
        return got[: len(got) - len(said)]

    def noted(self) -> list[str]:
        return self.ids.read_text().splitlines() if self.ids.exists() else []


def shim_wrapper() -> Path:
    return Path(shim.SUBMIT_WRAPPER)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def until(seen: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := seen()):
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.01)
    return found


def prints(*lines: str) -> str:
    return f"print({chr(10).join(lines)!r})"


# -------------------------------------------------------------------------------------------- nothing is changed


def test_the_wrapper_is_one_file_for_python_3_6_with_the_standard_library() -> None:
    tree = ast.parse(shim_wrapper().read_text(), feature_version=(3, 6))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        assert not isinstance(node, ast.ImportFrom)
    assert imported <= set(sys.stdlib_module_names)
    assert wrapper.NAMES == shim.SUBMIT_COMMANDS


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("name", wrapper.NAMES)
def test_words_input_output_and_code_pass_byte_for_byte(desk: Desk, name: str, inside: bool) -> None:
    everything = bytes(range(256)) * 3000
    told = (
        "data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data); sys.stdout.flush()\n"
        "sys.stderr.buffer.write(data[::-1]); sys.stderr.flush(); os._exit(77)"
    )
    env = {} if inside else {"POMS_SUBMISSION_ID": "u", "POMS_SUBMITTING": "condor_submit_dag"}
    code, out, err = desk.run(name, *AWKWARD, stdin=everything, told=told, env=env)
    assert desk.seen() == AWKWARD
    assert (code, out == everything, err == everything[::-1]) == (77, True, True)
    assert not (desk.place / "x").exists()


def test_the_environment_is_passed_as_it_is(desk: Desk) -> None:
    told = "sys.stdout.buffer.write(open('/proc/self/environ', 'rb').read())"
    odd = {"BASH_FUNC_f%%": "() { :; }", "a.b": "1", "LC_ALL": "C", "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}
    env = {os.fsencode(name): os.fsencode(text) for name, text in {**desk.env, **odd, "TOLD": told}.items()}
    env[b"BYTES"] = b"\xff\x80"
    done = subprocess.run([desk.submit / "sbatch"], env=env, capture_output=True, timeout=PATIENCE_S)
    got = dict(entry.split(b"=", 1) for entry in done.stdout.split(b"\0") if entry)
    assert got.pop(b"POMS_SUBMITTING") == b"sbatch"
    assert got == env


def test_outside_a_launch_it_becomes_the_command(desk: Desk) -> None:
    del desk.env["POMS_SUBMISSION_ID"]
    env = {"POMS_SUBMIT_WORDS": json.dumps({"jobsub_submit": [["-l"], ["+A=1"]]})}
    with desk.popen(
        "jobsub_submit", "-x", told="print(os.getpid(), 'Use job id 1.0@s to retrieve output')", env=env
    ) as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert int(out.split()[0]) == process.pid
    assert (desk.seen(), desk.noted()) == ([b"-x"], [])


def test_what_is_printed_comes_while_the_command_runs(desk: Desk) -> None:
    told = "print('first', flush=True); sys.stdin.readline(); print('second')"
    with desk.popen("condor_submit", told=told, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"first\n"
        out, _ = process.communicate(b"\n", timeout=PATIENCE_S)
    assert out == b"second\n"


def test_a_reader_that_goes_away_does_not_end_the_submit(desk: Desk) -> None:
    told = "print('x' * 200_000); print('3 job(s) submitted to cluster 8.', flush=True); os._exit(6)"
    process = desk.popen("condor_submit", told=told)
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 6
    process.stderr.close()
    assert desk.noted() == ["8.0@p", "8.1@p", "8.2@p"]


def test_what_the_command_leaves_behind_keeps_the_output_open_and_not_the_caller(desk: Desk) -> None:
    told = "os.fork() or (sys.stdin.readline(), print('late', flush=True), os._exit(0)); print('early', flush=True); os._exit(3)"
    with desk.popen("condor_submit", told=told, stdin=subprocess.PIPE) as process:
        assert process.wait(PATIENCE_S) == 3
        assert process.stdout.readline() == b"early\n"
        out, _ = process.communicate(b"\n", timeout=PATIENCE_S)
    assert out == b"late\n"


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_stream_that_is_closed_does_no_harm(desk: Desk, closed: int) -> None:
    line = f'"$1" {closed}<&-'
    env = {**desk.env, "TOLD": "os.write(1, b'Submitted batch job 5\\n'); os._exit(4)"}
    done = subprocess.run(
        ["sh", "-c", line, "sh", desk.submit / "sbatch"], env=env, capture_output=True, timeout=PATIENCE_S
    )
    assert (done.returncode, desk.noted()) == (4, ["5@k"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_goes_to_the_command(desk: Desk, number: int) -> None:
    told = f"import signal; signal.signal({int(number)}, lambda *a: os._exit(42)); print('ready', flush=True)\nwhile True: time.sleep(.1)"
    # A signal that comes just before a sleep does not end it. Whoever runs the tests may have set it to be ignored, as nohup does.
    default = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL) and None, "start_new_session": True}
    with desk.popen("jobsub_submit", told=told, **default) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 42
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_it_dies_as_the_command_dies(desk: Desk, number: int) -> None:
    told = f"print('1 job(s) submitted to cluster 4.', flush=True); os.kill(os.getpid(), {int(number)})"
    code, out, _ = desk.run("condor_submit", told=told)
    assert (code, out, desk.noted()) == (-number, b"1 job(s) submitted to cluster 4.\n", ["4.0@p"])


def test_signals_are_to_the_command_as_they_were(desk: Desk) -> None:
    told = "print([l.split()[1] for l in open('/proc/self/status') if l[:6] in ('SigBlk', 'SigIgn')])"
    direct = subprocess.run(
        [desk.real / "sbatch"], env={**desk.env, "TOLD": told}, capture_output=True, timeout=PATIENCE_S, check=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None,
    )  # fmt: skip
    _, out, _ = desk.run("sbatch", told=told, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None)
    assert out == direct.stdout
    assert int(ast.literal_eval(out.decode())[1], 16) & 1, "nohup stays"


def test_what_is_inherited_reaches_the_command(desk: Desk) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    desk.run("sbatch", told=f"os.write({write}, b'lock')", close_fds=False)
    assert os.read(read, 10) == b"lock"
    for fd in (read, write):
        os.close(fd)


# --------------------------------------------------------------------------------------------- the real command


def test_a_command_that_is_not_there_is_said_as_by_a_shell(desk: Desk) -> None:
    (desk.real / "sbatch").unlink()
    desk.env["PATH"] = f"{desk.submit}:{desk.real}"
    code, out, err = desk.run("sbatch")
    assert (code, out) == (127, b"")
    assert b"sbatch is not on the PATH" in err


def test_wrappers_of_other_versions_are_passed_over(desk: Desk) -> None:
    other = desk.place / "another"
    other.mkdir()
    (other / "sbatch").write_bytes((desk.submit / "wrapper.py").read_bytes() + b"# newer\n")
    (other / "sbatch").chmod(0o755)
    desk.env["PATH"] = f"{desk.submit}:{other}:{desk.submit}:{desk.env['PATH']}"
    assert desk.run("sbatch", "x", told=prints("Submitted batch job 9"))[0] == 0
    assert (desk.seen(), desk.noted()) == ([b"x"], ["9@k"])


def test_a_folder_or_a_text_of_that_name_is_passed_over(desk: Desk) -> None:
    (desk.place / "first" / "sbatch").mkdir(parents=True)
    (desk.place / "second").mkdir()
    (desk.place / "second" / "sbatch").write_text("no program")
    desk.env["PATH"] = f"{desk.submit}:{desk.place}/first:{desk.place}/second:{desk.real}:/usr/bin:/bin"
    assert desk.run("sbatch")[0] == 0


def test_a_command_below_another_is_neither_tagged_nor_noted(desk: Desk) -> None:
    words = {name: [["-added"]] for name in wrapper.NAMES}
    told = (
        "import subprocess; del os.environ['TOLD']; print('1 job(s) submitted to cluster 3.', flush=True)\n"
        "subprocess.check_call(['condor_submit', 'below'], env={**os.environ, 'TOLD': 'print(\"1 job(s) submitted to cluster 4.\")'})"
    )
    code, out, _ = desk.run("condor_submit_dag", "x.dag", told=told, env={"POMS_SUBMIT_WORDS": json.dumps(words)})
    assert (code, desk.seen()) == (0, [b"below"])
    assert out.count(b"submitted") == 2
    assert desk.noted() == ["3.0@p", "4.0@p"], "what it prints counts, by whomever it was printed"


@pytest.mark.parametrize("python", ["/a b/python", "/" + "x" * 200, '/quo"te/$HOME/`id`'])
def test_an_interpreter_that_no_first_line_can_name_is_run_through_a_shell(tmp_path: Path, python: str) -> None:
    place = tmp_path / python[1:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.realpath(sys.executable))
    program = tmp_path / "program"
    program.write_bytes(shim.first_lines(os.fsencode(place)) + b"import sys; print(sys.argv[1:], sys.flags.no_site)\n")
    program.chmod(0o755)
    done = subprocess.run([program, "a b", "$HOME"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout == "['a b', '$HOME'] 1\n"


# -------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ([], True), (["--memory=1GB"], False), (["--memory", "1GB"], False), (["--mem", "1GB"], False),
        (["--mem=1GB", "file:///x"], False), (["file:///x", "--memory=1GB"], True), (["--", "file:///x"], True),
        (["-f", "file:///data", "--memory", "1GB", "file:///x"], False), (["--maxConcurrent", "5"], True),
        (["-e", "memory=1"], True), (["-N", "5", "-G", "nova", "--disk=3GB", "file:///x", "--mem"], True),
    ],
)  # fmt: skip
def test_a_pair_is_left_out_where_the_script_says_the_option(desk: Desk, said: list[str], added: bool) -> None:
    assert desk.added("jobsub_submit", [["--memory", "2000MB"]], *said) == (["--memory", "2000MB"] if added else [])


@pytest.mark.parametrize(
    ("pair", "said", "added"),
    [
        (["--blocklist", "A"], ["--blacklist", "B"], False),
        (["--site", "A"], ["--onsite"], False), (["--site", "A"], ["--offsite-only"], False),
        (["--site", "A"], ["--resource-provides=usage_model=OFFSITE"], False),
        (["--resource-provides", "usage_model=OFFSITE"], ["--site=A"], False),
        (["--resource-provides", "usage_model=OFFSITE"], ["--resource-provides=CVMFS=OSG"], True),
        (["--append_condor_requirements", "(X)"], ["-c", "(Y)"], False),
        (["--append_condor_requirements", "(X)"], ["--append-condor-requirements=(Y)"], False),
        (["-l", "+Attr=1"], ["--lines=+Attr=2"], False), (["-l", "+Attr=1"], ["-l", "+Other=2"], True),
        (["-l", "+Attr=1"], ["-l+attr = 2"], False), (["--lines", "+Attr=1"], ["-l", "+Attr = 2"], False),
    ],
)  # fmt: skip
def test_options_that_say_the_same_or_exclude_each_other_are_one(
    desk: Desk, pair: list[str], said: list[str], added: bool
) -> None:
    assert desk.added("jobsub_submit", [pair], *said, "file:///x") == (pair if added else [])


@pytest.mark.parametrize(
    ("pair", "said", "added"),
    [
        (["--mem", "1000"], [], True), (["--mem", "1000"], ["--mem=2G", "x.sh"], False),
        (["--mem", "1000"], ["--mem-per-cpu", "2G", "x.sh"], False), (["--mem", "1000"], ["x.sh", "--mem=2G"], True),
        (["--cpus-per-task", "2"], ["-c4", "x.sh"], False), (["--cpus-per-task", "2"], ["-c", "4", "x.sh"], False),
        (["--cpus-per-task", "2"], ["-Hc4", "x.sh"], False), (["--cpus-per-task", "2"], ["--cpus=4", "x.sh"], False),
        (["--time", "60"], ["-t", "5", "x.sh"], False), (["--time", "60"], ["--time-min=5", "x.sh"], True),
        (["--time", "60"], ["--requeue", "x.sh", "-t", "5"], True), (["--time", "60"], ["-J", "-t", "x.sh"], True),
        (["--gres", "gpu:1"], ["--gpus=2", "x.sh"], False), (["--gres", "gpu:1"], ["--gres=disk:2", "x.sh"], True),
        (["--exclude", "n1"], ["-x", "n2", "x.sh"], False),
    ],
)  # fmt: skip
def test_sbatch_takes_letters_and_words_cut_short(desk: Desk, pair: list[str], said: list[str], added: bool) -> None:
    assert desk.added("sbatch", [pair], *said) == (pair if added else [])


BATCH_SCRIPT = (
    "#!/bin/sh\n# a word\n#SBATCH --mem=4G  # much\n#SBATCH -t '10'\n\n#SBATCH -c 2\ntrue\n#SBATCH --exclude=n\n"
)
SAID_BY_IT = [["--mem", "1"], ["--time", "1"], ["--cpus-per-task", "1"], ["--exclude", "m"]]


@pytest.mark.parametrize("way", ["file", "pipe", "redirection"])
def test_what_a_batch_script_says_itself_is_not_overruled(desk: Desk, way: str) -> None:
    script = desk.place / "script.sh"
    script.write_text(BATCH_SCRIPT)
    told = "" if way == "file" else "open(os.environ['GOT'], 'wb').write(sys.stdin.buffer.read())"
    env = {"POMS_SUBMIT_WORDS": json.dumps({"sbatch": SAID_BY_IT}), "GOT": str(desk.place / "got")}
    words = [script] if way == "file" else []
    if way == "redirection":
        with script.open("rb") as file, desk.popen("sbatch", stdin=file, told=told, env=env) as process:
            process.communicate(timeout=PATIENCE_S)
    else:
        desk.run("sbatch", *words, stdin=b"" if way == "file" else BATCH_SCRIPT.encode(), told=told, env=env)
    assert desk.seen()[:2] == [b"--exclude", b"m"]
    assert len(desk.seen()) == 2 + len(words)
    if way != "file":
        assert (desk.place / "got").read_text() == BATCH_SCRIPT


@pytest.mark.parametrize(
    ("pair", "said", "added"),
    [
        (["-append", "+A=1"], ["-a", "+a = 2"], []), (["-append", "+A=1"], ["-app", "+B=2"], ["-append", "+A=1"]),
        (["request_memory", "10"], ["Request_Memory = 20"], []),
        (["request_memory", "10"], ["x.sub"], ["request_memory=10"]), (["-name", "s"], ["-n", "t"], []),
    ],
)  # fmt: skip
def test_condor_submit_takes_words_of_one_dash_and_commands(
    desk: Desk, pair: list[str], said: list[str], added: list[str]
) -> None:
    assert desk.added("condor_submit", [pair], *said) == added


def test_single_words_are_always_added_and_in_order(desk: Desk) -> None:
    words = [["-l"], ['+A="$(x) é"'], ["-e"], ["X"], ["--memory", "5MB"], ["\udcff"]]
    env = {"POMS_SUBMIT_WORDS": json.dumps({"jobsub_submit": words, "sbatch": [["-x"]]})}
    desk.run("jobsub_submit", "-l", '+A="mine"', "-e", "X", "file:///x", env=env)
    assert desk.seen()[:7] == [b"-l", '+A="$(x) é"'.encode(), b"-e", b"X", b"--memory", b"5MB", b"\xff"]
    assert desk.seen()[7:] == [b"-l", b'+A="mine"', b"-e", b"X", b"file:///x"]


@pytest.mark.parametrize("words", ["{", "[]", '{"sbatch": 3}', '{"sbatch": [["a", "b", "c"]]}', '{"sbatch": [[1]]}'])
def test_words_that_cannot_be_read_submit_nothing(desk: Desk, words: str) -> None:
    code, _, err = desk.run("sbatch", env={"POMS_SUBMIT_WORDS": words})
    assert (code, b"nothing was submitted" in err, (desk.place / "seen").exists()) == (125, True, False)


# ---------------------------------------------------------------------------------------------------------- ids

RULE = "=-" * 30
RETRIEVE = "Use job id {} to retrieve output"


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        (["Submitting job(s)...", "3 job(s) submitted to cluster 12.", "", RULE, "", RETRIEVE.format("12.0@jobsub01.fnal.gov"), RULE],
         ["12.0@jobsub01.fnal.gov", "12.1@jobsub01.fnal.gov", "12.2@jobsub01.fnal.gov"]),
        ([RETRIEVE.format("5.0@a.b")], ["5.0@a.b"]),
        (["2 job(s) submitted to cluster 5.", RETRIEVE.format("5@a.b")], ["5.0@a.b", "5.1@a.b"]),
        (["2 job(s) submitted to cluster 5."], []),
        ([RETRIEVE.format("5.0@a"), "1 job(s) submitted to cluster 6.", RETRIEVE.format("6.0@b")], ["5.0@a", "6.0@b"]),
        (["Error: condor_submit exited with failed status code 1"], []),
        (["Use job id to retrieve", "job id 5.0@a to retrieve"], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", [0, 1])
def test_ids_of_jobsub_are_noted_whatever_the_exit_code_is(
    desk: Desk, lines: list[str], ids: list[str], code: int
) -> None:
    assert desk.run("jobsub_submit", told=f"{prints(*lines)}; sys.exit({code})")[0] == code
    assert desk.noted() == ids


@pytest.mark.parametrize(
    ("words", "lines", "env", "ids"),
    [
        ([], ["Submitting job(s)..", "2 job(s) submitted to cluster 7."], {}, ["7.0@p", "7.1@p"]),
        (["-spool"], ["1 job(s) submitted to cluster 7.", "1 job(s) submitted to cluster 8."], {}, ["7.0@p", "8.0@p"]),
        (["-terse"], ["7.0 - 7.2"], {}, ["7.0@p", "7.1@p", "7.2@p"]),
        (["-name", "s@d"], ["1 job(s) submitted to cluster 7."], {}, ["7.0@s@d"]),
        (["-r", "s"], ["1 job(s) submitted to cluster 7."], {"POMS_SCHEDD": "t"}, ["7.0@s"]),
        (["-no_x", "-append", "n"], ["1 job(s) submitted to cluster 7."], {"POMS_SCHEDD": "t"}, ["7.0@t"]),
        ([], ["1 job(s) submitted to cluster 7."], {"_CONDOR_SCHEDD_HOST": "c", "POMS_SCHEDD": "t"}, ["7.0@c"]),
        ([], ["1 job(s) submitted to cluster 7."], {"POMS_SCHEDD": ""}, []),
        ([], ["ERROR: Failed to submit", "0 job(s) submitted to cluster 7."], {}, []),
    ],
)  # fmt: skip
def test_ids_of_condor_submit(
    desk: Desk, words: list[str], lines: list[str], env: dict[str, str], ids: list[str]
) -> None:
    desk.run("condor_submit", *words, told=prints(*lines), env=env)
    assert desk.noted() == ids


def test_the_id_of_a_dag(desk: Desk) -> None:
    desk.run(
        "condor_submit_dag", "-no_x", "x.dag", told=prints("-" * 71, "1 job(s) submitted to cluster 41.", "-" * 71)
    )
    assert desk.noted() == ["41.0@p"]


@pytest.mark.parametrize(
    ("words", "line", "ids"),
    [
        (["x.sh"], "Submitted batch job 5", ["5@k"]), (["x.sh"], "Submitted batch job 5 on cluster far", ["5@far"]),
        (["--parsable", "x.sh"], "5", ["5@k"]), (["--parsable", "x.sh"], "5;far", ["5@far"]), (["x.sh"], "5", []),
        (["-a", "0-2", "x.sh"], "Submitted batch job 5", ["5_0@k", "5_1@k", "5_2@k"]),
        (["--array=1,7-9:2%4", "x.sh"], "Submitted batch job 5", ["5_1@k", "5_7@k", "5_9@k"]),
        (["x.sh", "--array=1-3"], "Submitted batch job 5", ["5@k"]),
    ],
)  # fmt: skip
def test_ids_of_sbatch(desk: Desk, words: list[str], line: str, ids: list[str]) -> None:
    desk.run("sbatch", *words, told=prints(line))
    assert desk.noted() == ids


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_a_line_in_pieces_and_without_an_end_is_read_whole(desk: Desk, cut: int) -> None:
    text = "x" * 100_000 + "\nSubmitted batch job 12\r\n" + "y" * 10 + "\nSubmitted batch job 13"
    told = f"data = {text!r}.encode()[99_990:]\nfor n in range(0, len(data), {cut}): os.write(1, data[n : n + {cut}])"
    desk.run("sbatch", told=told)
    assert desk.noted() == ["12@k", "13@k"]


def test_ids_are_noted_before_the_line_is_passed_on(desk: Desk) -> None:
    with desk.popen("sbatch", told="print('Submitted batch job 3', flush=True); time.sleep(600)") as process:
        assert process.stdout.readline() == b"Submitted batch job 3\n"
        assert desk.noted() == ["3@k"]
        process.terminate()


def test_a_file_for_ids_that_cannot_be_written_does_not_spoil_the_submit(desk: Desk) -> None:
    code, out, err = desk.run(
        "sbatch", told=prints("Submitted batch job 3"), env={"POMS_JOB_IDS_FILE": "/no/such/file"}
    )
    assert (code, out) == (0, b"Submitted batch job 3\n")
    assert b"could not be noted" in err


def test_submits_at_the_same_time_lose_no_id(desk: Desk) -> None:
    told = "print('50 job(s) submitted to cluster %d.' % os.getpid())"
    running = [desk.popen("condor_submit", told=told) for _ in range(12)]
    clusters = set()
    for process in running:
        out, _ = process.communicate(timeout=PATIENCE_S)
        clusters.add(out.split()[-1].decode().strip("."))
    assert sorted(desk.noted()) == sorted(f"{cluster}.{proc}@p" for cluster in clusters for proc in range(50))
    assert len(clusters) == 12
