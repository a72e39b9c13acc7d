"""The embedded PostgreSQL: real servers, real kills; needs no Django."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environ
import psycopg2
import pytest

from poms_site import embedded

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(psycopg2.__file__).parents[1]
AS_ROOT = os.geteuid() == 0
NOBODY = 65534

pytestmark = pytest.mark.live
only_root = pytest.mark.skipif(not AS_ROOT, reason="needs root: it switches to the account nobody")

# A starter of its own, to be killed: starts, says who is who in one line, and does what its argument says.
STARTER = """
import json, os, subprocess, sys, time
from pathlib import Path
from poms_site import embedded
data, then = sys.argv[1:]
try:
    server = embedded.start(Path(data) if data else None, durable=False)
except embedded.EmbeddedError as error:
    print(json.dumps({"error": str(error)}), flush=True)
    sys.exit(1)
words = {"starter": os.getpid(), "keeper": server.keeper_pid, "server": server.pid, "url": server.url}
words |= {"data": str(server.data), "socket": str(server.socket), "libpq_url": server.libpq_url}
if then == "children":
    words["exec"] = subprocess.Popen(["sleep", "60"], close_fds=False).pid
    words["fork"] = os.fork()
    if words["fork"] == 0:
        server.stop()
        time.sleep(60)
        os._exit(0)
print(json.dumps(words), flush=True)
if then != "end":
    time.sleep(60)
