"""The API's view of how batches are made again: their packages, and the reproductions with their verdicts (J6)."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.viewsets import Document, ReasonInput, ScopedViewSet, ref_path, routes
from poms_site.overview import package
from poms_site.overview.handing_over import as_file
from submissions.api import BatchView
from submissions.logic import reproducing
from submissions.models import Reproduction


class ReproduceInput(ReasonInput):
    """The body of reproduce: the recipe of a package to compare with, and another seed to try."""

    seed = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=0, max_value=10**9)
    package = serializers.DictField(required=False, allow_null=True, default=None)


class SignInput(ReasonInput):
    """The body of a reviewer's word: whether it is good."""

    passed = serializers.BooleanField()


def reproduction_document(row: Reproduction) -> Document:
    """Return a reproduction as the API shows it."""
    return {
        "ref": row.ref, "batch": row.batch.ref, "campaign": row.batch.stage.campaign.ref,
        "stage": row.batch.stage.name, "run": row.campaign.ref, "state": row.state, "since": row.state_since,
        "verdict": row.verdict, "outputs": row.outputs, "differences": row.differences, "remarks": row.remarks,
        "seed": row.seed, "of_package": row.package is not None, "by": row.by.username, "reason": row.reason,
        "created": row.created_at, "ended": row.ended_at, "signed": row.signed,
        "signed_by": row.signed_by.removeprefix("user:"), "signed_at": row.signed_at, "signed_why": row.signed_why,
    }  # fmt: skip


class PackageView(BatchView):
    """The package of a batch, and the verb that makes the batch again."""

    launches = frozenset({"do_reproduce"})
    rules = {"package": "view", "do_reproduce": "operate"}

    def package(self, request: Request, ref: str) -> HttpResponse:
        """Hand over everything that is needed to make it again, as an RO-Crate in a zip file."""
        row = self.find_permitted(ref)
        return as_file(package.name_of(row), package.package_of(row))

    def do_reproduce(self, request: Request, ref: str) -> Response:
        """Make it again as a test run, and compare what comes out."""
        row, wanted = self.find_permitted(ref), self.body(ReproduceInput)

        def act() -> tuple[int, Document]:
            made = reproducing.reproduce(
                row, by=request.user, reason=wanted["reason"], seed=wanted["seed"], package=wanted["package"]
            )
            return 202, reproduction_document(made)

        return self.once(act)


class ReproductionView(ScopedViewSet):
    """Reproductions: batches that were made again."""

    model = Reproduction
    letter = "p"
    filters = {"state": "state", "batch": "batch_id", "campaign": "batch__stage__campaign_id"}
    rules = {"list": "view", "retrieve": "view", "history": "view", "do_sign_off": "sign_off"}

    def rows(self) -> Any:
        """Return reproductions with batch and test run."""
        beside = ("experiment", "by", "campaign__experiment", "batch__experiment", "batch__stage__campaign__experiment")
        return self.get_queryset().select_related(*beside).defer("package")

    def document(self, row: Reproduction) -> Document:
        """Return the reproduction with everything that differs."""
        return reproduction_document(row)

    def do_sign_off(self, request: Request, ref: str) -> Response:
        """Say that it convinces, or that it does not."""
        row, wanted = self.find_permitted(ref), self.body(SignInput)
        reproducing.sign(row, passed=wanted["passed"], actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))


urlpatterns = [
    path(ref_path("batches", "b", "package/"), PackageView.as_view({"get": "package"}), name="batches-package"),
    path(
        ref_path("batches", "b", "reproduce/"), PackageView.as_view({"post": "do_reproduce"}), name="batches-reproduce"
    ),
    *routes("reproductions", ReproductionView, "sign_off"),
]
