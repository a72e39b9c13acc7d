"""Campaigns: the list with its filters, and the page of one, which is the centre of everything."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from approvals.models import Request, TestRun
from campaigns.logic import drafting
from campaigns.models import Campaign, CampaignWatcher, Revision
from campaigns.queries import defaults_of, shelved
from campaigns.states import CAMPAIGN
from core.errors import NotVisible, PomsError, Problem, Refused
from poms_site.overview import campaign_facts
from poms_site.overview.comparison import compared
from poms_site.overview.counting import WAYS
from poms_site.web import errors, live, select_verbs, verbs
from poms_site.web.home import with_progress
from poms_site.web.listing import Filter, by, listed
from poms_site.web.page import Page
from poms_site.web.things import address, find, key_path
from submissions import queries
from submissions.models import Verdict

FILTERS = (
    Filter("state", "state", by("state"), CAMPAIGN.choices()),
    Filter("name_has", "name has", by("name__icontains")),
    Filter("owner", "owner", by("owner__username")),
    Filter("tag", "tag", lambda rows, value: rows.filter(tags__contains=[value])),
    Filter("test", "test runs", lambda rows, value: rows.filter(test=value == "1"), (("0", "none"), ("1", "only"))),
    Filter("archived", "archived", shelved, (("0", "none"), ("1", "only"), ("all", "also")), always=True),
)
SLOW_SECONDS = 20.0  # how old failures, waste and time line of a large campaign may be
SLOW_LATE = 120.0
LARGE, LARGE_LATE = 50, 10.0  # of how many submissions on its progress may be shown as it was so many seconds ago
MANY_JOBS = 2000
VERDICTS = 5


class CampaignsPage(Page):
    """All campaigns of an experiment."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#campaigns"
    api = "campaigns-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them; the table lives."""
        rows = Campaign.objects.visible_to(request.user).filter(experiment=self.here)
        found = listed(request, rows.select_related("experiment", "owner"), FILTERS)
        bulk = [verbs.BY_NAME["c", name] for name in verbs.BULK if verbs.may(verbs.BY_NAME["c", name], self.held)]
        states = [(word, dict(CAMPAIGN.choices())[word]) for word in ("running", "failed", "succeeded", "approved")]
        return self.show(
            "web/campaigns.html",
            {"list": found, "rows": with_progress(found.rows), "bulk": bulk, "states": states,
             "select": select_verbs.offered("campaign", self.held, ("kill", "launch")),
             "asked_state": request.GET.get("state", "")},
        )  # fmt: skip


class CampaignPage(Page):
    """One campaign: how far, what holds it, its stages, batches, failures, time line and history."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#a-campaign"
    api = "campaigns-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        self.row = find(request.user, self.here, key)
        self.way = request.GET.get("by", "files")
        self.stage = request.GET.get("stage", "")
        if self.way not in WAYS:
            raise Refused("Progress cannot be counted so.", [Problem("by", f"unknown: {self.way}", ", ".join(WAYS))])
        watched = CampaignWatcher.objects.filter(campaign=self.row)
        mine = watched.filter(user_id=request.user.pk or 0)
        about = {"row": self.row, "watchers": watched.count(), "watching": mine.exists()}
        return self.live("web/campaign.html", "web/_campaign.html", self._facts, about)

    def _facts(self) -> dict[str, Any]:
        after = live.last_act(self.request)
        facts = live.shared(
            ("campaign", self.row.pk, self.way, self.stage), live.FRESH_SECONDS,
            lambda: campaign_facts.gather(self.row, self.way, self.stage),
            after=after, late=LARGE_LATE if queries.has_submissions(self.row, LARGE) else 0.0,
        )  # fmt: skip
        if self.stage and facts.chosen is None:
            raise NotVisible(f"{self.row.ref} has no stage {self.stage}.")
        seconds, late = (SLOW_SECONDS, SLOW_LATE) if facts.jobs > MANY_JOBS else (0.0, 0.0)
        slow = live.shared(
            ("slow", self.row.pk, self.stage), max(seconds, live.FRESH_SECONDS),
            lambda: campaign_facts.gather_slow(self.row, facts.chosen, facts.stages),
            after=after if not seconds else 0.0, late=late, made_from=self.row.ended_at,
        )  # fmt: skip
        asked = Request.objects.filter(campaign=self.row).select_related("experiment").order_by("-pk").first()
        tried = TestRun.objects.filter(campaign=self.row).select_related("request__experiment").first()
        return {
            "row": self.row, "asked": asked, "tried": tried,
            "verbs": verbs.offered("c", self.row, self.held), "way": self.way,
            "ways": WAYS, "stage": self.stage, "facts": facts, "slow": slow,
            "verdicts": Verdict.objects.filter(campaign=self.row).select_related("by").order_by("-pk")[:VERDICTS],
            "boosted_until": queries.boosted_until(self.row), "outside": queries.launched_outside(self.row),
        }  # fmt: skip


class CampaignByNamePage(Page):
    """A campaign by its name: the newest of that name."""

    rules = {"get": "view"}
    place = "campaigns"

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Go to it."""
        rows = Campaign.objects.visible_to(request.user).filter(experiment=self.here, name=name)
        row = rows.select_related("experiment").order_by("-pk").first()
        if row is None:
            raise NotVisible(f"There is no campaign {name} in {self.here.name}, or you may not see it.")
        return HttpResponseRedirect(address(row.ref))


