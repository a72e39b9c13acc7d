"""The API's view of what pages gather: a job's life, another job beside it, jobs over time, batches as a map."""

from __future__ import annotations

import re
from typing import Any

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotVisible, Problem, Refused
from experiments.viewsets import Document, ref_path
from poms_site.api.campaigns import CampaignView
from poms_site.overview import job_records
from poms_site.overview.heat import ORDERS, heat_of
from poms_site.overview.job_compare import BESIDE, compare, nearest_good
from poms_site.overview.job_life import life_of, uses_of
from poms_site.overview.jobs_over_time import SPANS, over_time
from poms_site.overview.outages import watched
from submissions.api import JobView
from submissions.models import EveryJob


class JobFactsView(JobView):
    """Jobs with what is known around them."""

    rules = {"life": "view", "records": "view", "compare": "view"}

    def life(self, request: Request, ref: str) -> Response:
        """Return how long it was in each state, what it used, and how the services were meanwhile (D1, M10)."""
        row = self._whole(ref)
        life = life_of(row, request.user)
        return Response(
            {
                "ref": row.ref, "begin": life.window.begin, "end": life.window.end, "starts": life.starts,
                "spans": [
                    {"state": s.state, "begin": s.begin, "end": s.end, "seconds": s.seconds, "start": s.start,
                     "reason": s.reason}
                    for s in life.spans
                ],
                "use": [{"name": u.name, "used": u.used, "asked": u.asked, "percent": u.share} for u in uses_of(row)],
                "outages": [
                    {"service": hit.service.ref, "name": hit.service.name, "seconds": hit.seconds,
                     "ended_in": hit.ended_in, "text": hit.text, "reasons": list(hit.reasons)}
                    for hit in life.hits
                ],
                "services": [
                    {"service": during.service.ref, "name": during.service.name,
                     "down": [
                         {"begin": o.begin, "end": o.end, "how": o.how, "reason": o.reason} for o in during.outages
                     ]}
                    for during in life.services
                ],
            }
        )  # fmt: skip

    def records(self, request: Request, ref: str) -> Response:
        """Ask the catalogue what became of each of its inputs (D1)."""
        row = self._whole(ref)
        found = job_records.of_job(row, job_records.fates_in(row.submission))
        return Response(
            {"ref": row.ref, "catalogue": found.catalogue, "offered": row.submission.offered, "trouble": found.trouble,
             "inputs": [{"name": record.name, "fate": record.fate} for record in found.rows]}
        )  # fmt: skip

    def compare(self, request: Request, ref: str) -> Response:
        """Return what differs from another job, by default the nearest one of its stage that succeeded."""
        row = self._whole(ref)
        stream = request.query_params.get("stream", "out")
        if stream not in ("out", "err"):
            raise Refused("The logs cannot be read.", [Problem("stream", f"unknown: {stream[:40]}", "out or err")])
        wanted = request.query_params.get("with", "")
        other = self._whole(self._named(wanted, row)) if wanted else nearest_good(row)
        if other is None:
            raise NotVisible(f"No job of {row.submission.batch.stage.name} has succeeded yet; name one with `with`.")
        found = compare(row, other, stream)
        facts: list[Document] = [
            {"name": fact.name, "left": fact.left, "right": fact.right, "differs": fact.differs} for fact in found.facts
        ]
        log = [{"how": r.how, "left": r.left, "right": r.right, "skipped": r.skipped} for r in found.log]
        return Response(
            {"left": row.ref, "right": other.ref, "facts": facts, "log": log, "log_trouble": found.log_trouble}
        )

    def _named(self, wanted: str, row: EveryJob) -> str:
        full = wanted if "/" in wanted else f"{row.experiment.name}/{wanted}"
        if not re.fullmatch(r"[a-z][a-z0-9_-]*/j[1-9][0-9]{0,17}", full):
            raise Refused(
                "The jobs cannot be compared.", [Problem("with", f"no job: {wanted[:60]}", "such as demo/j1")]
            )
        return full

    def _whole(self, ref: str) -> EveryJob:
        """Return the job with all that its facts need beside it."""
        row: Any = self.find_permitted(ref)
        return EveryJob.objects.visible_to(self.request.user).select_related(*BESIDE).get(pk=row.pk)


class JobsOverTimeView(JobView):
    """How many jobs of an experiment were in which state over time."""

    rules = {"over_time": "view"}

    def over_time(self, request: Request) -> Response:
        """Return the last sample in each step of a span that ends now."""
        query = request.query_params
        row = self.experiment_named(query.get("experiment"))
        self.permit(row)
        span = query.get("span", "day")
        if span not in SPANS:
            raise Refused("There is no such picture.", [Problem("span", f"unknown: {span[:40]}", ", ".join(SPANS))])
        found = over_time(row, span, watched(row))
        rows = [{"at": at, **counts} for at, counts in found.samples]
        return Response({"experiment": row.name, "span": span, "step": found.step, "results": rows, "next": None})


class CampaignHeatView(CampaignView):
    """A campaign's batches at a glance."""

    rules = {"heat": "view"}

    def heat(self, request: Request, ref: str) -> Response:
        """Return a cell for each batch of a stage, or for several in a row, by number or the worst first."""
        row = self.find_permitted(ref)
        order = request.query_params.get("order", "number")
        if order not in ORDERS:
            raise Refused("The map cannot be ordered so.", [Problem("order", order[:40], " or ".join(ORDERS))])
        stages = [
            {"stage": heat.stage, "batches": heat.total, "in_a_cell": heat.size,
             "cells": [
                 {"first": c.first, "last": c.last, "state": c.state, "states": c.states,
                  "batch": f"{row.experiment.name}/{c.key}" if c.key else None}
                 for c in heat.cells
             ]}
            for heat in heat_of(row, order, request.query_params.get("stage", ""))
        ]  # fmt: skip
        return Response({"ref": row.ref, "stages": stages})


urlpatterns = [
    *(
        path(ref_path("jobs", "j", f"{name}/"), JobFactsView.as_view({"get": name}), name=f"jobs-{name}")
        for name in ("life", "records", "compare")
    ),
    path("jobs/over-time/", JobsOverTimeView.as_view({"get": "over_time"}), name="jobs-over-time"),
    path(ref_path("campaigns", "c", "heat/"), CampaignHeatView.as_view({"get": "heat"}), name="campaigns-heat"),
]
