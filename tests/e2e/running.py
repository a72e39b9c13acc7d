"""A POMS of its own for the browser: started as `make run` does, in a folder whose name has a blank, and ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests import processes
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
# Set by the settings of the tests; what runs here is to find its own.
NOT_OURS = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE")


class Site:
    """A POMS that runs: `url` and `users` (role to account)."""

    def __init__(self, document: Path) -> None:
        told: dict[str, Any] = json.loads(document.read_text())
        self.url: str = told["url"]
        self.users: dict[str, dict[str, str]] = told["users"]

    def api(self, role: str, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Ask the API as a role: GET, or POST where there is a body, if no method is named."""
        headers = {"Authorization": f"Bearer {self.users[role]['token']}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            asked = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers, method=method)
            with urllib.request.urlopen(asked) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} as {role}: {error.code} {error.read().decode()}") from error

    def rows(self, path: str) -> list[dict[str, Any]]:
        """The newest 500 rows of a list of `demo`, newest first, as the supervisor sees them."""
        found = self.api("supervisor", f"{path}{'&' if '?' in path else '?'}experiment=demo&limit=500")
        return list(found["results"])


class Running(Site):
    """The site and its workers, started here."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="poms e2e "))
        self.state = self.home / "run"
        self.said = self.home / "said.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("POMS_") and k not in NOT_OURS}
        with self.said.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(free_port()), "--slots", "4"],
                cwd=ROOT, env=environment | {"POMS_STATE": str(self.state)}, stdin=subprocess.DEVNULL, stdout=sink,
                stderr=sink, start_new_session=True,
            )  # fmt: skip
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                words = self.words()
                self.stop()
                raise AssertionError(f"POMS did not start:\n{words}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        place = self.home / "demo.json"
        try:
            super().__init__(place)
            with urllib.request.urlopen(f"{self.url}/sign-in/", timeout=10) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):  # not written or not listening yet
            return False

    def words(self) -> str:
        """What it said, and the end of what its web server said."""
        web = self.state / "log" / "web.log"
        said = self.said.read_text(errors="replace")
        return said + (web.read_text(errors="replace")[-6000:] if web.exists() else "(no log of the web server)")

    def stop(self) -> int:
        """Press Ctrl-C and wait; what does not end by itself is ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()

    def left(self, seconds: float = 10.0) -> list[str]:
        """Processes that name our folder in their command or environment, after a short wait for them to end."""
        deadline = time.monotonic() + seconds
        while (found := processes.that_name(self.home, (self.state / "pg").resolve())) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [f"{pid} {command[:200]}" for pid, command in found.items()]

    def clear(self) -> None:
        """Remove the folder, and the database where it lies elsewhere."""
        cluster = self.state / "pg"
        if cluster.is_symlink():
            shutil.rmtree(cluster.resolve(), ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)
