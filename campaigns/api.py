"""The API's view of job types and launch set-ups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.logic import editing, keeping, trying
from campaigns.models import JobType, LoginSetup, SetupTrial
from core.errors import NotVisible, Problem, Refused
from experiments.viewsets import Document, ReasonInput, ScopedViewSet

KEPT_RULES = {
    "list": "view", "retrieve": "view", "versions": "view", "create": "define", "partial_update": "define",
    "do_restore": "define",
}  # fmt: skip


class JobTypeInput(serializers.Serializer[Any]):
    """The body that makes a job type."""

    experiment = serializers.CharField()
    name = serializers.CharField(max_length=100)
    launch_script = serializers.CharField(max_length=8000)
    parameters = serializers.ListField(
        child=serializers.ListField(
            child=serializers.CharField(allow_blank=True, trim_whitespace=False), min_length=2, max_length=2
        ),
        default=list,
    )
    output_file_patterns = serializers.CharField(max_length=400, default="%")


class LoginSetupInput(serializers.Serializer[Any]):
    """The body that makes a launch set-up."""

    experiment = serializers.CharField()
    name = serializers.CharField(max_length=100)
    host = serializers.CharField(max_length=200, default="localhost")
    account = serializers.CharField(max_length=100, allow_blank=True, default="")
    setup = serializers.CharField(max_length=64_000, allow_blank=True, trim_whitespace=False, default="")
    launcher = serializers.CharField(max_length=20, default="local")
    batch = serializers.CharField(max_length=30, default="local")


class KeptEdit(ReasonInput):
    """What every edit of something kept by name says beside the values: why, and what the person had before them."""

    seen = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")


class RestoreInput(ReasonInput):
    """The body that restores a version."""

    version = serializers.IntegerField(min_value=1)


class JobTypeEdit(KeptEdit, JobTypeInput):
    """The body that changes a job type."""

    active = serializers.BooleanField(required=False)


class LoginSetupEdit(KeptEdit, LoginSetupInput):
    """The body that changes a launch set-up."""

    active = serializers.BooleanField(required=False)


class NamedView(ScopedViewSet):
    """Things that an experiment keeps by name, demo/name: made once, edited in versions."""

    makes: type[serializers.Serializer[Any]]
    edits: type[serializers.Serializer[Any]]
    keep: Callable[..., Any]
    edit: Callable[..., Any]

    def named(self, ref: str, name: str) -> Any:
        """Return the visible row of this name."""
        row = self.rows().filter(experiment__name=ref, name=name).first()
        if row is None:
            raise NotVisible(f"There is no {ref}/{name}, or you may not see it.")
        return row

    def named_permitted(self, ref: str, name: str) -> Any:
        """Return the row of this name, if the person may do this to it."""
        row = self.named(ref, name)
        self.permit(row.experiment)
        return row

    def retrieve(self, request: Request, ref: str, name: str = "") -> Response:
        """Return one of them."""
        return Response(self.document(self.named(ref, name)))

    def create(self, request: Request) -> Response:
        """Make one; a name that is taken is refused, for campaigns may count on it."""
        wanted = self.body(self.makes)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        return self.once(lambda: (201, self.document(type(self).keep(experiment, by=request.user, **wanted))))

    def partial_update(self, request: Request, ref: str, name: str = "") -> Response:
        """Change what is given; the next version. Campaigns that were proposed have copies and stay as they are."""
        row = self.named_permitted(ref, name)
        wanted = self.body(self.edits, partial=True)
        for key, standing in (("experiment", row.experiment.name), ("name", row.name)):
            if wanted.pop(key, standing) != standing:
                raise Refused("Nothing was changed.", [Problem(key, "cannot be changed", "make another one")])
        reason, seen = wanted.pop("reason", ""), wanted.pop("seen", "")
        changed = type(self).edit(row, by=request.user, reason=reason, seen=seen, **wanted)
        return Response(self.document(changed))

    def versions(self, request: Request, ref: str, name: str = "") -> Response:
        """Return what it said from edit to edit, the newest first."""
        row = self.named(ref, name)
        return Response({"results": [
            {"version": v.number, "at": v.at, "by": v.by.username if v.by else None, "reason": v.reason,
             "values": v.values}
            for v in keeping.versions(row)
        ]})  # fmt: skip

    def do_restore(self, request: Request, ref: str, name: str = "") -> Response:
        """Let it say again what it said in a version."""
        row, wanted = self.named_permitted(ref, name), self.body(RestoreInput)
        keeping.restore(row, wanted["version"], by=request.user, reason=wanted["reason"], edit=type(self).edit)
        return Response(self.document(self.named(ref, name)))


class JobTypeView(NamedView):
    """Job types: production makes and edits them, the experiment sees them."""

    model = JobType
    rules = KEPT_RULES
    makes, edits = JobTypeInput, JobTypeEdit
    keep, edit = staticmethod(editing.keep_job_type), staticmethod(editing.change_job_type)

    def document(self, row: JobType) -> Document:
        """Return the job type."""
        return {
            "ref": str(row), "experiment": row.experiment.name, "name": row.name, "launch_script": row.launch_script,
            "parameters": row.parameters, "output_file_patterns": row.output_file_patterns, **kept_document(row),
        }  # fmt: skip


class LoginSetupView(NamedView):
    """Launch set-ups: code that runs with the experiment's credentials; only production makes, edits and tries them."""

    model = LoginSetup
    launches = frozenset({"do_test"})
    rules = {**KEPT_RULES, "do_test": "define", "trials": "view"}
    makes, edits = LoginSetupInput, LoginSetupEdit
    keep, edit = staticmethod(editing.keep_login_setup), staticmethod(editing.change_login_setup)

    def document(self, row: LoginSetup) -> Document:
        """Return the set-up."""
        return {
            "ref": str(row), "experiment": row.experiment.name, "name": row.name, "host": row.host,
            "account": row.account, "setup": row.setup, "launcher": row.launcher, "batch": row.batch,
            **kept_document(row),
        }  # fmt: skip

    def do_test(self, request: Request, ref: str, name: str = "") -> Response:
        """Log in, run the set-up's text and ask where one is then; nothing is submitted."""
        row = self.named_permitted(ref, name)
        return self.once(lambda: (201, trial_document(trying.try_out(row, by=request.user))))

    def trials(self, request: Request, ref: str, name: str = "") -> Response:
        """Return how its trials went, the newest first; what has ended by now is kept."""
        rows = self.named(ref, name).trials.select_related("by", "setup").order_by("-pk")[:20]
        return Response({"results": [trial_document(trying.looked_at(row)) for row in rows]})


