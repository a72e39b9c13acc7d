"""The failure atlas as people read it: trends, where a failure was seen, its jobs, and who else has it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, Sum

from core.clock import now
from core.errors import Problem, Refused
from integrations.models import Downtime, LogbookEntry, Service, Ticket
from integrations.tickets.desk import ticket_of
from poms_site.overview.words import count
from submissions.logic.escalating import page_of
from submissions.models import Failure, JobFailure, Sighting

DAYS = 14
MOST_SHOWN = 20
EXAMPLES = 10
MOST_PROVIDED = 100


@dataclass(frozen=True)
class Day:
    """One day of a trend: how many jobs, and how high its bar is in percent of the highest; its place from the left."""

    day: date
    jobs: int
    height: int
    place: int

    @property
    def top(self) -> int:
        """Return where the bar begins, in percent from above."""
        return 100 - self.height


def trends_of(failures: Collection[Failure]) -> dict[int, list[Day]]:
    """Return for each failure its jobs of the last DAYS days (UTC), in one statement."""
    today = now().date()
    begin = today - timedelta(days=DAYS - 1)
    found: dict[int, dict[date, int]] = defaultdict(dict)
    rows = Sighting.objects.filter(failure__in=[row.pk for row in failures], day__gte=begin)
    for key, day, jobs in rows.values_list("failure_id", "day").annotate(n=Sum("jobs")):
        found[key][day] = jobs
    days = [begin + timedelta(days=place) for place in range(DAYS)]
    return {row.pk: _bars(days, found[row.pk]) for row in failures}


def _bars(days: Sequence[date], jobs: dict[date, int]) -> list[Day]:
    most = max(jobs.values(), default=0)
    return [
        Day(day, n := jobs.get(day, 0), max(4, round(100 * n / most)) if n else 0, place)
        for place, day in enumerate(days)
    ]


def sites_of(failures: Collection[Failure]) -> dict[int, list[str]]:
    """Return for each failure the sites and releases of the last DAYS days; what has no name is left out."""
    begin = now().date() - timedelta(days=DAYS - 1)
    rows = Sighting.objects.filter(failure__in=[row.pk for row in failures], day__gte=begin)
    found: dict[int, set[str]] = defaultdict(set)
    for key, site, release in rows.values_list("failure_id", "site", "release").distinct():
        found[key] |= {word for word in (site, release) if word}
    return {key: sorted(words) for key, words in found.items()}


def seen_by(failure: Failure) -> dict[str, list[dict[str, Any]]]:
    """Return where a failure was seen, by campaign and stage, site, release and day: the most frequent of each."""
    rows = Sighting.objects.filter(failure=failure)
    found: dict[str, list[dict[str, Any]]] = {}
    for word, names, order in (
        ("stage", ("stage_id", "stage__name", "stage__campaign_id", "stage__campaign__name"), "-n"),
        ("site", ("site",), "-n"), ("release", ("release",), "-n"), ("day", ("day",), "-day"),
    ):  # fmt: skip
        counted = rows.values(*names).annotate(n=Sum("jobs"), core_s=Sum("core_s")).filter(n__gt=0)
        found[word] = list(counted.order_by(order, *names)[:MOST_SHOWN])
    return found


def examples_of(failure: Failure) -> list[JobFailure]:
    """Return the latest jobs of a failure, those among them whose log was read with its end."""
    rows = JobFailure.objects.filter(failure=failure).order_by("-job_id")
    return list(rows.select_related("job__experiment", "job__submission__batch__stage__campaign")[:EXAMPLES])


def tail_of(failure: Failure) -> JobFailure | None:
    """Return a job of a failure with the end of its log."""
    rows = JobFailure.objects.filter(failure=failure).exclude(tail="").order_by("-job_id")
    return rows.select_related("job__experiment").first()


def elsewhere(failure: Failure, user: Any) -> list[Failure]:
    """Return the same signature in other experiments, as far as the person may see them."""
    rows = Failure.objects.visible_to(user).filter(signature=failure.signature_id, jobs__gt=0)
    beside = ("experiment", "signature", "service__experiment")
    return list(rows.exclude(pk=failure.pk).select_related(*beside).order_by("-last_at")[:MOST_SHOWN])


def ticket_and_entries(failure: Failure) -> tuple[Ticket | None, list[LogbookEntry]]:
    """Return the ticket of a failure, and its latest entries in the logbook."""
    rows = LogbookEntry.objects.filter(experiment=failure.experiment_id, ref=failure.ref).order_by("-pk")
    return ticket_of(failure.ref), list(rows[:MOST_SHOWN])


@dataclass(frozen=True)
class Provided:
    """One service that a person provides: its downtimes to come, and the failures that go to it."""

    service: Service
    downtimes: list[Downtime]
    failures: list[Failure]


def provided_by(user: Any) -> list[Provided]:
    """Return the services that a person provides, with what goes to each, the latest first."""
    services = list(Service.objects.filter(providers=user, active=True).select_related("experiment").order_by("name"))
    planned = Downtime.objects.filter(service__in=services, ended_at=None, ends_at__gt=now()).order_by("begins_at")
    rows = Failure.objects.visible_to(user).filter(service__in=services, jobs__gt=0).order_by("-last_at", "-pk")
    failures = list(rows.select_related("experiment", "signature", "service__experiment")[:MOST_PROVIDED])
    return [
        Provided(
            service, [row for row in planned if row.service_id == service.pk],
            [row for row in failures if row.service_id == service.pk],
        )
        for service in services
    ]  # fmt: skip


# --- Lists, of pages and of the API ---------------------------------------------------------------------------------


def _seen(**where: Any) -> Exists:
    return Exists(Sighting.objects.filter(failure=OuterRef("pk"), jobs__gt=0, **where))


def _campaign(value: str) -> Exists:
    found = re.fullmatch(r"(?:[a-z][a-z0-9_-]*/)?c?([0-9]{1,18})", value)
    if not found:
        problem = Problem("campaign", f"no reference: {value[:60]}", "such as demo/c1")
        raise Refused("The list cannot be filtered so.", [problem])
    return _seen(stage__campaign_id=int(found[1]))


def _whose(value: str) -> Q:
    return Q(service=None) if value == "experiment" else Q(service__name=value)


# How a list is narrowed: the name of the filter, and what of its value a failure must fit.
NARROW: dict[str, Callable[[str], Any]] = {
    "cause": lambda value: Q(signature__cause=value),
    "owner": _whose,
    "campaign": _campaign,
    "site": lambda value: _seen(site=value),
    "release": lambda value: _seen(release=value),
    "text": lambda value: Q(signature__title__icontains=value),
    "fix": lambda value: Q(fix="") if value == "unknown" else ~Q(fix=""),
}


# --- The digest -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grown:
    """A failure of which there is news: new on a day, or more of it than on the day before."""

    failure: Failure
    day: date
    jobs: int
    before: int

    @property
    def is_new(self) -> bool:
        """Tell whether it was never seen before."""
        return self.failure.first_at.astimezone(UTC).date() >= self.day

    @property
    def line(self) -> dict[str, str]:
        """Return it as a line of a notice."""
        failure = self.failure
        grew = "new" if self.is_new else f"{self.before} the day before"
        helps = f"; what helps: {failure.fix}" if failure.fix else ""
        said = f"{count(self.jobs, 'job')}, {grew}; cause {failure.signature.cause}{helps}"
        return {"ref": failure.ref, "title": failure.signature.title, "link": page_of(failure), "said": said[:600],
                "by": ""}  # fmt: skip


def news_of(day: date, **whose: Any) -> list[Grown]:
    """Return the failures that are new on a day (UTC), or twice as many as the day before; the most frequent first."""
    recent = Failure.objects.filter(last_at__gte=datetime.combine(day, time.min, UTC), jobs__gt=0, **whose)
    seen = Sighting.objects.filter(failure__in=recent.values("pk"), day__in=(day, day - timedelta(days=1)))
    counted: dict[int, dict[date, int]] = defaultdict(dict)
    for key, on, jobs in seen.values_list("failure_id", "day").annotate(n=Sum("jobs")):
        counted[key][on] = jobs
    pairs = {key: (jobs.get(day, 0), jobs.get(day - timedelta(days=1), 0)) for key, jobs in counted.items()}
    grown = [(key, jobs, before) for key, (jobs, before) in pairs.items() if jobs and jobs >= 2 * before]
    grown.sort(key=lambda entry: (-entry[1], entry[0]))
    rows = Failure.objects.select_related("experiment", "signature", "service__experiment")
    found = rows.in_bulk([key for key, *_ in grown[:MOST_SHOWN]])
    return [Grown(found[key], day, jobs, before) for key, jobs, before in grown[:MOST_SHOWN] if key in found]
