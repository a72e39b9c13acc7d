"""The API by which files are declared: those that come from elsewhere than a campaign, such as a detector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.viewsets import ScopedViewSet
from integrations import registry
from integrations.catalogue.base import FileSeen
from integrations.models import File
from poms_site.api.data import answered

MOST_DECLARED = 1000  # files in one call
LARGEST = 2**63 - 1


class DeclaredFile(serializers.Serializer[Any]):
    """One file that is to be entered into a catalogue."""

    name = serializers.RegexField(r"^[^\s/\x00-\x1f\x7f]+$", max_length=200)
    path = serializers.RegexField(r"^(/|\w+://)", max_length=4000)
    size = serializers.IntegerField(min_value=0, max_value=LARGEST)
    checksum = serializers.CharField(required=False, allow_blank=True, default="", max_length=80)
    events = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=0, max_value=LARGEST)
    metadata = serializers.DictField(required=False, default=dict)
    parents = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, default=list, max_length=MOST_DECLARED
    )

    def to_internal_value(self, data: Any) -> Any:
        """Return the file; a field that is not known is refused, so that a slip of the pen is not lost."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({name: ["unknown field"] for name in unknown})
        return super().to_internal_value(data)

    def validate_metadata(self, given: dict[str, Any]) -> dict[str, Any]:
        """Refuse what the database cannot hold."""
        try:
            json.dumps(given, allow_nan=False)
        except ValueError as error:
            raise serializers.ValidationError("has a number that is none") from error
        if any("\0" in text for text in _texts(given)):
            raise serializers.ValidationError("has a NUL character")
        return given


class DeclareInput(serializers.Serializer[Any]):
    """The body that declares files."""

    experiment = serializers.CharField()
    catalogue = serializers.CharField(max_length=30, required=False, allow_blank=True, default="")
    files = serializers.ListField(child=DeclaredFile(), allow_empty=False, max_length=MOST_DECLARED)


def _texts(given: Any) -> Iterator[str]:
    """Yield every text in a JSON value, keys included."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict):
        for key, value in given.items():
            yield key
            yield from _texts(value)
    elif isinstance(given, list):
        for value in given:
            yield from _texts(value)


class DeclareView(ScopedViewSet):
    """Files as they come."""

    model = File
    rules = {"declare": "operate"}

    def declare(self, request: Request) -> Response:
        """Enter files into a catalogue; the same file again changes nothing, so that whoever got no answer asks again.

        No `once` here: it would keep a transaction open while an outside catalogue is asked.
        """
        wanted = self.body(DeclareInput)
        experiment = self.experiment_named(wanted["experiment"])
        self.permit(experiment)
        files = [FileSeen(**given) for given in wanted["files"]]
        with answered("The catalogue does not take them.", "files"):
            refused = registry.catalogue(experiment, wanted["catalogue"]).declare(files)
        return Response({
            "declared": [seen.name for seen in files if seen.name not in refused],
            "refused": [{"name": name, "why": why} for name, why in sorted(refused.items())],
        })  # fmt: skip


urlpatterns = [path("files/declare/", DeclareView.as_view({"post": "declare"}), name="files-declare")]
