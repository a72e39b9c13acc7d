"""Somebody who reads a page of the web again and again, and notes how it answers while the database is away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.scene import Folders
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
EVERY_S = 0.1
SOON_S = 60.0


class Reader:
    """A web process of the run's database, and one who asks it who they are, ten times a second."""

    def __init__(self, folders: Folders, token: str) -> None:
        """Start the web, and ask once it answers."""
        self.url, self.token = f"http://127.0.0.1:{free_port()}", token
        argv = [sys.executable, "-m", "gunicorn", "poms_site.wsgi", "--bind", self.url.removeprefix("http://"), "--threads", "4",
                "--worker-tmp-dir", str(folders.temporary), "--no-control-socket"]  # fmt: skip
        with (folders.log / "web.log").open("ab") as log:
            self.web = subprocess.Popen(
                argv, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
            )
        self.answers: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.over = threading.Event()
        deadline = time.monotonic() + SOON_S
        while self._ask() != "200":
            assert self.web.poll() is None and time.monotonic() < deadline, "the web does not start"
            time.sleep(0.2)
        self.asking = threading.Thread(target=self._go_on, daemon=True)
        self.asking.start()

    def stop(self) -> dict[str, Any]:
        """End both; return how often it answered how, and how long the slowest answer of each kind took, in seconds."""
        self.over.set()
        self.asking.join(SOON_S)
        self.web.terminate()
        self.web.wait(SOON_S)
        slowest = {word: round(seconds, 2) for word, seconds in sorted(self.slowest.items())}
        return {"answers": dict(self.answers), "slowest_s": slowest}

    def _go_on(self) -> None:
        while not self.over.wait(EVERY_S):
            began = time.monotonic()
            said = self._ask()
            self.answers[said] += 1
            self.slowest[said] = max(self.slowest.get(said, 0.0), time.monotonic() - began)

    def _ask(self) -> str:
        asked = urllib.request.Request(f"{self.url}/api/v1/me/", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(asked, timeout=SOON_S) as answer:
                return str(answer.status)
        except urllib.error.HTTPError as error:
            return str(error.code)
        except OSError as error:
            return type(error).__name__
