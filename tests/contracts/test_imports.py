"""The floors of the house hold (lint-imports), and each contract can fail: planted imports are named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

PACKAGES = ("poms_site", "core", "experiments", "integrations", "campaigns", "submissions", "approvals")
LINT = Path(sys.executable).with_name("lint-imports")


def lint(home: Path) -> tuple[int, str]:
    """Run lint-imports over the packages below a folder; return its exit code and what it says, on one line."""
    ended = subprocess.run(
        [str(LINT), "--no-cache", "--no-logo", "--config", str(home / "pyproject.toml")],
        cwd=home, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{home / 'client'}", "COLUMNS": "200"},
    )  # fmt: skip
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


def test_the_floors_hold():
    code, said = lint(Path(settings.BASE_DIR))
    assert code == 0, said
    assert "0 broken" in said


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The packages in a folder of their own, whose path has a blank."""
    home = tmp_path_factory.mktemp("a copy")
    base = Path(settings.BASE_DIR)
    for name in PACKAGES:
        shutil.copytree(base / name, home / name, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copytree(base / "client" / "poms_client", home / "client" / "poms_client")
    shutil.copy(base / "pyproject.toml", home)
    return home


PLANTED = {
    "a lower floor imports a higher one": (
        "submissions/queries.py", "import approvals.models", "floors: higher may import lower",
        "submissions is not allowed to import approvals", "submissions.queries -> approvals.models",
    ),
    "a model imports the verbs of its app": (
        "campaigns/models/setup.py", "import campaigns.logic.editing", "inside an app",
        "campaigns.models is not allowed to import campaigns.logic", "campaigns.models.setup -> campaigns.logic.editing",
    ),
    "a query imports the API": (
        "submissions/queries.py", "import submissions.api", "inside an app",
        "submissions.queries is not allowed to import submissions.api", "submissions.queries -> submissions.api",
    ),
    "a pure module imports Django": (
        "campaigns/graph.py", "import django.db", "pure modules know neither Django nor DRF",
        "campaigns.graph is not allowed to import django", "campaigns.graph -> django",
    ),
    "an app imports the driver": (
        "submissions/logic/merging.py", "import psycopg2", "only core.bulk imports the driver",
        "submissions is not allowed to import psycopg2", "submissions.logic.merging -> psycopg2",
    ),
    "another core module imports the driver": (
        "core/ledger.py", "import psycopg2.extras", "only core.bulk imports the driver",
        "is not allowed to import psycopg2", "core.ledger -> psycopg2",
    ),
    "a loop imports the queue": (
        "submissions/logic/acting.py", "from django_q.tasks import async_task", "only core.queue imports django_q",
        "submissions is not allowed to import django_q", "submissions.logic.acting -> django_q",
    ),
    "an app speaks HTTP": (
        "approvals/logic/filing.py", "import requests", "only integrations and the client speak HTTP",
        "approvals is not allowed to import requests", "approvals.logic.filing -> requests",
    ),
    "the client imports the server": (
        "client/poms_client/refs.py", "import core.errors", "the client imports nothing of the server",
        "poms_client is not allowed to import core", "poms_client.refs -> core.errors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_import_is_named(copy, name):
    module, line, contract, complaint, chain = PLANTED[name]
    path = copy / module
    whole = path.read_text()
    path.write_text(f"{whole}\n{line}\n")
    try:
        code, said = lint(copy)
    finally:
        path.write_text(whole)
    assert code == 1, said
    broken = said.partition("Broken contracts")[2]
    assert contract in broken
    assert complaint in broken
    assert chain in broken


def test_the_copy_is_whole_without_what_was_planted(copy):
    code, said = lint(copy)
    assert code == 0, said
