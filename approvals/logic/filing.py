"""Requests from draft to an approver's desk: made, changed, checked, filed, withdrawn; amended after that."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from approvals import checks
from approvals.composing import listed
from approvals.logic import looking, reading, steps, taking_effect
from approvals.logic.reading import Reading
from approvals.models import CheckLine, Request, Watcher
from approvals.queries import policy_of
from approvals.states import AMENDABLE, EDITABLE
from campaigns import definition as text_form
from campaigns.logic import drafting, editing
from campaigns.models import Campaign
from core import differences, transitions
from core.clock import now
from core.errors import Conflict, Problem, Refused
from experiments.models import Experiment
from experiments.queries import production_stages

# What a requester says; everything of it can be changed until the request is filed.
FIELDS = (
    "title", "group", "production_stage", "priority", "definition", "dataset", "files", "query", "events", "repository",
    "release", "configuration", "scripts", "hours_per_file", "memory_mb", "outputs", "special", "details", "free_text",
    "keep_up",
)  # fmt: skip
MOST_FILES = 100_000
# Checks whose failure no draft can be kept with: whoever reads it could not tell what is meant.
HOPELESS = ("dataset", "agreement")
RULE = "rule:no-approval-needed"


def draft(experiment: Experiment, *, requester: Any, reason: str = "a new request", **values: Any) -> Request:
    """Make a request; one whose definition or dataset cannot work is refused with what is wrong and where."""
    request = Request(experiment=experiment, requester=requester, **values)
    _refuse_if_hopeless(request, requester)
    with transaction.atomic():
        request.save()
        Watcher.objects.create(request=request, user=requester)
        transitions.created(request, actor=requester.actor, reason=reason)
    return request


def edit(request: Request, *, by: Any, **values: Any) -> Request:
    """Change a request that is a draft or was returned; of one that was filed, propose another definition.

    The catalogue is asked before any row is locked; filing asks it again, whatever was changed in between.
    """
    proposed = Request.objects.select_related("experiment", "campaign", "requester").get(pk=request.pk)
    if proposed.state in AMENDABLE:
        return amend(proposed, by=by, **values)
    _refuse_unless_editable(proposed, by)
    for name, value in values.items():
        setattr(proposed, name, value)
    _refuse_if_hopeless(proposed, by)
    with transaction.atomic():
        request = steps.locked(request)
        _refuse_unless_editable(request, by)
        before = {name: getattr(request, name) for name, value in values.items() if getattr(request, name) != value}
        for name in before:
            setattr(request, name, values[name])
        request.save()
        if before:
            text = differences.told(f"changed {', '.join(before)}", before, {name: values[name] for name in before})
            steps.note(request, "edit", actor=by.actor, reason=text)
    return request


def amend(request: Request, *, by: Any, **values: Any) -> Request:
    """Propose another definition for a request that approvers read or have approved, as a new revision.

    What was approved runs on until the new revision is approved too. Nothing but the definition can be changed.
    """
    steps.own(request, by)
    text = values.pop("definition", request.definition)
    others = [name for name, value in values.items() if getattr(request, name) != value]
    if others:
        hint = "say it in a comment, prioritise it, or clone the request"
        raise Conflict(
            f"The request is {steps.word(request)}; of it only the definition can be changed. Nothing was changed.",
            [Problem(name, "cannot be changed any more", hint) for name in others],
        )
    if request.state == "approved":
        _refuse_if_ended(request)
    old = request.definition
    request.definition = text
    found, lines = _inspect(request)
    _refuse_failed(lines, "The new definition does not pass the checks; nothing was changed.")
    wanted = editing.read_or_refuse(found.text, request.experiment, by)
    standing = request.revision
    if standing and standing.digest == wanted.digest:
        raise Refused("The definition says the same as before; nothing was changed.")
    if request.campaign and wanted.name != request.campaign.name:
        where = Problem("name", f"the campaign is called {request.campaign.name}", "keep its name")
        raise Refused("A campaign keeps its name; nothing was changed.", [where])
    reading.keep_input(request, found)
    with transaction.atomic():
        request = steps.locked(request)
        if request.state not in AMENDABLE or request.definition != old or request.campaign is None:
            raise Conflict("The request was changed meanwhile; look again. Nothing was changed.")
        if request.state == "approved":
            _refuse_if_ended(request)
        revision = editing.propose(request.campaign, found.text, author=by, note=f"request {request.ref}, amended")
        reason = differences.told("changed definition", {"definition": old}, {"definition": text})
        also = {"definition": text, "revision": revision, "filed_at": now()}
        if request.state == "approved":
            transitions.move(request, "pending_approval", expect="approved", actor=by.actor, reason=reason, **also)
        else:
            Request.objects.filter(pk=request.pk).update(**also)
            for name, value in also.items():
                setattr(request, name, value)
            steps.note(request, "amend", actor=by.actor, reason=reason)
        _keep(request, lines)
    return request


def check(request: Request) -> list[checks.Line]:
    """Run the check report now and keep it with the request (P4)."""
    _, lines = _inspect(request)
    _keep_if_open(request, lines)
    return lines


def file(request: Request, *, by: Any, reason: str = "") -> Request:
    """Put a request on the approvers' desk: it proposes a revision of its campaign (design 3).

    Where the experiment wants no approval for its production stage, and no check so much as warns, it is approved by
    that rule at once (J12).
    """
    steps.own(request, by)
    if request.state not in EDITABLE:
        raise Conflict(
            f"The request is {steps.word(request)}; only a draft or returned one can be filed. Nothing was changed."
        )
    (found, lines), read = _inspect(request), request.definition
    _keep_if_open(request, lines)
    _refuse_failed(lines, "The request does not pass its checks; it was not filed.")
    reading.keep_input(request, found)
    with transaction.atomic():
        request = steps.locked(request)
        steps.own(request, by)
        if request.definition != read:
            raise Conflict("The request was changed while its checks ran; look again. It was not filed.")
        put_on_desk(request, author=by, actor=by.actor, reason=reason or "filed for approval", text=found.text)
        _approve_by_rule(request, lines)
    return request


def put_on_desk(request: Request, *, author: Any, actor: str, reason: str, text: str) -> Request:
    """Let a request, which is locked or new, propose the text that runs as a revision and wait for its decision."""
    found = text_form.parse(text).definition
    name = found.name
    # A schedule goes on until somebody ends it: so it is extended by the week, like anything that keeps up (J7).
    by_schedule = not request.keep_up and any(stage.schedule for stage in found.stages)
    campaign = request.campaign or drafting.draft_of(request.experiment, name, by=author) or editing.create(
        request.experiment, name=name, owner=request.requester, reason=f"from request {request.ref}",
    )  # fmt: skip
    revision = editing.propose(campaign, text, author=author, note=f"request {request.ref}")
    transitions.move(
        request, "pending_approval", expect=EDITABLE, actor=actor, campaign=campaign, revision=revision,
        filed_at=now(), keep_up=request.keep_up or by_schedule,
        reason=f"{reason}; it keeps up from now on, for a stage has a schedule" if by_schedule else reason,
    )  # fmt: skip
    if campaign.state == "new":
        why = f"request {request.ref} is filed"
        transitions.move(campaign, "pending_approval", expect="new", actor=actor, reason=why)
    return request


def withdraw(request: Request, *, by: Any, reason: str) -> Request:
    """Take a request back before it is decided; of one that was approved before, only what was proposed since."""
    if not reason.strip():
        raise Refused("To withdraw needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        request = steps.locked(request)
        steps.own(request, by)
        if request.state in ("pending_approval", "returned") and taking_effect.was_approved(request):
            return taking_effect.keep_approved(request, actor=by.actor, reason=reason, verb="withdraw")
        transitions.move(
            request, "withdrawn", expect=("draft", "returned", "pending_approval"), actor=by.actor, reason=reason
        )
        taking_effect.cancel_campaign(request, actor=by.actor, reason=f"request {request.ref} was withdrawn: {reason}")
    return request


def _inspect(request: Request) -> tuple[Reading, list[checks.Line]]:
    """Read the request and run its checks, with what was read in hand: the catalogue is asked once."""
    found = reading.attempt(request, request.requester)
    return found, checks.report(looking.look(request, found))


def _refuse_failed(lines: list[checks.Line], refusal: str) -> None:
    failed = [line for line in lines if line.result == checks.FAIL]
    if failed:
        raise Refused(refusal, [Problem(line.check, line.text, line.hint) for line in failed])


def _approve_by_rule(request: Request, lines: list[checks.Line]) -> None:
    wants = request.production_stage not in policy_of(request.experiment_id).without_approval
    if wants or any(line.result in (checks.WARN, checks.FAIL) for line in lines) or request.special.strip():
        return
    reason = f"{request.experiment} wants no approval for {request.production_stage}, and every check passes"
    if request.revision is not None:
        taking_effect.approve(request, request.revision, actor=RULE, reason=reason)


def _keep_if_open(request: Request, lines: list[checks.Line]) -> None:
    if request.state not in (*EDITABLE, "pending_approval"):
        return  # what was decided on stays as it was read
    with transaction.atomic():
        steps.locked(request)
        _keep(request, lines)


def _keep(request: Request, lines: list[checks.Line]) -> None:
    request.checks.all().delete()
    CheckLine.objects.bulk_create(
        CheckLine(request=request, position=n, check_name=x.check, result=x.result, text=x.text, hint=x.hint)
        for n, x in enumerate(lines)
    )


def _refuse_unless_editable(request: Request, by: Any) -> None:
    steps.own(request, by)
    if request.state not in EDITABLE:
        raise Conflict(f"The request is {steps.word(request)}; only a draft or returned one can be changed.")


def _refuse_if_ended(request: Request) -> None:
    campaign = Campaign.objects.get(pk=request.campaign_id or 0)
    if campaign.state not in ("approved", "running"):
        raise Conflict(
            f"The campaign {campaign.ref} is {campaign.state.replace('_', ' ')}; nothing of it can be changed any more."
            " Clone the request instead."
        )


def _refuse_if_hopeless(request: Request, author: Any) -> None:
    problems = []
    if not request.title.strip():
        problems.append(Problem("title", "is empty", "say in a few words what is to be done"))
    if not 0 <= request.priority <= 100:
        problems.append(Problem("priority", f"{request.priority} is not between 0 and 100"))
    if len(listed(request.files)) > MOST_FILES:
        problems.append(Problem("files", f"more than {MOST_FILES} names", "make a dataset of them, and name it"))
    known = production_stages(request.experiment)
    if request.production_stage not in known:
        hint = f"one of {', '.join(known)}" if known else "no approver is registered yet; ask an administrator"
        problems.append(Problem("production_stage", f"nobody decides on {request.production_stage or 'it'} here", hint))
    facts = looking.look(request, reading.attempt(request, author), brief=True)
    problems += facts.errors
    for line in checks.report(facts):
        if line.result == checks.FAIL and line.check in HOPELESS:
            problems.append(Problem(line.check, line.text, line.hint))
    if problems:
        raise Refused("The request cannot work as it is; nothing was changed.", problems)
