"""The client installs alone: its wheel, in an empty folder, with what it declares and nothing else on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from django.conf import settings
from packaging.requirements import Requirement

CLIENT = Path(settings.BASE_DIR) / "client"
# Each module of it is imported: what it needs only for some command is needed as well.
ALL_OF_IT = """
import importlib, importlib.util, pkgutil, poms_client
names = [one.name for one in pkgutil.walk_packages(poms_client.__path__, "poms_client.")]
for name in names:
    importlib.import_module(name)
assert not any(importlib.util.find_spec(name) for name in ("django", "core", "experiments", "poms_site"))
print(poms_client.__file__, len(names))
"""


def declared(name: str) -> set[str]:
    """Return a distribution and all that it needs here, over any number of steps."""
    found, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one.lower() in found:
            continue
        found.add(one.lower())
        needs = (Requirement(line) for line in metadata.requires(one) or ())
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the wheel by itself; return the environment of a process that finds it and its needs, nothing else."""
    home = tmp_path_factory.mktemp("client")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(home / "dist")]
    subprocess.run(build, cwd=CLIENT, check=True, capture_output=True)
    (wheel,) = (home / "dist").glob("poms_client-*-py3-none-any.whl")
    install = [str(Path(sys.prefix, "bin", "uv")), "pip", "install", "--python", sys.executable, "--quiet", "--offline"]
    subprocess.run([*install, "--no-deps", "--no-index", "--target", str(home / "alone"), str(wheel)], check=True)
    (home / "needs").mkdir()
    needs = [Requirement(line).name for line in metadata.distribution("poms-client").requires or ()]
    for name in set().union(*(declared(need) for need in needs)):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            link = home / "needs" / top
            if top != "__pycache__" and not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return {"PYTHONPATH": f"{home / 'alone'}:{home / 'needs'}", "HOME": str(home), "ALONE": str(home / "alone")}


def run(alone: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with no site of its own, away from the clone."""
    command = [sys.executable, "-S", "-s", *arguments]
    return subprocess.run(command, env={**alone, "PATH": os.defpath}, cwd=alone["HOME"], capture_output=True, text=True)


def test_the_command_says_what_it_can_do(alone):
    done = run(alone, f"{alone['ALONE']}/bin/poms", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "campaign" in done.stdout and "submission" in done.stdout


def test_every_module_needs_only_what_is_declared(alone):
    done = run(alone, "-c", ALL_OF_IT)
    assert (done.returncode, done.stderr) == (0, "")
    where, number = done.stdout.split()
    assert where.startswith(alone["ALONE"])
    assert int(number) > 20


def test_the_command_says_so_when_the_service_does_not_answer(alone):
    done = run({**alone, "POMS_URL": "http://127.0.0.1:9", "POMS_TOKEN": "x"}, f"{alone['ALONE']}/bin/poms", "campaign",
               "list")  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "127.0.0.1:9" in done.stderr
