"""The API's view of data: datasets and queries, how a dataset would be cut, and a file's own story."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import splitting
from core.errors import NotAvailable, NotVisible, Problem, Refused
from experiments.models import Experiment
from experiments.viewsets import Document, ScopedViewSet, whole
from integrations import registry
from integrations.errors import OutsideError
from integrations.errors import Refused as OutsideRefused
from integrations.models import Dataset, File
from poms_site.overview import dataset
from submissions.logic import freezing
from submissions.queries import made_as, slices_with, uses_of

SHOWN = 3
MOST_USES = 100
MOST_NAMES = 1_000


class PreviewInput(serializers.Serializer[Any]):
    """The body that asks how a dataset would be cut."""

    experiment = serializers.CharField()
    dataset = serializers.CharField(max_length=100_000)
    split = serializers.CharField(max_length=200, required=False, allow_blank=True, default="None")
    catalogue = serializers.CharField(max_length=30, required=False, allow_blank=True, default="")
    most_files = serializers.IntegerField(required=False, default=0, min_value=0, max_value=10**9)


class DataView(ScopedViewSet):
    """Datasets before they run, and files wherever they were used."""

    model = File
    rules = {"preview": "view", "story": "view", "show": "view", "query": "view"}

    def preview(self, request: Request) -> Response:
        """Say into which slices a dataset would be cut now: nothing is frozen and nothing written."""
        wanted = self.body(PreviewInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        try:
            split = splitting.parse(wanted["split"])
            if split.what.holds == "values":
                words = splitting.values(wanted["dataset"])[: wanted["most_files"] or None]
                return Response(_previewed(split, [splitting.Input(rank) for rank in range(len(words))], words))
            if split.what.holds == "datasets":
                splitting.datasets(wanted["dataset"])
        except ValueError as error:
            raise Refused(
                "It cannot be cut so.", [Problem("split", str(error), "see /docs/guide/definition/")]
            ) from error
        with answered("It cannot be cut so.", "dataset"):
            files, inputs = freezing.see(
                experiment, wanted["catalogue"], wanted["dataset"], split, wanted["most_files"]
            )  # fmt: skip
        return Response(_previewed(split, inputs, [seen.name for seen in files]))

    def story(self, request: Request) -> Response:
        """Say what made a file, and what was made of it: stages, batches, submissions, outputs."""
        experiment = self._asked("The story cannot be told.", "name")
        return Response(_story(experiment.pk, request.query_params["name"]))

    def show(self, request: Request) -> Response:
        """Say of one dataset of a catalogue how large it is now, where its files are, and which campaigns read it."""
        experiment, query = self._asked("The dataset cannot be shown.", "name"), request.query_params
        name, link = query["name"], query.get("catalogue", "")
        with answered("It cannot be shown so.", "name"):
            found = dataset.seen(registry.catalogue(experiment, link), name)
        if found is None:
            raise NotVisible(f"There is no dataset {name} in the catalogue of {experiment.name}.")
        shown = {"experiment": experiment.name, "name": name, "catalogue": link, **found}
        return Response({**shown, "uses": dataset.uses(experiment, name)})

    def query(self, request: Request) -> Response:
        """Say how many files a query in the catalogue's language finds now, and which come first."""
        experiment, query = self._asked("The query cannot be asked.", "dimensions"), request.query_params
        limit = min(whole("limit", query.get("limit") or str(SHOWN), "a number of names"), MOST_NAMES)
        with answered("It cannot be asked so.", "dimensions"):
            names = registry.catalogue(experiment, query.get("catalogue", "")).query(query["dimensions"])
        return Response({"dimensions": query["dimensions"], "files": len(names), "first": sorted(names)[:limit]})

    def _asked(self, detail: str, *needed: str) -> Experiment:
        """Return the experiment of a question in the address; what it needs is there, and it may be asked."""
        query = self.request.query_params
        missing = [name for name in ("experiment", *needed) if not query.get(name)]
        if missing:
            raise Refused(detail, [Problem(name, "is missing") for name in missing])
        experiment = self.experiment_named(query["experiment"])
        self.permit(experiment)
        return experiment


