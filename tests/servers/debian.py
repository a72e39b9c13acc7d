"""Programs of Debian that tests need: found, or installed where we may."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def installed(program: str, package: str) -> str:
    """Return where a program is, one process installing its package while others wait; skip the test without it."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    with Path(tempfile.gettempdir(), f"poms-{program}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = shutil.which(program, path=path)
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            install = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {package}"
            subprocess.run(["sh", "-c", install], check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
            found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"no {program} here, and only root can install it: apt-get install {package}")
    return found
