"""The first campaign on the command line, walked as it is written: every command of the page, against a POMS of its own.

The same walk in the browser is tests/e2e/test_walk.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.running import ROOT, Running
from tests.walks.pages import blocks

pytestmark = pytest.mark.live
PAGE = "docs/guide/first-campaign-command-line.md"
MADE_BEFORE = ("make run",)  # the fixture does it, in a folder of its own
REFUSED = '--reason "let me try"'  # as the page says below it


@dataclass
class Said:
    """What came of one line that was typed."""

    line: str
    code: int
    out: str
    err: str


class Terminal:
    """The second terminal: in a folder as a clone looks, with what `make run` said is to be exported."""

    def __init__(self, running: Running, folder: Path) -> None:
        self.folder = folder
        (folder / ".poms").mkdir()
        (folder / ".poms" / "demo.json").symlink_to(running.home / "demo.json")
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "examples").symlink_to(ROOT / "examples")
        self.environment = {
            "HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "POMS_URL": running.url,
            "POMS_TOKEN": json.loads((running.home / "demo.json").read_text())["users"]["experimenter"]["token"],
        }  # fmt: skip
        self.before = ""  # what this shell has been told that later lines use

    def type(self, line: str) -> Said:
        """Type one line; the shell keeps what it is told of functions and names."""
        ended = subprocess.run(
            ["bash", "-c", f"{self.before}\n{line}"], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        if re.match(r"export |\w+\(\) ", line):
            self.before += f"{line}\n"
        return Said(line, ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Said]]:
    """Everything that the page has one type, in its order; the numbers of jobs are those that this run has."""
    running = Running()
    try:
        terminal = Terminal(running, tmp_path_factory.mktemp("a clone"))
        said: list[Said] = []
        for block in blocks(PAGE):
            if block.language != "sh" or block.first in MADE_BEFORE:
                continue
            for line in block.text.replace("\\\n", " ").splitlines():
                said.append(terminal.type(_with_numbers_of(said, line)))
        said.append(Said("the text of one's own", 0, (terminal.folder / ".poms" / "mine.ini").read_text(), ""))
    finally:
        code = running.stop()
        running.clear()
    assert code == 0, "Ctrl-C in the first terminal stops everything"
    yield said


def _with_numbers_of(said: list[Said], line: str) -> str:
    """Put the first failed job and its submission where the page has those of another run."""
    listed = next((entry.out for entry in said if "--state failed" in entry.line), "")
    job, submission = re.search(r"demo/j\d+", listed), re.search(r"demo/s\d+", listed)
    if job is None or submission is None:
        return line
    return re.sub(r"demo/s\d+", submission[0], re.sub(r"demo/j\d+", job[0], line))


def one(said: list[Said], words: str) -> Said:
    """Return what came of the line that has these words."""
    (found,) = [entry for entry in said if words in entry.line]
    return found


def test_every_line_ends_as_the_page_says(walked):
    wrong = [
        (entry.line, entry.code, entry.err[-400:])
        for entry in walked
        if entry.code != (3 if REFUSED in entry.line else 0)
    ]
    assert wrong == []
    assert len(walked) > 18


def test_who_may_not_approve_is_told_which_role_may(walked):
    assert "This needs the role approver in demo" in one(walked, REFUSED).err


def test_one_is_the_experimenter(walked):
    assert "experimenter" in one(walked, "poms whoami").out


def test_the_check_report_warns_of_what_the_page_names(walked):
    report = one(walked, "poms request check").out
    assert "warn" in report and "job type" in report and "set-up" in report


def test_the_campaign_is_watched_to_its_end_and_three_jobs_have_failed(walked):
    assert "succeeded" in one(walked, "campaign watch").out
    failed = one(walked, "--state failed").out.strip().splitlines()
    assert len([line for line in failed if "demo/j" in line]) == 3
    assert all(sum(code in line.split() for line in failed) == 1 for code in ("memory", "exit", "signal"))


def test_its_history_says_why_it_went_back(walked):
    assert re.search(
        r"inputs have located output", one(walked, "campaign history").out + one(walked, "submission show").out
    )


def test_the_result_is_there_and_a_text_of_ones_own_has_its_name(walked):
    assert "dimuon_zpeak.json" in one(walked, "file list").out
    assert "name=dimuon2\n" in one(walked, "the text of one's own").out
