"""Fixtures of all tests: the cast, the local systems with a real batch daemon, and loops run by hand."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import settings as hypothesis

from integrations.batch.local import DAEMON
from integrations.models import BatchSystem
from tests.cast import Cast, assemble
from tests.contracts.world import World, filled_world
from tests.snapshot import begin_with
from tests.tables import empty_tables, make_tables

# Before it is imported, so that a failed assertion says what it compared.
pytest.register_assert_rewrite("integrations.conformance.catalogue", "integrations.conformance.batch")
LONGEST_ID = 60
# Slowness is shown by benchmarks, never by a timed test.
hypothesis.register_profile("untimed", deadline=None)
hypothesis.load_profile("untimed")
# After a test with real commits, Django would empty each of the tables, also of the rows that migrations made. It has
# neither a setting nor a hook for that, and pytest-django makes the class of each test itself: so its method is replaced.
TransactionTestCase._fixture_teardown = lambda case: empty_tables()  # type: ignore[method-assign]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Call a long text by its beginning: ids go to and fro between the workers, and some texts are too long by design."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        text = val if isinstance(val, str) else val[:LONGEST_ID].decode("ascii", "backslashreplace")
        return f"{text[:LONGEST_ID].encode('ascii', 'backslashreplace').decode()}... ({len(val)})"
    return None


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_blocker: Any, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Make the tables of one database for all workers: each begins with a copy of it."""
    workers = getattr(request.config, "workerinput", {"testrunuid": uuid4().hex})
    template = f"template_{workers['testrunuid'][:16]}"
    own = connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        with connection._nodb_cursor() as cursor:
            # Held until this connection closes, so while another worker makes it, this one waits, however long it takes.
            cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [template])
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [template])
            if not cursor.fetchone()[0]:
                cursor.execute(f'CREATE DATABASE "{template}_new"')
                connection.close()
                connection.settings_dict["NAME"] = f"{template}_new"
                try:
                    make_tables()
                finally:
                    connection.close()
                    connection.settings_dict["NAME"] = own
                cursor.execute(f'ALTER DATABASE "{template}_new" RENAME TO "{template}"')
        connection.settings_dict["TEST"]["TEMPLATE"] = template


@pytest.fixture
def cast(request: pytest.FixtureRequest, db: None) -> Cast:
    """Everybody in the database of a test that is rolled back; with `world`, the people of its world."""
    if "filled" in request.fixturenames:
        found: Cast = request.getfixturevalue("filled")[0]
        return found
    return begin_with("cast", assemble)


@pytest.fixture
def filled(db: None) -> tuple[Cast, World]:
    """Both experiments with one of everything, and everybody, in a test that is rolled back."""
    return begin_with("world", filled_world)


@pytest.fixture
def world(filled: tuple[Cast, World]) -> World:
    """Both experiments with one of everything."""
    return filled[1]


@pytest.fixture
def real_cast(transactional_db: None) -> Cast:
    """Everybody in a database with real commits, for tests with processes and threads."""
    _empty_ledger()
    return assemble()


@pytest.fixture
def empty_ledger(transactional_db: None) -> Iterator[None]:
    """Begin and end with an empty ledger."""
    _empty_ledger()
    yield
    _empty_ledger()


def _empty_ledger() -> None:
    """Do what Django's flush does not: it does not know the ledger's table."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE core_transition")


class Local:
    """The local systems of a test below one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.spool = home / "batch"
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self, slots: int = 8) -> None:
        """Start the daemon and wait until it answers."""
        self.daemon = subprocess.Popen(
            [sys.executable, str(DAEMON), "serve", "--spool", str(self.spool), "--slots", str(slots), "--end-jobs"],
            stdout=subprocess.DEVNULL, stderr=(self.home / "daemon.log").open("ab"),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (self.spool / "daemon.json").exists():
            assert time.monotonic() < deadline, (self.home / "daemon.log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End the daemon and its jobs."""
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(60)
            self.daemon = None


@pytest.fixture
def local(settings) -> Iterator[Local]:
    """A running local batch system, launcher and file store in a folder whose name has a blank."""
    home = Path(tempfile.mkdtemp(prefix="poms test "))
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = home / "batch", home / "launches"
    settings.LOCAL_FILES = home / "files"
    systems = Local(home)
    systems.start()
    yield systems
    systems.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def local_system(real_cast: Cast, local: Local) -> BatchSystem:
    """The row of the local batch system."""
    return BatchSystem.objects.create(name="local", backend="local")


@pytest.fixture
def drive() -> Callable[..., None]:
    """Run the loops by hand, with no queue, until something holds."""
    from core import loops

    def run(until: Callable[[], bool], seconds: float = 120, names: tuple[str, ...] = ()) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "it did not come about in time"
            for name in names or ("plan", "launch", "observe", "settle", "recover", "act"):
                loops.run(name)
            time.sleep(0.05)

    return run
