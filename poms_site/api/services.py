"""The API's view of what gates launches: services with their downtimes and history, limits, and holds by hand."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.clock import now
from core.errors import NotAllowed, NotVisible, Problem, Refused
from experiments.models import Experiment, User
from experiments.queries import is_administrator
from experiments.viewsets import Document, ReasonInput, ScopedViewSet, ref_path, routes, whole
from integrations import serving
from integrations.models import Downtime, Service, ServiceState
from poms_site.overview.held import held
from submissions.gating import of_hold
from submissions.logic import checking, holding, limiting
from submissions.models import Hold, Limit

LONGEST_HISTORY = 200


class OfAllViewSet(ScopedViewSet):
    """What belongs to an experiment, or to all: a reference such as all/v1 is of all of them."""

    def find(self, ref: str) -> Any:
        """Return the visible row of a reference; one of all experiments begins with `all`."""
        experiment, _, key = ref.partition("/")
        if experiment != "all":
            return super().find(ref)
        row = self.rows().filter(experiment=None, pk=int(key[1:])).first()
        if row is None:
            raise NotVisible(f"There is no {ref}, or you may not see it.")
        return row

    def find_permitted(self, ref: str) -> Any:
        """Return the row on which the person may do this; what is of all, administrators of the whole service may."""
        row = self.find(ref)
        self.permit_on(row)
        return row

    def permit_on(self, row: Any) -> None:
        """Raise NotAllowed unless the person may do this action on a row."""
        self.permit_in(row.experiment)

    def permit_in(self, experiment: Experiment | None) -> None:
        """Raise NotAllowed unless the person may do this action in an experiment, or in all of them."""
        if experiment is not None:
            self.permit(experiment)
        elif self.rules[self.action] != "view" and not is_administrator(self.request.user):
            raise NotAllowed("This concerns all experiments: it needs an administrator of the whole service.")

    def experiment_or_all(self, name: str) -> Experiment | None:
        """Return the experiment of a body; `all` is all of them."""
        return None if name == "all" else self.experiment_named(name)


class ServiceInput(ReasonInput):
    """The body that enters a service, or changes one."""

    title = serializers.CharField(max_length=100, required=False, allow_blank=True)
    kind = serializers.CharField(max_length=12)
    settings = serializers.DictField(child=serializers.CharField(max_length=2000, allow_blank=True), required=False)
    gates = serializers.CharField(max_length=12, required=False)
    gated = serializers.CharField(max_length=200, required=False, allow_blank=True)
    every_s = serializers.IntegerField(required=False, min_value=1, max_value=86_400)
    downs = serializers.IntegerField(required=False, min_value=1, max_value=100)
    ups = serializers.IntegerField(required=False, min_value=1, max_value=100)
    active = serializers.BooleanField(required=False)


class NewServiceInput(ServiceInput):
    """The body that enters a service."""

    experiment = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=40)


class ChangedServiceInput(ServiceInput):
    """The body that changes a service: only what is to be different; `providers` are those who provide it."""

    kind = serializers.CharField(max_length=12, required=False)
    providers = serializers.ListField(child=serializers.CharField(max_length=150), max_length=50, required=False)
    seen = serializers.CharField(max_length=64, required=False, allow_blank=True)


class OverrideInput(ReasonInput):
    """The body of override."""

    state = serializers.ChoiceField(["up", "down", "none"])
    until = serializers.DateTimeField(required=False, allow_null=True)


class DowntimeInput(ReasonInput):
    """The body of downtime."""

    begins = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField()


class ServiceView(OfAllViewSet):
    """Services: what launches need, and how it is (P1)."""

    model = Service
    letter = "v"
    filters = {"state": "state", "name": "name", "kind": "kind"}
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "states": "view", "create": "administer",
        "partial_update": "administer", "do_check": "watch", "do_override": "watch",
        "do_downtime": "watch", "do_no_downtime": "watch",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return services with whose they are."""
        return self.get_queryset().select_related("experiment").prefetch_related("providers")

    def permit_on(self, row: Service) -> None:
        """Let those who provide a service say how it is, beside those who hold the permission."""
        said = ("do_check", "do_override", "do_downtime", "do_no_downtime", "history", "states")
        user = self.request.user
        if self.action not in said or user not in row.providers.all():
            super().permit_on(row)

    def document(self, row: Service) -> Document:
        """Return the service with its downtimes and what is held by it."""
        planned = Downtime.objects.filter(service=row, ended_at=None, ends_at__gt=now()).order_by("begins_at")
        holds = Hold.objects.filter(service=row, released_at=None).select_related("experiment", "service")
        return {
            "ref": row.ref, "experiment": row.experiment.name if row.experiment else None, "name": row.name,
            "title": row.title, "kind": row.kind, "settings": row.settings, "gates": row.gates, "gated": row.gated,
            "every_s": row.every_s, "downs": row.downs, "ups": row.ups, "active": row.active, "state": row.state,
            "since": row.state_since, "said": row.said, "figures": row.figures, "looked_at": row.looked_at,
            "override": {
                "state": row.forced, "by": row.forced_by, "reason": row.forced_reason, "until": row.forced_until,
            } if row.is_forced else None,
            "downtimes": [
                {"begins": d.begins_at, "until": d.ends_at, "reason": d.reason, "by": d.actor} for d in planned
            ],
            "holds": [of_hold(hold).document() for hold in holds],
            "providers": sorted(user.username for user in row.providers.all()), "seen": row.fingerprint,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Enter a service of an experiment, or of `all`."""
        wanted = self.body(NewServiceInput)
        experiment = self.experiment_or_all(wanted.pop("experiment"))
        self.permit_in(experiment)
        name, kind, reason = (wanted.pop(key) for key in ("name", "kind", "reason"))

        def act() -> tuple[int, Document]:
            made = serving.add(experiment, name, kind, by=request.user, reason=reason, **wanted)
            return 201, self.document(self.rows().get(pk=made.pk))

        return self.once(act)

    def partial_update(self, request: Request, ref: str) -> Response:
        """Change what is looked at, how often, what it gates, and who provides it."""
        row, wanted = self.find_permitted(ref), self.body(ChangedServiceInput)
        people = wanted.pop("providers", None)
        with transaction.atomic():
            if people is not None:
                serving.appoint(row, _people(people), by=request.user, reason=wanted["reason"])
            if people is None or set(wanted) - {"reason", "seen"}:
                serving.change(row, by=request.user, **wanted)
        return Response(self.document(self.find(ref)))

    def do_check(self, request: Request, ref: str) -> Response:
        """Look at it now."""
        checking.look_now(self.find_permitted(ref))
        return Response(self.document(self.find(ref)))

    def do_override(self, request: Request, ref: str) -> Response:
        """Say that it is up or down, whatever is found; `none` takes that back."""
        row, wanted = self.find_permitted(ref), self.body(OverrideInput)
        forced = "" if wanted["state"] == "none" else wanted["state"]
        checking.override(row, forced, by=self.actor, reason=wanted["reason"], until=wanted.get("until"))
        return Response(self.document(self.find(ref)))

    def do_downtime(self, request: Request, ref: str) -> Response:
        """Say that it is down by plan for a while."""
        row, wanted = self.find_permitted(ref), self.body(DowntimeInput)
        begins = wanted.get("begins") or now()
        checking.plan_downtime(row, begins, wanted["until"], by=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_no_downtime(self, request: Request, ref: str) -> Response:
        """Take back the downtimes that are planned or going on."""
        checking.end_downtime(self.find_permitted(ref), by=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def states(self, request: Request, ref: str) -> Response:
        """Return how it was, the latest first; of a span, with `after` and `before`."""
        row = self.find_permitted(ref)
        rows = ServiceState.objects.filter(service=row).order_by("-at", "-pk")
        query = request.query_params
        bounds = {}
        for name in ("after", "before"):
            if given := query.get(name):
                bounds[name] = serializers.DateTimeField().run_validation(given)
        if "after" in bounds:
            rows = rows.between(bounds["after"], bounds.get("before", now()))
        elif "before" in bounds:
            rows = rows.filter(at__lt=bounds["before"])
        most = min(whole("limit", query.get("limit", "50"), "a whole number"), LONGEST_HISTORY)
        return Response({
            "results": [
                {"from": s.source, "to": s.target, "at": s.at, "until": s.until, "reason": s.reason,
                 "figures": s.figures}
                for s in rows[:most]
            ],
            "next": None,
        })  # fmt: skip


def _people(names: list[str]) -> list[User]:
    found = list(User.objects.filter(username__in=names, is_active=True))
    if missing := sorted(set(names) - {user.username for user in found}):
        raise Refused("Nothing was changed.", [Problem("providers", f"unknown: {', '.join(missing)}")])
    return found


class LimitInput(ReasonInput):
    """The body that sets a limit."""

    kind = serializers.CharField(max_length=12)
    most = serializers.IntegerField(min_value=0, max_value=10**9)
    experiment = serializers.CharField(max_length=60)
    system = serializers.CharField(max_length=30, required=False, allow_blank=True, default="")
    host = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class LimitView(OfAllViewSet):
    """Limits: how much may be under way at once."""

    model = Limit
    letter = "l"
    filters = {"kind": "kind", "system": "system"}
    rules = {"list": "view", "retrieve": "view", "create": "operate", "do_remove": "operate"}

    def rows(self) -> Any:
        """Return the limits; of lists those that stand."""
        rows = self.get_queryset().select_related("experiment", "host")
        return rows.filter(ended_at=None) if self.action == "list" else rows

    def document(self, row: Limit) -> Document:
        """Return the limit."""
        return {
            "ref": row.ref, "experiment": row.experiment.name if row.experiment else None, "kind": row.kind,
            "most": row.most, "system": row.system, "host": row.host.name if row.host else "", "text": str(row),
            "reason": row.reason, "actor": row.actor, "since": row.since, "ended": row.ended_at,
            "ended_by": row.ended_by,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Set a limit of an experiment, or of a batch system for `all`."""
        wanted = self.body(LimitInput)
        experiment = self.experiment_or_all(wanted.pop("experiment"))
        self.permit_in(experiment)

        def act() -> tuple[int, Document]:
            kind, most = wanted.pop("kind"), wanted.pop("most")
            made = limiting.limit(kind, most, experiment=experiment, actor=self.actor, **wanted)
            return 201, self.document(made)

        return self.once(act)

    def do_remove(self, request: Request, ref: str) -> Response:
        """Take it back."""
        limiting.remove(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))


