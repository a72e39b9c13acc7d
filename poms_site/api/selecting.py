"""The API's verbs on selections, emergency stops, and what was done to each job."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotAllowed, Problem, Refused
from experiments.models import Experiment
from experiments.queries import is_administrator
from experiments.rules import SIGNED_IN
from experiments.viewsets import Document, ReasonInput, ScopedViewSet, ref_path, whole
from poms_site.overview import choosing
from submissions.logic import selecting, stopping
from submissions.models import Command, Hold
from submissions.models.control import TREATMENTS

COLLECTIONS = {"job": "jobs", "submission": "submissions", "batch": "batches", "stage": "stages",
               "campaign": "campaigns"}  # fmt: skip
MOST_OUTCOMES = 10_000


class SelectionInput(ReasonInput):
    """The body of a verb on a selection: references, or a filter; `at_most` is how many things one was told of."""

    experiment = serializers.CharField(required=False, allow_blank=True, default="")
    refs = serializers.ListField(child=serializers.CharField(max_length=200), required=False, default=list)
    filter = serializers.DictField(child=serializers.CharField(max_length=200), required=False, default=dict)
    at_most = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=0)


class SelectionView(ScopedViewSet):
    """Verbs on many things of one kind: each is answered for, and `?plan=1` only says what would be done."""

    noun = ""
    launches = frozenset({"do_retry", "do_launch"})

    def act(self, verb: str) -> Response:
        """Say a verb to a selection."""
        wanted = self.body(SelectionInput)
        if bool(wanted["refs"]) == bool(wanted["filter"]):
            problem = Problem("refs", "give references or a filter", 'such as {"refs": ["demo/j1"], "reason": "…"}')
            raise Refused("Nothing is chosen; nothing was changed.", [problem])
        named = wanted["experiment"] or next((ref.partition("/")[0] for ref in wanted["refs"] if "/" in ref), "")
        experiment, user = self.experiment_named(named), self.request.user
        if wanted["refs"]:
            chosen = choosing.by_refs(user, experiment, self.noun, wanted["refs"])
        else:
            chosen = choosing.by_filter(user, experiment, self.noun, wanted["filter"])
        rows = selecting.permitted(user, verb, self.noun, experiment, chosen.rows)
        if self.request.query_params.get("plan", "0") not in ("", "0"):
            return Response(selecting.plan(verb, self.noun, rows).as_dict() | {"missing": list(chosen.missing)})

        def act() -> tuple[int, Document]:
            left = selecting.left_out(verb, self.noun, rows) if chosen.named else []
            done = selecting.act(
                verb, self.noun, rows, actor=self.actor, reason=wanted["reason"], at_most=wanted["at_most"],
                each=bool(chosen.named),
            )  # fmt: skip
            told = {"selection": str(done.selection), "results": choosing.answers(chosen, done, left)}
            return 202, {**done.plan.as_dict(), **told}

        return self.once(act)

    def do_kill(self, request: Request) -> Response:
        """Remove the jobs of what is chosen."""
        return self.act("kill")

    def do_hold(self, request: Request) -> Response:
        """Hold jobs; of batches, stages and campaigns nothing more is launched."""
        return self.act("hold")

    def do_release(self, request: Request) -> Response:
        """Release what is held."""
        return self.act("release")

    def do_retry(self, request: Request) -> Response:
        """Launch again what the failed batches of what is chosen miss."""
        return self.act("retry")

    def do_launch(self, request: Request) -> Response:
        """Put what waits to the front of the experiment's queue, and take its holds off."""
        return self.act("launch")


def _of(noun: str) -> type[SelectionView]:
    rules = {f"do_{verb}": selecting.RULES[verb] for verb in selecting.VERBS[noun]}
    about = f"Verbs on many {COLLECTIONS[noun]}."
    return type(
        f"{noun.capitalize()}SelectionView", (SelectionView,),
        {"noun": noun, "rules": rules, "model": selecting.MODELS[noun], "__doc__": about},
    )  # fmt: skip


