"""A definition is applied: a request asks for it, once, and what runs goes on by it when that is approved."""

from __future__ import annotations

import pytest

from approvals.logic import applying, deciding
from approvals.models import Request
from campaigns.models import Campaign
from core.errors import NotAllowed, Refused
from experiments.logic import membership
from tests import builders

pytestmark = pytest.mark.django_db
TEXT = builders.definition(campaign="applied")
MORE = TEXT.replace("events=4", "events=6")


@pytest.fixture(autouse=True)
def setup(cast) -> None:
    builders.login_setup(cast)


def applied(cast, text=TEXT, who="experimenter", **more):
    return applying.apply(cast.experiment, text, by=cast.people[who], **{"production_stage": "mc", **more})


def test_a_new_definition_is_asked_for(cast):
    done = applied(cast, title="Spring", note="for the talk")
    assert (done.request.state, done.request.title, done.changed) == ("pending_approval", "Spring", True)
    assert done.request.campaign.name == "applied"


def test_said_twice_nothing_is_different(cast):
    first, second = applied(cast), applied(cast)
    assert second.request == first.request
    assert not second.changed
    assert Request.objects.count() == 1


def test_what_runs_goes_on_by_it_once_it_is_approved(cast):
    request = applied(cast).request
    deciding.approve(request, by=cast.approver, reason="good")
    again = applied(cast, MORE)
    assert (again.request.pk, again.request.state, again.changed) == (request.pk, "pending_approval", True)
    standing = Campaign.objects.get(name="applied")
    assert standing.revision.digest != again.request.revision.digest
    deciding.approve(again.request, by=cast.approver, reason="good")
    assert Campaign.objects.get(name="applied").revision.digest == again.request.revision.digest


def test_what_came_back_is_filed_again(cast):
    request = applied(cast).request
    deciding.send_back(request, by=cast.approver, reason="fewer")
    again = applied(cast, MORE)
    assert (again.request.pk, again.request.state) == (request.pk, "pending_approval")


def test_who_may_approves_it_in_the_same_breath(cast):
    with pytest.raises(NotAllowed):
        applied(cast, approve=True)
    assert Request.objects.get().state == "pending_approval", "what was asked for is kept"
    type(cast.experiment).objects.filter(pk=cast.experiment.pk).update(author_may_approve=True)
    cast.experiment.refresh_from_db()
    done = applied(cast, builders.definition(campaign="own"), who="approver", approve=True)
    assert done.request.state == "approved"


def test_what_cannot_run_is_refused_with_every_complaint(cast):
    with pytest.raises(Refused) as refused:
        applied(cast, TEXT.replace("job_type=", "job_type=nosuch"))
    assert refused.value.problems
    assert not Request.objects.exists()


def test_what_was_not_filed_is_taken_up_again(cast):
    """A script that is not on the launch host keeps a request from the desk; its draft is the one of the next time."""
    text = TEXT.replace(str(builders.TINY_SUBMIT), "/no/such/program")
    with pytest.raises(Refused, match="It is kept as the draft demo/r"):
        applied(cast, text)
    kept = Request.objects.get()
    assert kept.state == "draft"
    assert applied(cast).request.pk == kept.pk
    assert Request.objects.get().state == "pending_approval"


def test_without_a_production_stage_the_stages_are_named(cast):
    assert applied(cast, production_stage="").request.production_stage == "mc", "there is but one"
    membership.register_approver(cast.approver, cast.experiment, "reco")
    with pytest.raises(Refused) as refused:
        applied(cast, builders.definition(campaign="other"), production_stage="")
    assert refused.value.problems[0].field == "production_stage"
    assert "mc" in refused.value.problems[0].hint
