"""The API's view of the failure atlas, and of the rules that route it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import ledger
from core.errors import Problem, Refused
from experiments.viewsets import Document, ReasonInput, routes
from poms_site.api.services import OfAllViewSet
from poms_site.overview import failures as atlas
from submissions.logic import escalating, routing
from submissions.models import Failure, Route
from submissions.signatures import CAUSES


class FixInput(ReasonInput):
    """The body that says what helps."""

    fix = serializers.CharField(max_length=routing.LONGEST_FIX, allow_blank=True)


class OwnerInput(ReasonInput):
    """The body that gives a failure to somebody: a service by its name, or the experiment by its own."""

    owner = serializers.CharField(max_length=60)


class LinkInput(ReasonInput):
    """The body that links a ticket."""

    link = serializers.CharField(max_length=routing.LONGEST_LINK, allow_blank=True)


class FailureView(OfAllViewSet):
    """Failures by what they are recognised by."""

    model = Failure
    letter = "f"
    more_filters = tuple(atlas.NARROW)
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "do_fix": "watch", "do_route": "operate",
        "do_ticket": "watch", "do_link": "watch", "do_logbook": "watch",
    }  # fmt: skip
    # What whoever provides the service to which a failure goes may do, beside those who hold the permission.
    PROVIDERS = ("do_fix", "do_route", "do_link")

    def rows(self) -> Any:
        """Return failures with whose they are; of lists those that stand, narrowed as was asked."""
        rows = self.get_queryset().select_related("experiment", "signature", "service__experiment")
        if self.action != "list":
            return rows
        asked = self.request.query_params
        if (cause := asked.get("cause", "")) and cause not in CAUSES:
            raise Refused(
                "The list cannot be filtered so.", [Problem("cause", f"unknown: {cause[:40]}", ", ".join(CAUSES))]
            )
        if (fix := asked.get("fix", "")) not in ("", "known", "unknown"):
            raise Refused("The list cannot be filtered so.", [Problem("fix", f"not known or unknown: {fix[:40]}")])
        for name, narrow in atlas.NARROW.items():
            if value := asked.get(name, ""):
                rows = rows.filter(narrow(value))
        return rows.filter(jobs__gt=0)

    def permit_on(self, row: Failure) -> None:
        """Let those who provide the service say what helps, and hand it on."""
        service = row.service
        provides = service is not None and self.request.user in service.providers.all()
        if self.action not in self.PROVIDERS or not provides:
            super().permit_on(row)

    def document(self, row: Failure) -> Document:
        """Return the failure as lists show it."""
        signature = row.signature
        return {
            "ref": row.ref, "title": signature.title, "cause": signature.cause, "exit_code": signature.exit_code,
            "signal": signature.signal, "code": signature.code, "step": signature.step, "digest": signature.digest,
            "jobs": row.jobs, "core_hours": round(row.core_hours, 3), "first": row.first_at, "last": row.last_at,
            "owner": row.service.name if row.service else row.experiment.name,
            "service": row.service.ref if row.service else None, "routed_by": row.routed_by or None, "fix": row.fix,
            "fix_by": row.fix_by or None, "fix_at": row.fix_at, "link": row.ticket_link or None,
        }  # fmt: skip

    def retrieve(self, request: Request, ref: str) -> Response:
        """Return one failure with where it was seen, its latest jobs, and its ticket."""
        row = self.find(ref)
        return Response(self.whole(row))

    def whole(self, row: Failure) -> Document:
        """Return the failure with its evidence; jobs are named to those who may see the experiment."""
        ticket, entries = atlas.ticket_and_entries(row)
        sees = row.experiment_id in self.request.user.experiment_ids("view")  # type: ignore[union-attr]  # signed in
        seen = atlas.seen_by(row)
        return {
            **self.document(row),
            "seen": {
                "stages": [
                    {"campaign": f"{row.experiment.name}/c{entry['stage__campaign_id']}", "stage": entry["stage__name"],
                     "jobs": entry["n"]} for entry in seen["stage"]
                ] if sees else [],
                **{f"{word}s": [{word: entry[word], "jobs": entry["n"]} for entry in seen[word]]
                   for word in ("site", "release", "day")},
            },
            "examples": [entry.job.ref for entry in atlas.examples_of(row)] if sees else [],
            "elsewhere": [{"ref": other.ref, "jobs": other.jobs, "fix": other.fix}
                          for other in atlas.elsewhere(row, self.request.user)],
            "ticket": {"number": ticket.number, "state": ticket.standing, "link": ticket.link} if ticket else None,
            "entries": [{"number": entry.number or None, "link": entry.link or None} for entry in entries],
        }  # fmt: skip

    def history(self, request: Request, ref: str) -> Response:
        """Return a page of what was done about it, newest first."""
        row = self.find(ref)
        return self.history_page(ledger.history({Failure.KIND: [row.pk]}), {(Failure.KIND, row.pk): ref})

    def do_fix(self, request: Request, ref: str) -> Response:
        """Say what helps."""
        row, wanted = self.find_permitted(ref), self.body(FixInput)
        routing.explain(row, wanted["fix"], by=request.user, reason=wanted["reason"])
        return self._answer(ref)

    def do_route(self, request: Request, ref: str) -> Response:
        """Say whose it is."""
        row, wanted = self.find_permitted(ref), self.body(OwnerInput)
        routing.give(row, wanted["owner"], by=request.user, reason=wanted["reason"])
        # Who gave it away may not see it any more.
        return Response({"ref": ref, "owner": wanted["owner"]})

    def do_ticket(self, request: Request, ref: str) -> Response:
        """Open a ticket in the experiment's service desk, once."""
        escalating.open_ticket(self.find_permitted(ref), by=request.user, reason=self.reason())
        return self._answer(ref)

    def do_link(self, request: Request, ref: str) -> Response:
        """Keep the address of a ticket that was opened elsewhere."""
        row, wanted = self.find_permitted(ref), self.body(LinkInput)
        routing.link(row, wanted["link"], by=request.user, reason=wanted["reason"])
        return self._answer(ref)

    def do_logbook(self, request: Request, ref: str) -> Response:
        """Write the reason into the experiment's logbook, with the figures of the failure."""
        escalating.write_entry(self.find_permitted(ref), self.reason(), by=request.user)
        return self._answer(ref)

    def _answer(self, ref: str) -> Response:
        return Response(self.whole(self.find(ref)))


