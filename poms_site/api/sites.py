"""The API's view of sites: where jobs ran, when one ran there last, what is excluded, who guards it (M4, D2)."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotAllowed, NotVisible, Problem, Refused
from experiments.models import Experiment
from experiments.queries import is_administrator
from experiments.rules import SIGNED_IN
from experiments.scoping import experiments_for
from experiments.viewsets import Document, FiniteField, ReasonInput, ScopedViewSet, routes
from integrations.models import BatchSystem
from poms_site.overview.sites import PlaceFacts, examples_of, nodes_of, sites_of
from submissions.logic import curbing, excluding
from submissions.models import Exclusion, Guard, WasteLimit
from submissions.wasting import LEAST


class SiteView(ScopedViewSet):
    """Sites, or with `by=node` nodes, of the latest jobs of each experiment that one may look into."""

    model = Experiment
    rules = {"list": "view"}
    more_filters = ("by",)

    def list(self, request: Request) -> Response:
        """Return them, the one used last first; there are few, so there is one page."""
        query: Any = request.query_params
        if unknown := sorted(set(query) - {"experiment", "by", "format", "limit"}):
            raise Refused(
                "The list cannot be filtered so.",
                [Problem(name, "unknown filter", "known are by, experiment, limit") for name in unknown],
            )
        by = query.get("by", "site")
        if by not in ("site", "node"):
            raise Refused("The list cannot be read.", [Problem("by", f"unknown: {by[:60]}", "site or node")])
        rows = experiments_for(request.user, "view").order_by("name")
        if "experiment" in query:
            rows = rows.filter(name=query["experiment"])
        ask = sites_of if by == "site" else nodes_of
        found = [_place(experiment.name, by, place) for experiment in rows for place in ask(experiment)]
        return Response({"results": found, "next": None})


def _place(experiment: str, by: str, place: PlaceFacts) -> Document:
    return {
        "experiment": experiment, "name": place.name, "kind": by, "running": place.running,
        "succeeded": place.succeeded, "failed": place.failed,
        "jobs": place.jobs, "last_start": place.last_start, "last_end": place.last_end,
        "week": {
            "succeeded": place.week.succeeded, "failed": place.week.failed, "success_pct": place.week.success,
            "wall_s": place.week.wall_s, "core_h": place.week.core_h, "efficiency_pct": place.week.efficiency,
        } if place.week else None,
    }  # fmt: skip


class ExclusionInput(ReasonInput):
    """The body that excludes a node or site."""

    experiment = serializers.CharField(max_length=60)
    system = serializers.CharField(max_length=30)
    level = serializers.ChoiceField(["node", "site"], default="node")
    name = serializers.CharField(max_length=100)
    hours = FiniteField(min_value=0.01, max_value=excluding.LONGEST_H, default=24)


class HoursInput(ReasonInput):
    """The body of extend, and of exclude on what is watched."""

    hours = FiniteField(min_value=0.01, max_value=excluding.LONGEST_H, default=24)


class ExclusionView(ScopedViewSet):
    """What ate jobs: nodes, sites, campaigns and batch systems, with the evidence; `standing=1`: what is not over."""

    model = Exclusion
    letter = "e"
    filters = {"state": "state", "level": "level", "system": "system__name", "name": "name"}
    more_filters = ("standing",)
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "create": "watch", "do_release": "watch",
        "do_extend": "watch", "do_exclude": "watch",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return exclusions with what they are of."""
        rows = self.get_queryset().select_related("experiment", "system", "campaign__experiment", "hold__experiment")
        rows = rows.select_related("canary__experiment")
        wanted = self.request.query_params.get("standing")
        if wanted not in (None, "", "0", "1"):
            raise Refused("The list cannot be filtered so.", [Problem("standing", f"not 0 or 1: {wanted[:20]}")])
        if not wanted:
            return rows
        ended = ("released", "undone")
        return rows.exclude(state__in=ended) if wanted == "1" else rows.filter(state__in=ended)

    def document(self, row: Exclusion) -> Document:
        """Return the exclusion with its evidence."""
        return {
            "ref": row.ref, "experiment": row.experiment.name, "system": row.system.name, "level": row.level,
            "name": row.name, "state": row.state, "state_since": row.state_since, "reason": row.reason,
            "actor": row.actor, "since": row.since, "until": row.until, "hours": row.hours, "found_at": row.seen_at,
            "would_have_saved": row.spared, "campaign": row.campaign.ref if row.campaign else None,
            "hold": row.hold.ref if row.hold else None, "canary": row.canary.ref if row.canary else None,
            "evidence": {name: value for name, value in row.evidence.items() if name != "examples"},
        }  # fmt: skip

    def retrieve(self, request: Request, ref: str) -> Response:
        """Return one, with jobs that failed so."""
        row = self.find(ref)
        return Response({**self.document(row), "examples": [job.ref for job in examples_of(row)]})

    def create(self, request: Request) -> Response:
        """Keep new submissions of an experiment from a node or site."""
        wanted = self.body(ExclusionInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        system, level, name = (wanted.pop(key) for key in ("system", "level", "name"))

        def act() -> tuple[int, Document]:
            made = excluding.exclude(experiment, system, level, name, actor=self.actor, **wanted)
            return 201, self.document(self.rows().get(pk=made.pk))

        return self.once(act)

    def do_release(self, request: Request, ref: str) -> Response:
        """Undo it for its experiment: new submissions may run there again."""
        excluding.release(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_extend(self, request: Request, ref: str) -> Response:
        """Exclude it for so many hours from now on."""
        row, wanted = self.find_permitted(ref), self.body(HoursInput)
        excluding.extend(row, wanted["hours"], actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_exclude(self, request: Request, ref: str) -> Response:
        """Exclude what the guard only watches."""
        row, wanted = self.find_permitted(ref), self.body(HoursInput)
        given = {"hours": wanted["hours"], "actor": self.actor, "reason": wanted["reason"]}
        excluding.exclude(row.experiment, row.system.name, row.level, row.name, **given)
        return Response(self.document(self.find(ref)))


class GuardInput(ReasonInput):
    """The body that says how a batch system is guarded."""

    mode = serializers.ChoiceField(["observe", "act"], required=False)
    cap = serializers.IntegerField(min_value=1, max_value=50, required=False)
    hours = FiniteField(min_value=0.01, max_value=excluding.LONGEST_H, required=False)
    seen = serializers.CharField(max_length=64, required=False, allow_blank=True)


class GuardView(ScopedViewSet):
    """How batch systems are guarded: everybody sees it, administrators of the whole service say it."""

    model = BatchSystem
    rules = {"list": SIGNED_IN, "partial_update": "administer"}
    more_filters = ("system",)

    def get_queryset(self) -> Any:
        """Return all batch systems: those of every experiment may be used by each."""
        return BatchSystem.objects.order_by("name")

    def list(self, request: Request) -> Response:
        """Return them; there are few, so there is one page."""
        query = request.query_params
        rows = self.get_queryset().filter(name=query["system"]) if query.get("system") else self.get_queryset()
        return Response({"results": [self.document(row) for row in rows], "next": None})

    def document(self, row: BatchSystem) -> Document:
        """Return how a batch system is guarded."""
        guard = Guard.objects.filter(system=row).first() or Guard(system=row)
        return {
            "ref": row.name, "system": row.name, "mode": guard.mode, "cap": guard.cap, "hours": guard.hours,
            "judged_at": guard.judged_at, "nodes": guard.nodes, "seen": guard.fingerprint if guard.pk else "",
        }  # fmt: skip

    def partial_update(self, request: Request, name: str) -> Response:
        """Let it act or only observe, exclude more or less, for longer or shorter."""
        if not is_administrator(request.user):
            raise NotAllowed(excluding.WHOLE)
        row = self.get_queryset().filter(name=name).first()
        if row is None:
            raise NotVisible(f"There is no batch system {name}, or you may not see it.")
        excluding.set_guard(row, by=request.user, **self.body(GuardInput))
        return Response(self.document(row))


class WasteLimitInput(ReasonInput):
    """The body that sets the limit of waste of an experiment."""

    experiment = serializers.CharField(max_length=60)
    share = serializers.IntegerField(min_value=1, max_value=100)
    least = serializers.IntegerField(min_value=1, max_value=curbing.MOST_LEAST, default=LEAST)


class WasteLimitView(ScopedViewSet):
    """From which share of failures campaigns pause themselves: experiments' limits, and campaigns' own."""

    model = WasteLimit
    rules = {"list": "view", "create": "operate"}

    def rows(self) -> Any:
        """Return the limits that were set."""
        return self.get_queryset().select_related("experiment", "campaign__experiment")

    def document(self, row: WasteLimit) -> Document:
        """Return a limit."""
        return {
            "ref": row.campaign.ref if row.campaign else row.experiment.name, "experiment": row.experiment.name,
            "campaign": row.campaign.ref if row.campaign else None, "share": row.share, "least": row.least,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Set that of an experiment, for its campaigns that have none of their own."""
        wanted = self.body(WasteLimitInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        share, least, why = wanted["share"], wanted["least"], wanted["reason"]

        def act() -> tuple[int, Document]:
            made = curbing.set_limit(experiment, None, share, least, actor=self.actor, reason=why)
            return 201, self.document(made)

        return self.once(act)


urlpatterns = [
    path("waste-limits/", WasteLimitView.as_view({"get": "list", "post": "create"}), name="waste-limits-list"),
    path("sites/", SiteView.as_view({"get": "list"}), name="sites-list"),
    *routes("exclusions", ExclusionView, "release", "extend", "exclude", create=True),
    path("guards/", GuardView.as_view({"get": "list"}), name="guards-list"),
    path("guards/<slug:name>/", GuardView.as_view({"patch": "partial_update"}), name="guards-detail"),
]
