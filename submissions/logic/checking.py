"""Loop `check`: looks at services, holds what needs one that is down, and lets it go again (P1, J10; F21, F23).

A gate closes after `downs` failed looks in a row and opens after `ups` good ones; a look that finds out nothing changes
neither. A person's word goes before all of it, then a scheduled downtime, then the looks.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min, Q
from django.db.models.functions import Now

from core import transitions
from core.clock import due, now
from core.errors import Problem
from core.errors import Refused as Unusable
from core.locking import claim
from core.loops import careful
from integrations.errors import OutsideError
from integrations.probes.base import DOWN, UNKNOWN, UP, Look
from integrations.probes.kinds import probe_of
from integrations.probes.models import Downtime, Service, ServiceState
from submissions.logic import canaries, holding
from submissions.models import Hold

ACTOR = "rule:service"
A_PASS = 1  # what hangs keeps one worker, and nobody else waits for it
LEASE = timedelta(minutes=5)  # longer than any look
BLIND_AFTER = 3  # looks in a row that found out nothing, after which nothing is known of it any more


def check_some() -> int:
    """Look at services that are due, end holds whose time is over, see to canaries; return how many were stepped."""
    did = holding.expire()
    did += canaries.judge_some()
    for service in [*_claim(), *_put_away()]:
        did += 1
        with careful("check", "service", service.pk):
            found = _look(service)
            settle_look(service.pk, found)
    return did


def _claim() -> list[Service]:
    """Take services that are due, with a lease: the look itself holds no lock."""
    with transaction.atomic():
        rows = Service.objects.filter(active=True, look_at__lte=Now()).select_related("experiment").order_by("look_at")
        mine = claim(rows, A_PASS)
        Service.objects.filter(pk__in=[row.pk for row in mine]).update(look_at=due(LEASE))
    return mine


def _put_away() -> list[Service]:
    """Return services that nobody looks at any more and that hold something still."""
    held = Hold.objects.filter(scope="service", actor=ACTOR, released_at=None, service__active=False)
    return list(Service.objects.filter(pk__in=held.values("service")).select_related("experiment"))


def _look(service: Service) -> Look | None:
    """Return what a look finds, None where nobody looks; one that could not be made says so."""
    if not service.active:
        return None
    try:
        probe = probe_of(service)
        return probe.look(was_down=service.state == DOWN) if probe else None
    except (OutsideError, Unusable) as error:
        return Look(UNKNOWN, f"it could not be looked at: {error}")


def settle_look(service_id: int, found: Look | None) -> None:
    """Write down what was found, move the service, and let its gate follow, all in one transaction."""
    with transaction.atomic():
        service = Service.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=service_id)
        if found is not None:
            _count(service, found)
        follow(service)


def _count(service: Service, found: Look) -> None:
    service.down_count = (
        service.down_count + 1 if found.status == DOWN else 0 if found.status == UP else service.down_count
    )
    service.up_count = service.up_count + 1 if found.status == UP else 0 if found.status == DOWN else service.up_count
    service.blind_count = service.blind_count + 1 if found.status == UNKNOWN else 0
    service.said, service.figures, service.looked_at = found.said[:2000], dict(found.figures), now()
    fields = ["down_count", "up_count", "blind_count", "said", "figures", "looked_at"]
    service.save(update_fields=fields)
    target = _state(service, found.status)
    if target != service.state:
        _enter(service, target)


def _state(service: Service, status: str) -> str:
    """Return the state after a look: in between two states that the gate knows, it is degraded or as it was."""
    if status == UNKNOWN:
        return UNKNOWN if service.blind_count >= BLIND_AFTER else service.state
    if status == DOWN:
        return DOWN if service.state == DOWN or service.down_count >= service.downs else "degraded"
    if service.state == DOWN:
        return UP if service.up_count >= service.ups else DOWN
    return UP


def _enter(service: Service, target: str) -> None:
    source = service.state
    transitions.move(service, target, expect=source, actor=ACTOR, reason=service.said)
    at = now()
    ServiceState.objects.filter(service=service, until=None).update(until=at)
    ServiceState.objects.create(
        service=service, source=source, target=target, reason=service.said, figures=service.figures, at=at
    )


def follow(service: Service) -> None:
    """Let the hold of a service follow what it is now, and say when to look again. Its row is locked."""
    at = now()
    if service.forced and not service.is_forced:
        _note(service, "end_override", ACTOR, "the time for which somebody had said so is over")
        service.forced = service.forced_by = service.forced_reason = ""
        service.forced_until = None
        service.save(update_fields=["forced", "forced_by", "forced_reason", "forced_until"])
    why, until = _why_closed(service)
    if why is not None:  # else nothing is known: the gate stays as it is
        _set_gate(service, why, until)
    _look_later(service, at)


def _set_gate(service: Service, why: str, until: datetime | None) -> None:
    """Make, renew or release the hold of a service; an empty reason is none."""
    standing = Hold.objects.filter(scope="service", service=service, released_at=None, actor=ACTOR).first()
    if why and service.gates != "nothing":
        if standing is None:
            holding.hold("service", service, actor=ACTOR, reason=why, until=until)
        elif standing.reason != why or standing.until != until:
            Hold.objects.filter(pk=standing.pk).update(reason=why, until=until)
    elif standing is not None:
        holding.release(standing, actor=ACTOR, reason=_why_open(service))


def _why_closed(service: Service) -> tuple[str | None, datetime | None]:
    """Return why the gate is closed and until when at the latest; an empty text: it is open; None: nobody knows."""
    if not service.active:
        return "", None
    if service.is_forced:
        if service.forced == UP:
            return "", None
        who = service.forced_by.removeprefix("user:")
        return f"{service} is down, says {who}: {service.forced_reason}", service.forced_until
    if planned := service.downtime():
        return f"{service} is down by plan until {planned.ends_at:%Y-%m-%d %H:%M} UTC: {planned.reason}", None
    if service.state == DOWN:
        return f"{service} is down: {service.said}", None
    # Of what was down and cannot be seen now nobody knows that it is up; of what is looked at by nobody, it is.
    was_held = service.state == UNKNOWN and service.blind_count > 0
    return (None if was_held else ""), None


def _why_open(service: Service) -> str:
    if service.is_forced:
        return f"{service} is up, says {service.forced_by.removeprefix('user:')}: {service.forced_reason}"
    if not service.active:
        return f"{service} was put away"
    if service.gates == "nothing":
        return f"{service} gates nothing any more"
    return f"{service} is up again: {service.said}" if service.said else f"{service} is not down any more"


def _look_later(service: Service, at: datetime) -> None:
    """Say when to look again: after its period, or as soon as something begins or ends."""
    rows = Downtime.objects.filter(service=service, ended_at=None)
    ends = [
        rows.filter(begins_at__gt=at).aggregate(first=Min("begins_at"))["first"],
        rows.filter(ends_at__gt=at).aggregate(first=Min("ends_at"))["first"],
        service.forced_until if service.is_forced else None,
    ]
    wait = min([timedelta(seconds=service.every_s), *(moment - at for moment in ends if moment)])
    Service.objects.filter(pk=service.pk).update(look_at=due(max(wait, timedelta(seconds=1))))


def _note(service: Service, verb: str, actor: str, reason: str) -> None:
    transitions.record(
        [(service.pk, service.state)], "outside_service", service.state, experiment_id=service.experiment_id,
        actor=actor, reason=reason, verb=verb,
    )  # fmt: skip


# --- What people say ----------------------------------------------------------------------------------------------


def look_now(service: Service) -> Service:
    """Look at a service at once, for somebody who waits for the answer."""
    found = _look(service)
    settle_look(service.pk, found)
    return Service.objects.select_related("experiment").get(pk=service.pk)


def override(service: Service, forced: str, *, by: str, reason: str, until: datetime | None = None) -> Service:
    """Say that a service is up or down, whatever the looks find; an empty word takes that back."""
    _refuse_empty(reason)
    if forced not in (UP, DOWN, ""):
        raise Unusable("Nothing was changed.", [Problem("state", f"unknown: {forced[:20]}", "up, down, or none")])
    if until is not None and until <= now():
        raise Unusable("Nothing was changed.", [Problem("until", "is over", "a time to come, or none")])
    with transaction.atomic():
        row = Service.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=service.pk)
        if not forced and not row.forced:
            raise Unusable(f"Nobody has said that {row} is up or down; nothing was changed.")
        row.forced, row.forced_by, row.forced_reason = forced, by if forced else "", reason.strip() if forced else ""
        row.forced_until = until if forced else None
        row.save(update_fields=["forced", "forced_by", "forced_reason", "forced_until"])
        _note(row, f"force_{forced}" if forced else "end_override", by, reason.strip())
        follow(row)
    return row


def plan_downtime(service: Service, begins: datetime, ends: datetime, *, by: str, reason: str) -> Downtime:
    """Say that a service is down by plan."""
    _refuse_empty(reason)
    if ends <= begins or ends <= now():
        raise Unusable("Nothing was changed.", [Problem("until", "is not after its beginning, or is over", "later")])
    with transaction.atomic():
        row = Service.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=service.pk)
        made = Downtime.objects.create(service=row, begins_at=begins, ends_at=ends, reason=reason.strip(), actor=by)
        _note(row, "plan_downtime", by, f"from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC: {reason.strip()}")
        follow(row)
    return made


def end_downtime(service: Service, *, by: str, reason: str) -> int:
    """Take back what is planned of downtimes and not over; return how many."""
    _refuse_empty(reason)
    with transaction.atomic():
        row = Service.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=service.pk)
        number = Downtime.objects.filter(Q(service=row), ended_at=None, ends_at__gt=now()).update(ended_at=now())
        if not number:
            raise Unusable(f"No downtime of {row} is planned; nothing was changed.")
        _note(row, "end_downtime", by, reason.strip())
        follow(row)
    return number


def _refuse_empty(reason: str) -> None:
    if not reason.strip():
        raise Unusable("This needs a reason.", [Problem("reason", "is empty", "say why; it is kept in the history")])
