"""The API's view of launch hosts and batch systems: where scripts and jobs may go, and who does not answer."""

from __future__ import annotations

from typing import Any

from django.urls import path, register_converter
from django.urls.converters import StringConverter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotAllowed, NotVisible, Problem, Refused
from experiments.queries import is_administrator
from experiments.rules import SIGNED_IN
from experiments.viewsets import Document, ReasonInput, ScopedViewSet
from integrations import hosting
from integrations.launcher.breaker import is_resting
from integrations.models import BatchSystem, LaunchHost


class LaunchHostInput(serializers.Serializer[Any]):
    """The body that enters a launch host."""

    experiment = serializers.CharField()
    name = serializers.CharField(max_length=200)
    account = serializers.CharField(max_length=100)
    reason = serializers.CharField(max_length=4000, allow_blank=True, default="")
    address = serializers.CharField(max_length=200, required=False)
    port = serializers.IntegerField(min_value=0, max_value=100_000, required=False)
    home = serializers.CharField(max_length=400)
    python = serializers.CharField(max_length=200, required=False)
    credential = serializers.CharField(max_length=40, allow_blank=True, required=False)
    known_hosts = serializers.CharField(max_length=64_000, trim_whitespace=False)
    for_analysis = serializers.BooleanField(required=False)
    most_at_once = serializers.IntegerField(min_value=0, max_value=32_767, required=False)


class LaunchHostEdit(LaunchHostInput):
    """The body that changes a launch host."""

    seen = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    active = serializers.BooleanField(required=False)


class LaunchHostView(ScopedViewSet):
    """Launch hosts: the experiment sees them; who enters and changes them, `integrations.hosting` says."""

    model = LaunchHost
    rules = {
        "list": "view", "retrieve": "view", "create": "administer", "partial_update": "administer",
        "do_put_away": "administer", "do_try": "administer",
    }  # fmt: skip

    def named(self, ref: str, name: str) -> LaunchHost:
        """Return the visible row of an experiment and account@name."""
        account, _, host = name.partition("@")
        row: LaunchHost | None = self.rows().filter(experiment__name=ref, account=account, name=host).first()
        if row is None:
            raise NotVisible(f"There is no {ref}/{name}, or you may not see it.")
        return row

    def named_permitted(self, ref: str, name: str) -> LaunchHost:
        """Return the row of this name, if the person may do this to it."""
        row = self.named(ref, name)
        self.permit(row.experiment)
        return row

    def document(self, row: LaunchHost) -> Document:
        """Return the host with its breaker: since when it is silent, and until when it is left alone."""
        return {
            "ref": row.ref, "experiment": row.experiment.name, "name": row.name,
            "account": row.account, **row.values(), "answers": not row.failures, "silent_since": row.silent_since,
            "failures": row.failures, "next_try": row.retry_at if is_resting(row) else None, "error": row.error,
            "fingerprint": row.fingerprint,
        }  # fmt: skip

    def retrieve(self, request: Request, ref: str, name: str = "") -> Response:
        """Return one of them."""
        return Response(self.document(self.named(ref, name)))

    def create(self, request: Request) -> Response:
        """Enter one; without an address it is reached by its name."""
        wanted = {**self.body(LaunchHostInput)}
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        wanted.setdefault("address", wanted["name"])
        return self.once(lambda: (201, self.document(hosting.enter_host(experiment, by=request.user, **wanted))))

    def partial_update(self, request: Request, ref: str, name: str = "") -> Response:
        """Change what is given."""
        row = self.named_permitted(ref, name)
        wanted = self.body(LaunchHostEdit, partial=True)
        for key, standing in (("experiment", row.experiment.name), ("name", row.name), ("account", row.account)):
            if wanted.pop(key, standing) != standing:
                raise Refused("Nothing was changed.", [Problem(key, "cannot be changed", "enter another one")])
        return self._changed(row, {"reason": "", **wanted})

    def do_put_away(self, request: Request, ref: str, name: str = "") -> Response:
        """Take one away: no launch goes there any longer."""
        row, reason = self.named_permitted(ref, name), self.body(ReasonInput)["reason"]
        return self._changed(row, {"reason": reason, "active": False})

    def do_try(self, request: Request, ref: str, name: str = "") -> Response:
        """Make one call, and say what came of it."""
        row = self.named_permitted(ref, name)
        tried = hosting.try_host(row, by=request.user)
        return Response({**self.document(self.named(ref, name)), **tried_document(tried)})

    def _changed(self, row: LaunchHost, wanted: dict[str, Any]) -> Response:
        return Response(self.document(hosting.change_host(row, by=self.request.user, **wanted)))


class BatchSystemInput(serializers.Serializer[Any]):
    """The body that enters a batch system."""

    name = serializers.CharField(max_length=30)
    backend = serializers.CharField(max_length=20)
    reason = serializers.CharField(max_length=4000, allow_blank=True, default="")
    settings = serializers.DictField(required=False)


