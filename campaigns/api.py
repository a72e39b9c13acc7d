"""The API's view of job types and launch set-ups."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.logic import editing
from campaigns.models import JobType, LoginSetup
from core.errors import NotVisible
from experiments.viewsets import Document, ScopedViewSet


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
    launcher = serializers.ChoiceField(choices=["local"], default="local")
    batch = serializers.ChoiceField(choices=["local"], default="local")


class NamedView(ScopedViewSet):
    """Things that an experiment knows by name: demo/name."""

    def retrieve(self, request: Request, ref: str, name: str = "") -> Response:
        """Return one of them."""
        row = self.rows().filter(experiment__name=ref, name=name).first()
        if row is None:
            raise NotVisible(f"There is no {ref}/{name}, or you may not see it.")
        return Response(self.document(row))


class JobTypeView(NamedView):
    """Job types: production makes them, the experiment sees them."""

    model = JobType
    rules = {"list": "view", "retrieve": "view", "create": "define"}

    def document(self, row: JobType) -> Document:
        """Return the job type."""
        return {
            "ref": str(row), "experiment": row.experiment.name, "name": row.name, "launch_script": row.launch_script,
            "parameters": row.parameters, "output_file_patterns": row.output_file_patterns, "active": row.active,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Make a job type."""
        wanted = self.body(JobTypeInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        return self.once(lambda: (201, self.document(editing.keep_job_type(experiment, by=request.user, **wanted))))


class LoginSetupView(NamedView):
    """Launch set-ups: code that runs with the experiment's credentials; only production makes them."""

    model = LoginSetup
    rules = {"list": "view", "retrieve": "view", "create": "define"}

    def document(self, row: LoginSetup) -> Document:
        """Return the set-up."""
        return {
            "ref": str(row), "experiment": row.experiment.name, "name": row.name, "host": row.host,
            "account": row.account,
            "setup": row.setup, "launcher": row.launcher, "batch": row.batch, "active": row.active,
        }  # fmt: skip

    def create(self, request: Request) -> Response:
        """Make a launch set-up."""
        wanted = self.body(LoginSetupInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        return self.once(lambda: (201, self.document(editing.keep_login_setup(experiment, by=request.user, **wanted))))


urlpatterns = [
    path("jobtypes/", JobTypeView.as_view({"get": "list", "post": "create"}), name="jobtypes-list"),
    path("jobtypes/<slug:ref>/<str:name>/", JobTypeView.as_view({"get": "retrieve"}), name="jobtypes-detail"),
    path("setups/<slug:ref>/<str:name>/", LoginSetupView.as_view({"get": "retrieve"}), name="setups-detail"),
    path("setups/", LoginSetupView.as_view({"get": "list", "post": "create"}), name="setups-list"),
]
