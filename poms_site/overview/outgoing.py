"""What goes out about an experiment: its webhook, service desk and logbook, and the messages that did not get there."""

from __future__ import annotations

from typing import Any

from experiments.models import Experiment
from experiments.queries import is_administrator
from integrations.logbooks import book
from integrations.models import Desk, Message, Notice, Webhook
from integrations.notices import outbox
from integrations.notices.models import FAILED, KEPT
from integrations.tickets import desk


def messages_about(experiment: Experiment, user: Any) -> Any:
    """Return the messages about an experiment; who administers everything sees those about none as well."""
    rows = Message.objects.filter(pk__in=Notice.objects.filter(experiment=experiment).values("messages"))
    if is_administrator(user):
        rows |= Message.objects.filter(pk__in=Notice.objects.filter(experiment=None).values("messages"))
    return rows


def outgoing(experiment: Experiment, user: Any) -> dict[str, Any]:
    """Return where things go, and how many messages did not get there; what is not set is None."""
    hook = Webhook.objects.filter(experiment=experiment).first()
    place = Desk.objects.filter(experiment=experiment, active=True).first()
    kept = book.book_of(experiment)
    stuck = messages_about(experiment, user).filter(outcome__in=(FAILED, KEPT))
    return {
        "experiment": experiment.name, "webhook": {"url": hook.url} if hook else None,
        "desk": {"url": place.url, "credential": place.credential, "group": place.group} if place else None,
        "logbook": {"url": kept.url, "credential": kept.credential, "category": kept.category} if kept else None,
        "stuck": stuck.count(),
    }  # fmt: skip


def try_again(experiment: Experiment, user: Any) -> int:
    """Let messages, tickets and entries that did not get there be tried anew; return how many."""
    return outbox.try_again(messages_about(experiment, user)) + desk.try_again(experiment) + book.try_again(experiment)
