"""The API's view of campaigns and stages: what needs submissions and definitions together."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.logic import templating
from approvals.models import Request as ProductionRequest
from campaigns import queries as definitions
from campaigns.logic import copying, shelving
from campaigns.models import Campaign, Stage
from campaigns.queries import shelved
from core import ledger
from core.errors import NotVisible, Problem, Refused
from core.models import Transition
from experiments.scoping import experiments_for
from experiments.viewsets import (
    Document,
    FiniteField,
    ReasonInput,
    ScopedViewSet,
    ref_path,
    routes,
    transition_document,
    whole,
)
from poms_site.overview import waste
from poms_site.overview.counting import WAYS, Counts, counts_by, together
from poms_site.overview.forecast import Forecast
from poms_site.overview.glance import glances
from poms_site.overview.progress import expected_ends, progress_of_campaigns
from poms_site.overview.ranking import require_ranker
from poms_site.overview.run_facts import stages_of
from submissions import queries
from submissions.api import commands_document
from submissions.logic import acting, completing, curbing, holding, ordering, outside, recovering, reprocessing, showing
from submissions.models import Batch, Submission
from submissions.wasting import LEAST


class PrioritiseInput(ReasonInput):
    """The body of prioritise."""

    rank = serializers.IntegerField(min_value=0, max_value=100)


class TagsInput(ReasonInput):
    """The body of tag and untag."""

    tags = serializers.ListField(child=serializers.CharField(max_length=40), max_length=20)


class MakeTemplateInput(ReasonInput):
    """The body that makes a template of a campaign: `parameters` declares them a line each."""

    name = serializers.SlugField(max_length=60)
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    about = serializers.CharField(max_length=8000, required=False, allow_blank=True, default="")
    parameters = serializers.CharField(max_length=16_000, required=False, allow_blank=True, default="")


class CloneInput(serializers.Serializer[Any]):
    """The body of clone: a name, or a pattern that makes one."""

    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    find = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    put = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    everywhere = serializers.BooleanField(required=False, default=False)


class StageInput(ReasonInput):
    """The body of what is decided about one stage."""

    stage = serializers.CharField(max_length=100)


class ProcessAgainInput(StageInput):
    """The body of process_again: `same_input` takes a dataset as it was frozen for the last pass."""

    same_input = serializers.BooleanField(required=False, default=False)


class RegisterInput(ReasonInput):
    """The body that registers a launch made outside POMS: what was run, and its job ids where they are known."""

    command = serializers.CharField(
        max_length=outside.LONGEST, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    dataset = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    jobs = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, default=list, max_length=1000
    )


class SignOffInput(StageInput):
    """The body of sign_off."""

    verdict = serializers.ChoiceField(["passed", "refused"])


class BoostInput(ReasonInput):
    """The body of boost."""

    hours = FiniteField(min_value=0.001, max_value=168)


class WasteInput(ReasonInput):
    """The body of limit_waste."""

    share = serializers.IntegerField(min_value=1, max_value=100)
    least = serializers.IntegerField(min_value=1, max_value=curbing.MOST_LEAST, default=LEAST)


PROGRESS = ("units", "done", "failed", "running", "recovering", "waiting")


class CampaignView(ScopedViewSet):
    """Campaigns: the centre."""

    model = Campaign
    letter = "c"
    filters = {
        "state": "state", "name": "name", "name_has": "name__icontains", "owner": "owner__username",
        "tag": "tags__contains",
    }  # fmt: skip
    more_filters = ("test", "archived")
    launches = frozenset({"do_relaunch", "do_process_again"})
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "text": "view", "do_hold": "watch",
        "do_release": "watch", "do_relaunch": "watch", "do_cancel": "operate", "do_prioritise": "view",
        "do_boost": "operate", "do_unboost": "operate", "do_clone": "file_request", "do_tag": "file_request",
        "do_untag": "file_request", "do_archive": "file_request", "do_unarchive": "file_request",
        "do_delete": "file_request", "do_template": "define", "do_sign_off": "sign_off", "do_accept": "operate",
        "do_process_again": "operate", "do_limit_waste": "operate",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return campaigns with owner and revision."""
        rows = self.get_queryset().select_related("experiment", "owner", "revision")
        if self.action == "list":
            rows = shelved(rows, self.request.query_params.get("archived", ""))
        wanted = self.request.query_params.get("test")
        if wanted is not None and wanted not in ("0", "1"):
            raise Refused("The list cannot be filtered so.", [Problem("test", f"not 0 or 1: {wanted[:20]}")])
        return rows if wanted is None else rows.filter(test=wanted == "1")

    def documents(self, rows: Any) -> Any:
        """Return campaigns with their progress, in as many statements as one."""
        found = progress_of_campaigns(rows)
        nothing = dict.fromkeys(PROGRESS, 0)
        return [{**_head(row), "progress": {**nothing, **found.get(row.pk, {})}} for row in rows]

    def document(self, row: Campaign) -> Document:
        """Return the campaign with stages, edges, jobs and the gates that hold it."""
        head = _head(row)
        _, edges = definitions.graph_of(row)
        stages = stages_of(row)
        head["progress"] = {name: sum(stage.progress[name] for stage in stages) for name in PROGRESS}
        counts = {way: counts_by(way, stages) for way in WAYS}
        end, ends = expected_ends(row, stages, counts["files"])
        request = ProductionRequest.objects.filter(campaign=row).order_by("-pk").first()
        return head | {
            "request": request.ref if request else None,
            "counts": {way: _counts(together(entry.values())) for way, entry in counts.items()},
            "expected_end": _end(end),
            "jobs": queries.job_counts(Submission.objects.filter(batch__stage__campaign=row)),
            "stages": [
                {
                    "ref": f"{row.ref}/{entry.name}", "name": entry.name, "type": entry.version.type,
                    "state": entry.state, **entry.progress,
                    "batches": entry.total_batches, "batch_states": entry.batches, "jobs": entry.jobs,
                    "memory_mb": entry.version.memory_mb, "split": entry.version.split,
                    "complete": entry.version.stage.completed_at is not None,
                    "succeeded": entry.version.stage.succeeded,
                    "counts": {way: _counts(counts[way][entry.name]) for way in WAYS},
                    "expected_end": _end(ends.get(entry.name)),
                }
                for entry in stages
            ],
            "edges": [
                {
                    "from": e.edge.upstream.name, "to": e.edge.downstream.name, "pattern": e.edge.pattern,
                    "gate": e.gate,
                    "campaign": e.edge.upstream.campaign.ref if e.edge.upstream.campaign_id != row.pk else None,
                }
                for e in edges
            ],
            "waste": waste.document_of(row, [entry.version for entry in stages]),
            "gates": queries.gates(row), "boosted_until": queries.boosted_until(row),
        }  # fmt: skip

    def history(self, request: Request, ref: str) -> Response:
        """Return a page of what happened to the campaign, its batches and submissions, newest first (M5)."""
        row = self.find(ref)
        name = row.experiment.name
        batches = list(Batch.objects.filter(stage__campaign=row).values_list("pk", flat=True))
        attempts = list(Submission.objects.filter(batch__stage__campaign=row).values_list("pk", flat=True))
        refs = {("campaign", row.pk): ref} | {("batch", pk): f"{name}/b{pk}" for pk in batches}
        refs |= {("submission", pk): f"{name}/s{pk}" for pk in attempts}
        things = {"campaign": [row.pk], "batch": batches, "submission": attempts}
        return self.history_page(ledger.history(things), refs)

    def text(self, request: Request, ref: str) -> HttpResponse:
        """Return the canonical definition text."""
        row = self.find_permitted(ref)
        revision = row.revision or row.revisions.order_by("-number").first()
        if revision is None:
            raise NotVisible(f"{ref} has no definition yet.")
        return HttpResponse(revision.text or revision.source, content_type="text/plain; charset=utf-8")

    def do_hold(self, request: Request, ref: str) -> Response:
        """Launch nothing of it until it is released."""
        holding.hold("campaign", self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_release(self, request: Request, ref: str) -> Response:
        """Release every hold on the campaign itself."""
        holding.release_campaign(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_cancel(self, request: Request, ref: str) -> Response:
        """End it: launch nothing more, remove what runs, keep what is done."""
        acting.cancel(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_relaunch(self, request: Request, ref: str) -> Response:
        """Launch everything again that its failed batches miss."""
        recovering.relaunch_failed(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_limit_waste(self, request: Request, ref: str) -> Response:
        """Say from which share of failures, of how many jobs of an hour at least, it pauses itself."""
        row, wanted = self.find_permitted(ref), self.body(WasteInput)
        curbing.set_limit(
            row.experiment, row, wanted["share"], wanted["least"], actor=self.actor, reason=wanted["reason"]
        )  # fmt: skip
        return Response(self.document(self.find(ref)))

    def do_sign_off(self, request: Request, ref: str) -> Response:
        """Say that a stage's outputs are good, or are not: one that waits for that, or an approval stage."""
        row, wanted = self.find_permitted(ref), self.body(SignOffInput)
        passed = wanted["verdict"] == "passed"
        completing.sign_off(row, wanted["stage"], passed=passed, actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_accept(self, request: Request, ref: str) -> Response:
        """Take a stage that waits for its completion, or has failed by it, as complete as it is."""
        row, wanted = self.find_permitted(ref), self.body(StageInput)
        completing.accept(row, wanted["stage"], actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_process_again(self, request: Request, ref: str) -> Response:
        """Open another pass of a stage and of all that it feeds."""
        row, wanted = self.find_permitted(ref), self.body(ProcessAgainInput)
        reprocessing.process_again(
            row, wanted["stage"], actor=self.actor, reason=wanted["reason"], same_input=wanted["same_input"]
        )
        return Response(self.document(self.find(ref)))

    def do_prioritise(self, request: Request, ref: str) -> Response:
        """Change the rank; it reaches what is queued already (J14)."""
        row = self.find_permitted(ref)
        require_ranker(request.user, row.experiment, [row])
        wanted = self.body(PrioritiseInput)
        ordering.prioritise(row, wanted["rank"], actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_boost(self, request: Request, ref: str) -> Response:
        """Put it on top of its experiment's queue for so many hours; it ends by itself."""
        row, wanted = self.find_permitted(ref), self.body(BoostInput)
        ordering.boost(row, wanted["hours"], actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_unboost(self, request: Request, ref: str) -> Response:
        """Take its boost back before it ends."""
        ordering.unboost(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_clone(self, request: Request, ref: str) -> Response:
        """Make a draft campaign with its definition, under another name."""
        row, wanted = self.find_permitted(ref), self.body(CloneInput)

        def act() -> tuple[int, Document]:
            made = copying.clone(row, by=request.user, **wanted)
            return 201, self.document(self.find(made.campaign.ref))

        return self.once(act)

    def do_template(self, request: Request, ref: str) -> Response:
        """Make a template of its newest definition."""
        row, wanted = self.find_permitted(ref), self.body(MakeTemplateInput)

        def act() -> tuple[int, Document]:
            made = templating.template_of(row, wanted.pop("name"), by=request.user, **wanted)
            return 201, {"template": str(made), "name": made.name, "title": made.title}

        return self.once(act)

    def do_tag(self, request: Request, ref: str) -> Response:
        """Put tags on it."""
        row, wanted = self.find_permitted(ref), self.body(TagsInput)
        shelving.tag(row, wanted["tags"], by=request.user, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_untag(self, request: Request, ref: str) -> Response:
        """Take tags off it."""
        row, wanted = self.find_permitted(ref), self.body(TagsInput)
        shelving.untag(row, wanted["tags"], by=request.user, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_archive(self, request: Request, ref: str) -> Response:
        """Take it out of the lists."""
        shelving.archive(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_unarchive(self, request: Request, ref: str) -> Response:
        """Put it back into the lists."""
        shelving.unarchive(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_delete(self, request: Request, ref: str) -> Response:
        """Delete it, if it was never asked for."""
        row = self.find_permitted(ref)
        shelving.delete(row, by=request.user, reason=self.reason())
        return Response({"ref": ref, "deleted": True})


def _counts(counts: Counts) -> Document:
    """Return counts with what was put in under its own name: it may be files, events or jobs."""
    return {"in": counts["units"], **{name: n for name, n in counts.items() if name != "units"}}


def _end(end: Forecast | None) -> Document | None:
    """Return an expected end, with its spread of one standard deviation, or nothing where nobody can say."""
    return None if end is None else {"at": end.end, "earliest": end.earliest, "latest": end.latest}


def _head(row: Campaign) -> Document:
    """Return what lists show of a campaign, but for its progress."""
    return {
        "ref": row.ref, "experiment": row.experiment.name, "name": row.name, "state": row.state,
        "since": row.state_since, "owner": row.owner.username, "rank": row.rank, "tags": row.tags, "test": row.test,
        "revision": row.revision.digest if row.revision else None, "created": row.created_at,
        "started": row.started_at, "ended": row.ended_at, "archived": row.archived_at,
    }  # fmt: skip


class StageView(ScopedViewSet):
    """Stages of campaigns, in their running revision."""

    model = Stage
    letter = "c"
    rules = {"list": "view", "retrieve": "view", "commands": "view", "register": "operate"}

    def rows(self) -> Any:
        """Return stages with their campaign."""
        return self.get_queryset().select_related("campaign__experiment")

    def document(self, row: Stage) -> Document:
        """Return the stage with its progress."""
        return {
            "ref": row.ref, "campaign": row.campaign.ref, "name": row.name, "complete": row.completed_at is not None,
            "succeeded": row.succeeded, **queries.progress_of([row])[row.pk],
            "jobs": queries.job_counts_by_stage([row.pk]).get(row.pk, {}),
            "batch_states": queries.batch_counts([row.pk])[row.pk],
        }  # fmt: skip

    def list(self, request: Request) -> Response:
        """Return the stages of a campaign, or of all."""
        rows = self.rows()
        query = request.query_params
        if experiment := query.get("experiment"):
            rows = rows.filter(campaign__experiment__name=experiment)
        if campaign := query.get("campaign"):
            rows = rows.filter(campaign_id=whole("campaign", campaign.partition("/c")[2], "such as demo/c1"))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response([self.document(row) for row in page or []])

    def retrieve(self, request: Request, ref: str, stage: str = "") -> Response:
        """Return one stage."""
        return Response(self.document(self.find_stage(ref, stage)))

    def commands(self, request: Request, ref: str, stage: str = "") -> Response:
        """Show what its next launch would run, with its environment; nothing is launched and nothing taken."""
        return Response(commands_document(showing.of_stage(self._permitted(ref, stage))))

    def register(self, request: Request, ref: str, stage: str = "") -> Response:
        """Keep a launch that was made outside POMS, and watch its jobs."""
        row, wanted = self._permitted(ref, stage), self.body(RegisterInput)

        def act() -> tuple[int, Document]:
            made = outside.register(
                row, by=request.user, command=wanted["command"], dataset=wanted["dataset"], job_ids=wanted["jobs"],
                reason=wanted["reason"],
            )  # fmt: skip
            return 201, {
                "submission": made.ref, "batch": made.batch.ref, "stage": row.ref, "state": made.state,
                "job_ids": made.job_ids,
            }  # fmt: skip

        return self.once(act)

    def _permitted(self, ref: str, stage: str) -> Stage:
        row = self.find_stage(ref, stage)
        self.permit(row.campaign.experiment)
        return row

    def find_stage(self, ref: str, stage: str) -> Stage:
        """Return the visible stage of a campaign."""
        experiment, _, key = ref.partition("/c")
        row: Stage | None = (
            self.rows().filter(campaign__experiment__name=experiment, campaign_id=int(key), name=stage).first()
        )
        if row is None:
            raise NotVisible(f"There is no {ref}/{stage}, or you may not see it.")
        return row


class OverviewView(ScopedViewSet):
    """What a guest may see: that campaigns exist and how far they are."""

    model = Campaign
    rules = {"list": "view_overview"}

    def list(self, request: Request) -> Response:
        """Return each experiment's campaigns by state, with the progress of those that run."""
        visible = experiments_for(request.user, "view_overview").order_by("name")
        found: dict[str, Document] = {
            glance.experiment.name: {
                "title": glance.experiment.title, "states": dict(glance.states),
                "running": [{"name": row.name, **progress} for row, progress in glance.running],
            }
            for glance in glances(list(visible))
        }  # fmt: skip
        return Response({"experiments": found})


class EventView(ScopedViewSet):
    """The feed of the ledger: every transition once, in an order that nothing late can break."""

    model = Transition
    rules = {"list": "view"}

    def list(self, request: Request) -> Response:
        """Return the transitions after a cursor, and the next cursor."""
        query = request.query_params
        rows = Transition.objects.visible_to(request.user)
        if experiment := query.get("experiment"):
            rows = rows.filter(experiment_id__in=experiments_for(request.user, "view").filter(name=experiment))
        after = query.get("after") or "0-0"
        txid, _, last = after.partition("-")
        hint = "take it from the last answer"
        steps = ledger.feed(rows, (whole("after", txid, hint), whole("after", last, hint)), 500)
        shown = [transition_document(step, f"{step.kind}/{step.thing_id}") for step in steps]
        cursor = f"{steps[-1].txid}-{steps[-1].pk}" if steps else after
        return Response({"results": shown, "after": cursor})


urlpatterns = [
    *routes("campaigns", CampaignView, "hold", "release", "relaunch", "cancel", "prioritise", "boost", "unboost",
            "clone", "tag", "untag", "archive", "unarchive", "delete", "template",
            "sign_off", "accept", "process_again", "limit_waste"),
    path(ref_path("campaigns", "c", "text/"), CampaignView.as_view({"get": "text"}), name="campaigns-text"),
    path("stages/", StageView.as_view({"get": "list"}), name="stages-list"),
    path(ref_path("stages", "c", "<str:stage>/"), StageView.as_view({"get": "retrieve"}), name="stages-detail"),
    path(ref_path("stages", "c", "<str:stage>/commands/"), StageView.as_view({"get": "commands"}),
         name="stages-commands"),
    path(ref_path("stages", "c", "<str:stage>/register/"), StageView.as_view({"post": "register"}),
         name="stages-register"),
    path("overview/", OverviewView.as_view({"get": "list"}), name="overview"),
    path("events/", EventView.as_view({"get": "list"}), name="events-list"),
]  # fmt: skip
