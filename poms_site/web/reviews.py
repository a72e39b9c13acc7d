"""Reviews: what waits for a reviewer, a reproduction with its verdict, and the package of a batch."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from experiments.rules import SIGNED_IN
from experiments.scoping import experiment_ids
from poms_site.overview import package, reviews, run_report
from poms_site.overview.handing_over import as_file
from poms_site.web import frame, verbs
from poms_site.web.listing import Filter, by, by_key, listed
from poms_site.web.page import Page
from poms_site.web.things import find, key_path
from poms_site.web.work import steps_of
from submissions.models import Reproduction
from submissions.states import REPRODUCTION

FILTERS = (
    Filter("state", "state", by("state"), REPRODUCTION.choices()),
    Filter("batch", "batch", by_key("batch_id", "b")),
    Filter("campaign", "campaign", by_key("batch__stage__campaign_id", "c")),
)


class ReviewsPage(Page):
    """What waits for a reviewer in one experiment."""

    rules = {"get": "view"}
    place = "reviews"
    help = "/docs/guide/pages/#reviews"
    api = "reviews-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it."""
        return self.show("web/reviews.html", {"found": reviews.inbox([self.here]), "signs": "sign_off" in self.held})


class AllReviewsPage(Page):
    """What waits for a reviewer wherever the person is one."""

    rules = {"get": SIGNED_IN}
    place = "reviews"
    help = "/docs/guide/pages/#reviews"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it."""
        mine = set(experiment_ids(request.user, "sign_off"))
        where = [row for row in frame.experiments_of(request) if row.pk in mine]
        return self.show("web/reviews.html", {"found": reviews.inbox(where), "where": where, "signs": True})


class ReproductionsPage(Page):
    """All batches that were made again."""

    rules = {"get": "view"}
    place = "reviews"
    help = "/docs/guide/pages/#a-reproduction"
    api = "reproductions-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = Reproduction.objects.visible_to(request.user).filter(experiment=self.here).defer("package")
        beside = ("experiment", "batch__experiment", "batch__stage__campaign__experiment", "by")
        return self.show(
            "web/reproductions.html", {"list": listed(request, rows.select_related(*beside), FILTERS)}
        )  # fmt: skip


class ReproductionPage(Page):
    """One reproduction: its verdict, everything that differs, and what reviewers said."""

    rules = {"get": "view"}
    place = "reviews"
    help = "/docs/guide/pages/#a-reproduction"
    api = "reproductions-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it; it lives."""
        self.row = find(request.user, self.here, key)
        return self.live("web/reproduction.html", "web/_reproduction.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        return {
            "row": row, "verbs": verbs.offered("p", row, self.held),
            "steps": steps_of({"reproduction": [row.pk]}, self.here.name),
        }  # fmt: skip


class PackagePage(Page):
    """The package of a batch, as a file."""

    rules = {"get": "view"}

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Hand it over."""
        row = find(request.user, self.here, key)
        return as_file(package.name_of(row), package.package_of(row))


class RunReportPage(Page):
    """The report of a campaign's run, as one file that needs nothing else."""

    rules = {"get": "view"}

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Hand it over: it has its own style in it, which no page of ours may."""
        row = find(request.user, self.here, key)
        return as_file(f"{row.ref.replace('/', '-')}.html", run_report.report_of(row).encode())


urlpatterns = [
    path("reviews/", AllReviewsPage.as_view(), name="reviews-all"),
    path("e/<slug:experiment>/reviews/", ReviewsPage.as_view(), name="reviews"),
    path("e/<slug:experiment>/reproductions/", ReproductionsPage.as_view(), name="reproductions"),
    key_path("", ReproductionPage.as_view(), "reproduction", "p"),
    key_path("package/", PackagePage.as_view(), "batch-package", "b"),
    key_path("report/", RunReportPage.as_view(), "campaign-report", "c"),
]
