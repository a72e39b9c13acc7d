"""What scripts printed is read beside the launcher itself: pages ask for it, and a process would cost more than they do."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from integrations import process
from integrations.errors import Refused
from integrations.launcher.base import Launch
from integrations.launcher.local import LocalLauncher


@pytest.fixture
def launcher(tmp_path: Path) -> LocalLauncher:
    return LocalLauncher(tmp_path)


def test_what_a_script_printed_is_read_without_a_process(launcher, monkeypatch):
    launch = Launch(uuid=str(uuid4()), attempt=1, after=0, argv=["/bin/echo", "hello"])
    launcher.start([launch])
    while launcher.status([launch.uuid])[launch.uuid].state == "running":
        pass
    monkeypatch.setattr(process, "run", None)
    answer = launcher.output(launch.uuid, "tail", 0, 100)
    assert (answer["text"], answer["total"]) == ("hello\n", 6)


def test_a_script_that_was_never_started_printed_nothing(launcher):
    assert launcher.output(str(uuid4()), "tail", 0, 100)["total"] == 0


def test_a_question_that_makes_no_sense_is_refused(launcher):
    with pytest.raises(Refused, match="the launch shim refuses"):
        launcher.output("../elsewhere", "tail", 0, 100)