class RouteInput(ReasonInput):
    """The body that sets a rule."""

    experiment = serializers.CharField(max_length=60)
    cause = serializers.CharField(max_length=12, required=False, allow_blank=True, default="")
    pattern = serializers.CharField(
        max_length=1000, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    service = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    place = serializers.IntegerField(required=False, default=100)


class RouteView(OfAllViewSet):
    """Rules that say whose failures are; those that POMS brings are none of these."""

    model = Route
    letter = "o"
    filters = {"cause": "cause", "service": "service"}
    rules = {"list": "view", "retrieve": "view", "create": "administer", "do_remove": "administer"}

    def rows(self) -> Any:
        """Return the rules; of lists those that stand."""
        rows = self.get_queryset().select_related("experiment")
        return rows.filter(ended_at=None) if self.action == "list" else rows

    def document(self, row: Route) -> Document:
        """Return the rule."""
        return {
            "ref": row.ref, "experiment": row.experiment.name if row.experiment else None, "place": row.place,
            "cause": row.cause or None, "pattern": row.pattern, "service": row.service or None, "text": str(row),
            "reason": row.reason, "actor": row.actor, "since": row.since, "ended": row.ended_at,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Set a rule of an experiment, or of `all`."""
        wanted = self.body(RouteInput)
        experiment = self.experiment_or_all(wanted.pop("experiment"))
        self.permit_in(experiment)

        def act() -> tuple[int, Document]:
            return 201, self.document(routing.add(experiment, by=request.user, **wanted))

        return self.once(act)

    def do_remove(self, request: Request, ref: str) -> Response:
        """Take it back."""
        routing.remove(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))


urlpatterns = [
    *routes("failures", FailureView, "fix", "route", "ticket", "link", "logbook"),
    *routes("routes", RouteView, "remove", create=True, history=False),
]
