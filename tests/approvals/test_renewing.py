"""Keep-up requests last a week, are reminded of, lapse into a hold, and go on when somebody extends them (T7)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.logic import deciding, renewing
from approvals.models import Request
from campaigns.models import Schedule
from core.clock import now
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from integrations.models import Dataset, File
from submissions.logic import scheduling
from submissions.queries import gates, standing_holds
from tests import builders
from tests.approvals.desk import again, filed

pytestmark = pytest.mark.django_db


@pytest.fixture
def lasting(cast):
    return deciding.approve(filed(cast, keep_up=True), by=cast.approver, reason="each week")


def ends(request, **ago):
    Request.objects.filter(pk=request.pk).update(valid_until=now() + timedelta(**ago))


def steps(verb):
    return Transition.objects.filter(kind="request", verb=verb).count()


def test_an_approval_is_for_a_week(lasting):
    assert timedelta(days=6, hours=23) < again(lasting).valid_until - now() < timedelta(days=7)
    assert renewing.renew_some() == 0


def test_who_watches_is_reminded_once_before_the_end(lasting):
    ends(lasting, days=1)
    assert [renewing.renew_some() for _ in range(3)] == [1, 0, 0]
    assert (steps("remind"), steps("lapse")) == (1, 0)


def test_what_was_not_renewed_is_held_and_says_so(lasting):
    ends(lasting, seconds=-1)
    assert [renewing.renew_some() for _ in range(3)] == [1, 0, 0]
    hold = standing_holds().get()
    assert (hold.campaign_id, hold.actor) == (lasting.campaign_id, "loop:renew")
    assert any("was not renewed" in gate["text"] for gate in gates(again(lasting).campaign))
    assert steps("lapse") == 1


def test_an_extension_opens_the_gate_again(cast, lasting):
    ends(lasting, seconds=-1)
    renewing.renew_some()
    renewing.extend(again(lasting), by=cast.approver, reason="still taking data")
    assert not standing_holds().exists()
    assert again(lasting).valid_until > now() + timedelta(days=6)
    assert renewing.renew_some() == 0
    ends(lasting, days=1)
    assert renewing.renew_some() == 1, "the next end is reminded of again"


def test_a_hold_of_a_person_stays(cast, lasting):
    from submissions.logic import holding

    holding.hold("campaign", again(lasting).campaign, actor="user:operator", reason="the disk is full")
    ends(lasting, seconds=-1)
    renewing.renew_some()
    renewing.extend(again(lasting), by=cast.operator)
    assert [hold.actor for hold in standing_holds()] == ["user:operator"]


def test_who_extends_what_and_how_far(cast, lasting):
    with pytest.raises(NotAllowed):
        renewing.extend(lasting, by=cast.experimenter)
    with pytest.raises(Refused, match="Only a keep-up request"):
        renewing.extend(deciding.approve(filed(cast), by=cast.approver, reason="once"), by=cast.approver)
    with pytest.raises(Refused, match="far enough"):
        for _ in range(10):
            renewing.extend(again(lasting), by=cast.approver)
    with pytest.raises((Conflict, Refused)):
        renewing.extend(filed(cast, keep_up=True), by=cast.approver)


def test_a_campaign_that_has_ended_lapses_no_more(cast, lasting):
    from submissions.logic import acting

    acting.cancel(again(lasting).campaign, actor="user:operator", reason="done")
    ends(lasting, seconds=-1)
    assert renewing.renew_some() == 0


def test_a_schedule_hears_until_when_it_is_renewed(cast):
    """Written downward, for the floor below knows no requests: when it is made, and when somebody extends it."""
    stages = "[campaign_stage raw]\ndataset_or_split_data=raw_data\nschedule=@daily\n"
    dataset = Dataset.objects.create(experiment=cast.experiment, name="raw_data")
    dataset.files.add(File.objects.create(experiment=cast.experiment, name="f0", path="/d/f0"))
    campaign = builders.approved_campaign(cast, builders.definition(stages=stages), keep_up=True)
    scheduling.schedule_some()
    assert Schedule.objects.get().valid_until is None
    renewing.renew_some()
    request = Request.objects.get(campaign=campaign)
    assert Schedule.objects.get().valid_until == request.valid_until
    renewing.extend(request, by=cast.approver, reason="still taking data")
    assert Schedule.objects.get().valid_until == again(request).valid_until > request.valid_until


@pytest.mark.parametrize("schedule", ["", "schedule=@daily\n"])
def test_what_has_a_schedule_keeps_up_whatever_its_request_said(cast, schedule):
    dataset = Dataset.objects.create(experiment=cast.experiment, name="raw_data")
    dataset.files.add(File.objects.create(experiment=cast.experiment, name="f0", path="/d/f0"))
    stages = f"[campaign_stage raw]\ndataset_or_split_data=raw_data\n{schedule}"
    campaign = builders.approved_campaign(cast, builders.definition(stages=stages))
    row = Request.objects.get(campaign=campaign)
    assert (row.keep_up, row.valid_until is not None) == (bool(schedule),) * 2
    said = Transition.objects.filter(kind="request", thing_id=row.pk, target="pending_approval").get().reason
    assert ("it keeps up from now on" in said) == bool(schedule)
