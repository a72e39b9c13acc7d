"""What runs and what is kept: acts, ledger, retention, backup, clock, contact, addresses, software, the ASVS list."""

from __future__ import annotations

import platform
import re
from datetime import datetime
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max

from core.models import Seal, Transition
from core.retention import REQUEST_KEY_DAYS
from poms_site.compliance.section import Section, facts, moment
from poms_site.doctor import database

MOST_ACTS = 2_000
CHECKLIST = "docs/operate/asvs.md"
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_NUMBER = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")


def acts(since: datetime) -> Section:
    """Say who did what how often since a day, from the ledger; steps of jobs are left out."""
    rows = Transition.objects.filter(at__gte=since).exclude(kind="job").values("actor", "kind", "verb")
    found = rows.annotate(times=Count("pk"), last=Max("at")).order_by("actor", "kind", "verb")[:MOST_ACTS]
    about = f"Single acts with their reasons: manage.py export_audit. At most {MOST_ACTS} rows."
    return Section("acts", f"Who did what since {moment(since)}", [
        {"who": row["actor"], "of": row["kind"], "did": row["verb"], "times": row["times"], "last": moment(row["last"])}
        for row in found
    ], about)  # fmt: skip


def ledger() -> Section:
    """Say how far the ledger is sealed."""
    last = Seal.objects.order_by("-to_txid").first()
    open_rows = Transition.objects.filter(txid__gte=last.to_txid if last else 0).count()
    return Section("ledger", "Audit trail", facts(
        seals=Seal.objects.count(), last_seal=moment(last.at) if last else "never",
        up_to_transaction=last.to_txid if last else 0,
        digest=last.digest if last else "", rows_not_sealed_yet=open_rows, verified_by="manage.py verify_ledger",
    ))  # fmt: skip


def retention() -> Section:
    """Say what is kept for how long, as it is set here."""
    archive = (
        f"{settings.KEEP_ARCHIVE_DAYS} days from the end of the month" if settings.KEEP_ARCHIVE_DAYS else "for ever"
    )
    return Section("retention", "Retention", facts(
        requests_decisions_campaigns_submissions="for ever", jobs=f"{settings.KEEP_JOBS_DAYS} days from their end",
        archived_jobs=archive, audit_trail="for ever; steps of jobs until the job is in the archive", seals="for ever",
        answers_to_repeated_calls=f"{REQUEST_KEY_DAYS} days", uploads_that_were_removed=f"{settings.UPLOAD_DAYS} days",
        acceptances_of_the_banner="for ever", counts_of_limits="a minute, at most an hour",
        data_of_people="name, user name, e-mail, addresses that they signed in from",
        other_data="bookkeeping of productions: no data of people",
    ))  # fmt: skip


def backup() -> Section:
    """Say what PostgreSQL knows of its archiving; a restore that was tried, it does not know."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('archive_mode'), last_archived_time, last_failed_time, failed_count,"
            " pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication) FROM pg_stat_archiver"
        )
        mode, archived, failed, failures, standby, replicas = cursor.fetchone()
    return Section("backup", "Backup", facts(
        archiving=mode, last_archived=moment(archived), last_failure=moment(failed), failures=failures,
        is_a_standby=standby, connected_standbys=replicas,
        last_restore_that_was_tried="POMS does not know; keep the protocol of it with this report",
    ))  # fmt: skip


def clock() -> Section:
    """Say by what clock times are written."""
    (judged,) = database.clocks()
    return Section("clock", "Clock", facts(
        zone=settings.TIME_ZONE, leases_and_dates_by="the database's clock", this_host_and_the_database=judged.text,
        source_of_this_host=CLOCK_SOURCE.read_text().strip() if CLOCK_SOURCE.exists() else "not known",
    ))  # fmt: skip


def contact() -> Section:
    """Say where people and finders of weaknesses turn to."""
    return Section("contact", "Contact", facts(
        incidents=settings.INCIDENT_CONTACT, privacy_notice=settings.PRIVACY_URL, site=settings.PUBLIC_URL,
        names=settings.ALLOWED_HOSTS, security_txt=settings.SECURITY_TXT,
        accessibility="docs/guide/accessibility.md, at /docs/guide/accessibility/",
    ))  # fmt: skip


def outgoing() -> Section:
    """Say which addresses are called; docs/operate/outgoing.md has each place."""
    return Section("outgoing", "Outgoing addresses", facts(
        hosts_that_people_may_name=settings.OUTGOING_HOSTS or "every public one",
        hosts_and_networks_inside=settings.HTTP_ALLOW, transfer_services=settings.FTS_SERVICES,
        FERRY=settings.FERRY_URL, folders_with_repositories=settings.GIT_FOLDERS, mail_server=settings.MAIL_HOST,
        schemes="https; http only to loopback that is allowed",
    ))  # fmt: skip


def software() -> Section:
    """Give what is installed, with versions and licences, as a bill of materials."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        server = str(cursor.fetchone()[0])
    found = {dist.name.lower(): dist for dist in metadata.distributions()}
    return Section("software", "Software", [
        {"name": "POMS", "version": settings.VERSION, "licence": "Apache-2.0"},
        {"name": "Python", "version": platform.python_version(), "licence": "PSF-2.0"},
        {"name": "PostgreSQL", "version": server, "licence": "PostgreSQL"},
        *({"name": dist.name, "version": dist.version, "licence": _licence(dist)} for _, dist in sorted(found.items())),
    ], "As installed here; requirements.lock has the hashes.")  # fmt: skip


def _licence(dist: metadata.Distribution) -> str:
    told = dist.metadata.json
    classes = told.get("classifier", [])
    classed = ", ".join(c.rpartition(" :: ")[2] for c in classes if c.startswith("License ::"))
    return str(told.get("license_expression") or classed or told.get("license") or "not said").partition("\n")[0][:60]


def checklist() -> Section:
    """Give the list of ASVS requirements as it is kept in the documentation."""
    text = (settings.BASE_DIR / CHECKLIST).read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]
    found = [row for row in rows if len(row) == 4 and _NUMBER.fullmatch(row[0])]
    return Section("asvs", "ASVS 5.0, level 2", [
        {"requirement": number, "state": state, "how": how, "shown by": test.replace("`", "") or "-"}
        for number, state, how, test in found
    ], f"From {CHECKLIST}.")  # fmt: skip