class HoldInput(ReasonInput):
    """The body that holds something: everything, an experiment, a service, a campaign, a stage or a batch."""

    scope = serializers.ChoiceField([scope for scope, _ in Hold._meta.get_field("scope").choices or ()])
    experiment = serializers.CharField(max_length=60, required=False, help_text="which, where the scope is one")
    of = serializers.CharField(max_length=200, required=False, allow_blank=True, default="", help_text="which else")
    until = serializers.DateTimeField(required=False, allow_null=True)


class HoldView(OfAllViewSet):
    """Holds, standing and released."""

    model = Hold
    letter = "h"
    filters = {"scope": "scope", "actor": "actor"}
    more_filters = ("standing",)
    rules = {"list": "view", "retrieve": "view", "create": "watch", "do_release": "watch"}

    def rows(self) -> Any:
        """Return holds with what they hold."""
        beside = ("experiment", "campaign__experiment", "stage__campaign__experiment", "batch__experiment",
                  "service__experiment", "credential__experiment")  # fmt: skip
        rows = self.get_queryset().select_related(*beside)
        wanted = self.request.query_params.get("standing")
        if wanted not in (None, "", "0", "1"):
            raise Refused("The list cannot be filtered so.", [Problem("standing", f"not 0 or 1: {wanted[:20]}")])
        return rows.filter(released_at__isnull=wanted == "1") if wanted else rows

    def document(self, row: Hold) -> Document:
        """Return the hold."""
        return {
            "ref": row.ref, "scope": row.scope, "experiment": row.experiment.name if row.experiment else None,
            "service": row.service.ref if row.service else None,
            "campaign": row.campaign.ref if row.campaign else None, "stage": row.stage.ref if row.stage else None,
            "batch": row.batch.ref if row.batch else None,
            "credential": row.credential.ref if row.credential else None, "reason": row.reason, "actor": row.actor,
            "since": row.since, "until": row.until, "released": row.released_at, "released_by": row.released_by,
            "release_reason": row.release_reason,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Hold something until it is released, or until a time."""
        wanted = self.body(HoldInput)
        scope, thing, experiment = wanted["scope"], None, None
        if scope == "experiment":
            thing = experiment = self.experiment_named(wanted.get("experiment"))
        elif scope != "everything":
            thing = held(request.user, scope, wanted["of"])
            experiment = thing.campaign.experiment if scope == "stage" else thing.experiment
        self.permit_in(experiment)

        def act() -> tuple[int, Document]:
            made = holding.hold(scope, thing, actor=self.actor, reason=wanted["reason"], until=wanted.get("until"))
            return 201, self.document(made)

        return self.once(act)

    def do_release(self, request: Request, ref: str) -> Response:
        """Open the gate again."""
        holding.release(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))


urlpatterns = [
    *routes("holds", HoldView, "release", create=True, history=False),
    *routes("services", ServiceView, "check", "override", "downtime", "no_downtime",
            create=True),
    path(ref_path("services", "v", "states/"), ServiceView.as_view({"get": "states"}), name="services-states"),
    *routes("limits", LimitView, "remove", create=True, history=False),
]  # fmt: skip
