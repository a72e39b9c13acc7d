"""What closed gates say to people: what the launcher's own statement returned, as a sentence and a reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from campaigns.models import Campaign, Stage
from core.models import Trouble
from integrations.models import Credential, LaunchHost
from submissions import line
from submissions.models import Batch, Hold, Limit, Submission


@dataclass(frozen=True)
class Told:
    """One thing that is in the way: the kind of gate, a sentence, since when, of which stage, and what it is."""

    gate: str
    text: str
    since: datetime | None = None
    stage: str | None = None
    ref: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as pages and the API show gates."""
        return asdict(self)


def of_hold(hold: Hold, stage: str | None = None) -> Told:
    """Return a standing hold as a gate."""
    held = hold.stage.name if hold.stage else f"batch {hold.batch.number}" if hold.batch else hold.scope
    what = f"service {hold.service.name}" if hold.service else held
    until = f"; until {hold.until:%Y-%m-%d %H:%M} UTC" if hold.until else ""
    text = f"held ({what}) by {hold.actor.removeprefix('user:')}: {hold.reason}{until}"
    return Told("hold", text, hold.since, hold.stage.name if hold.stage else stage, hold.ref)


def told(found: Iterable[line.Closed]) -> list[Told]:
    """Return closed gates as sentences, each thing that closes some of them once for each stage."""
    rows = list(found)
    names = dict(Stage.objects.filter(pk__in={row.stage for row in rows}).values_list("pk", "name"))
    said = (_SENTENCES[row.gate](row, names[row.stage]) for row in rows)
    # None: what closed it was gone when its row was read.
    return [gate for gate in said if gate is not None]


def _of_campaign(row: line.Closed, stage: str) -> Told | None:
    campaign = Campaign.objects.select_related("experiment").get(pk=row.key)
    text = f"{campaign.ref} is {campaign.state.replace('_', ' ')}: only what runs is launched"
    return Told("campaign", text, campaign.state_since, stage, campaign.ref)


def _of_hold(row: line.Closed, stage: str) -> Told | None:
    beside = ("experiment", "service", "campaign", "stage", "batch")
    hold = Hold.objects.select_related(*beside).filter(pk=row.key).first()
    return of_hold(hold, stage) if hold else None


def _of_system(row: line.Closed, stage: str) -> Told | None:
    system = Submission.objects.values_list("system", flat=True).get(pk=row.first)
    return Told("system", f"{_number(row)}: the batch system {system} was put away", None, stage)


def _of_host(row: line.Closed, stage: str) -> Told | None:
    host = LaunchHost.objects.filter(pk=row.key).first()
    place = Submission.objects.get(pk=row.first).place
    if host is None:
        return Told("host", f"{_number(row)}: no launch host {place} has been entered, or it was put away", None, stage)
    why = f": {host.error}" if host.error else ""
    text = f"{_number(row)}: the launch host {place} is left alone until {host.retry_at:%Y-%m-%d %H:%M:%S} UTC{why}"
    return Told("host", text, host.silent_since, stage)


def _of_credential(row: line.Closed, stage: str) -> Told | None:
    credential = Credential.objects.select_related("experiment").filter(pk=row.key).first()
    if credential is None:
        return None
    since = None if credential.unusable else credential.ends_at
    return Told("credential", f"{_number(row)} for a credential: {credential.why}", since, stage, credential.ref)


def _of_later(row: line.Closed, stage: str) -> Told | None:
    submission = Submission.objects.get(pk=row.first)
    if submission.offered and submission.offered_at is None:
        many = f"{row.submissions} submission{'s wait' if row.submissions > 1 else ' waits'}"
        return Told("catalogue", f"{many} for the catalogue to offer the inputs", None, stage)
    at = f" at {submission.look_at:%Y-%m-%d %H:%M:%S} UTC" if submission.look_at else ""
    return Told("later", f"{_number(row)} tried again{at}: {submission.why or 'not before'}", None, stage)


def _of_trouble(row: line.Closed, stage: str) -> Told | None:
    trouble = Trouble.objects.filter(loop="launch", kind="submission", thing_id=row.key).first()
    if trouble is None:
        return None
    next_at = f"it is tried again at {trouble.next_at:%Y-%m-%d %H:%M:%S} UTC" if trouble.next_at else "it is parked"
    text = f"its launch went wrong {trouble.tries} times, {next_at}: {trouble.error}"
    return Told("trouble", text, trouble.updated_at, stage, f"submission/{row.key}")


def _of_canary(row: line.Closed, stage: str) -> Told | None:
    batch = Batch.objects.select_related("experiment").get(pk=row.key)
    text = f"{_number(row)} for the canary {batch.ref}, which is {batch.state.replace('_', ' ')}, to succeed"
    return Told("canary", text, batch.state_since, stage, batch.ref)


def _of_limit(row: line.Closed, stage: str) -> Told | None:
    return of_limit(row.key, stage)


def of_limit(key: int, stage: str | None = None, before: int = 0) -> Told | None:
    """Return a limit that leaves no room, or not enough after so many that go before; negative: a host's own."""
    first = f"; {before} go before it" if before else ""
    if key < 0:
        host = LaunchHost.objects.filter(pk=-key).first()
        if host is None:
            return None
        text = f"at most {host.most_at_once} launch scripts run on {host.name} at once{first}"
        return Told("limit", text, None, stage)
    row = Limit.objects.select_related("experiment", "host").filter(pk=key).first()
    if row is None:
        return None
    text = f"{row}, says {row.actor.removeprefix('user:')}: {row.reason}{first}"
    return Told("limit", text, row.since, stage, row.ref)


def of_system(system: str, stage: str | None = None, before: int = 0) -> list[Told]:
    """Return the limits of a whole batch system that stand in front of what has so many before it."""
    rooms = (row for row in line.limits(line.there()) if row.experiment is None and row.system == system)
    found = (of_limit(row.key, stage, before) for row in rooms if row.of_jobs or row.room <= before)
    return [gate for gate in found if gate is not None]


def _number(row: line.Closed) -> str:
    return f"{row.submissions} submission{'s wait' if row.submissions > 1 else ' waits'}"


_SENTENCES = {
    "campaign": _of_campaign, "hold": _of_hold, "system": _of_system, "host": _of_host,
    "credential": _of_credential, "later": _of_later,
    "trouble": _of_trouble, "canary": _of_canary, "limit": _of_limit,
}  # fmt: skip
