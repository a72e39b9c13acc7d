"""The local batch system against what every batch system must do."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from integrations.batch.base import Wanted
from integrations.batch.local import LocalBatch
from integrations.batch.local_daemon import read_log
from integrations.conformance.batch import BatchConformance


class LocalBench:
    """Jobs go to the daemon as examples/submitting.py sends them; memory and time are what the script says."""

    unknown = ("99999.0@local", "1.99999@local", "nonsense")

    def __init__(self, local: Any) -> None:
        self.local = local
        self.system = LocalBatch(local.spool)

    def submit(self, wanted: Wanted, scripts: Sequence[str]) -> list[str]:
        env = {**os.environ, **self.system.environment(wanted)}
        slots = {"memory_mb": wanted.slots.memory_mb, "wall_s": wanted.slots.wall_s or None}
        jobs = [{"argv": ["sh", "-c", script], **slots} for script in scripts]
        done = subprocess.run(
            [env["POMS_PYTHON"], "-S", "-E", "-s", "-B", env["POMS_LOCAL_SUBMIT"], "submit", "--spool", env["POMS_LOCAL_SPOOL"]],
            input=json.dumps({"uuid": wanted.uuid, "attributes": dict(wanted.tags), "jobs": jobs}),
            env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        ids: list[str] = json.loads(done.stdout)["job_ids"]
        return ids

    def recorded(self, job_id: str) -> Mapping[str, Any]:
        cluster, proc = (int(number) for number in job_id.removesuffix("@local").split("."))
        events = list(read_log(self.local.spool))
        (document,) = [event for event in events if event["event"] == "submit" and event["cluster"] == cluster]
        given = [event["value"] for event in events if event["event"] == "prio" and event["job"] == job_id]
        priority = [document["prio"], *given][-1]
        job = document["jobs"][proc]
        return {"tags": document["attributes"], "priority": priority, "memory_mb": job["memory_mb"],
                "wall_s": job["wall_s"] or 0}  # fmt: skip

    @contextmanager
    def down(self) -> Iterator[None]:
        assert self.local.daemon is not None
        self.local.daemon.kill()
        self.local.daemon.wait()
        (self.local.spool / "daemon.json").unlink()
        yield
        self.local.start()


class TestLocal(BatchConformance):
    """The daemon of the local batch system."""

    @pytest.fixture
    def bench(self, local: Any) -> LocalBench:
        return LocalBench(local)
