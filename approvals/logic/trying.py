"""Test runs: a request's definition on a few inputs, through the normal path, with its outputs kept apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction

from approvals.estimate import datasets_of
from approvals.logic import reading, steps
from approvals.models import Request, TestRun
from campaigns import command, completion
from campaigns.definition import Definition, StageText
from campaigns.logic import editing
from campaigns.models import Campaign
from core import transitions
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.roles import roles_with
from experiments.scoping import may
from integrations import registry
from submissions.logic import planning

MOST = 100
RANK = 90  # above what is usual: somebody waits for the answer
TRIABLE = ("draft", "returned", "pending_approval")


def test(request: Request, *, by: Any, size: int = 2, own_account: bool = False) -> TestRun:
    """Run a request's definition on `size` inputs of each stage that begins; return the test run.

    Before approval only an operator starts what runs with the experiment's credentials; a requester's own test runs
    under the requester's own account. One runs at a time.
    """
    if not 1 <= size <= MOST:
        raise Refused("The test run was not started.", [Problem("size", f"{size} is not between 1 and {MOST}")])
    operator = may(by, "operate", request.experiment)
    account = "" if operator and not own_account else _own_account(request, by)
    # As whoever proposes it: of a text that an operator files, the set-ups in it count, of anybody else's they do not.
    author = request.revision.author if request.revision else request.requester
    found = reading.read(request, author)
    whole = found.whole("The definition is not whole; the test run was not started.")
    reading.keep_input(request, found)
    _refuse_without_input(request, whole)
    with transaction.atomic():
        row = steps.locked(request)
        if row.state not in TRIABLE:
            raise Conflict(f"The request is {steps.word(row)}; a test run comes before the decision.")
        before = row.test_runs.select_related("campaign__experiment").order_by("-pk").first()
        if before is not None and before.campaign.state in ("approved", "running"):
            raise Conflict(f"The test run {before.campaign.ref} still goes on; wait for it, or cancel it.")
        number = row.test_runs.count() + 1
        wanted = cut_down(whole, size=size, number=number, account=account)
        return _begin(row, wanted, whole, by=by, size=size, account=account)


def cut_down(definition: Definition, *, size: int, number: int, account: str = "") -> Definition:
    """Return a definition that does the same to the first `size` inputs of each stage that begins.

    The parameters for tests go over the others. With `account`, every script is started under it.
    """
    fed = {edge.downstream for edge in definition.edges if edge.upstream != edge.downstream}
    foreign = {edge.downstream for edge in definition.across}

    def small(stage: StageText) -> StageText:
        # A test is of what is there now, and waits for no tape and no reviewer.
        checks = [str(criterion) for criterion in completion.read(stage.completion) if criterion.kind == "check"]
        stage = replace(stage, schedule="", completion=", ".join(checks))
        params = tuple(command.overlay(stage.params, stage.test_params))
        if stage.name in fed - foreign:
            return replace(stage, params=params)
        if stage.type == "generator":
            step = stage.events_per_job or stage.events
            return replace(stage, params=params, events=min(stage.events, step * size), events_per_job=step)
        return replace(stage, params=params, most_files=min(size, stage.most_files or size))

    setups = definition.login_setups
    if account:
        setups = tuple(replace(setup, account=account) for setup in setups)
    return replace(
        definition, name=f"{definition.name}-test-{number}", stages=tuple(small(stage) for stage in definition.stages),
        login_setups=setups, across=tuple(replace(edge, gate="each") for edge in definition.across),
    )  # fmt: skip


def _begin(
    request: Request, wanted: Definition, whole: Definition, *, by: Any, size: int, account: str
) -> TestRun:  # fmt: skip
    """Make the test run's campaign, approved by the rule that test runs need no approver, and let it be planned."""
    actor = by.actor
    why = f"a test run of {request.ref} on {size} input{'s' * (size != 1)}"
    campaign = editing.create(request.experiment, name=wanted.name, owner=by, reason=why)
    Campaign.objects.filter(pk=campaign.pk).update(test=True, known_as=whole.name)
    revision = editing.propose_whole(campaign, wanted, author=by, note=why)
    transitions.move(revision, "approved", expect="proposed", actor=actor, reason=why)
    transitions.move(campaign, "approved", expect="new", actor=actor, reason=why, revision=revision, rank=RANK)
    run = TestRun.objects.create(
        request=request, campaign=campaign, digest=whole.digest, size=size, by=by, account=account
    )
    text = f"{why}: {campaign.ref}{account and f', under the account {account}'}"
    steps.note(request, "test", actor=actor, reason=text)
    planning.note(list(campaign.stages.values_list("pk", flat=True)))
    return run


def _own_account(request: Request, by: Any) -> str:
    """Return the account of a requester's own test run, if scripts can be started under it."""
    if request.requester_id != by.pk and not may(by, "operate", request.experiment):
        roles = " or ".join(roles_with("operate"))
        raise NotAllowed(
            f"The request {request.ref} is {request.requester.username}'s; to test somebody else's needs the role"
            f" {roles} in {request.experiment.name}. Nothing was started."
        )
    if not settings.LOCAL_SHARED_ACCOUNT:
        roles = " or ".join(roles_with("operate"))
        raise NotAllowed(
            f"Scripts cannot be started here under the account {by.username}; ask somebody with the role {roles} for"
            " the test run. Nothing was started."
        )
    return str(by.username)


def _refuse_without_input(request: Request, definition: Definition) -> None:
    catalogue = registry.catalogue(request.experiment)
    missing = [name for name in datasets_of(definition) if not catalogue.count(name)]
    if missing:
        text = f"there is no dataset {missing[0]}, or it is empty"
        raise Refused("The test run was not started.", [Problem("dataset", text, "name one that has files")])
