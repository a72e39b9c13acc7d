"""What can be done from pages to services and limits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from core.clock import now
from core.errors import Problem, Refused
from integrations.models import Downtime, Service
from poms_site.web.verb import Ask, Verb
from submissions.logic import checking, limiting

STATES = (("up", "it is up"), ("down", "it is down"), ("none", "as it is found"))
STATE = Ask("state", "What it is", "one", choices=lambda v: STATES)
UNTIL = Ask("until", "Until (UTC)", "text", needed=False, help="Such as 2026-11-01 08:00; empty: until taken back.")
BEGINS = Ask("begins", "From (UTC)", "text", needed=False, help="Such as 2026-11-01 06:00; empty: from now on.")
ENDS = Ask("until", "Until (UTC)", "text", help="Such as 2026-11-01 08:00.")


def _moment(name: str, text: str) -> datetime | None:
    """Return a moment in UTC as it was typed; None where nothing was."""
    if not text.strip():
        return None
    try:
        found = parse_datetime(f"{text.strip()}+00:00")
    except ValueError:
        found = None
    if found is None:
        raise Refused("Nothing was changed.", [Problem(name, f"no time: {text[:40]}", "such as 2026-11-01 08:00")])
    return found


def _override(row: Service, user: Any, reason: str, asked: dict[str, Any]) -> None:
    state = asked.get("state", "")
    if state not in dict(STATES):
        raise Refused("Nothing was changed.", [Problem("state", "choose one", "up, down or none")])
    until = _moment("until", asked.get("until", ""))
    checking.override(row, "" if state == "none" else state, by=user.actor, reason=reason, until=until)


def _downtime(row: Service, user: Any, reason: str, asked: dict[str, Any]) -> None:
    ends = _moment("until", asked.get("until", ""))
    if ends is None:
        raise Refused("Nothing was changed.", [Problem("until", "is empty", "such as 2026-11-01 08:00")])
    begins = _moment("begins", asked.get("begins", "")) or now()
    checking.plan_downtime(row, begins, ends, by=user.actor, reason=reason)


def _gated(row: Service) -> str:
    which = f" {row.gated}" if row.gated else ""
    return f"While it is down, it holds {row.get_gates_display()}{which}."


def _has_downtime(row: Service) -> bool:
    return Downtime.objects.filter(service=row, ended_at=None, ends_at__gt=now()).exists()


SERVICE_VERBS: tuple[Verb, ...] = (
    Verb("v", "check", "Look now", "watch", lambda v: f"{v} is looked at now. {_gated(v)}",
         lambda v, user, reason, asked: checking.look_now(v) and None, lambda v: v.active, reason=False, wordless=True),
    Verb("v", "override", "Say how it is", "watch",
         lambda v: f"What you say goes before every look, until you take it back. {_gated(v)}", _override,
         lambda v: v.active, asks=(STATE, UNTIL)),
    Verb("v", "downtime", "Plan a downtime", "watch", _gated, _downtime, lambda v: v.active, asks=(BEGINS, ENDS)),
    Verb("v", "no_downtime", "No downtime", "watch", lambda v: "What is planned, or goes on by plan, is taken back.",
         lambda v, user, reason, asked: checking.end_downtime(v, by=user.actor, reason=reason) and None, _has_downtime),
    Verb("l", "remove", "Remove", "operate", lambda row: f"Nothing is limited by it any more: {row}.",
         lambda row, user, reason, asked: limiting.remove(row, actor=user.actor, reason=reason),
         lambda row: row.ended_at is None),
)  # fmt: skip
