"""Home: what waits for me, and what runs; the overview that guests see too; the page of all components."""

from __future__ import annotations

from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse

from campaigns.models import Campaign, CampaignWatcher
from experiments.rules import PUBLIC, SIGNED_IN
from experiments.scoping import held_on
from poms_site.overview.glance import glances
from poms_site.overview.progress import percent, progress_of_campaigns
from poms_site.overview.waiting import waiting_for
from poms_site.overview.words import LOOKS
from poms_site.web import frame
from poms_site.web.page import Page

RECENT = 10
WATCHED = 30


class HomePage(Page):
    """What waits for the person in every experiment, then what runs in the one at hand."""

    rules = {"get": SIGNED_IN}
    place = "home"
    help = "/docs/guide/pages/#home"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it."""
        return self.live("web/home.html", "web/_home.html", self._facts, {})

    def _facts(self) -> dict[str, Any]:
        experiments = frame.experiments_of(self.request)
        waiting, open_to = [], []
        for experiment in experiments:
            held = held_on(self.request.user, experiment)
            waiting += waiting_for(self.request.user, experiment, held)
            if "view" in held:
                open_to.append(experiment)
        rows = Campaign.objects.visible_to(self.request.user).select_related("experiment")
        running = list(rows.filter(state__in=("approved", "running")).order_by("-rank", "-pk")[:RECENT])
        watching = CampaignWatcher.objects.filter(user_id=self.request.user.pk or 0).values("campaign")
        watched = list(rows.filter(pk__in=watching).order_by("-pk")[:WATCHED])
        progress = with_progress([*running, *watched])
        ended = list(rows.filter(ended_at__isnull=False).order_by("-ended_at")[:RECENT])
        return {
            "waiting": waiting, "running": progress[: len(running)], "watched": progress[len(running) :],
            "ended": ended, "experiments": experiments,
            "glances": glances([row for row in experiments if row not in open_to]),
            "open_to": open_to, "here": frame.current_experiment(self.request, self),
        }  # fmt: skip

    def live_key(self) -> tuple[str, ...]:
        """Home is everybody's own, and leads on to the experiment that one looked at last."""
        here = frame.current_experiment(self.request, self)
        return (f"user:{self.request.user.pk}", here.name if here else "")


class OverviewPage(Page):
    """An experiment at a glance: which campaigns there are and how far they are; all that a guest sees."""

    rules = {"get": "view_overview"}
    place = "overview"
    help = "/docs/guide/pages/#overview"
    api = "overview"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it."""
        return self.live("web/overview.html", "web/_overview.html", self._facts, {})

    def _facts(self) -> dict[str, Any]:
        rows = Campaign.objects.filter(experiment=self.here).select_related("experiment")
        states = dict(rows.values_list("state").annotate(n=Count("pk")).order_by())
        running = list(rows.filter(state__in=("approved", "running")).order_by("-rank", "-pk")[:50])
        return {"states": sorted(states.items()), "running": with_progress(running)}

    def api_address(self, **kwargs: Any) -> str:
        """Return the API's overview, which is of all experiments that one may see."""
        return super().api_address().partition("?")[0]


class StylePage(Page):
    """Every component once, for those who build pages: what the screenshots and axe look at."""

    rules = {"get": PUBLIC}
    help = "/docs/develop/pages/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them."""
        by_mark: dict[str, Any] = {}
        for state, look in LOOKS.items():
            by_mark.setdefault(look.mark, (look, []))[1].append(state)
        progress = {"units": 100, "done": 71, "running": 14, "failed": 4, "waiting": 11}
        return self.show(
            "web/style.html", {"looks": by_mark.values(), "progress": progress, "percent": percent(progress)}
        )


def with_progress(campaigns: list[Campaign]) -> list[tuple[Campaign, dict[str, int], str]]:
    """Return campaigns with their progress by files and its percentage."""
    by_campaign = progress_of_campaigns(campaigns)
    empty = dict.fromkeys(("units", "done", "running", "failed", "waiting"), 0)
    found = [(row, by_campaign.get(row.pk, empty)) for row in campaigns]
    return [(row, progress, percent(progress)) for row, progress in found]
