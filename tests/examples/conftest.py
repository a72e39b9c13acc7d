"""Launches of the examples as POMS makes them, with a batch system that only writes down what it is given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FAKE_BATCH = """
import json, os, sys
document = json.load(sys.stdin)
json.dump({"argv": sys.argv[1:], "document": document}, open(os.environ["FAKE_RECORD"], "w"))
if "FAKE_REFUSES" in os.environ:
    sys.exit("the spool is full")
print(json.dumps({"cluster": 12, "job_ids": [f"12.{n}@local" for n in range(len(document["jobs"]))]}))
"""


@pytest.fixture
def launch_of(tmp_path):
    """A function that copies an example below a path with a blank, and returns one that launches its script there."""

    def prepare(folder_of_example: Path, script: str):
        example = tmp_path / "with a blank" / folder_of_example.name
        shutil.copytree(folder_of_example, example, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(folder_of_example.parent / "submitting.py", example.parent)
        folder, spool = tmp_path / "launch", tmp_path / "the spool"
        folder.mkdir()
        spool.mkdir()
        (tmp_path / "batch.py").write_text(FAKE_BATCH)
        environment = {
            "PATH": os.environ["PATH"],
            "POMS_PYTHON": sys.executable,
            "POMS_LOCAL_SUBMIT": str(tmp_path / "batch.py"),
            "POMS_LOCAL_SPOOL": str(spool),
            "POMS_SUBMISSION_ID": "11111111-2222-3333-4444-555555555555",
            "POMS4_CAMPAIGN_NAME": example.name,
            "POMS_ROUND": "1",
            "POMS_LAUNCH_DIR": str(folder),
            "FAKE_RECORD": str(tmp_path / "record.json"),
        }

        def start(plan: dict | None, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess:
            if plan is not None:
                (folder / "jobs.json").write_text(json.dumps(plan))
            given = {name: value for name, value in {**environment, **changes}.items() if value is not None}
            setup = f'source "{example}/setup.sh"\nexec "$@"'
            return subprocess.run(
                ["bash", "-c", setup, "poms-setup", script, *arguments],
                check=False, cwd=folder, env=given, capture_output=True, text=True, timeout=60,
            )  # fmt: skip

        start.example, start.spool, start.record = example, spool, tmp_path / "record.json"
        return start

    return prepare