class BatchSystemEdit(BatchSystemInput):
    """The body that changes a batch system."""

    seen = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    active = serializers.BooleanField(required=False)


class BatchSystemView(ScopedViewSet):
    """Batch systems of the whole service: everybody sees which there are, its administrators do the rest."""

    model = BatchSystem
    rules = dict.fromkeys(("list", "retrieve"), SIGNED_IN) | dict.fromkeys(
        ("create", "partial_update", "do_put_away", "do_try"), "administer"
    )
    filters = {"backend": "backend"}

    def get_queryset(self) -> Any:
        """Return all of them: set-ups of every experiment may name each."""
        return BatchSystem.objects.all()

    def rows(self) -> Any:
        """Return all of them."""
        return self.get_queryset()

    def named(self, name: str) -> BatchSystem:
        """Return the row of this name."""
        row = BatchSystem.objects.filter(name=name).first()
        if row is None:
            raise NotVisible(f"There is no batch system {name}, or you may not see it.")
        return row

    def permit_whole(self) -> None:
        """Let only administrators of the whole service through, before anything is told."""
        if not is_administrator(self.request.user):
            raise NotAllowed(hosting.WHOLE)

    def document(self, row: BatchSystem) -> Document:
        """Return the system; how it is reached, for those who may change it."""
        known = self.request.__dict__
        if "poms_whole" not in known:
            known["poms_whole"] = is_administrator(self.request.user)
        more = {"settings": row.settings, "error": row.error, "fingerprint": row.fingerprint}
        return {
            "ref": row.name, "name": row.name, "backend": row.backend, "active": row.active, "answers": not row.error,
            "looked_at": row.looked_at, **(more if known["poms_whole"] else {}),
        }  # fmt: skip

    def retrieve(self, request: Request, name: str = "") -> Response:
        """Return one of them."""
        return Response(self.document(self.named(name)))

    def create(self, request: Request) -> Response:
        """Enter one."""
        self.permit_whole()
        wanted = self.body(BatchSystemInput)
        return self.once(lambda: (201, self.document(hosting.enter_system(by=request.user, **wanted))))

    def partial_update(self, request: Request, name: str = "") -> Response:
        """Change what is given."""
        self.permit_whole()
        row, wanted = self.named(name), self.body(BatchSystemEdit, partial=True)
        for key, standing in (("name", row.name), ("backend", row.backend)):
            if wanted.pop(key, standing) != standing:
                raise Refused("Nothing was changed.", [Problem(key, "cannot be changed", "enter another one")])
        return self._changed(row, {"reason": "", **wanted})

    def do_put_away(self, request: Request, name: str = "") -> Response:
        """Take one away: nothing new goes there."""
        self.permit_whole()
        row, reason = self.named(name), self.body(ReasonInput)["reason"]
        return self._changed(row, {"reason": reason, "active": False})

    def do_try(self, request: Request, name: str = "") -> Response:
        """Ask it how deep its queues are, and say what came of it."""
        self.permit_whole()
        row = self.named(name)
        return Response({**self.document(row), **tried_document(hosting.try_system(row, by=request.user))})

    def _changed(self, row: BatchSystem, wanted: dict[str, Any]) -> Response:
        return Response(self.document(hosting.change_system(row, by=self.request.user, **wanted)))


def tried_document(tried: hosting.Tried) -> Document:
    """Return what came of a try."""
    return {"answered": tried.answered, "said": tried.text}


class Account(StringConverter):
    """account@host, as references of launch hosts end."""

    regex = r"[A-Za-z0-9_.:-]{1,100}@[A-Za-z0-9_.:-]{1,200}"


register_converter(Account, "account_at_host")
_HOST = "launch-hosts/<slug:ref>/<account_at_host:name>/"
_SYSTEM = "batch-systems/<slug:name>/"

urlpatterns = [
    path("launch-hosts/", LaunchHostView.as_view({"get": "list", "post": "create"}), name="launch-hosts-list"),
    path(_HOST, LaunchHostView.as_view({"get": "retrieve", "patch": "partial_update"}), name="launch-hosts-detail"),
    path(f"{_HOST}put_away/", LaunchHostView.as_view({"post": "do_put_away"}), name="launch-hosts-put_away"),
    path(f"{_HOST}try/", LaunchHostView.as_view({"post": "do_try"}), name="launch-hosts-try"),
    path("batch-systems/", BatchSystemView.as_view({"get": "list", "post": "create"}), name="batch-systems-list"),
    path(_SYSTEM, BatchSystemView.as_view({"get": "retrieve", "patch": "partial_update"}), name="batch-systems-detail"),
    path(f"{_SYSTEM}put_away/", BatchSystemView.as_view({"post": "do_put_away"}), name="batch-systems-put_away"),
    path(f"{_SYSTEM}try/", BatchSystemView.as_view({"post": "do_try"}), name="batch-systems-try"),
]
