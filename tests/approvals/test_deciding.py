"""Decisions: by who is registered, on what was read, once per revision (W1, W2, F25)."""

from __future__ import annotations

import pytest

from approvals.logic import deciding, filing
from approvals.models import Decision, Request
from campaigns.models import Campaign, Revision
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from experiments.logic import membership
from tests import builders


def filed(cast, **values) -> Request:
    return filing.file(builders.request(cast, **values), by=cast.experimenter)


def again(request: Request) -> Request:
    return Request.objects.select_related("campaign", "revision").get(pk=request.pk)


def changed(n: int = 1) -> str:
    return builders.definition().replace("seed=7", f"seed={n}")


VERDICTS = {"approve": deciding.approve, "return": deciding.send_back, "reject": deciding.reject}


@pytest.mark.django_db
def test_an_approval_moves_request_revision_and_campaign_together(cast):
    request = filed(cast, priority=80)
    deciding.approve(request, by=cast.approver, reason="looks right", digest=request.revision.digest)
    request = again(request)
    assert (request.state, request.revision.state, request.campaign.state) == ("approved",) * 3
    assert request.campaign.revision == request.revision
    assert request.campaign.rank == 80
    decision = Decision.objects.get()
    assert (decision.request, decision.approver, decision.verdict) == (request, cast.approver, "approve")
    assert (decision.reason, decision.digest) == ("looks right", request.revision.digest)
    last = Transition.objects.filter(kind="request", thing_id=request.pk).latest("id")
    assert (last.source, last.target, last.actor, last.reason) == (
        "pending_approval", "approved", "user:approver", "looks right",
    )  # fmt: skip


@pytest.mark.django_db
def test_a_returned_request_is_corrected_and_approved_as_a_new_revision(cast):
    request = filed(cast)
    first = request.revision
    deciding.send_back(request, by=cast.approver, reason="another seed")
    request = again(request)
    assert (request.state, request.campaign.state) == ("returned", "new")
    filing.edit(request, by=cast.experimenter, definition=changed())
    request = filing.file(again(request), by=cast.experimenter)
    assert request.revision.digest != first.digest
    deciding.approve(request, by=cast.approver, reason="now it is right", digest=request.revision.digest)
    request = again(request)
    assert Revision.objects.get(pk=first.pk).state == "superseded"
    assert (request.state, request.revision.state, request.campaign.revision) == (
        "approved",
        "approved",
        request.revision,
    )
    assert Campaign.objects.count() == 1
    assert list(Decision.objects.order_by("pk").values_list("verdict", flat=True)) == ["return", "approve"]


@pytest.mark.django_db
def test_a_rejected_request_ends_with_its_campaign(cast):
    request = filed(cast)
    deciding.reject(request, by=cast.approver, reason="not this year")
    request = again(request)
    assert (request.state, request.revision.state, request.campaign.state) == ("rejected", "rejected", "cancelled")
    assert request.campaign.ended_at
    with pytest.raises(Conflict):
        filing.edit(request, by=cast.experimenter, title="another")


@pytest.mark.django_db
def test_a_rejected_request_cannot_be_filed(cast):
    filed = filing.file(builders.request(cast), by=cast.experimenter)
    deciding.reject(filed, by=cast.approver, reason="done last year")
    with pytest.raises(Conflict):
        filing.file(filed, by=cast.experimenter)


@pytest.mark.django_db
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("who", ["experimenter", "operator", "administrator", "stranger", "nobody"])
def test_nobody_decides_who_is_not_registered(cast, verdict, who):
    if (who, verdict) == ("operator", "return"):
        return  # who checks requests returns them too: test_confirming.py
    request = filed(cast)
    with pytest.raises(NotAllowed, match="not registered as an approver of mc in demo"):
        VERDICTS[verdict](request, by=cast.people[who], reason="because")
    assert again(request).state == "pending_approval"
    assert not Decision.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("verdict", VERDICTS)
def test_an_approver_of_another_stage_or_experiment_does_not_decide(cast, verdict):
    membership.register_approver(cast.reviewer, cast.experiment, "reco")
    membership.register_approver(cast.reviewer, cast.other, "mc")
    request = filed(cast)
    with pytest.raises(NotAllowed):
        VERDICTS[verdict](request, by=cast.reviewer, reason="because")
    assert not Decision.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("verdict", VERDICTS)
def test_nobody_decides_on_a_request_of_their_own(cast, verdict):
    membership.register_approver(cast.experimenter, cast.experiment, "mc")
    request = filed(cast)
    with pytest.raises(NotAllowed, match="ask another approver"):
        VERDICTS[verdict](request, by=cast.experimenter, reason="because")
    assert again(request).state == "pending_approval"


@pytest.mark.django_db
def test_who_proposed_the_revision_does_not_approve_it_either(cast):
    membership.register_approver(cast.operator, cast.experiment, "mc")
    request = filing.file(builders.request(cast), by=cast.operator)
    with pytest.raises(NotAllowed, match="ask another approver"):
        deciding.approve(request, by=cast.operator, reason="mine")


@pytest.mark.django_db
def test_an_experiment_may_let_authors_approve(cast):
    membership.register_approver(cast.experimenter, cast.experiment, "mc")
    cast.experiment.author_may_approve = True
    cast.experiment.save()
    deciding.approve(filed(cast), by=cast.experimenter, reason="small group")
    assert Decision.objects.get().approver == cast.experimenter


@pytest.mark.django_db
@pytest.mark.parametrize("verdict", ["return", "reject"])
@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_no_needs_a_reason(cast, verdict, reason):
    request = filed(cast)
    with pytest.raises(Refused) as error:
        VERDICTS[verdict](request, by=cast.approver, reason=reason)
    assert error.value.problems[0].field == "reason"
    assert again(request).state == "pending_approval"


@pytest.mark.django_db
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("before", ["draft", "approve", "return", "reject", "withdraw"])
def test_only_what_is_pending_is_decided_on(cast, before, verdict):
    if before == "draft":
        request = builders.request(cast)
    else:
        request = filed(cast)
        if before == "withdraw":
            filing.withdraw(request, by=cast.experimenter, reason="changed my mind")
        else:
            VERDICTS[before](request, by=cast.approver, reason="first")
    state, count = again(request).state, Decision.objects.count()
    with pytest.raises(Conflict):
        VERDICTS[verdict](request, by=cast.approver, reason="second")
    assert (again(request).state, Decision.objects.count()) == (state, count)


@pytest.mark.django_db
def test_what_was_changed_after_reading_is_not_approved(cast):
    request = filed(cast)
    read = request.revision.digest
    deciding.send_back(request, by=cast.approver, reason="another seed")
    filing.edit(again(request), by=cast.experimenter, definition=changed())
    filing.file(again(request), by=cast.experimenter)
    with pytest.raises(Conflict, match="changed after you read it"):
        deciding.approve(request, by=cast.approver, reason="looks right", digest=read)
    assert again(request).state == "pending_approval"
    assert [d.verdict for d in Decision.objects.all()] == ["return"]


@pytest.mark.django_db
def test_a_campaign_that_was_cancelled_meanwhile_is_not_approved(cast):
    from submissions.logic import acting

    request = filed(cast)
    acting.cancel(request.campaign, actor="user:operator", reason="no room")
    with pytest.raises(Conflict):
        deciding.approve(request, by=cast.approver, reason="good")
    request = again(request)
    assert (request.state, request.revision.state, request.campaign.state) == (
        "pending_approval", "proposed", "cancelled",
    )  # fmt: skip
