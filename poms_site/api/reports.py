"""The API's view of reports: how a period went, for those who may look; and the inbox of what jobs report."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Problem, Refused
from experiments.rules import OWN_TOKEN
from experiments.scoping import experiments_for
from poms_site.overview import reports
from poms_site.overview.asked_period import period_asked
from poms_site.overview.report_csv import csv_of
from submissions.api import ReportView

KNOWN = ("period", "on", "experiment", "as", "limit", "format")


class ReportsView(ReportView):
    """Reports on a day, a week or all, of the experiments into which one may look; with `as=csv` as a table."""

    rules = {"list": "view", "create": OWN_TOKEN}
    more_filters = ("period", "on", "as")

    def list(self, request: Request) -> Any:
        """Return the report: one result for each experiment, and beside them what is of all together."""
        query = request.query_params
        if unknown := sorted(set(query) - set(KNOWN)):
            hint = f"known are {', '.join(KNOWN)}"
            raise Refused("The report cannot be made.", [Problem(name, "unknown filter", hint) for name in unknown])
        form = query.get("as", "json")
        if form not in ("json", "csv"):
            raise Refused("The report cannot be made.", [Problem("as", f"unknown: {form[:40]}", "json or csv")])
        rows = experiments_for(request.user, "view").order_by("name")
        if "experiment" in query:
            rows = rows.filter(name=query["experiment"])
        found = reports.report(list(rows), period_asked(query.get("period", ""), query.get("on", "")))
        if form == "csv":
            return HttpResponse(csv_of(found), content_type="text/csv; charset=utf-8")
        return Response({**reports.document(found), "next": None})


urlpatterns = [path("reports/", ReportsView.as_view({"get": "list", "post": "create"}), name="reports-list")]