def kept_document(row: Any) -> Document:
    """Return what everything kept by name has."""
    return {
        "active": row.active, "edited": row.updated_at, "fingerprint": row.fingerprint,
        "edited_by": row.updated_by.username if row.updated_by else None,
    }  # fmt: skip


def trial_document(row: SetupTrial) -> Document:
    """Return a trial as the API shows it."""
    return {
        "id": row.pk, "version": row.version, "by": row.by.username, "at": row.at, "ended": row.ended_at,
        "state": "running" if row.passed is None else "passed" if row.passed else "failed",
        "exit_code": row.exit_code, "text": row.text,
    }  # fmt: skip


def kept_routes(noun: str, view: type[NamedView], *more: tuple[str, str, str]) -> list[Any]:
    """Return the addresses of things kept by name; `more` has further (tail, method, action)."""
    one = f"{noun}/<slug:ref>/<str:name>/"
    return [
        path(f"{noun}/", view.as_view({"get": "list", "post": "create"}), name=f"{noun}-list"),
        path(one, view.as_view({"get": "retrieve", "patch": "partial_update"}), name=f"{noun}-detail"),
        *(
            path(f"{one}{tail}/", view.as_view({method: action}), name=f"{noun}-{tail}")
            for tail, method, action in (("versions", "get", "versions"), ("restore", "post", "do_restore"), *more)
        ),
    ]


urlpatterns = [
    *kept_routes("jobtypes", JobTypeView),
    *kept_routes("setups", LoginSetupView, ("test", "post", "do_test"), ("trials", "get", "trials")),
]
