"""An edit of what was filed proposes a new revision; what was approved runs on meanwhile."""

from __future__ import annotations

import pytest

from approvals.logic import deciding, filing
from campaigns.models import Revision
from campaigns.queries import running_version
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from submissions.logic import acting, planning
from submissions.models import Batch
from tests.approvals.desk import again, filed, seeded

pytestmark = pytest.mark.django_db


def test_an_edit_of_what_waits_is_a_new_revision_that_nobody_has_read(cast):
    request = filed(cast)
    read = request.revision.digest
    filing.edit(again(request), by=cast.experimenter, definition=seeded(8))
    assert again(request).state == "pending_approval"
    with pytest.raises(Conflict, match="changed after you read it"):
        deciding.approve(again(request), by=cast.approver, reason="good", digest=read)
    deciding.approve(again(request), by=cast.approver, reason="good", digest=again(request).revision.digest)
    assert [r.state for r in Revision.objects.order_by("number")] == ["superseded", "approved"]


def test_what_was_approved_runs_on_until_the_new_revision_is_approved(cast):
    request = deciding.approve(filed(cast), by=cast.approver, reason="good")
    campaign, first = request.campaign, request.revision
    gen = campaign.stages.get(name="gen")
    planning.plan(gen.pk)
    assert Batch.objects.filter(stage=gen).count() == 2
    wider = seeded(7).replace("[campaign_stage sum]", "[campaign_stage sum]\nmemory_mb=300")
    filing.edit(again(request), by=cast.experimenter, definition=wider)
    waiting = again(request)
    assert (waiting.state, waiting.campaign.state, waiting.campaign.revision) == ("pending_approval", "running", first)
    total = campaign.stages.get(name="sum")
    assert running_version(total.pk).memory_mb == 200
    deciding.approve(waiting, by=cast.approver, reason="more memory")
    after = again(request)
    assert (after.state, after.campaign.state, after.campaign.revision) == ("approved", "running", after.revision)
    assert running_version(total.pk).memory_mb == 300
    assert Revision.objects.get(pk=first.pk).state == "superseded"
    assert Batch.objects.filter(stage=gen).count() == 2, "what was planned is not planned again"
    step = Transition.objects.filter(kind="campaign", verb="amend").get()
    assert (step.source, step.target, step.actor) == ("running", "running", "user:approver")


@pytest.mark.parametrize("way", ["reject", "withdraw", "return and withdraw"])
def test_an_amendment_that_is_not_approved_leaves_what_was(cast, way):
    request = deciding.approve(filed(cast), by=cast.approver, reason="good")
    first, text = request.revision, request.definition
    filing.edit(again(request), by=cast.experimenter, definition=seeded(8))
    if way == "reject":
        deciding.reject(again(request), by=cast.approver, reason="no")
    else:
        if way.startswith("return"):
            deciding.send_back(again(request), by=cast.approver, reason="another one")
            assert again(request).state == "returned"
            assert again(request).campaign.state == "approved"
        filing.withdraw(again(request), by=cast.experimenter, reason="never mind")
    after = again(request)
    assert (after.state, after.revision, after.definition) == ("approved", first, text)
    assert (after.campaign.state, after.campaign.revision) == ("approved", first)
    assert Revision.objects.get(number=1).state == "approved"
    assert Revision.objects.get(number=2).state == ("rejected" if way == "reject" else "superseded")


def test_a_returned_amendment_can_be_filed_again(cast):
    request = deciding.approve(filed(cast), by=cast.approver, reason="good")
    filing.edit(again(request), by=cast.experimenter, definition=seeded(8))
    deciding.send_back(again(request), by=cast.approver, reason="seed 9, please")
    filing.edit(again(request), by=cast.experimenter, definition=seeded(9))
    filing.file(again(request), by=cast.experimenter)
    deciding.approve(again(request), by=cast.approver, reason="now")
    assert again(request).campaign.revision.number == 3
    assert again(request).campaign.state == "approved"


@pytest.mark.parametrize("state", ["waits", "approved"])
def test_of_what_was_filed_only_the_definition_changes(cast, state):
    request = filed(cast)
    if state == "approved":
        request = deciding.approve(request, by=cast.approver, reason="good")
    before = Transition.objects.count()
    with pytest.raises(Conflict) as refusal:
        filing.edit(again(request), by=cast.experimenter, title="another", special="in blue")
    assert [p.field for p in refusal.value.problems] == ["title", "special"]
    with pytest.raises(Refused, match="the same as before"):
        filing.edit(again(request), by=cast.experimenter, definition=request.definition + "\n# a remark\n")
    with pytest.raises(Refused, match="keeps its name"):
        filing.edit(again(request), by=cast.experimenter, definition=seeded(8, "another"))
    with pytest.raises(NotAllowed):
        filing.edit(again(request), by=cast.analyser, definition=seeded(8))
    assert Transition.objects.count() == before


def test_what_fails_a_check_is_not_proposed(cast):
    request = filed(cast)
    bad = seeded(8).replace("job_type=tiny", "job_type=nonesuch")
    with pytest.raises(Refused):
        filing.edit(again(request), by=cast.experimenter, definition=bad)
    assert again(request).revision == request.revision
    assert Revision.objects.count() == 1


def test_a_campaign_that_has_ended_is_not_amended(cast):
    request = deciding.approve(filed(cast), by=cast.approver, reason="good")
    filing.edit(again(request), by=cast.experimenter, definition=seeded(8))
    acting.cancel(again(request).campaign, actor="user:operator", reason="the beam is gone")
    with pytest.raises(Conflict, match="cancelled meanwhile"):
        deciding.approve(again(request), by=cast.approver, reason="good")
    filing.withdraw(again(request), by=cast.experimenter, reason="it has ended")
    with pytest.raises(Conflict, match="Clone the request"):
        filing.edit(again(request), by=cast.experimenter, definition=seeded(9))


def test_every_field_that_changes_is_in_the_history_with_both_values(cast):
    from tests import builders

    request = builders.request(cast)
    filing.edit(request, by=cast.experimenter, title="new title", priority=70, special="in blue")
    told = Transition.objects.filter(kind="request", verb="edit").get().reason
    assert told.startswith("changed title, priority, special")
    for words in ("-tiny", "+new title", "-50", "+70", "+in blue"):
        assert words in told
