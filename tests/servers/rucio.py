"""A real Rucio on loopback: installed once into the user's cache, on a database of its own, gone with the test.

Measured: the installation takes half a minute and 240 MB, a start four seconds. Nothing but the server is run: no daemon
moves a file, so rules stay where they are when they are made.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.ports import free_port
from tests.servers.environments import address, installed, scratch_database

NEEDS = ("rucio==41.5.1", "rucio-clients==41.5.1", "psycopg[binary]>=3.2,<4", "gunicorn>=23")
USER, PASSWORD = "poms", "s3cret"
PATIENCE = 60.0


@dataclass(frozen=True)
class RucioServer:
    """Where it listens, and the account `root` with which a test prepares it."""

    url: str
    token: str


@contextmanager
def running(server: Mapping[str, Any]) -> Iterator[RucioServer]:
    """Run Rucio on a new database of a PostgreSQL server, given as Django's settings do, until the block ends."""
    home = installed("rucio", NEEDS)
    place = Path(tempfile.mkdtemp(prefix="poms-rucio-"))
    with scratch_database(server, "rucio") as name:
        try:
            _configure(place, home, address(server, name).replace("postgresql:", "postgresql+psycopg:", 1))
            with _served(place, home) as found:
                yield found
        finally:
            shutil.rmtree(place)


@contextmanager
def _served(place: Path, home: Path) -> Iterator[RucioServer]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "RUCIO_HOME": str(place),
                   "RUCIO_CONFIG": str(place / "etc" / "rucio.cfg"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # fmt: skip
    python = str(home / "bin" / "python")
    with (place / "log").open("ab") as log:
        done = subprocess.run([python, str(home / "rucio" / "tools" / "bootstrap.py")], env=environment, cwd=place,
                              stdout=log, stderr=log)  # fmt: skip
        assert done.returncode == 0, (place / "log").read_text()[-3000:]
        port = free_port()
        child = subprocess.Popen(
            [python, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", "2", "--graceful-timeout", "2",
             "rucio.web.rest.flaskapi.v1.main:application"],
            env=environment, cwd=place, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        yield RucioServer(url, _token(url, child, place / "log"))
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _configure(place: Path, home: Path, url: str) -> None:
    repository = next(home.glob("lib/python*/site-packages/rucio/db/sqla/migrate_repo"))
    (place / "etc").mkdir()
    escaped = url.replace("%", "%%")
    (place / "etc" / "rucio.cfg").write_text(f"""
[common]
logdir = {place}
loglevel = WARNING
[database]
default = {escaped}
echo = 0
pool_size = 5
[alembic]
cfg = {place}/etc/alembic.ini
[bootstrap]
userpass_identity = {USER}
userpass_pwd = {PASSWORD}
userpass_email = poms@example.org
[policy]
permission = generic
schema = generic
[client]
rucio_host = http://127.0.0.1
auth_host = http://127.0.0.1
""")
    (place / "etc" / "alembic.ini").write_text(f"""
[alembic]
sqlalchemy.url = {escaped}
script_location = {repository}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %%(message)s
""")


def _token(url: str, child: subprocess.Popen[bytes], log: Path) -> str:
    headers = {"X-Rucio-Account": "root", "X-Rucio-Username": USER, "X-Rucio-Password": PASSWORD}
    deadline = time.monotonic() + PATIENCE
    while True:
        assert child.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            answer = requests.get(f"{url}/auth/userpass", headers=headers, timeout=10)
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
            continue
        assert answer.status_code == 200, answer.text[:500]
        return answer.headers["X-Rucio-Auth-Token"]
