"""MetaCat's own engine of MQL on PostgreSQL, behind the stand-in's wire: a process in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.servers.environments import address, installed, scratch_database

NEEDS = ("metacat-client==4.1.5", "lark==1.3.1", "psycopg2-binary==2.9.13", "pyyaml>=6.0.3,<7")
ROOT = Path(__file__).resolve().parents[2]


class Store:
    """The store of the other process, as a test in this one uses it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __getattr__(self, verb: str) -> Any:
        def do(*values: Any) -> Any:
            answer = requests.post(f"{self._url}/control", json={"verb": verb, "with": values}, timeout=30)
            assert answer.ok, answer.text[:500]
            return answer.json()

        return do


class EngineServer:
    """Where it listens, and its store."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = Store(url)


@contextmanager
def running(server: Mapping[str, Any]) -> Iterator[EngineServer]:
    """Run the engine on a new database of a PostgreSQL server, given as Django's settings do, until the block ends."""
    home = installed("metacat", NEEDS)
    with scratch_database(server, "metacat") as name:
        child = subprocess.Popen(
            [str(home / "bin" / "python"), "-m", "tests.stand_ins.metacat.engine", address(server, name)], cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        with child.stdin, child.stdout as said:
            try:
                url = said.readline().decode().strip()
                assert url.startswith("http"), "the engine did not start; see above"
                yield EngineServer(url)
            finally:
                child.stdin.close()
                child.wait(15)
