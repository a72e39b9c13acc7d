"""The API's view of definitions: imported, exported, saved as drafts, compared."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api import cost_document
from approvals.logic import applying
from approvals.logic.foreseeing import Foreseen, foresee
from campaigns.definition import LONGEST_TEXT, yaml_form
from campaigns.logic import drafting
from campaigns.models import Campaign, Revision
from campaigns.queries import newest
from core import differences
from core.errors import NotVisible, Problem, Refused
from experiments.viewsets import Document, ScopedViewSet, ref_path, whole


class ImportInput(serializers.Serializer[Any]):
    """The body that imports a text; without `apply` it says only what it would do."""

    experiment = serializers.CharField()
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True)
    format = serializers.ChoiceField(choices=list(drafting.FORMS), default="ini")
    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    note = serializers.CharField(max_length=400, required=False, allow_blank=True, default="")
    apply = serializers.BooleanField(required=False, default=False)


class ApplyInput(serializers.Serializer[Any]):
    """The body that applies a text: a request asks for it and is filed, with `approve` approved too."""

    experiment = serializers.CharField()
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True)
    format = serializers.ChoiceField(choices=list(drafting.FORMS), default="ini")
    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    production_stage = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    note = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    approve = serializers.BooleanField(required=False, default=False)


class PlanInput(serializers.Serializer[Any]):
    """The body that asks what a text would do."""

    experiment = serializers.CharField()
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True)
    format = serializers.ChoiceField(choices=list(drafting.FORMS), default="ini")
    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")


class SaveInput(serializers.Serializer[Any]):
    """The body that saves a text: `base` is the number of the revision that was opened."""

    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True)
    note = serializers.CharField(max_length=400, required=False, allow_blank=True, default="")
    base = serializers.IntegerField(required=False, allow_null=True, default=None)


class DefinitionView(ScopedViewSet):
    """The texts of campaigns, revision by revision."""

    model = Campaign
    letter = "c"
    rules = {
        "take_in": "file_request", "give_out": "view", "revisions": "view", "diff": "view", "update": "file_request",
        "plan": "view", "apply": "file_request",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return campaigns with their experiment."""
        return self.get_queryset().select_related("experiment", "owner", "revision")

    def take_in(self, request: Request) -> Response:
        """Say what an import would do; with `apply`, do it."""
        wanted = self.body(ImportInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        looked = drafting.look(experiment, wanted["text"], by=request.user, form=wanted["format"], name=wanted["name"])
        told: Document = {
            "name": looked.parsed.definition.name, "campaign": looked.campaign.ref if looked.campaign else None,
            "unready": problems_of(looked.parsed.errors), "warnings": problems_of(looked.parsed.warnings),
            "difference": list(looked.difference),
        }  # fmt: skip
        if not wanted["apply"]:
            return Response({**told, "applied": False})

        def act() -> tuple[int, Document]:
            revision = drafting.import_text(experiment, looked, by=request.user, note=wanted["note"])
            kept = {"ref": revision.campaign.ref, "revision": revision.number, "applied": True}
            return 201, {**told, "campaign": revision.campaign.ref, **kept}

        return self.once(act)

    def plan(self, request: Request) -> Response:
        """Say what a text would do if it ran: nothing is written."""
        wanted = self.body(PlanInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        text = drafting.as_ini(wanted["text"], form=wanted["format"], name=wanted["name"])
        return Response(plan_document(foresee(experiment, text, by=request.user)))

    def apply(self, request: Request) -> Response:
        """Ask for a text: what its campaign goes on by, or a new one begins with, once it is approved."""
        wanted = self.body(ApplyInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        text = drafting.as_ini(wanted.pop("text"), form=wanted.pop("format"), name=wanted.pop("name"))

        def act() -> tuple[int, Document]:
            done = applying.apply(experiment, text, by=request.user, **wanted)
            row = done.request
            return 201 if done.changed else 200, {
                "request": row.ref, "state": row.state, "campaign": row.campaign.ref if row.campaign else None,
                "revision": row.revision.digest if row.revision else None, "changed": done.changed,
            }  # fmt: skip

        return self.once(act)

    def give_out(self, request: Request, ref: str) -> HttpResponse:
        """Return the text of a revision as it was written; the newest, unless `revision` names another."""
        row = self._revision(self.find(ref), "revision")
        form = request.query_params.get("form", "ini")
        if form not in drafting.FORMS:
            hint = f"one of {', '.join(drafting.FORMS)}"
            raise Refused("The text cannot be given so.", [Problem("form", f"unknown: {form[:20]}", hint)])
        text = yaml_form.to_yaml(row.source) if form == "yaml" else row.source
        return HttpResponse(text, content_type="text/plain; charset=utf-8")

    def revisions(self, request: Request, ref: str) -> Response:
        """Return the revisions, the newest first."""
        campaign = self.find(ref)
        rows = campaign.revisions.select_related("author").order_by("-number")
        return Response({"results": [revision_document(row, campaign) for row in rows]})

    def diff(self, request: Request, ref: str) -> Response:
        """Return what is different between two revisions: `from` and `to`, by number."""
        campaign = self.find(ref)
        to = self._revision(campaign, "to")
        before = campaign.revisions.filter(number__lt=to.number).order_by("-number").first()
        begin = self._revision(campaign, "from") if "from" in request.query_params else before
        old = begin.source if begin else ""
        return Response({"from": begin.number if begin else None, "to": to.number,
                         "difference": differences.between(old, to.source)})  # fmt: skip

    def update(self, request: Request, ref: str) -> Response:
        """Save a text as the next revision, a draft."""
        campaign = self.find_permitted(ref)
        wanted = self.body(SaveInput)
        row = drafting.save(campaign, wanted["text"], by=request.user, note=wanted["note"], base=wanted["base"])
        return Response(revision_document(row, campaign))

    def _revision(self, campaign: Campaign, name: str) -> Revision:
        given = self.request.query_params.get(name)
        if given is None:
            row = newest(campaign)
            if row is None:
                raise NotVisible(f"{campaign.ref} has no definition yet.")
            return row
        number = whole(name, given, "the number of a revision")
        row = campaign.revisions.filter(number=number).first()
        if row is None:
            raise NotVisible(f"{campaign.ref} has no revision {number}.")
        return row


def problems_of(problems: Any) -> list[Document]:
    """Return complaints as the API shows them."""
    return [{"where": p.field, "line": p.line, "message": p.message, "hint": p.hint} for p in problems]


def revision_document(row: Revision, campaign: Campaign) -> Document:
    """Return a revision without its text."""
    return {
        "number": row.number, "state": row.state, "author": row.author.username, "note": row.note,
        "at": row.created_at, "digest": row.digest, "runs": campaign.revision_id == row.pk,
    }  # fmt: skip


def plan_document(plan: Foreseen) -> Document:
    """Return what a text would do, as the API shows it."""
    return {
        "name": plan.name, "campaign": plan.campaign.ref if plan.campaign else None,
        "errors": problems_of(plan.errors), "warnings": problems_of(plan.warnings),
        "changes": [
            {"what": c.what, "name": c.name, "how": c.how, "key": c.key, "before": c.before, "after": c.after}
            for c in plan.changes
        ],
        "stages": [
            {
                "stage": s.name, "inputs": s.inputs, "batches": s.slices.count, "first": list(s.slices.first),
                "last": s.slices.last, "unit": s.slices.unit, "unknown": s.slices.why, "command": s.command,
                "environment": s.environment, "login_setup": s.setup, "jobs": s.cost.jobs,
                "core_hours": s.cost.core_hours, "bytes": s.cost.bytes, "known_from": s.cost.source,
            }
            for s in plan.stages
        ],
        "cost": cost_document(plan.cost),
    }  # fmt: skip


urlpatterns = [
    path("campaigns/plan/", DefinitionView.as_view({"post": "plan"}), name="campaigns-plan"),
    path("campaigns/apply/", DefinitionView.as_view({"post": "apply"}), name="campaigns-apply"),
    path("campaigns/import/", DefinitionView.as_view({"post": "take_in"}), name="campaigns-import"),
    *(
        path(ref_path("campaigns", "c", f"{word}/"), DefinitionView.as_view({"get": action}), name=f"campaigns-{word}")
        for word, action in (("export", "give_out"), ("revisions", "revisions"), ("diff", "diff"))
    ),
    path(ref_path("campaigns", "c", "definition/"), DefinitionView.as_view({"put": "update"}),
         name="campaigns-definition"),
]  # fmt: skip
