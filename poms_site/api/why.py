"""The API's answers to "why is it not running?", for everything that can wait: beside the views of each noun."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api import RequestView
from experiments.viewsets import ref_path
from poms_site.api.campaigns import CampaignView, StageView
from poms_site.overview.why import why
from submissions.api import BatchView, JobView, SubmissionView

RULES = {"why": "view"}


class CampaignWhy(CampaignView):
    """Why a campaign does not run."""

    rules = RULES

    def why(self, request: Request, ref: str) -> Response:
        """Say everything that is in its way, as the launcher sees it."""
        return Response(why(self.find_permitted(ref)).document())


class RequestWhy(RequestView):
    """Why a request does not run."""

    rules = RULES

    def why(self, request: Request, ref: str) -> Response:
        """Say who is asked, or what its campaign waits for."""
        return Response(why(self.find_permitted(ref)).document())


class BatchWhy(BatchView):
    """Why a batch does not run."""

    rules = RULES

    def why(self, request: Request, ref: str) -> Response:
        """Say what is in the way of its latest attempt."""
        return Response(why(self.find_permitted(ref)).document())


class SubmissionWhy(SubmissionView):
    """Why a submission does not run."""

    rules = RULES

    def why(self, request: Request, ref: str) -> Response:
        """Say which gates are closed for it, or its place in line."""
        return Response(why(self.find_permitted(ref)).document())


class JobWhy(JobView):
    """Why a job does not run."""

    rules = RULES

    def why(self, request: Request, ref: str) -> Response:
        """Say what its batch system says of it."""
        return Response(why(self.find_permitted(ref)).document())


class StageWhy(StageView):
    """Why a stage does not run."""

    rules = RULES

    def why(self, request: Request, ref: str, stage: str) -> Response:
        """Say what it waits for."""
        row = self.find_stage(ref, stage)
        return Response(why(row).document())


def _route(noun: str, letter: str, view: Any) -> Any:
    return path(ref_path(noun, letter, "why/"), view.as_view({"get": "why"}), name=f"{noun}-why")


urlpatterns = [
    _route("requests", "r", RequestWhy),
    _route("campaigns", "c", CampaignWhy),
    _route("batches", "b", BatchWhy),
    _route("submissions", "s", SubmissionWhy),
    _route("jobs", "j", JobWhy),
    path(ref_path("stages", "c", "<str:stage>/why/"), StageWhy.as_view({"get": "why"}), name="stages-why"),
]
