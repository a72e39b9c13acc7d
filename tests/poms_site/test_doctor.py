"""`manage.py doctor`: each check is made to find its trouble, and says what to do."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from core import loops
from core.clock import now
from core.models import Heartbeat, Trouble
from integrations.models import BatchSystem, CatalogueLink, Credential, Downtime, Service
from poms_site.doctor import certificates, configured, database, disks, examining, outside, working
from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding, few, status_of
from tests import builders, certifying
from tests.contracts.test_docs import section, table
from tests.ports import free_port

GIB = 1024**3


def said(found: Any) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in found]


def only(found: Any) -> Finding:
    (one,) = found
    assert bool(one.remedy) == (one.level != WELL)
    assert one.text[-1] in ".…" or one.level != WELL
    return one


@pytest.fixture
def outside_world(settings):
    """An installation that others reach, as it should be."""
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["poms.example.org"]
    settings.SECRET_KEY = "x" * 50
    settings.PUBLIC_URL = "https://poms.example.org"
    return settings


# --- How it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "lax", "strict"), [((), 0, 0), ((WELL,), 0, 0), ((WELL, WARNING), 0, 1), ((WARNING, BROKEN), 2, 2)]
)
def test_the_status_is_that_of_the_worst(levels, lax, strict):
    found = [Finding("x", level, "") for level in levels]
    assert (status_of(found), status_of(found, strict=True)) == (lax, strict)


def test_of_many_names_few_are_said():
    assert few("ab") == "a, b"
    assert few("abcde") == "a, b, c and 2 more"


@pytest.mark.django_db
def test_the_command_says_it_in_lines_or_as_json():
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--only", "batch-systems", "--strict", stdout=out)
    assert ended.value.code == 1
    assert out.getvalue().startswith("warning  batch-systems No batch system is entered")
    assert "→ Enter one" in out.getvalue()
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json", "--only", "tables", "--only", "loops", stdout=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert ended.value.code == 2
    assert [(line["check"], line["level"]) for line in lines] == [("tables", WELL), ("loops", BROKEN)]
    assert all(set(line) == {"check", "level", "text", "remedy"} for line in lines)


# --- The database -------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_database_that_is_well():
    assert only(database.answers()).text.startswith("PostgreSQL ")
    assert only(database.tables()).level == only(database.clocks()).level == WELL


@pytest.mark.django_db
def test_without_a_database_nothing_that_asks_it_is_looked_at(settings):
    settings.DATABASE_URL = "mysql://db.example.org/poms"
    found = list(examining.examine(["loops", "tables"]))
    assert said(found) == [(BROKEN, "DATABASE_URL names a mysql server; POMS runs on PostgreSQL only.")]


@pytest.mark.django_db
def test_what_cannot_be_looked_at_stops_no_other_check():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_trouble RENAME COLUMN next_at TO then_at")
        cursor.execute("SAVEPOINT before")

    def fails() -> Iterator[Finding]:
        try:
            yield from working.troubles()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK TO before")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(examining.ASKING, "troubles", fails)
        found = {one.check: one for one in examining.examine(["troubles", "batch-systems"])}
    assert found["troubles"].level == BROKEN
    assert "next_at" in found["troubles"].text
    assert found["batch-systems"].level == WARNING


@pytest.mark.django_db
def test_migrations_that_are_not_applied():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'approvals'")
    one = only(database.tables())
    assert one.level == BROKEN
    assert "not applied: approvals.0001" in one.text
    assert "manage.py migrate" in one.remedy


@pytest.mark.django_db
def test_tables_of_somebody_else():
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE ROLE doctor_other; CREATE ROLE doctor_self; ALTER TABLE core_trouble OWNER TO doctor_other"
        )
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
        for (name,) in cursor.fetchall():
            if name != "core_trouble":
                cursor.execute(f'ALTER TABLE "{name}" OWNER TO doctor_self')
        cursor.execute("SET LOCAL ROLE doctor_self")
        found = said(database.tables())
        cursor.execute("RESET ROLE")
    assert found == [(BROKEN, "1 table owned by another role: core_trouble.")]


@pytest.mark.parametrize(
    ("apart", "level", "words"),
    [(0, WELL, "agree"), (1.9, WELL, "agree"), (3, WARNING, "3.0 s behind"), (-61, WARNING, "61.0 s ahead of")],
)
def test_clocks_that_differ(apart, level, words):
    at = now()
    one = database.compare_clocks(at, at + timedelta(seconds=apart), at + timedelta(milliseconds=1))
    assert one.level == level
    assert words in one.text


def test_a_slow_answer_is_no_difference_of_clocks():
    at = now()
    assert database.compare_clocks(at, at + timedelta(seconds=4), at + timedelta(seconds=9)).level == WELL


# --- The settings -------------------------------------------------------------------------------------------------


def test_settings_that_are_well(outside_world):
    assert only(configured.configuration()).level == WELL


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("SECRET_KEY", "short", BROKEN, "5 characters"),
        ("DEBUG", True, BROKEN, "POMS_DEBUG is on"),
        ("DEMO_ACCOUNTS", Path("demo.json"), BROKEN, "accounts with their passwords"),
        ("ALLOWED_HOSTS", ["*"], WARNING, "allows any name"),
        ("ALLOWED_HOSTS", ["localhost"], BROKEN, "under no name that others know"),
        ("SECURE_SSL_REDIRECT", False, WARNING, "in the clear"),
        ("PUBLIC_URL", "https://other.example.org", BROKEN, "leads to other.example.org"),
        ("QUEUE_AGEING", -1.0, BROKEN, "POMS_QUEUE_AGEING"),
        ("LOCAL_PASSWORDS", False, WARNING, "Nobody can sign in"),
    ],
)
def test_a_setting_that_is_not_well(outside_world, name, value, level, words):
    setattr(outside_world, name, value)
    found = [one for one in configured.configuration() if words in one.text]
    assert only(found).level == level


def test_a_key_that_was_made_up_is_for_a_laptop_only(outside_world, tmp_path):
    outside_world.STATE_DIR = tmp_path
    (tmp_path / "secret").write_text(outside_world.SECRET_KEY)
    one = only(configured.configuration())
    assert (one.level, "POMS_SECRET_KEY_FILE" in one.remedy) == (BROKEN, True)
    outside_world.SECURE_SSL_REDIRECT, outside_world.ALLOWED_HOSTS = False, ["localhost"]
    outside_world.PUBLIC_URL = ""
    assert only(configured.configuration()).level == WELL


# --- Work goes on -------------------------------------------------------------------------------------------------


def beats(seconds: float = 1, **late: float | None) -> dict[str, Heartbeat]:
    at = now()
    found = {}
    for loop in loops.all_loops():
        ago = late.get(loop.name, seconds)
        if ago is not None:
            begun = at - timedelta(seconds=ago)
            found[loop.name] = Heartbeat(loop=loop.name, started_at=begun, ended_at=begun)
    return found


@pytest.mark.django_db
def test_loops_of_an_installation_that_was_never_started():
    one = only(working.loops())
    assert (one.level, one.text) == (BROKEN, "No loop has begun even once: POMS_BELL is off.")


@pytest.mark.django_db
def test_loops_that_run():
    for name in (loop.name for loop in loops.all_loops()):
        Heartbeat.objects.create(loop=name, started_at=now(), ended_at=now())
    assert only(working.loops()).level == WELL


@pytest.mark.parametrize(("bells", "missing"), [(7, "Start workers"), (0, "Start the clock")])
def test_nobody_runs_any_loop(bells, missing):
    known = [loop for loop in loops.all_loops() if loop.period < 60]
    one = only(working.judge_loops(known, beats(3600), now(), bells))
    assert "No loop has begun for 1 h" in one.text
    assert one.remedy.startswith(missing)


def test_a_loop_that_is_late_and_one_that_never_began():
    one = only(working.judge_loops(loops.all_loops(), beats(plan=600, sample=299, launch=None), now(), 0))
    assert one.level == BROKEN
    assert one.text == "Late loops: plan (not begun for 10 min), launch (not begun even once)."
    assert "manage.py reconcile plan --once" in one.remedy


def test_a_loop_whose_passes_fail():
    found = beats()
    found["settle"].failed_in_a_row = 3
    found["settle"].last_error = "2026-12-01 12:00:00 ValueError('x')"
    one = only(working.judge_loops(loops.all_loops(), found, now(), 0))
    assert one.text == "Passes of the loop settle fail: 2026-12-01 12:00:00 ValueError('x')"


@pytest.mark.django_db
def test_parked_rows():
    assert only(working.troubles()).level == WELL
    for number, next_at in ((1, None), (2, None), (3, now())):
        Trouble.objects.create(
            loop="plan", kind="stage", thing_id=number, tries=5, error="KeyError: 'x'", next_at=next_at
        )
    one = only(working.troubles())
    assert one.text == "The loop plan has parked 2 stages, the latest stage 2: KeyError: 'x'"


# --- Outside ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        ({"ends_at": timedelta(days=3)}, WELL, "1 credential"),
        ({"ends_at": timedelta(minutes=30)}, WARNING, "ends at"),
        ({"ends_at": timedelta(minutes=30), "trouble": "no vault"}, WARNING, "its renewal failed: no vault"),
        ({"ends_at": -timedelta(minutes=1)}, BROKEN, "ended at"),
        ({"ends_at": timedelta(days=3), "unusable": "no private key"}, BROKEN, "cannot be used: no private key"),
        ({"ends_at": timedelta(days=3), "error": "no answer"}, WARNING, "does not answer: no answer"),
        ({}, WARNING, "has not been asked yet"),
    ],
)
def test_credentials(cast, values, level, words):
    given = {key: now() + value if key == "ends_at" else value for key, value in values.items()}
    seen = {"seen_at": now()} if given else {}
    Credential.objects.create(experiment=cast.experiment, name="token", kind="scitoken", path="/x", **given, **seen)
    one = only(outside.credentials())
    assert (one.level, words in one.text) == (level, True), one.text


@pytest.mark.django_db
def test_launch_hosts_that_rest(cast):
    row = builders.launch_host(cast)
    assert only(outside.hosts()).level == WELL
    row.failures, row.silent_since, row.error = 3, now(), "timed out"
    row.retry_at = now() + timedelta(minutes=2)
    row.save()
    one = only(outside.hosts())
    assert one.level == WARNING
    assert "demo/mcprod@gpvm01 has not answered" in one.text
    assert "rests until" in one.text


@pytest.mark.django_db
def test_batch_systems(cast):
    assert only(outside.batch_systems()).text == "No batch system is entered, so nothing can run."
    row = BatchSystem.objects.create(name="pool", backend="htcondor")
    assert "never been looked at" in only(outside.batch_systems()).text
    BatchSystem.objects.filter(pk=row.pk).update(looked_at=now())
    assert only(outside.batch_systems()).level == WELL
    BatchSystem.objects.filter(pk=row.pk).update(error="no schedd")
    assert said(outside.batch_systems()) == [(BROKEN, "The batch system pool does not answer: no schedd")]


@pytest.mark.django_db
def test_services(cast):
    def look(**values: Any) -> Finding:
        Service.objects.update(**values)
        return only(outside.services())

    row = Service.objects.create(experiment=cast.experiment, name="sam", kind="catalogue", state="up")
    assert look().level == WELL
    assert look(state="degraded", said="slow").level == WARNING
    assert look(state="down", said="away").level == WARNING  # nothing waits for it
    one = look(gates="catalogue")
    assert (one.level, "which stops launches of stages that use a catalogue: away" in one.text) == (BROKEN, True)
    Downtime.objects.create(service=row, begins_at=now(), ends_at=now() + timedelta(hours=1), reason="x", actor="y")
    assert "by plan until" in look().text
    assert look().level == WARNING
    assert look(forced="up").level == WELL


# --- Disks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "size", "files", "level"),
    [(500, 1000, (5, 10), WELL), (1.5, 1000, (5, 10), WARNING), (0.1, 1000, (5, 10), BROKEN), (0.9, 10, (0, 0), WELL),
     (0.09, 10, (5, 10), BROKEN), (500, 1000, (0, 1000), BROKEN)],
)  # fmt: skip
def test_the_room_of_a_disk(tmp_path, free, size, files, level):
    left, all_of_them = files
    disk: Any = SimpleNamespace(
        f_bavail=int(free * GIB), f_blocks=size * GIB, f_frsize=1, f_favail=left, f_files=all_of_them
    )
    assert disks.judge_disk("POMS_STATE", tmp_path, disk).level == level


def test_folders_on_one_disk_are_said_once(settings, tmp_path):
    settings.STATE_DIR = tmp_path
    settings.LOCAL_LAUNCHES = settings.LOCAL_SPOOL = settings.LOCAL_FILES = tmp_path / "not" / "yet"
    assert only(disks.folders()).text.startswith(f"The disk of POMS_STATE ({tmp_path})")


def test_a_folder_that_cannot_be_written(settings, tmp_path, monkeypatch):
    settings.STATE_DIR = settings.LOCAL_SPOOL = settings.LOCAL_FILES = tmp_path
    settings.LOCAL_LAUNCHES = tmp_path / "locked"
    settings.LOCAL_LAUNCHES.mkdir()
    monkeypatch.setattr(disks.os, "access", lambda path, mode: path.name != "locked")  # root may write anywhere
    assert (BROKEN, f"POMS_LOCAL_LAUNCHES: this account cannot write into {tmp_path / 'locked'}.") in said(
        disks.folders()
    )


# --- Certificates -------------------------------------------------------------------------------------------------


@contextmanager
def serving(home: Path, days: float) -> Iterator[str]:
    """Serve https on loopback with a certificate that ends so many days from now."""
    certificate, key = certifying.self_signed(home, days=days)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "level", "words"),
    [(90, WELL, "is good until"), (3, WARNING, "ends in 2 d 23 h"), (-1, BROKEN, "ended at")],
)
def test_ends_of_certificates(settings, tmp_path, days, level, words):
    with serving(tmp_path, days) as url:
        settings.FERRY_URL = f"{url}/ferry"
        one = only(certificates.certificate_ends())
    assert (one.level, words in one.text) == (level, True), one.text


@pytest.mark.django_db
def test_only_what_is_configured_is_asked_and_each_place_once(settings, cast):
    settings.PUBLIC_URL, settings.OIDC_ISSUER = "https://poms.example.org", "https://poms.example.org/realm"
    Service.objects.create(name="sam", kind="http", settings={"url": "https://sam.example.org:8443/x", "text": "ok"})
    Service.objects.create(name="plain", kind="http", settings={"url": "http://plain.example.org/"})
    CatalogueLink.objects.create(
        experiment=cast.experiment, system="metacat", settings={"url": "https://meta.example.org"}
    )
    CatalogueLink.objects.create(
        experiment=cast.experiment, name="old", system="sam", settings={"url": "https://gone.example.org"}, active=False,
        is_default=False,
    )  # fmt: skip
    found = certificates.configured()
    assert set(found) == {"poms.example.org:443", "sam.example.org:8443", "meta.example.org:443"}
    assert [trusted for _, trusted in found.values()] == [True, False, False]


@pytest.mark.django_db
def test_a_place_that_is_not_called_and_one_that_is_silent(settings):
    Service.objects.create(name="inside", kind="http", settings={"url": f"https://127.0.0.1:{free_port()}/"})
    assert "not on the public internet" in only(certificates.certificate_ends()).text
    settings.HTTP_ALLOW = ["127.0.0.1"]
    one = only(certificates.certificate_ends())
    assert (one.level, "shows no certificate" in one.text) == (WARNING, True)


# --- The page -----------------------------------------------------------------------------------------------------


def test_every_check_is_written():
    text = (Path(configured.settings.BASE_DIR) / "docs" / "operate" / "running.md").read_text()
    assert set(table(section(text, "## Is it alive?"))) - {"check"} == set(examining.NAMES)