"""


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return clean | {"PYTHONPATH": f"{ROOT}:{PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"} | more


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the server's account can reach (pytest's own are closed for it under root)."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="poms-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder with a cluster, made once: initdb takes most of the time of a first start."""
    folder = Path(tempfile.mkdtemp(prefix="poms-test-"))
    folder.chmod(0o755)
    embedded.start(folder / "data", durable=False).stop()
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def data(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the tests share one after the other."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return made


@pytest.fixture
def own_data(place: Path, made: Path) -> Path:
    """A copy of it, to be spoilt."""
    await_end(made)
    subprocess.run(["cp", "-a", str(made), str(place / "data")], check=True)
    return place / "data"


class Starter:
    """A starter process, with what it said of its server."""

    def __init__(self, data: Path | None, then: str = "", python: str = sys.executable, **popen: Any) -> None:
        popen.setdefault("env", environment())
        command = [python, "-c", STARTER, str(data or ""), then]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **popen)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            raise AssertionError(self.process.communicate()[1])
        self.said: dict[str, Any] = json.loads(self.line)

    def kill(self) -> None:
        self.process.kill()

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def processes_of(cluster: Path) -> list[int]:
    """Living processes of a server: all have the cluster as their working folder or on the command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                continue
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            if os.readlink(entry / "cwd") == str(cluster) or str(cluster) in command:
                found.append(int(entry.name))
    return found


def await_end(data: Path, seconds: float = 60.0) -> None:
    """Wait until no process of the server is left and its lock is free."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not processes_of(data / "cluster"):
            with contextlib.suppress(BlockingIOError), (data / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        time.sleep(0.02)
    raise AssertionError(f"still there after {seconds} s: {processes_of(data / 'cluster')}")


def await_absence(path: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while path.exists():
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.02)


def ask(server: embedded.EmbeddedServer | str, question: str) -> Any:
    """One value, over a connection made from the URL as Django would make it."""
    url = server if isinstance(server, str) else server.url
    read = environ.Env.db_url_config(url)
    connection = psycopg2.connect(
        host=read["HOST"], port=read["PORT"], user=read["USER"], dbname=read["NAME"], connect_timeout=5
    )
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def test_a_new_folder_becomes_a_server_that_answers_with_its_database(place: Path) -> None:
    with embedded.start(place / "deep" / "data") as server:
        assert ask(server, "SELECT current_database() || ' ' || current_user") == "poms poms"
        assert ask(server, "SHOW server_version").startswith("18.")
        assert ask(server, "SHOW listen_addresses") == ""
        assert ask(server, "SHOW max_connections") == "100"
        assert ask(server, "SHOW server_encoding") == "UTF8"
        assert ask(server, "SHOW fsync") == "on"
        assert ask(server, "SELECT upper('é')") == "É"
        assert ask(server, "SELECT string_agg(extname, ',') FROM pg_extension") == "plpgsql"
        for folder in (server.data, server.socket):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.stat().st_uid == (NOBODY if AS_ROOT else os.geteuid())
        assert os.stat(f"/proc/{server.pid}").st_uid == (NOBODY if AS_ROOT else os.geteuid())
    assert processes_of(server.data / "cluster") == []
    assert not server.socket.exists()


def test_the_url_gives_django_its_settings_and_psql_its_address(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded.start(data, durable=False) as server:
        monkeypatch.setenv("DATABASE_URL", server.url)
        read = environ.Env().db_url("DATABASE_URL")
        assert {name: read[name] for name in ("NAME", "USER", "HOST", "PORT", "PASSWORD")} == {
            "NAME": "poms",
            "USER": "poms",
            "HOST": str(server.socket),
            "PORT": 5432,
            "PASSWORD": "",
        }
        assert read["ENGINE"] == "django.db.backends.postgresql"
        assert "OPTIONS" not in read
        psql = [str(embedded.find_install() / "bin" / "psql"), server.libpq_url, "-XAtc", "SHOW fsync"]
        # A port of the caller's own must not lead astray.
        told = subprocess.run(psql, env=environment(PGPORT="1"), capture_output=True, text=True, check=True)
        assert told.stdout == "off\n"


def test_the_data_survive_a_restart(data: Path) -> None:
    with embedded.start(data, durable=False) as first:
        ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.start(data, durable=False) as second:
        assert ask(second, "SELECT answer FROM kept") == 42
        assert second.socket != first.socket


def test_the_server_ends_when_its_starter_is_killed(data: Path) -> None:
    with Starter(data) as starter:
        assert ask(starter.said["url"], "SELECT 1") == 1
        starter.kill()
        await_end(data)
        await_absence(Path(starter.said["socket"]))


def test_the_server_ends_when_its_keeper_is_killed(data: Path) -> None:
    server = embedded.start(data, durable=False)
    os.kill(server.keeper_pid, signal.SIGKILL)
    await_end(data)
    assert not server.running
    server.stop()
    assert not server.socket.exists()
    with embedded.start(data, durable=False) as again:
        assert ask(again, "SELECT 1") == 1


def test_a_start_removes_the_socket_folder_that_a_killed_keeper_left(data: Path) -> None:
    with Starter(data) as starter:
        os.kill(starter.said["keeper"], signal.SIGKILL)
        starter.kill()
        await_end(data)
    assert Path(starter.said["socket"]).exists()
    with embedded.start(data, durable=False):
        assert not Path(starter.said["socket"]).exists()


def test_children_of_the_starter_do_not_keep_the_server(data: Path) -> None:
    with Starter(data, "children") as starter:
        try:
            # The forked child has called stop() by now or soon: it must not stop what it does not own.
            time.sleep(0.3)
            assert ask(starter.said["url"], "SELECT 1") == 1
            starter.kill()
            await_end(data)
        finally:
            for name in ("exec", "fork"):
                os.kill(starter.said[name], signal.SIGKILL)


def test_a_starter_that_just_ends_leaves_no_process(data: Path) -> None:
    with Starter(data, "end") as starter:
        assert starter.process.wait(60) == 0
        assert processes_of(data / "cluster") == []
        assert not Path(starter.said["socket"]).exists()


def test_a_server_that_dies_takes_its_keeper_along_and_loses_nothing(data: Path) -> None:
    server = embedded.start(data, durable=True)
    ask(server, "CREATE TABLE lived AS SELECT 42 AS answer")
    os.kill(server.pid, signal.SIGKILL)
    await_end(data)
    deadline = time.monotonic() + 60
    while server.running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not server.running
    assert (data / "cluster" / "postmaster.pid").exists()
    server.stop()
    with embedded.start(data) as again:
        assert ask(again, "SELECT answer FROM lived") == 42


def test_a_pid_file_whose_number_another_program_has_is_no_obstacle(data: Path, capfd: Any) -> None:
    with subprocess.Popen(["sleep", "60"], user=NOBODY if AS_ROOT else None) as other:
        pid_file = data / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{other.pid}\n{data / 'cluster'}\n1\n5432\n/nowhere\n\n  1 1\nready   \n")
        try:
            with embedded.start(data, durable=False) as server:
                assert ask(server, "SELECT 1") == 1
        finally:
            other.kill()
    assert capfd.readouterr().err == ""


def test_a_second_start_on_a_served_folder_is_refused(data: Path) -> None:
    with Starter(data) as starter:
        with pytest.raises(embedded.EmbeddedError) as refusal:
            embedded.start(data, durable=False)
        assert f"process {starter.said['starter']} started it" in str(refusal.value)
        assert starter.said["url"] in str(refusal.value)
        assert ask(starter.said["url"], "SELECT 1") == 1


def test_a_server_that_someone_else_started_on_the_folder_is_respected(place: Path, own_data: Path) -> None:
    binaries = embedded.find_install()
    if AS_ROOT:
        binaries = next(Path(tempfile.gettempdir()).glob("poms-pg-0*")) / embedded.PACKAGE / embedded.INSTALL
    command = [str(binaries / "bin" / "postgres"), "-D", str(own_data / "cluster"), "-c", "listen_addresses="]
    switch: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if AS_ROOT else {}
    socket = place / "socket"
    socket.mkdir()
    if AS_ROOT:
        os.chown(socket, NOBODY, NOBODY)
    command += ["-c", f"unix_socket_directories={socket}"]
    foreign = subprocess.Popen(command, stderr=subprocess.DEVNULL, **switch)
    try:
        deadline = time.monotonic() + 60
        while not (own_data / "cluster" / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(embedded.EmbeddedError, match=f"served by process {foreign.pid}, which POMS did not"):
            embedded.start(own_data, durable=False)
        assert foreign.poll() is None
    finally:
        foreign.send_signal(signal.SIGINT)
        foreign.wait(60)


def test_of_two_starts_at_once_one_serves_and_one_is_refused(data: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(data), ""]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) for _ in range(2)]
    try:
        said = [json.loads(starter.stdout.readline()) for starter in both if starter.stdout]
        assert sorted("error" in words for words in said) == [False, True]
    finally:
        for starter in both:
            starter.kill()
            starter.communicate()
    await_end(data)


def test_a_start_waits_for_a_server_that_is_just_ending(data: Path) -> None:
    with Starter(data) as starter:
        starter.kill()
        with embedded.start(data, durable=False) as server:
            assert ask(server, "SELECT 1") == 1


def test_blanks_and_quotes_in_the_path_do_no_harm(place: Path, made: Path) -> None:
    strange = place / 'my data\'s "best", 100%'
    strange.mkdir()
    temporary = place / "a b"
    temporary.mkdir()
    subprocess.run(["cp", "-a", str(made), str(strange / "data")], check=True)
    with Starter(strange / "data", env=environment(TMPDIR=str(temporary))) as starter:
        assert starter.said["socket"].startswith(str(temporary))
        assert ask(starter.said["url"], "SELECT 1") == 1
        psycopg2.connect(starter.said["libpq_url"]).close()
        starter.kill()
        await_end(strange / "data")


@pytest.mark.parametrize("name", ["x" * 90, "a,b"])
def test_a_temporary_directory_unfit_for_a_socket_is_passed_over(place: Path, data: Path, name: str) -> None:
    unfit = place / name
    unfit.mkdir()
    with Starter(data, env=environment(TMPDIR=str(unfit))) as starter:
        assert not starter.said["socket"].startswith(str(place))
        assert ask(starter.said["url"], "SELECT 1") == 1


def test_a_folder_with_other_files_is_refused_and_left_alone(place: Path) -> None:
    (place / "precious").mkdir(mode=0o750)
    (place / "precious" / "thesis.tex").write_text("words")
    before = (place / "precious").stat()
    with pytest.raises(embedded.EmbeddedError, match="no database of POMS"):
        embedded.start(place / "precious", durable=False)
    after = (place / "precious").stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert [entry.name for entry in (place / "precious").iterdir()] == ["thesis.tex"]


def test_a_failed_start_shows_the_end_of_the_log_and_leaves_nothing(own_data: Path) -> None:
    with (own_data / "cluster" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    sockets = set(Path(tempfile.gettempdir()).glob("poms-????????"))
    with pytest.raises(embedded.EmbeddedError, match="no_such_setting"):
        embedded.start(own_data, durable=False)
    await_end(own_data)
    assert set(Path(tempfile.gettempdir()).glob("poms-????????")) <= sockets


def test_a_cluster_of_another_version_is_refused(own_data: Path) -> None:
    (own_data / "cluster" / "PG_VERSION").write_text("15\n")
    with pytest.raises(embedded.EmbeddedError, match="made by PostgreSQL 15"):
        embedded.start(own_data, durable=False)


def test_what_a_killed_initdb_left_is_made_anew(place: Path) -> None:
    (place / "data" / "cluster.new").mkdir(parents=True)
    (place / "data" / "cluster.new" / "PG_VERSION").write_text("18\n")
    if AS_ROOT:
        os.chown(place / "data", NOBODY, NOBODY)
    with embedded.start(place / "data", durable=False) as server:
        assert ask(server, "SELECT 1") == 1
    assert not (place / "data" / "cluster.new").exists()


@pytest.mark.parametrize("kill", [False, True])
def test_a_throw_away_folder_goes_with_the_server(place: Path, kill: bool) -> None:
    with Starter(None, "" if kill else "end") as starter:
        if kill:
            starter.kill()
        starter.process.wait(60)
        await_absence(Path(starter.said["data"]))
        await_absence(Path(starter.said["socket"]))


def test_ensure_keeps_a_given_address(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/else")
    assert embedded.ensure(place / "data") is None
    assert os.environ["DATABASE_URL"] == "postgresql://somewhere/else"
    assert list(place.iterdir()) == []


def test_ensure_exports_the_address_and_takes_it_back(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    server = embedded.ensure(data, durable=False)
    assert server is not None
    assert os.environ["DATABASE_URL"] == server.url
    server.stop()
    assert "DATABASE_URL" not in os.environ
    server.stop()


def test_a_missing_wheel_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_wheel")
    with pytest.raises(embedded.EmbeddedError, match="make setup"):
        embedded.find_install()


def test_neither_django_nor_the_code_of_the_wheel_is_loaded() -> None:
    code = "import sys; from poms_site import embedded; embedded.find_install(); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in told.stdout.split()}
    assert not loaded & {"django", "environ", "psycopg2", "psutil", embedded.PACKAGE}


def command_line(data: Path, **popen: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "poms_site.embedded", "start", "--data", str(data), "--scratch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
        **popen,
    )


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT to the group", "end of standard input"])
def test_the_command_prints_one_line_and_serves_until_told(data: Path, how: str) -> None:
    with command_line(data, stdin=subprocess.PIPE, start_new_session=True) as served:
        try:
            assert served.stdout is not None
            assert served.stdin is not None
            url = served.stdout.readline().strip()
            assert ask(url, "SELECT 1") == 1
            if how == "SIGTERM":
                served.send_signal(signal.SIGTERM)
            elif how == "SIGINT to the group":
                os.killpg(served.pid, signal.SIGINT)
            else:
                served.stdin.close()
                served.stdin = None
            rest, complaints = served.communicate(timeout=60)
        finally:
            served.kill()
    assert served.returncode == 0
    assert rest == ""
    assert "psql" in complaints
    assert "Traceback" not in complaints
    assert processes_of(data / "cluster") == []


def test_the_command_serves_on_without_a_standard_input(data: Path) -> None:
    with command_line(data, stdin=subprocess.DEVNULL) as served:
        try:
            assert served.stdout is not None
            url = served.stdout.readline().strip()
            time.sleep(0.3)
            assert ask(url, "SELECT 1") == 1
        finally:
            served.terminate()
        assert served.wait(60) == 0


def test_the_command_ends_with_an_error_when_its_server_dies(data: Path) -> None:
    with command_line(data, stdin=subprocess.DEVNULL) as served:
        try:
            assert served.stdout is not None
            served.stdout.readline()
            pid = int((data / "cluster" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            _, complaints = served.communicate(timeout=60)
        finally:
            served.kill()
    assert served.returncode == 1
    assert "ended by itself" in complaints
    await_end(data)


def runnable_python(env: dict[str, str], switch: dict[str, Any]) -> str | None:
    """An interpreter that another account can run: that of the environment may lie in root's home."""
    code = "import sys; from poms_site.embedded import find_install as f; f(); assert sys.version_info[1] > 10"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(OSError):
            tried = subprocess.run([python, "-c", code], env=env, capture_output=True, check=False, **switch)
            if tried.returncode == 0:
                return python
    return None


@only_root
def test_an_ordinary_user_needs_neither_root_nor_a_copy(place: Path) -> None:
    home = place / "home of nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    switch: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    env = environment(HOME=str(home), TMPDIR=str(home / "tmp"))
    python = runnable_python(env, switch)
    if python is None:
        pytest.skip("no Python 3.11 that the account nobody can run, or this clone is closed for it")
    temporary = home / "tmp"
    temporary.mkdir()
    os.chown(temporary, NOBODY, NOBODY)
    with Starter(home / "data", python=python, cwd=home, env=env, **switch) as starter:
        assert os.stat(f"/proc/{starter.said['starter']}").st_uid == NOBODY
        assert ask(starter.said["url"], "SELECT 1") == 1
        assert list(temporary.glob("poms-pg-*")) == []
        starter.kill()
        await_end(home / "data")


@only_root
def test_no_folder_above_is_opened_the_data_go_to_the_temporary_directory(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    (closed / "clone").mkdir(mode=0o755)
    data = closed / "clone" / "data"
    above = [closed / "clone", closed, place, place.parent]
    before = [(folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in above]
    temporary = place / "tmp"
    temporary.mkdir(mode=0o755)
    env = environment(TMPDIR=str(temporary))
    try:
        with Starter(data, "end", env=env) as starter:
            notices = starter.process.communicate(timeout=60)[1].splitlines()
        assert len(notices) == 1
        assert re.search(r"nobody cannot reach .*closed/clone/data: the database is in .*/tmp/poms-data-", notices[0])
        assert data.is_symlink()
        assert data.resolve().parent == temporary
        assert stat.S_IMODE(data.resolve().stat().st_mode) == 0o700
        assert data.resolve().stat().st_uid == NOBODY
        with Starter(data, "end", env=env) as again:
            assert again.process.communicate(timeout=60)[1] == ""
        assert again.said["data"] == starter.said["data"]
    finally:
        after = [(folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in above]
    assert after == before


@only_root
def test_data_that_the_temporary_directory_lost_are_begun_anew_with_a_word(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    data = place / "closed" / "data"
    data.symlink_to(place / f"{embedded.DATA_PREFIX}lost")
    with Starter(data, "end", env=environment(TMPDIR=str(place))) as starter:
        assert "is gone" in starter.process.communicate(timeout=60)[1]
    assert data.resolve() == Path(starter.said["data"])
    assert data.resolve().name != data.name


def test_a_link_of_someone_else_that_leads_nowhere_is_left_alone(place: Path) -> None:
    (place / "data").symlink_to(place / "disk that is not mounted")
    with pytest.raises(embedded.EmbeddedError, match="which is not there"):
        embedded.start(place / "data", durable=False)
    assert (place / "data").is_symlink()


@only_root
def test_data_of_another_account_are_refused(own_data: Path) -> None:
    os.chown(own_data, 12345, 12345)
    with pytest.raises(embedded.EmbeddedError, match="belongs to account 12345"):
        embedded.start(own_data, durable=False)
    assert own_data.stat().st_uid == 12345


@only_root
def test_roots_copy_of_the_binaries_is_reused_healed_and_checked(place: Path, data: Path) -> None:
    temporary = place / "tmp"
    temporary.mkdir(mode=0o755)
    env = environment(TMPDIR=str(temporary))

    def run() -> None:
        with Starter(data, "end", env=env) as starter:
            assert starter.process.wait(60) == 0, starter.said

    run()
    (copy,) = temporary.glob("poms-pg-*")
    for entry in [copy, *copy.rglob("*")]:
        found = entry.lstat()
        assert found.st_uid == 0
        assert not found.st_mode & 0o022
    made = copy.stat().st_ino
    run()
    assert copy.stat().st_ino == made
    next(copy.rglob("postgres.bki")).unlink()
    run()
    assert list(temporary.glob("poms-pg-*")) == [copy]
    assert next(copy.rglob("postgres.bki")).is_file()
    copy.chmod(0o777)
    with Starter(data, "end", env=env) as refused:
        assert "writable by others" in refused.said["error"]
    copy.chmod(0o755)
    os.chown(copy, NOBODY, NOBODY)
    with Starter(data, "end", env=env) as refused:
        assert "not made by root" in refused.said["error"]
