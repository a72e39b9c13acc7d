"""Tickets brought up to date: what is wanted is written with the event, said later, and never makes two tickets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import F

from core import clock
from core.crashpoints import crashpoint
from core.errors import Problem
from core.errors import Refused as NotDone
from core.transitions import record
from experiments.models import Experiment
from integrations import telling
from integrations.tickets.base import ServiceDesk, TicketSeen
from integrations.tickets.models import Desk, Ticket, TicketNote
from integrations.tickets.servicenow import ServiceNow

SYSTEMS: dict[str, type[ServiceDesk]] = {"servicenow": ServiceNow}


# --- What is wanted ---------------------------------------------------------------------------------------------


def ticket_of(ref: str) -> Ticket | None:
    """Return the ticket of a thing, such as demo/r7, if it has one; `number` is empty until the desk has made it."""
    return Ticket.objects.filter(ref=ref).first()


def open_for(experiment_ids: Iterable[Any]) -> set[int]:
    """Return those of the experiments that have a desk."""
    wanted = set(experiment_ids)
    if not wanted:
        return set()
    return set(Desk.objects.filter(experiment_id__in=wanted, active=True).values_list("experiment_id", flat=True))


def want(experiment: Experiment, ref: str, *, title: str, text: str) -> None:
    """Want a ticket for a thing; one that is there stays the only one."""
    values = {
        "experiment": experiment, "title": title[:160], "text": text, "due_at": clock.now(),
        "correlation": f"poms.{ref.replace('/', '.')}",
    }  # fmt: skip
    Ticket.objects.get_or_create(ref=ref, defaults=values)


def tell(ref: str, key: str, text: str, *, closes: bool) -> None:
    """Want something said in the ticket of a thing, where it has one."""
    ticket = ticket_of(ref)
    if ticket is None:
        return
    TicketNote.objects.get_or_create(ticket=ticket, key=key, defaults={"text": text, "closes": closes})
    Ticket.objects.filter(pk=ticket.pk).update(due_at=clock.due(), tries=0)


@transaction.atomic
def set_desk(
    experiment: Experiment, *, url: str, credential: str, group: str, by: Any, reason: str, system: str = "servicenow"
) -> None:
    """Set, change or (without address) close the desk of an experiment."""
    url, credential, group = url.strip(), credential.strip(), group.strip()
    problems = []
    if system not in SYSTEMS:
        problems.append(Problem("system", f"unknown: {system[:20]}", f"one of {', '.join(SYSTEMS)}"))
    elif url:
        problems += SYSTEMS[system].problems(url, credential, group)
    if ":" in credential or len(credential) > 40:
        problems.append(Problem("credential", "is no name", "the secret itself stands in the environment of workers"))
    if len(group) > 100:
        problems.append(Problem("group", "is longer than 100 characters"))
    if not reason.strip():
        problems.append(Problem("reason", "is empty", "say why; it is kept in the history"))
    if problems:
        raise NotDone("The service desk was not changed.", problems)
    values = {"system": system, "url": url, "credential": credential, "group": group, "active": True}
    if url:
        Desk.objects.update_or_create(experiment=experiment, defaults=values)
    else:
        Desk.objects.filter(experiment=experiment).update(active=False)
    told = f"tickets are opened at {url}" if url else "no tickets are opened any more"
    record(
        [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk,
        actor=by.actor, reason=f"{told}: {reason.strip()}", verb="set_desk",
    )  # fmt: skip


def try_again(experiment: Experiment) -> int:
    """Let tickets of an experiment that did not come about be tried anew; return how many."""
    rows = Ticket.objects.filter(experiment=experiment).exclude(error="")
    return rows.update(due_at=clock.due(), tries=0)


# --- Saying it --------------------------------------------------------------------------------------------------


def bring_up_to_date() -> int:
    """Claim tickets about which something is to be done, and do it; return how many were claimed."""
    found = telling.claimed(Ticket)
    desks: dict[int, ServiceDesk | None] = {}
    for ticket in found:
        if ticket.experiment_id not in desks:
            desks[ticket.experiment_id] = _desk(ticket.experiment_id)
        _one(ticket, desks[ticket.experiment_id])
    return len(found)


def _desk(experiment_id: int) -> ServiceDesk | None:
    row = Desk.objects.filter(experiment_id=experiment_id, active=True).first()
    return SYSTEMS[row.system](row.url, row.credential, row.group) if row else None


def _one(ticket: Ticket, desk: ServiceDesk | None) -> None:
    """Bring one ticket up to date; what did not work is tried again later, what is refused waits for a person."""
    # Only while the claim is still ours: what is wanted meanwhile sets it due again, and that stays.
    rows = Ticket.objects.filter(pk=ticket.pk, due_at=ticket.due_at)
    if desk is None:
        rows.update(due_at=None, error="the experiment has no service desk any more")
        return
    with telling.tried(rows, ticket.tries, "ticket", ticket=ticket.ref):
        _say_all(ticket, desk)
        rows.update(due_at=None, tries=0, error="")


def _say_all(ticket: Ticket, desk: ServiceDesk) -> None:
    if not ticket.sys_id:
        _keep(ticket, desk.open(ticket.correlation, ticket.title, ticket.text))
    for note in TicketNote.objects.filter(ticket=ticket, told_at=None).order_by("pk"):
        rows = TicketNote.objects.filter(pk=note.pk)
        rows.update(tries=F("tries") + 1)
        desk.note(ticket.sys_id, note.text, mark=f"poms {note.key}", again=note.tries > 0)
        crashpoint("notify.after_note")
        if note.closes:
            _keep(ticket, desk.close(ticket.sys_id, note.text))
        rows.update(told_at=clock.due())


def _keep(ticket: Ticket, seen: TicketSeen) -> None:
    ticket.sys_id = seen.sys_id
    crashpoint("notify.after_ticket")
    Ticket.objects.filter(pk=ticket.pk).update(
        sys_id=seen.sys_id, number=seen.number, standing=seen.standing, link=seen.link
    )
