"""The systemd units: systemd takes them, what they start is there, and they keep to what they need."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

HOME = Path(settings.BASE_DIR)
UNITS = sorted((HOME / "deploy" / "systemd").glob("poms*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
each_service = pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)


def unit(path: Path) -> configparser.SectionProxy:
    read = configparser.ConfigParser(strict=True, interpolation=None, delimiters="=")
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string(path.read_text())
    return read["Service"]


@needs_systemd
def test_systemd_takes_the_units(tmp_path):
    """With this environment's programs in the place of those of an installation, by a path without blanks."""
    (tmp_path / "bin").symlink_to(Path(sys.prefix, "bin"))
    for path in UNITS:
        text = path.read_text().replace("/opt/poms/.venv/bin/", f"{tmp_path}/bin/")
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / path.name) for path in UNITS)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@each_service
def test_a_unit_is_hardened(path):
    """By systemd's own measure, from 0 (nothing exposed) to 10; a unit that sets nothing has 9.6."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@each_service
def test_what_a_unit_starts_is_there(path):
    program, *arguments = unit(path)["ExecStart"].split()
    assert Path(program).parent == Path("/opt/poms/.venv/bin")
    assert Path(sys.prefix, "bin", Path(program).name).exists()
    for script in (word for word in arguments if word.endswith(".py")):
        assert (HOME / script).is_file()
    if "manage.py" in arguments:
        assert arguments[1] == "qcluster" or (HOME / f"poms_site/management/commands/{arguments[1]}.py").exists()


def test_a_stop_waits_for_what_runs():
    stops = {path.stem: int(unit(path)["TimeoutStopSec"]) for path in SERVICES}
    assert stops["poms-workers@"] > settings.Q_CLUSTER["timeout"] + 3
    graceful = re.search(r"--graceful-timeout (\d+)", unit(HOME / "deploy/systemd/poms-web.service")["ExecStart"])
    assert graceful and stops["poms-web"] > int(graceful[1])


def test_every_unit_belongs_to_the_target():
    target = (HOME / "deploy/systemd/poms.target").read_text()
    for name in ("poms-web.service", "poms-clock.service", "poms-workers@1.service"):
        assert name in target
    assert all("PartOf=poms.target" in path.read_text() for path in SERVICES)
