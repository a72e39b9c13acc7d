"""The page "How to add a batch system", followed once: processes of this machine do all that every system must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core import errors as ours
from integrations import hosting, registry
from integrations.batch import declared
from integrations.batch.base import Wanted
from integrations.conformance.batch import BatchConformance
from tests.how_to.shell_batch import SETTINGS, ShellBatch

ROW = {
    "shell": lambda row: ShellBatch(row.settings),
}


class ShellBench:
    """Jobs go to the submit command as a launch's script sends them."""

    unknown = ("00000000-0000-0000-0000-000000000000.0", "../../etc", "nonsense")

    def __init__(self, home: Path) -> None:
        self.system = ShellBatch({"spool": str(home / "a spool")})
        self.system.spool.mkdir()

    def submit(self, wanted: Wanted, scripts: Sequence[str]) -> list[str]:
        env = {**os.environ, **self.system.environment(wanted)}
        asked = {"uuid": wanted.uuid, "tags": dict(wanted.tags), "jobs": list(scripts)}
        done = subprocess.run(
            [sys.executable, env["POMS_SHELL_SUBMIT"], "submit"],
            input=json.dumps(asked), env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        ids: list[str] = json.loads(done.stdout)
        return ids

    def recorded(self, job_id: str) -> Mapping[str, Any]:
        return {"tags": json.loads((self.system.spool / job_id / "job.json").read_text())["tags"]}

    @contextmanager
    def down(self) -> Iterator[None]:
        away = self.system.spool.rename(self.system.spool.with_name("away"))
        yield
        away.rename(self.system.spool)


class TestShell(BatchConformance):
    """All that the protocol asks of every batch system."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[ShellBench]:
        found = ShellBench(tmp_path)
        yield found
        left = [job.id for job in found.system.snapshot("").jobs if job.state in ("idle", "processing")]
        found.system.act("remove", ids=left, reason="the test is over")


@pytest.fixture
def known(monkeypatch) -> None:
    """The two rows: what makes it, and which settings it has."""
    monkeypatch.setitem(registry.BACKENDS, "shell", ROW["shell"])
    monkeypatch.setitem(declared.SETTINGS, "shell", SETTINGS)


@pytest.mark.django_db
def test_an_administrator_enters_it_by_its_rows_alone(cast, known, tmp_path):
    settings = {"spool": str(tmp_path), "slots": "3"}
    row = hosting.enter_system("desk", "shell", settings=settings, by=cast.administrator, reason="a desk has slots too")
    assert row.settings["slots"] == 3
    found = registry.batch("desk")
    assert isinstance(found, ShellBatch)
    assert "desk" in registry.batch_systems()
    tried = hosting.try_system(row, by=cast.administrator)
    assert (tried.answered, tried.text) == (True, "desk answers: 0 idle, 0 running, 0 held, 3 slots.")


@pytest.mark.django_db
def test_wrong_settings_are_refused_where_they_are_entered(cast, known):
    with pytest.raises(ours.Refused) as raised:
        hosting.enter_system("desk", "shell", settings={"slots": "many"}, by=cast.administrator, reason="x")
    said = raised.value.problems[0].message
    assert "spool is missing" in said and "slots is many, not a number" in said