class OutcomeView(ScopedViewSet):
    """What a command did to each job."""

    model = Command
    letter = "x"
    rules = {"outcomes": "view", "list": "view"}

    def outcomes(self, request: Request, ref: str) -> Response:
        """Return a piece of the jobs with what came of each; `outcome` narrows to one word."""
        row, query = self.find(ref), request.query_params
        offset = whole("offset", query.get("offset", "0"), "how many to leave out")
        length = min(whole("length", query.get("length", "1000"), "how many jobs"), MOST_OUTCOMES)
        wanted = query.get("outcome", "")
        found = [(name, word) for word, names in row.outcomes.items() for name in names if wanted in ("", word)]
        piece = found[offset : offset + length]
        return Response({
            "command": row.ref, "verb": row.verb, "state": row.state, "tally": row.tally, "total": len(found),
            "results": [{"job": name, "outcome": word} for name, word in piece],
            "next": offset + length if offset + length < len(found) else None,
        })  # fmt: skip

    def list(self, request: Request) -> Response:
        """Return the commands of one verb on a selection, with how many jobs came to what."""
        given = request.query_params.get("selection", "")
        try:
            selection = UUID(given)
        except ValueError as error:
            problem = Problem("selection", f"no selection: {given[:40]}", "as the answer of the verb named it")
            raise Refused("The list cannot be read.", [problem]) from error
        rows = selecting.commands_of(selection).filter(pk__in=self.get_queryset().values("pk"))
        page = self.paginate_queryset(rows.select_related("experiment", "submission__experiment")) or []
        return self.get_paginated_response([
            {"ref": row.ref, "verb": row.verb, "submission": row.submission.ref, "state": row.state,
             "outcome": row.outcome, "tally": row.tally, "actor": row.actor, "reason": row.reason}
            for row in page
        ])  # fmt: skip


# --- Emergency stops ---------------------------------------------------------------------------------------------


class StopInput(ReasonInput):
    """The body of an emergency stop: what becomes of jobs that run or wait in a batch system."""

    experiment = serializers.CharField(required=False, allow_blank=True, default="")
    jobs = serializers.ChoiceField(TREATMENTS, required=False, default="hold")


class GoOnInput(ReasonInput):
    """The body of go-on."""

    experiment = serializers.CharField(required=False, allow_blank=True, default="")


class StopView(ScopedViewSet):
    """Emergency stops: of an experiment by whoever operates it, of everything by administrators."""

    model = Hold
    rules = {"list": SIGNED_IN, "create": "operate", "go_on": "operate", "stop_all": SIGNED_IN,
             "go_on_all": SIGNED_IN}  # fmt: skip

    def list(self, request: Request) -> Response:
        """Return the stops that stand: of experiments that one may see, and of everything."""
        return Response({"results": [stop_document(row) for row in stopping.stops_of(request.user)], "next": None})

    def create(self, request: Request) -> Response:
        """Stop an experiment: nothing of it is launched any more. `?plan=1` says what it would meet."""
        wanted = self.body(StopInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        return self._stop(experiment, wanted)

    def stop_all(self, request: Request) -> Response:
        """Stop everything."""
        wanted = self.body(StopInput)
        self._administrators_only()
        return self._stop(None, wanted)

    def go_on(self, request: Request) -> Response:
        """End an experiment's stop."""
        wanted = self.body(GoOnInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        return Response(stop_document(stopping.go_on(experiment, actor=self.actor, reason=wanted["reason"])))

    def go_on_all(self, request: Request) -> Response:
        """End the stop of everything."""
        wanted = self.body(GoOnInput)
        self._administrators_only()
        return Response(stop_document(stopping.go_on(None, actor=self.actor, reason=wanted["reason"])))

    def _administrators_only(self) -> None:
        if not is_administrator(self.request.user):
            raise NotAllowed("To stop everything needs the role administrator; nothing was changed.")

    def _stop(self, experiment: Experiment | None, wanted: dict[str, Any]) -> Response:
        planned = stopping.plan(experiment).as_dict(wanted["jobs"])
        if self.request.query_params.get("plan", "0") not in ("", "0"):
            return Response(planned)
        made = stopping.stop(experiment, wanted["jobs"], actor=self.actor, reason=wanted["reason"])
        return Response({**planned, **stop_document(made)}, status=201)


def stop_document(row: Hold) -> Document:
    """Return an emergency stop as the API shows it."""
    return {
        "ref": row.ref, "experiment": row.experiment.name if row.experiment else None, "jobs": row.emergency,
        "reason": row.reason, "actor": row.actor, "since": row.since, "selection": row.selection,
        "released": row.released_at,
    }  # fmt: skip


urlpatterns = [
    *(
        path(f"{COLLECTIONS[noun]}/{verb}/", view.as_view({"post": f"do_{verb}"}), name=f"select-{noun}-{verb}")
        for noun in selecting.VERBS
        for view in (_of(noun),)
        for verb in selecting.VERBS[noun]
    ),
    path("outcomes/", OutcomeView.as_view({"get": "list"}), name="outcomes-list"),
    path(ref_path("commands", "x", "outcomes/"), OutcomeView.as_view({"get": "outcomes"}), name="commands-outcomes"),
    path("stops/", StopView.as_view({"get": "list", "post": "create"}), name="stops-list"),
    path("stops/go-on/", StopView.as_view({"post": "go_on"}), name="stops-go_on"),
    path("stops/all/", StopView.as_view({"post": "stop_all"}), name="stops-all"),
    path("stops/all/go-on/", StopView.as_view({"post": "go_on_all"}), name="stops-all-go_on"),
]