class DefinitionPage(Page):
    """The definition of a campaign, in its revisions: read, compared, restored, and what can be done with it."""

    rules = {"get": "view", "post": "file_request"}
    place = "campaigns"
    help = "/docs/guide/definition/"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the running revision, or the one that is asked for by number, or compare it with another."""
        return self._page(find(request.user, self.here, key))

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        """Restore a revision: its text is saved again, as the next draft."""
        row = find(request.user, self.here, key)
        number, base = (request.POST.get(name, "") for name in ("restore", "base"))
        try:
            saved = drafting.restore(row, _whole(number), by=request.user, base=_whole(base))
        except PomsError as error:
            return self._page(row, error)
        messages.success(request, f"Revision {saved.number} says again what revision {number} said.")
        return HttpResponseRedirect(request.path, status=303)

    def _page(self, row: Campaign, error: PomsError | None = None) -> HttpResponse:
        revisions = list(Revision.objects.filter(campaign=row).select_related("author").order_by("-number"))
        asked = {name: self._asked(row, revisions, name) for name in ("revision", "from")}
        running = next((r for r in revisions if r.pk == row.revision_id), revisions[0] if revisions else None)
        shown, begin = asked["revision"] or running, asked["from"]
        context = {
            "row": row, "revisions": revisions, "shown": shown, "begin": begin,
            "verbs": verbs.of_library(row, self.held), "edits": drafting.may_edit(row, self.request.user),
            "error": error and errors.detail_of(error),
            "problems": error.problems if error else (),
        }  # fmt: skip
        if begin and shown:
            context["compared"] = compared(begin.source, shown.source, defaults_of(self.here))
        return self.show("web/definition.html", context, status=errors.status_of(error) if error else 200)

    def _asked(self, row: Campaign, revisions: list[Revision], name: str) -> Revision | None:
        wanted = self.request.GET.get(name, "")
        chosen = next((r for r in revisions if str(r.number) == wanted), None)
        if wanted and chosen is None:
            raise NotVisible(f"{row.ref} has no revision {wanted[:20]}.")
        return chosen


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise Refused("Nothing was restored.", [Problem("number", f"no number of a revision: {text[:20]}")])
    return int(text)


urlpatterns = [
    path("e/<slug:experiment>/campaigns/", CampaignsPage.as_view(), name="campaigns"),
    key_path("", CampaignPage.as_view(), "campaign", "c"),
    key_path("definition/", DefinitionPage.as_view(), "campaign-definition", "c"),
    path("e/<slug:experiment>/campaigns/<str:name>/", CampaignByNamePage.as_view(), name="campaign-by-name"),
]
