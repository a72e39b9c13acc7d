"""How people want to be told: their choices, the hour of their digest, and their webhook."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.db import transaction

from core.errors import Problem, Refused
from core.transitions import record
from experiments.models import Experiment
from experiments.queries import on_shift
from integrations import errors, http
from integrations.notices.kinds import BY_KEY, HOW
from integrations.notices.models import Choices, Webhook

# Later than any transaction that composes: what is entered into a digest is in it before it goes out.
LEAD = timedelta(minutes=2)


def choices_of(user: Any) -> Choices:
    """Return a person's choices; who has never chosen has the defaults."""
    return Choices.objects.filter(user_id=user.pk).first() or Choices(user=user)


def choices_of_all(users: Iterable[Any]) -> dict[int, Choices]:
    """Return the choices of many people, by their key."""
    wanted = {user.pk: user for user in users}
    found = {row.user_id: row for row in Choices.objects.filter(user_id__in=wanted)}
    return {key: found.get(key) or Choices(user=user) for key, user in wanted.items()}


def on_duty(experiment: Experiment, people: Iterable[Any]) -> list[Any]:
    """Return who of the shift list is told instead of all these people: who is on it now; nobody is: all of them."""
    return list(on_shift(experiment)) or list(people)


def webhook_of(user: Any) -> Webhook | None:
    """Return a person's webhook."""
    return Webhook.objects.filter(user_id=user.pk).first()


def next_digest(choices: Choices, after: datetime) -> datetime:
    """Return when a person's next digest goes out that can still be added to; by their own clock."""
    zone = ZoneInfo(choices.zone)
    local = (after + LEAD).astimezone(zone)
    day = local.replace(hour=choices.digest_hour, minute=0, second=0, microsecond=0, fold=0)
    if day < local:
        day = (day + timedelta(days=1)).replace(fold=0)
    return day


@transaction.atomic
def choose(
    user: Any, *, kinds: Mapping[str, str], digest_hour: int | None = None, zone: str | None = None,
    webhook: str | None = None,
) -> Choices:  # fmt: skip
    """Keep what a person has chosen; what is not named stays as it is. An empty webhook takes it away."""
    problems = [
        Problem(key, f"unknown kind or way: {how}", f"kinds {', '.join(BY_KEY)}; ways {', '.join(HOW)}")
        for key, how in kinds.items()
        if key not in BY_KEY or how not in HOW
    ]
    if digest_hour is not None and not 0 <= digest_hour <= 23:
        problems.append(Problem("digest_hour", f"{digest_hour} is not between 0 and 23"))
    if zone is not None and zone not in available_timezones():
        problems.append(Problem("zone", f"no time zone: {zone[:60]}", "such as Europe/Zurich or America/Chicago"))
    if webhook:
        problems += address_problems("webhook", webhook)
    if problems:
        raise Refused("Your choices were not kept.", problems)
    row = choices_of(user)
    row.kinds = {**row.kinds, **kinds}
    row.digest_hour = row.digest_hour if digest_hour is None else digest_hour
    row.zone = zone or row.zone
    row.save()
    if webhook is not None:
        _set_webhook(webhook, user=user)
    return row


@transaction.atomic
def set_webhook(experiment: Experiment, url: str, *, by: Any, reason: str) -> None:
    """Set, change or (empty) take away the webhook of an experiment."""
    problems = address_problems("url", url) if url else []
    if not reason.strip():
        problems.append(Problem("reason", "is empty", "say why; it is kept in the history"))
    if problems:
        raise Refused("The webhook was not changed.", problems)
    _set_webhook(url, experiment=experiment)
    told = f"notices go to {url}: {reason.strip()}" if url else f"notices go to no webhook any more: {reason.strip()}"
    record(
        [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk,
        actor=by.actor, reason=told, verb="set_webhook",
    )  # fmt: skip


def address_problems(field: str, url: str) -> list[Problem]:
    """Return what is wrong with an address to be called."""
    try:
        http.check(url)
    except errors.Refused as error:
        return [Problem(field, str(error), "https://… of a host on the public internet")]
    return [] if len(url) <= 400 else [Problem(field, "is longer than 400 characters")]


def _set_webhook(url: str, **whose: Any) -> None:
    if not url:
        Webhook.objects.filter(**whose).delete()
    elif not Webhook.objects.filter(**whose, url=url).exists():  # another address gets another secret
        Webhook.objects.update_or_create(**whose, defaults={"url": url, "salt": secrets.token_hex()})
