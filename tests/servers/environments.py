"""What real servers of tests stand on: virtual environments in the user's cache, databases for one test."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2


def installed(name: str, needs: Sequence[str]) -> Path:
    """Return the folder of a virtual environment with these packages, made if it is not there."""
    mark = hashlib.sha256(" ".join((*needs, sys.version)).encode()).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poms" / "servers" / f"{name}-{mark}"
    if (home / "ready").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *needs], check=True)
    (home / "ready").touch()
    return home


def address(server: Mapping[str, Any], database: str) -> str:
    """Return the address of a database of a server as Django's settings name it; its host may be a folder of sockets."""
    password = f":{quote(server['PASSWORD'], safe='')}" if server.get("PASSWORD") else ""
    where = urlencode({"host": server.get("HOST") or "localhost", "port": server.get("PORT") or 5432})
    return f"postgresql://{quote(server['USER'], safe='')}{password}@/{database}?{where}"


@contextmanager
def scratch_database(server: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Make a database, give its name, and drop it with everybody who is still connected."""
    name = f"{kind}_{uuid.uuid4().hex[:12]}"
    admin = psycopg2.connect(address(server, "postgres"))
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        yield name
    finally:
        with admin.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.close()
