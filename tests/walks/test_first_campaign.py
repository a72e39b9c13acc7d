"""What has one type `poms`, typed: the first campaign from its first line to its last, then all else that the docs have.

A POMS of its own answers. The first campaign in the browser is tests/e2e/test_walk.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.running import ROOT, Running
from tests.turns import WHOLE, its_turn
from tests.walks import shell
from tests.walks.pages import ALL, blocks

pytestmark = pytest.mark.live
PAGE = "docs/guide/first-campaign-command-line.md"
MADE_BEFORE = ("make run",)  # the fixture does it, in a folder of its own
NOT_ALLOWED = 3
ROLES = ("operator", "experimenter", "approver", "reviewer", "analyser", "administrator")
REFUSED = '--reason "let me try"'  # as the page says below it


@dataclass
class Said:
    """What came of one line that was typed, on a page."""

    line: str
    code: int
    out: str
    err: str
    page: str = PAGE


@dataclass
class Walk:
    """What came of the first campaign, of all other commands, and what the site broke at meanwhile."""

    said: list[Said]
    elsewhere: list[Said]
    broken: list[str]


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

    def call(self, page: str, command: list[str], users: dict[str, dict[str, str]]) -> Said:
        """Call one command of another page as the first person who may, with a definition at hand for what it reads."""
        for role in ROLES:
            ended = subprocess.run(
                [str(self.folder / ".venv/bin/poms"), *command[1:]], cwd=self.folder, capture_output=True, text=True,
                env={**self.environment, "POMS_TOKEN": users[role]["token"]}, timeout=120,
                input=(ROOT / "examples/dimuon/dimuon.ini").read_text(),
            )  # fmt: skip
            if ended.returncode != NOT_ALLOWED:
                break
        return Said(" ".join(command), ended.returncode, ended.stdout, ended.stderr, page)


# So many commands of other pages are typed once in so many runs; POMS_WHOLE types all.
ONE_IN = 8
# What would wait for ever, or for an answer that is typed.
ENDLESS = ({"--follow"}, {"watch"}, {"--wait"}, {"login"})
# Files that pages name and people have.
FILES = ("my.ini", "better.ini", "spring.ini", "reco.ini", "main.cfg", "prolog.cfg", "my_fit.C", "cuts.txt", "b12.zip")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Everything that the page has one type, in its order; then, as who may, what the other pages have."""
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
        for name in FILES:
            (terminal.folder / name).write_text((ROOT / "examples/dimuon/dimuon.ini").read_text())
        elsewhere = [
            terminal.call(block.page, command, running.users)
            for block in ALL
            if block.language in ("sh", "console") and block.page != PAGE
            for command in shell.commands(shell.typed(block))
            if command[0] == "poms"
            and not any(words <= set(command) for words in ENDLESS)
            and its_turn(ONE_IN, block.page, *command)
        ]
        log = (running.state / "log" / "web.log").read_text(errors="replace")
        broken = re.findall(r"Internal Server Error: [^\s\"]*", log)
    finally:
        code = running.stop()
        running.clear()
    assert code == 0, "Ctrl-C in the first terminal stops everything"
    yield Walk(said, elsewhere, broken)


@pytest.fixture
def walked(walk: Walk) -> list[Said]:
    """What came of the first campaign."""
    return walk.said


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
        if entry.code != (NOT_ALLOWED if REFUSED in entry.line else 0)
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


# --- All other commands of the docs ---------------------------------------------------------------------------------

# 0 done, 1 refused, 2 a plan has something to do, 4 not there: the things of the pages are others than here. Not 3: for
# each command there is somebody who may.
UNDERSTOOD = (0, 1, 2, 4)
READS = {"list", "show", "excluded", "uploads", "choices", "whoami"}
# Files that only their owners have: the command says so, and asks nothing of the site.
OWN = ("b12.zip", "/data/raw/")


def test_every_command_of_the_docs_is_understood_by_a_real_site(walk):
    wrong = [(said.page, said.line, said.code, said.err[-300:]) for said in walk.elsewhere
             if said.code not in ((64,) if any(name in said.line for name in OWN) else UNDERSTOOD) or "Traceback" in said.err]  # fmt: skip
    assert wrong == []
    assert walk.broken == []
    least = 80 if WHOLE else 5
    assert len(walk.elsewhere) > least
    assert sum(said.code == 0 for said in walk.elsewhere) > least // 3, Counter(said.code for said in walk.elsewhere)


def test_what_reads_without_naming_a_thing_is_answered(walk):
    lists = [
        said
        for said in walk.elsewhere
        if READS & set(said.line.split()[1:3]) and not re.search(r"demo/|-q|--quiet", said.line)
    ]
    assert [(said.line, said.code, said.err[-300:]) for said in lists if said.code != 0] == []
    assert sum(said.code == 0 for said in lists) >= (10 if WHOLE else 1)


def test_what_is_refused_says_why(walk):
    assert [said.line for said in walk.elsewhere if said.code == 1 and not (said.out + said.err).strip()] == []
