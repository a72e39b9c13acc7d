"""Requests from draft to an approver's desk: made, changed, checked, filed, withdrawn."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from approvals import feasibility
from approvals.models import CheckLine, Request
from approvals.states import EDITABLE
from campaigns import definition as text_form
from campaigns.logic import editing
from core import transitions
from core.clock import now
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.models import Experiment
from experiments.queries import production_stages
from experiments.roles import roles_with
from experiments.scoping import may
from integrations import registry


def draft(experiment: Experiment, *, requester: Any, **values: Any) -> Request:
    """Make a request; one whose definition or dataset cannot work is refused with what is wrong and where."""
    request = Request(experiment=experiment, requester=requester, **values)
    _refuse_if_hopeless(request, requester)
    with transaction.atomic():
        request.save()
        transitions.created(request, actor=_actor(requester), reason="a new request")
    return request


def edit(request: Request, *, by: Any, **values: Any) -> Request:
    """Change a request that is a draft or was returned.

    The catalogue is asked before any row is locked; filing asks it again, whatever was changed in between.
    """
    proposed = Request.objects.select_related("experiment").get(pk=request.pk)
    _refuse_unless_editable(proposed, by)
    for name, value in values.items():
        setattr(proposed, name, value)
    _refuse_if_hopeless(proposed, by)
    with transaction.atomic():
        request = Request.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=request.pk)
        _refuse_unless_editable(request, by)
        changed = [name for name, value in values.items() if getattr(request, name) != value]
        for name in changed:
            setattr(request, name, values[name])
        request.save()
        if changed:
            transitions.record(
                [(request.pk, request.state)], "request", request.state, experiment_id=request.experiment_id,
                actor=_actor(by), reason=f"changed {', '.join(changed)}", verb="edit",
            )  # fmt: skip
    return request


def _refuse_unless_editable(request: Request, by: Any) -> None:
    _own(request, by)
    if request.state not in EDITABLE:
        raise Conflict(
            f"The request is {request.state.replace('_', ' ')}; only a draft or returned one can be changed."
        )


def check(request: Request) -> list[feasibility.Line]:
    """Run the check report now and keep it with the request (P4)."""
    lines = feasibility.report(_facts(request, request.requester))
    if request.state not in (*EDITABLE, "pending_approval"):
        return lines  # what was decided on stays as it was read
    with transaction.atomic():
        Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
        request.checks.all().delete()
        CheckLine.objects.bulk_create(
            CheckLine(request=request, position=n, check_name=x.check, result=x.result, text=x.text, hint=x.hint)
            for n, x in enumerate(lines)
        )
    return lines


def file(request: Request, *, by: Any, reason: str = "") -> Request:
    """Put a request on the approvers' desk: it proposes a revision of its campaign (design 3)."""
    _own(request, by)
    if request.state not in EDITABLE:
        state = request.state.replace("_", " ")
        raise Conflict(f"The request is {state}; only a draft or returned one can be filed. Nothing was changed.")
    lines = check(request)
    failed = [line for line in lines if line.result == feasibility.FAIL]
    if failed:
        raise Refused(
            "The request does not pass its checks; it was not filed.",
            [Problem(line.check, line.text, line.hint) for line in failed],
        )
    actor = _actor(by)
    with transaction.atomic():
        request = Request.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=request.pk)
        _own(request, by)
        name = text_form.parse(request.definition).definition.name
        campaign = request.campaign or editing.create(
            request.experiment, name=name, owner=request.requester, reason=f"from request {request.ref}"
        )
        revision = editing.propose(campaign, request.definition, author=by, note=f"request {request.ref}")
        transitions.move(
            request, "pending_approval", expect=EDITABLE, actor=actor, reason=reason or "filed for approval",
            campaign=campaign, revision=revision, filed_at=now(),
        )  # fmt: skip
        transitions.move(
            campaign, "pending_approval", expect="new", actor=actor, reason=f"request {request.ref} is filed"
        )
    return request


def withdraw(request: Request, *, by: Any, reason: str) -> Request:
    """Take a request back before it is decided."""
    if not reason.strip():
        raise Refused("To withdraw needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        request = Request.objects.select_for_update(of=("self",)).select_related("campaign").get(pk=request.pk)
        _own(request, by)
        transitions.move(
            request,
            "withdrawn",
            expect=("draft", "returned", "pending_approval"),
            actor=_actor(by),
            reason=reason,
        )
        if request.campaign is not None and request.campaign.state in ("new", "pending_approval"):
            transitions.move(
                request.campaign, "cancelled", expect=("new", "pending_approval"), actor=_actor(by), ended_at=now(),
                reason=f"request {request.ref} was withdrawn: {reason}",
            )  # fmt: skip
    return request


def _refuse_if_hopeless(request: Request, author: Any) -> None:
    problems = []
    if not request.title.strip():
        problems.append(Problem("title", "is empty", "say in a few words what is to be done"))
    if not 0 <= request.priority <= 100:
        problems.append(Problem("priority", f"{request.priority} is not between 0 and 100"))
    known = production_stages(request.experiment)
    if request.production_stage not in known:
        hint = f"one of {', '.join(known)}" if known else "no approver is registered yet; ask an administrator"
        problems.append(Problem("production_stage", f"nobody decides on {request.production_stage or 'it'} here", hint))
    facts = _facts(request, author)
    problems += facts.errors
    for line in feasibility.datasets_have_files(facts):
        if line.result == feasibility.FAIL:
            problems.append(Problem("dataset", line.text, line.hint))
    if problems:
        raise Refused("The request cannot work as it is; nothing was changed.", problems)


def _facts(request: Request, author: Any) -> feasibility.Facts:
    parsed = editing.read(request.definition, request.experiment, author)
    catalogue = registry.catalogue(request.experiment)
    names = feasibility.datasets_of(parsed.definition) + ([request.dataset] if request.dataset else [])
    own = [entry.name for entry in text_form.parse(request.definition).definition.job_types]
    return feasibility.Facts(
        definition=parsed.definition, errors=parsed.errors, warnings=parsed.warnings,
        datasets={name: catalogue.count(name) for name in names}, own_job_types=own,
        production_stage=request.production_stage, production_stages=production_stages(request.experiment),
        hours_per_file=request.hours_per_file, release=request.release,
    )  # fmt: skip


def _own(request: Request, by: Any) -> None:
    """Let the requester change a request, and production, who corrects it."""
    if request.requester_id != by.pk and not may(by, "check_request", request.experiment):
        roles = " or ".join(roles_with("check_request"))
        raise NotAllowed(
            f"The request {request.ref} is {request.requester.username}'s; for somebody else's this needs the role"
            f" {roles} in {request.experiment.name}. Nothing was changed."
        )


def _actor(user: Any) -> str:
    return f"user:{user.username}"