class DatasetView(ScopedViewSet):
    """Datasets: those of the local catalogue, and what campaigns read in whichever catalogue."""

    model = Dataset
    filters = {"name": "name", "name_has": "name__icontains"}
    rules = {"list": "view", "read": "view"}

    def document(self, row: Dataset) -> Document:
        """Return a dataset as it was defined; how large it is now is asked of each by itself."""
        return {
            "experiment": row.experiment.name, "name": row.name, "catalogue": "local", "query": row.query,
            "created": row.created_at,
        }  # fmt: skip

    def read(self, request: Request) -> Response:
        """Return the datasets that definitions name, those of the latest campaigns first; at most 500."""
        found = dataset.read(request.user, request.query_params.get("experiment", ""))
        return Response({"results": found, "next": None})


@contextmanager
def answered(detail: str, field: str) -> Iterator[None]:
    """Turn what a catalogue refuses, and that it does not answer, into sentences for who asked."""
    try:
        yield
    except OutsideRefused as error:
        raise Refused(detail, [Problem(field, str(error), "")]) from error
    except OutsideError as error:
        raise NotAvailable(f"The catalogue cannot be asked: {error}. Try again in a while.") from error


def _previewed(split: splitting.Split, inputs: Any, names: list[str]) -> Document:
    found = splitting.cut(split, inputs)
    first = [
        {"label": part.label, "files": len(part.members), "from": names[part.members[0]], "to": names[part.members[-1]]}
        for part in found.slices[:SHOWN]
    ]
    return {
        "split": str(split), "files": len(names), "slices": len(found.slices), "first": first,
        "last_files": len(found.slices[-1].members) if found.slices else 0, "left_out": dict(found.left_out),
        "text": splitting.preview(split, found, names.__getitem__),
    }  # fmt: skip


def _story(experiment_id: int, name: str) -> Document:
    output = made_as(experiment_id, name)
    made = None
    if output is not None:
        units = output.result.acceptances.select_related("unit").order_by("unit_id")[:MOST_USES]
        made = {
            "submission": output.result.submission.ref, "job": output.result.job, "stage": output.stage.name,
            "campaign": output.stage.campaign.ref, "pass": output.pass_number, "at": output.result.at,
            "inputs": [entry.unit.file_name or entry.unit.key for entry in units],
        }  # fmt: skip
    uses = [
        {
            "campaign": unit.stage.campaign.ref, "stage": unit.stage.name, "pass": unit.pass_number,
            "batch": unit.batch.ref if unit.batch else None, "state": unit.batch.state if unit.batch else "waits",
            **_result_of(unit),
        }
        for unit in uses_of(experiment_id, name)[:MOST_USES]
    ]  # fmt: skip
    waits = [
        {"campaign": part.snapshot.stage.campaign.ref, "stage": part.snapshot.stage.name, "slice": part.number}
        for part in slices_with(experiment_id, name)[:MOST_USES]
    ]  # fmt: skip
    return {"name": name, "made_by": made, "used_in": uses, "waits_in": waits}


def _result_of(unit: Any) -> Document:
    acceptance = getattr(unit, "acceptance", None)
    if acceptance is None:
        return {"submission": None, "outputs": []}
    result = acceptance.result
    return {"submission": result.submission.ref, "outputs": sorted(output.name for output in result.outputs.all())}


urlpatterns = [
    path("splits/preview/", DataView.as_view({"post": "preview"}), name="splits-preview"),
    path("data/", DatasetView.as_view({"get": "list"}), name="data-list"),
    path("data/read/", DatasetView.as_view({"get": "read"}), name="data-read"),
    path("data/show/", DataView.as_view({"get": "show"}), name="data-show"),
    path("data/query/", DataView.as_view({"get": "query"}), name="data-query"),
    path("files/story/", DataView.as_view({"get": "story"}), name="files-story"),
]
