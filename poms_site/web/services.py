"""Services: what launches need outside, how it is and was, and what is held; limits beside (P1, J10)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import path

from core.clock import now
from core.errors import NotVisible
from integrations.models import Downtime, Service, ServiceState
from integrations.probes.kinds import PROBES
from poms_site.web import verbs
from poms_site.web.listing import Filter, by, listed
from poms_site.web.page import Page
from poms_site.web.things import key_path
from poms_site.web.work import steps_of
from submissions import queries
from submissions.logic import limiting
from submissions.models import Hold

STRIP = timedelta(days=1)
CELLS = 48
WORST = ("down", "degraded", "unknown", "up")
HOLD_FILTERS = (
    Filter("scope", "scope", by("scope"), [(name, name) for name, _ in Hold._meta.get_field("scope").choices or ()]),
)


class ServicesPage(Page):
    """The services of an experiment, and those of all."""

    rules = {"get": "view"}
    place = "services"
    help = "/docs/guide/services/"
    api = "services-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show them; the page lives."""
        return self.live("web/services.html", "web/_services.html", self._facts, {})

    def _facts(self) -> dict[str, Any]:
        mine = Service.objects.visible_to(self.request.user).filter(Q(experiment=self.here) | Q(experiment=None))
        rows = list(mine.filter(active=True).select_related("experiment").order_by("name", "pk"))
        planned = Downtime.objects.filter(service__in=rows, ended_at=None, ends_at__gt=now()).order_by("begins_at")
        strips = strips_of(rows)
        return {
            "rows": [
                {"row": row, "strip": strips[row.pk], "key": f"v{row.pk}",
                 "planned": next((d for d in planned if d.service_id == row.pk), None)}
                for row in rows
            ],
            "holds": standing(self.here), "limits": limiting.standing(experiment=self.here),
            "of_all": limiting.standing(experiment=None), "hours": int(STRIP.total_seconds() // 3600),
        }  # fmt: skip


class ServicePage(Page):
    """One service: what the looks find, who says otherwise, its downtimes, its history."""

    rules = {"get": "view"}
    place = "services"
    help = "/docs/guide/services/"
    api = "services-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it; it lives."""
        mine = Service.objects.visible_to(request.user).filter(Q(experiment=self.here) | Q(experiment=None))
        row = mine.select_related("experiment").filter(pk=int(key[1:])).first()
        if row is None:
            raise NotVisible(f"There is no {self.here.name}/{key}, or you may not see it.")
        self.row = row
        return self.live("web/service.html", "web/_service.html", self._facts, {"row": row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        planned = Downtime.objects.filter(service=row).order_by("-begins_at")
        own = row.experiment is not None
        return {
            "row": row, "verbs": verbs.offered("v", row, self.held) if own else [], "strip": strips_of([row])[row.pk],
            "looks": PROBES[row.kind][0] if row.kind in PROBES else "nobody looks: people say how it is",
            "settings": sorted(row.settings.items()), "figures": sorted(row.figures.items()),
            "downtimes": planned[:20], "now": now(), "hours": int(STRIP.total_seconds() // 3600),
            "holds": queries.standing_holds().filter(service=row).select_related("experiment", "service"),
            "states": ServiceState.objects.filter(service=row).order_by("-at", "-pk")[:50],
            "steps": steps_of({"outside_service": [row.pk]}, self.here.name),
        }  # fmt: skip


class HoldsPage(Page):
    """What is not launched: by whom, why, until when; and the limits."""

    rules = {"get": "view"}
    place = "services"
    help = "/docs/guide/services/#holds"
    api = "holds-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of the holds that stand."""
        rows = queries.standing_holds().filter(Q(experiment=self.here) | Q(experiment=None))
        beside = ("experiment", "campaign__experiment", "stage__campaign__experiment", "batch__experiment",
                  "service__experiment")  # fmt: skip
        found = listed(request, rows.select_related(*beside), HOLD_FILTERS)
        for row in found.rows:
            row.verbs = verbs.offered("h", row, self.held) if row.experiment_id else []
        limits = limiting.standing(experiment=self.here)
        offered = [(row, verbs.offered("l", row, self.held)) for row in limits]
        offered += [(row, []) for row in limiting.standing(experiment=None)]
        return self.show("web/holds.html", {"list": found, "limits": offered})


def standing(experiment: Any) -> int:
    """Return how many holds stand that concern an experiment."""
    return queries.standing_holds().filter(Q(experiment=experiment) | Q(experiment=None)).count()


def strips_of(rows: list[Service]) -> dict[int, list[tuple[datetime, str]]]:
    """Return for each service the worst that it was in each part of the last day, the oldest first."""
    end = now()
    begin, size = end - STRIP, STRIP / CELLS
    spans: dict[int, list[ServiceState]] = {row.pk: [] for row in rows}
    for span in ServiceState.objects.filter(service__in=rows).between(begin, end):
        spans[span.service_id].append(span)
    found = {}
    for row in rows:
        cells = []
        for number in range(CELLS):
            since = begin + number * size
            seen = {s.target for s in spans[row.pk] if s.at < since + size and (s.until is None or s.until > since)}
            cells.append((since, next((state for state in WORST if state in seen), "unknown")))
        found[row.pk] = cells
    return found


urlpatterns = [
    path("e/<slug:experiment>/services/", ServicesPage.as_view(), name="services"),
    path("e/<slug:experiment>/holds/", HoldsPage.as_view(), name="holds"),
    key_path("", ServicePage.as_view(), "service", "v"),
]
