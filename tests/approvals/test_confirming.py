"""Special requirements are gates that an operator opens; the experiment may want the report confirmed too."""

from __future__ import annotations

import shlex

import pytest

from approvals.logic import confirming, customising, deciding, filing
from approvals.models import Confirmation
from approvals.queries import unconfirmed
from campaigns.logic import editing
from campaigns.models import JobType
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from tests import builders
from tests.approvals.desk import again, filed, seeded

pytestmark = pytest.mark.django_db
SPECIAL = "outputs are called nd_%.root\n\n  keep the seeds  \n"


def test_nothing_is_approved_while_a_special_requirement_is_open(cast):
    request = filed(cast, special=SPECIAL)
    assert unconfirmed(request) == ["outputs are called nd_%.root", "keep the seeds"]
    with pytest.raises(Conflict) as refusal:
        deciding.approve(request, by=cast.approver, reason="good")
    assert [p.message for p in refusal.value.problems] == ["outputs are called nd_%.root", "keep the seeds"]
    assert confirming.confirm(request, by=cast.operator, ticked=["keep the seeds"]) == [
        "the check report",
        "keep the seeds",
    ]
    with pytest.raises(Conflict):
        deciding.approve(again(request), by=cast.approver, reason="good")
    confirming.confirm(request, by=cast.operator)
    deciding.approve(again(request), by=cast.approver, reason="good")
    assert again(request).state == "approved"
    assert Transition.objects.filter(kind="request", verb="confirm").count() == 2


def test_a_confirmation_is_of_the_revision_that_was_read(cast):
    request = filed(cast, special=SPECIAL)
    read = request.revision.digest
    confirming.confirm(request, by=cast.operator, digest=read)
    filing.edit(again(request), by=cast.experimenter, definition=seeded(8))
    assert len(unconfirmed(again(request))) == 2
    with pytest.raises(Conflict, match="changed after you read it"):
        confirming.confirm(again(request), by=cast.operator, digest=read)
    with pytest.raises(Conflict):
        deciding.approve(again(request), by=cast.approver, reason="good")


def test_who_confirms_and_what(cast):
    request = filed(cast, special=SPECIAL)
    for who in ("experimenter", "approver", "shifter"):
        with pytest.raises(NotAllowed, match="operator"):
            confirming.confirm(request, by=cast.people[who])
    with pytest.raises(Refused, match="no such requirement"):
        confirming.confirm(request, by=cast.operator, ticked=["in blue"])
    assert not Confirmation.objects.exists()
    confirming.confirm(request, by=cast.operator)
    confirming.untick(request, by=cast.operator, ticked=["keep the seeds"], reason="I was wrong")
    assert unconfirmed(again(request)) == ["keep the seeds"]
    for ticked, wrong in ((["keep the seeds"], "not ticked off"), ([], "none was named")):
        with pytest.raises(Refused) as refusal:
            confirming.untick(request, by=cast.operator, ticked=ticked, reason="again")
        assert wrong in refusal.value.problems[0].message
        assert "the check report" in refusal.value.problems[0].hint
    with pytest.raises(Conflict, match="changed after you read it"):
        confirming.untick(request, by=cast.operator, ticked=["the check report"], reason="no", digest="0" * 64)
    confirming.untick(request, by=cast.operator, ticked=["the check report"], reason="not read")
    assert {row.requirement for row in Confirmation.objects.all()} == {"outputs are called nd_%.root"}


def test_an_operator_may_return_what_is_not_so(cast):
    request = filed(cast, special=SPECIAL)
    deciding.send_back(request, by=cast.operator, reason="the names are taken")
    assert again(request).state == "returned"
    with pytest.raises(NotAllowed):
        deciding.reject(filed(cast, seeded(8)), by=cast.operator, reason="no")


def test_an_experiment_may_want_every_report_confirmed(cast):
    customising.keep_policy(cast.experiment, by=cast.administrator, confirm=True)
    request = filed(cast)
    assert unconfirmed(request) == ["the check report"]
    with pytest.raises(Conflict):
        deciding.approve(request, by=cast.approver, reason="good")
    confirming.confirm(request, by=cast.operator)
    deciding.approve(again(request), by=cast.approver, reason="good")


def plain(cast, campaign="tiny"):
    """Return a definition that brings no code of its own, and so warns of nothing."""
    text, _, _ = builders.definition(campaign=campaign).partition("[job_type tiny]")
    if not JobType.objects.filter(experiment=cast.experiment, name="tiny").exists():
        editing.keep_job_type(
            cast.experiment,
            "tiny",
            by=cast.operator,
            launch_script=shlex.quote(str(builders.TINY_SUBMIT)),
            output_file_patterns="%.txt",
        )
    return text


def test_a_production_stage_may_need_no_approver(cast):
    customising.keep_policy(cast.experiment, by=cast.administrator, without_approval=["mc"])
    request = filed(cast, plain(cast), hours_per_file=0.1)
    assert again(request).state == "approved"
    assert again(request).campaign.state == "approved"
    step = Transition.objects.filter(kind="request", target="approved").get()
    assert step.actor == "rule:no-approval-needed"
    assert "every check passes" in step.reason


@pytest.mark.parametrize("why", ["warns", "special", "another stage"])
def test_a_request_with_something_to_read_waits_all_the_same(cast, why):
    stages = ["reco"] if why == "another stage" else ["mc"]
    customising.keep_policy(cast.experiment, by=cast.administrator, without_approval=stages)
    text = builders.definition() if why == "warns" else plain(cast)
    request = filed(cast, text, hours_per_file=0.1, special="in blue" if why == "special" else "")
    assert again(request).state == "pending_approval"
