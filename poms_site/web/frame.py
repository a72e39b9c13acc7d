"""The frame around every page: where one is, where one can go, what waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.urls import reverse

from approvals import queries as requests
from experiments.models import Experiment
from experiments.scoping import experiments_for, held_on, holds_anywhere
from integrations.models import Notice
from submissions.models import Hold
from submissions.queries import stops_over

ADMIN = ("decide_request", "define", "administer")
MOST_UNREAD = 99


@dataclass(frozen=True)
class Place:
    """One entry of the navigation; `count` is how many things wait there."""

    key: str
    word: str
    address: str
    count: int = 0


# Key, word, route, and the permission that the place needs on the experiment.
_PLACES = (
    ("shift", "Shift", "shift", "view"),
    ("requests", "Requests", "requests", "view"),
    ("queue", "Queue", "queue", "view"),
    ("campaigns", "Campaigns", "campaigns", "view"),
    ("schedules", "Schedules", "schedules", "view"),
    ("jobs", "Jobs", "jobs", "view"),
    ("files", "Files", "files", "view"),
    ("sites", "Sites", "sites", "view"),
    ("failures", "Failures", "failures", "view"),
    ("reports", "Reports", "reports", "view"),
    ("reviews", "Reviews", "reviews", "view"),
    ("services", "Services", "services", "view"),
    ("credentials", "Credentials", "credentials", "view"),
    ("shifts", "Shifts", "shifts", "view"),
    ("outbox", "Outbox", "outbox", "administer"),
)


def experiments_of(request: HttpRequest) -> list[Experiment]:
    """Return the experiments that the person may see, asked once a request."""
    known = getattr(request, "_experiments", None)
    if known is None:
        # With them, in the same statement, whether an emergency stop stands: every page says so.
        seen = experiments_for(request.user, "view_overview").annotate(stopped=Exists(stops_over(OuterRef("pk"))))
        known = list(seen) if request.user.is_authenticated else []
        request._experiments = known  # type: ignore[attr-defined]  # ours, on Django's request
    return list(known)


def current_experiment(request: HttpRequest, page: Any) -> Experiment | None:
    """Return the experiment of the address, else the one looked at last, else the first that one may see."""
    if (named := getattr(page, "experiment", None)) is not None:
        return named
    rows = experiments_of(request)
    last = request.session.get("experiment") if hasattr(request, "session") else None
    return next((row for row in rows if row.name == last), rows[0] if rows else None)


def places(request: HttpRequest, experiment: Experiment | None, held: frozenset[str]) -> list[Place]:
    """Return where the person can go from here."""
    decides = holds_anywhere(request.user, ("decide_request",))
    found = [Place("home", "Home", reverse("home"), requests.waiting_for(request.user).count() if decides else 0)]
    if experiment is not None:
        if "view_overview" in held:
            found.append(Place("overview", "Overview", reverse("overview-page", args=[experiment.name])))
        found += [
            Place(key, word, reverse(route, args=[experiment.name]))
            for key, word, route, permission in _PLACES
            if permission in held
        ]
    return found


def unread(request: HttpRequest) -> str:
    """Return how many notices the person has not read, no more than a hundred counted."""
    number = Notice.objects.visible_to(request.user).filter(read_at=None)[: MOST_UNREAD + 1].count()
    return f"{MOST_UNREAD}+" if number > MOST_UNREAD else str(number or "")


def context(request: HttpRequest, page: Any) -> dict[str, Any]:
    """Return what base.html shows around a page."""
    help_address = getattr(page, "help", "/docs/")
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {
            "page": page, "help": help_address, "places": [], "experiments": [], "current": None,
            "version": settings.VERSION, **_contacts(),
        }  # fmt: skip
    experiment = current_experiment(request, page)
    held = getattr(page, "held", None) or (held_on(request.user, experiment) if experiment else frozenset())
    return {
        "page": page, "help": help_address, "place": getattr(page, "place", ""), "current": experiment,
        "experiments": experiments_of(request), "places": places(request, experiment, held), "may": held,
        "stops": stops_on(experiment) if getattr(experiment, "stopped", False) else (),
        "version": settings.VERSION, "administers": holds_anywhere(request.user, ADMIN), "unread": unread(request),
        **_contacts(),
    }  # fmt: skip


def stops_on(experiment: Experiment | None) -> list[Hold]:
    """Return the emergency stops that stand over an experiment, for the banner."""
    return list(stops_over(experiment).select_related("experiment").order_by("pk")) if experiment else []


def _contacts() -> dict[str, str]:
    """Return what the foot of every page names, where the installation has it."""
    return {"privacy": settings.PRIVACY_URL, "incidents": settings.INCIDENT_CONTACT}
