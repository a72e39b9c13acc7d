"""What an installation needs outside, as its loops have found it: credentials, hosts, batch systems, services."""

from __future__ import annotations

from collections.abc import Iterator

from core.clock import now
from integrations.launcher import breaker
from integrations.models import BatchSystem, Credential, LaunchHost, Service
from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding
from poms_site.overview import words


def credentials() -> Iterator[Finding]:
    """Say which credentials have ended, cannot be used, end soon or do not answer."""
    well = 0
    for row in Credential.objects.filter(active=True).select_related("experiment").order_by("experiment", "name"):
        state = row.condition()
        said = f"{row.title[0].upper()}{row.title[1:]} {row.end_in_words()}"
        remedy = f"{row.remedy[0].upper()}{row.remedy[1:]}."
        if state in ("expired", "unusable"):
            yield Finding("credentials", BROKEN, f"{said}; launches that need it stop.", remedy)
        elif state == "ending":
            trouble = f", and its renewal failed: {words.shortened(row.trouble, 200)}" if row.trouble else ""
            yield Finding("credentials", WARNING, f"{said}{trouble}.", remedy)
        elif state == "unknown":
            why = f": {words.shortened(row.error, 200)}" if row.error else ""
            yield Finding("credentials", WARNING, f"{said}, and does not answer{why}.", "Look where it lies.")
        else:
            well += 1
    if well:
        yield Finding("credentials", WELL, f"{words.count(well, 'credential')} good for launches.")


def hosts() -> Iterator[Finding]:
    """Say which launch hosts are silent, and until when they are left alone."""
    well = 0
    for row in LaunchHost.objects.filter(active=True).select_related("experiment").order_by("experiment", "name"):
        if not row.failures:
            well += 1
            continue
        rest = f" and rests until {row.retry_at:%H:%M:%S} UTC" if breaker.is_resting(row) else ""
        since = f" since {row.silent_since:%Y-%m-%d %H:%M} UTC" if row.silent_since else ""
        yield Finding(
            "hosts", WARNING,
            f"The launch host {row.ref} has not answered{since}{rest}: {words.shortened(row.error, 200)}",
            f"See that ssh gets there (`poms host try {row.ref}`); what waits for it goes on by itself.",
        )  # fmt: skip
    if well:
        yield Finding("hosts", WELL, f"{words.count(well, 'launch host')} with no complaint.")


def batch_systems() -> Iterator[Finding]:
    """Say which batch systems do not answer, or have never been looked at."""
    rows = list(BatchSystem.objects.filter(active=True).order_by("name"))
    for row in rows:
        if row.error:
            yield Finding(
                "batch-systems", BROKEN,
                f"The batch system {row.name} does not answer: {words.shortened(row.error, 200)}",
                "Start it, or mend its settings in the admin; jobs there go on, and nothing is lost meanwhile.",
            )  # fmt: skip
        elif row.looked_at is None:
            text = f"The batch system {row.name} has never been looked at."
            yield Finding("batch-systems", WARNING, text, "See that the loop `observe` runs.")
        else:
            yield Finding("batch-systems", WELL, f"The batch system {row.name} answers.")
    if not rows:
        yield Finding(
            "batch-systems", WARNING, "No batch system is entered, so nothing can run.",
            "Enter one: in the admin, or as docs/operate/installing.md says.",
        )  # fmt: skip


def services() -> Iterator[Finding]:
    """Say which services, catalogues among them, are down or degraded, and what waits for them."""
    well = 0
    for row in Service.objects.filter(active=True).select_related("experiment").order_by("experiment", "name"):
        state, said = (row.forced, row.forced_reason) if row.is_forced else (row.state, row.said)
        if state not in ("down", "degraded"):
            well += state == "up"
            continue
        planned = row.downtime()
        gates = "" if row.gates == "nothing" else f", which stops {row.get_gates_display()}"
        plan = f", by plan until {planned.ends_at:%Y-%m-%d %H:%M} UTC" if planned else ""
        yield Finding(
            "services", BROKEN if state == "down" and gates and not plan else WARNING,
            f"The service {row} ({row.ref}) is {state}{plan}{gates}: {words.shortened(said, 200)}",
            "Tell who provides it; what it holds goes on by itself when it is up.",
        )  # fmt: skip
    if well:
        yield Finding("services", WELL, f"{words.count(well, 'service')} up at {now():%H:%M} UTC.")
