"""The tables of an empty database: migrated by whoever comes first with this code, then taken from a file.

The migrations need half a minute, and every suite begins with an empty database of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from django.core.management import call_command
from django.db import connection, transaction

from poms_site import embedded

ROOT = Path(__file__).resolve().parents[1]
HOUSES = ("core", "experiments", "integrations", "campaigns", "submissions", "approvals", "poms_site")
KEPT = ROOT / ".poms" / "tables"


def make_tables() -> None:
    """Do to the empty database of Django's connection what `migrate` does."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        dump = KEPT / f"{_digest()}.sql"
        if not dump.exists():
            call_command("migrate", verbosity=0)
            _write(dump)
            return
    _run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump))


def empty_tables() -> None:
    """Empty the tables that have rows, but for what the migrations put into them (types of content, permissions).

    Rows are deleted, in whatever order: to truncate a table makes its files anew, and those of all that refer to it.
    """
    kept = ("django_content_type", "auth_permission", "django_migrations")
    with transaction.atomic(), connection.cursor() as cursor:
        found = connection.introspection.django_table_names(only_existing=True)
        names = [connection.ops.quote_name(name) for name in found if name not in kept]
        cursor.execute(" UNION ALL ".join(f"(SELECT {n} FROM {name} LIMIT 1)" for n, name in enumerate(names)))
        full = [names[n] for (n,) in cursor.fetchall()]
        if full:
            cursor.execute("SET LOCAL session_replication_role = replica")  # neither keys nor the ledger's guard object
            cursor.execute("; ".join(f"DELETE FROM {name}" for name in full))


def _write(dump: Path) -> None:
    """Write the database out, and forget what older code made."""
    for old in KEPT.glob("*.sql"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        fresh = Path(folder) / "fresh.sql"
        _run("pg_dump", "--no-owner", "-f", str(fresh))
        fresh.rename(dump)


def _digest() -> str:
    """Return what the tables depend on, in short: the code that makes them, its libraries, and the server."""
    found = hashlib.sha256(str(connection.cursor().connection.server_version).encode())
    code = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))
    for path in (ROOT / "requirements.lock", *code):
        found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:20]


def _run(program: str, *words: str) -> None:
    """Run a program of PostgreSQL on the database of Django's connection."""
    told = connection.get_connection_params()
    names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    env = {variable: str(told[name]) for name, variable in names.items() if told.get(name)}
    done = subprocess.run(
        [str(embedded.find_install() / "bin" / program), *words], env={**os.environ, **env}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{program}: {done.stderr}"
