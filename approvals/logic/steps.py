"""How a request is changed: it is locked first, and each change is a step in the ledger."""

from __future__ import annotations

from typing import Any

from approvals.models import Request
from core import transitions
from core.errors import NotAllowed
from experiments.roles import roles_with
from experiments.scoping import may


def locked(request: Request) -> Request:
    """Return the request as it is now, locked until the caller's transaction ends, with what the verbs look at."""
    rows = Request.objects.select_for_update(of=("self",))
    return rows.select_related(
        "experiment", "requester", "revision__author", "campaign__experiment", "campaign__revision"
    ).get(pk=request.pk)


def note(request: Request, verb: str, *, actor: str, reason: str) -> None:
    """Write a step that moves no state into the ledger."""
    transitions.record(
        [(request.pk, request.state)], "request", request.state, experiment_id=request.experiment_id, actor=actor,
        reason=reason, verb=verb,
    )  # fmt: skip


def own(request: Request, by: Any) -> None:
    """Let the requester change a request, and production, who corrects it."""
    if request.requester_id != by.pk and not may(by, "check_request", request.experiment):
        roles = " or ".join(roles_with("check_request"))
        raise NotAllowed(
            f"The request {request.ref} is {request.requester.username}'s; for somebody else's this needs the role"
            f" {roles} in {request.experiment.name}. Nothing was changed."
        )


def word(request: Request) -> str:
    """Return the request's state as people read it."""
    return request.state.replace("_", " ")
