"""Reports: how a day, a week or all there was went, to read, to print, to download, and by mail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.rules import SIGNED_IN
from experiments.scoping import experiments_for
from integrations.notices import choosing
from integrations.notices.kinds import AT_ONCE, NONE
from poms_site.overview import reports
from poms_site.overview.asked_period import period_asked
from poms_site.overview.periods import DAY, KINDS, Period
from poms_site.overview.report_csv import csv_of
from poms_site.overview.report_figures import BY_KEY, FIGURES, Figure, Value
from poms_site.overview.report_mails import KIND_OF
from poms_site.overview.report_pdf import pdf_of
from poms_site.overview.report_words import change, told, verdict
from poms_site.web import live, things
from poms_site.web.page import Page

FRESH_SECONDS = 60.0
WHEN = {"day": "each day", "week": "each Monday"}
TILES = ("filed", "submitted", "succeeded", "success", "used", "wasted")
OF_EXPERIMENTS = ("filed", "submitted", "succeeded", "failed", "success", "used", "wasted", "result_median")
OF_STAGES = ("submitted", "succeeded", "failed", "success", "used", "wasted", "efficiency")
FORMS: dict[str, tuple[str, Callable[[reports.Report], str | bytes]]] = {
    "csv": ("text/csv; charset=utf-8", csv_of),
    "pdf": ("application/pdf", pdf_of),
}


@dataclass(frozen=True)
class Cell:
    """One figure as the page shows it: its value, the one before, what has changed, and whether that is better."""

    word: str
    value: str
    before: str
    change: str
    verdict: str


def cell(figure: Figure, value: Value, before: Value) -> Cell:
    """Return a figure as the page shows it."""
    found = change(figure, value, before), verdict(figure, value, before)
    return Cell(figure.word, told(figure, value), told(figure, before), *found)


class ReportsPage(Page):
    """The report of one experiment: to read, and as a file."""

    rules = {"get": "view"}
    place = "reports"
    help = "/docs/guide/reports/"
    api = "reports-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it, or send it as a file."""
        period = period_asked(request.GET.get("period", ""), request.GET.get("on", ""))
        found = self._report(period)
        if form := request.GET.get("as", ""):
            return self._file(found, form)
        return self.show("web/reports.html", self._context(found))

    def experiments(self) -> list[Experiment]:
        """Return what the report is about."""
        return [self.here]

    def _report(self, period: Period) -> reports.Report:
        rows = self.experiments()
        key = ("reports", tuple(row.pk for row in rows), period)
        found: reports.Report = live.shared(key, FRESH_SECONDS, lambda: reports.report(rows, period))
        return found

    def _file(self, found: reports.Report, form: str) -> HttpResponse:
        if form not in FORMS:
            raise Refused("There is no such file.", [Problem("as", f"unknown: {form[:40]}", " or ".join(FORMS))])
        kind, write = FORMS[form]
        name = "-".join(filter(None, ["poms", self.experiment.name if self.experiment else "", found.period.name]))
        headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
        return HttpResponse(write(found), content_type=kind, headers=headers)

    def _context(self, found: reports.Report) -> dict[str, Any]:
        chosen = choosing.choices_of(self.request.user)
        return {
            "report": found, "period": found.period, "kinds": KINDS, "tiles": _cells(found.total, TILES),
            "sections": _sections(found.total),
            "experiment_heads": [BY_KEY[key].word for key in OF_EXPERIMENTS],
            "rows": [(row, found.backlog[row.experiment], _cells(row, OF_EXPERIMENTS)) for row in found.experiments],
            "stage_heads": [BY_KEY[key].word for key in OF_STAGES],
            "stages": [(row, _address(row.ref), _cells(row, OF_STAGES)) for row in found.stages],
            "asked_on": (found.period.end - DAY if found.period.kind == "all" else found.period.begin).isoformat(),
            "dashboards": reports.dashboards(self.experiment.name if self.experiment else ""),
            "wanted": {kind: chosen.how(KIND_OF[kind]) != NONE for kind in KIND_OF},
        }  # fmt: skip


class AllReportsPage(ReportsPage):
    """The report of all experiments into which one may look; who wants it by mail says so here."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}

    def experiments(self) -> list[Experiment]:
        """Return all that one may look into; for a supervisor, all there are."""
        return list(experiments_for(self.request.user, "view").order_by("name"))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Keep by which mails one wants reports."""
        wanted = {KIND_OF[kind]: AT_ONCE if request.POST.get(kind) else NONE for kind in KIND_OF}
        choosing.choose(request.user, kinds=wanted)
        told = " and ".join(WHEN[kind] for kind in KIND_OF if request.POST.get(kind))
        messages.success(request, f"You get the report by mail {told}." if told else "You get no reports by mail.")
        return HttpResponseRedirect(reverse("reports-all"), status=303)


def _address(stage: str) -> str:
    """Return the page of a stage such as demo/c1/gen: its campaign's, narrowed to it."""
    campaign, _, name = stage.rpartition("/")
    return f"{things.address(campaign)}?{urlencode({'stage': name})}"


def _cells(row: reports.Line, keys: Iterable[str]) -> list[Cell]:
    return [cell(BY_KEY[key], row.now[key], row.before[key]) for key in keys]


def _sections(row: reports.Line) -> list[tuple[str, list[Cell]]]:
    return [
        (section, _cells(row, (figure.key for figure in group)))
        for section, group in groupby(FIGURES, key=lambda figure: figure.section)
    ]


urlpatterns = [
    path("reports/", AllReportsPage.as_view(), name="reports-all"),
    path("e/<slug:experiment>/reports/", ReportsPage.as_view(), name="reports"),
]
