"""The tests of faults that need real servers or namespaces, small: `make long` runs them whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import upgrade

ROOT = Path(__file__).resolve().parents[2]
NOTHING = {"lost": 0, "double": 0, "unrecorded": 0, "invariants_broken": 0, "ended": True}


def outcome(module: str, *words: str) -> dict[str, object]:
    """Run a kill test to its end; return what it says last."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{module}", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.live
def test_a_cut_network_loses_and_doubles_nothing() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip (iproute2)")
    found = outcome("network", "--submissions", "40", "--cuts", "6")
    assert found | NOTHING == found
    assert sum(found["cuts"].values()) >= 6  # type: ignore[attr-defined]


@pytest.mark.live
def test_a_database_that_fails_and_is_put_back_loses_and_doubles_nothing() -> None:
    found = outcome("database", "--submissions", "60", "--cuts", "3", "--deadline", "600")
    assert found | NOTHING == found
    assert found["deeds"] == {"cut": 3, "promote": 1, "put_back": 1}
    assert found["restorations"] == {"loop:restore": found["restorations"]["loop:restore"]}  # type: ignore[index]


@pytest.mark.live
def test_full_disks_lose_and_double_nothing() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make small file systems")
    found = outcome("disks", "--submissions", "60", "--times", "1", "--deadline", "600")
    assert found | NOTHING == found
    assert sum(found["deeds"].values()) == 6  # type: ignore[attr-defined]


@pytest.mark.live
def test_kills_around_htcondor_lose_and_double_nothing() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run a pool of its own here")
    found = outcome("farm", "--submissions", "40", "--kills", "12")
    assert found | NOTHING == found
    assert found["kills"] >= 12  # type: ignore[operator]


@pytest.mark.scale
def test_a_rolling_upgrade_loses_and_doubles_nothing() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip (iproute2)")
    try:
        upgrade.before_newest()
    except upgrade.NoHistory as error:
        pytest.skip(f"the old code is taken from the history: {error}")
    found = outcome("upgrade", "--submissions", "40")
    assert found | NOTHING | {"unsuited": 0, "deaths": {}} == found
    assert found["migrated"]["migrations"] >= 1  # type: ignore[index]
    assert len(found["launched"]) == 6  # type: ignore[arg-type]
