"""What the API takes: bodies of requests and of the verbs on them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.api import KeptEdit
from experiments.viewsets import FiniteField, ReasonInput


class RequestInput(serializers.Serializer[Any]):
    """The body that makes or changes a request."""

    experiment = serializers.CharField()
    title = serializers.CharField(max_length=200)
    group = serializers.CharField(max_length=100, allow_blank=True, required=False)
    production_stage = serializers.CharField(max_length=40)
    definition = serializers.CharField(max_length=256 * 1024, trim_whitespace=False)
    dataset = serializers.CharField(max_length=400, allow_blank=True, required=False)
    files = serializers.ListField(child=serializers.CharField(max_length=200), max_length=100_000, required=False)
    query = serializers.CharField(max_length=2000, allow_blank=True, required=False)
    events = serializers.IntegerField(min_value=1, max_value=10**12, allow_null=True, required=False)
    repository = serializers.CharField(max_length=100, allow_blank=True, required=False)
    release = serializers.CharField(max_length=100, allow_blank=True, required=False)
    configuration = serializers.CharField(max_length=400, allow_blank=True, required=False)
    scripts = serializers.ListField(child=serializers.CharField(max_length=400), max_length=50, required=False)
    priority = serializers.IntegerField(min_value=0, max_value=100, required=False)
    hours_per_file = FiniteField(min_value=0, allow_null=True, required=False)
    memory_mb = serializers.IntegerField(min_value=1, max_value=10**7, allow_null=True, required=False)
    outputs = serializers.CharField(max_length=400, allow_blank=True, required=False)
    special = serializers.CharField(max_length=8000, allow_blank=True, required=False)
    details = serializers.DictField(child=serializers.CharField(max_length=400, allow_blank=True), required=False)
    free_text = serializers.CharField(max_length=8000, allow_blank=True, required=False)
    keep_up = serializers.BooleanField(required=False)

    def validate_files(self, names: list[str]) -> str:
        """Keep the list as the request does: one name a line."""
        return _lines(names)

    def validate_scripts(self, names: list[str]) -> str:
        """Keep the list as the request does: one path a line."""
        return _lines(names)

    def validate_details(self, details: dict[str, str]) -> dict[str, str]:
        """Take keys that can be shown."""
        if len(details) > 50 or any(not key.strip() or len(key) > 60 for key in details):
            raise serializers.ValidationError("At most 50 keys of 1 to 60 characters.")
        return details


class CloneInput(RequestInput):
    """The body that makes a request like another: what is to be different."""

    experiment = None  # type: ignore[assignment]  # a serializer leaves a field of its base out so
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)


class DecisionInput(serializers.Serializer[Any]):
    """The body of a decision; `revision` is the hash of what the approver has read."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    revision = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)


class ConfirmInput(DecisionInput):
    """The body of a confirmation: which special requirements are ticked off; none named: all."""

    ticked = serializers.ListField(child=serializers.CharField(max_length=8000), required=False, allow_null=True)


class UntickInput(DecisionInput):
    """The body that takes ticks back: which."""

    ticked = serializers.ListField(child=serializers.CharField(max_length=8000))


class MergeInput(DecisionInput):
    """The body of a consolidation: the requests that are joined with this one, and their revisions."""

    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    revisions = serializers.ListField(child=serializers.CharField(max_length=64), required=False, default=list)

    def get_fields(self) -> dict[str, Any]:
        """Name a field by a word that is reserved in Python."""
        return {**super().get_fields(), "with": serializers.ListField(child=serializers.CharField(), max_length=20)}


class SplitInput(DecisionInput):
    """The body that parts a request: how many files its first part gets."""

    first = serializers.IntegerField(min_value=1)


class TestInput(serializers.Serializer[Any]):
    """The body that starts a test run."""

    __test__ = False
    size = serializers.IntegerField(required=False, default=2)
    own_account = serializers.BooleanField(required=False, default=False)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)


class PriorityInput(serializers.Serializer[Any]):
    """The body of another priority."""

    priority = serializers.IntegerField()
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)


class CommentInput(serializers.Serializer[Any]):
    """The body of a comment."""

    text = serializers.CharField(max_length=16_000, trim_whitespace=False)


class AttachInput(serializers.Serializer[Any]):
    """The body of an attachment: its bytes in base64."""

    name = serializers.CharField(max_length=200)
    content = serializers.CharField(max_length=20_000_000)


class DetachInput(serializers.Serializer[Any]):
    """The body that takes an attachment away."""

    name = serializers.CharField(max_length=200)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)


def _lines(names: list[str]) -> str:
    if any("\n" in name or "\r" in name for name in names):
        raise serializers.ValidationError("A name has no line break.")
    return "\n".join(names)


class TemplateRequestInput(RequestInput):
    """The body that makes a request from a template: its definition and stage may stay the template's."""

    template = serializers.CharField(max_length=60)
    production_stage = serializers.CharField(max_length=40, required=False)
    definition = serializers.CharField(max_length=256 * 1024, trim_whitespace=False, required=False)
    parameters = serializers.DictField(child=serializers.CharField(max_length=2000, allow_blank=True), required=False,
                                       default=dict)  # fmt: skip


class TemplateInput(serializers.Serializer[Any]):
    """The body that makes a template."""

    experiment = serializers.CharField()
    name = serializers.SlugField(max_length=60)
    title = serializers.CharField(max_length=200)
    about = serializers.CharField(max_length=8000, allow_blank=True, default="")
    production_stage = serializers.CharField(max_length=40, allow_blank=True, default="")
    parameters = serializers.CharField(max_length=16_000, allow_blank=True, default="")
    definition = serializers.CharField(max_length=256 * 1024, trim_whitespace=False)
    hours_per_file = FiniteField(min_value=0, allow_null=True, default=None)
    memory_mb = serializers.IntegerField(min_value=1, max_value=10**7, allow_null=True, default=None)


class TemplateEdit(KeptEdit, TemplateInput):
    """The body that changes a template."""

    active = serializers.BooleanField(required=False)


class PublishInput(ReasonInput):
    """The body that puts a template into the common library, or takes it out."""

    common = serializers.BooleanField(default=True)


class UseInput(serializers.Serializer[Any]):
    """The body that makes a campaign with a template."""

    experiment = serializers.CharField(required=False, allow_blank=True, default="")
    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    parameters = serializers.DictField(child=serializers.CharField(max_length=2000, allow_blank=True), required=False,
                                       default=dict)  # fmt: skip
