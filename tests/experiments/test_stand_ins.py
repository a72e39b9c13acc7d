"""Delegates: between two dates, and only as long as the approver whom they stand in for could decide (W1)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.logic import deciding
from approvals.queries import waiting_for
from core.clock import now
from core.errors import NotAllowed, Refused
from experiments.logic import membership
from experiments.models import Approver, User
from experiments.queries import approvers_of, approvers_today, is_approver, production_stages
from tests.approvals.desk import again, filed

pytestmark = pytest.mark.django_db


@pytest.fixture
def deputy(cast):
    made = User.objects.create_user("deputy")
    membership.join(made, "approver", cast.experiment)
    return made


def stand_in(cast, deputy, begin=-1, end=5, **more):
    values = {
        "begins_at": now() + timedelta(days=begin), "ends_at": now() + timedelta(days=end), "by": cast.administrator,
        "reason": "on leave", **more,
    }  # fmt: skip
    return membership.stand_in(cast.approver, deputy, cast.experiment, "mc", **values)


def test_a_deputy_decides_between_the_dates(cast, deputy):
    row = stand_in(cast, deputy)
    request = filed(cast)
    assert is_approver(deputy, cast.experiment, "mc")
    assert request in waiting_for(deputy)
    assert approvers_of(cast.experiment, "mc") == ["approver", "deputy (for approver)"]
    assert deputy in approvers_today(cast.experiment, "mc")
    deciding.approve(request, by=deputy, reason="in his place")
    assert again(request).state == "approved"
    for begin, end in ((1, 5), (-5, -1)):
        Approver.objects.filter(pk=row.pk).update(
            begins_at=now() + timedelta(days=begin), ends_at=now() + timedelta(days=end)
        )
        assert not is_approver(deputy, cast.experiment, "mc")
        assert deputy not in approvers_today(cast.experiment, "mc")
    assert production_stages(cast.experiment) == ["mc"]


@pytest.mark.parametrize("how", ["ended", "switched off"])
def test_the_right_lasts_no_longer_than_the_approvers(cast, deputy, how):
    stand_in(cast, deputy)
    if how == "ended":
        membership.end_registration(
            Approver.objects.get(user=cast.approver, stands_in_for=None), by=cast.administrator, reason="moved on"
        )
    else:
        User.objects.filter(pk=cast.approver.pk).update(is_active=False)
    assert not is_approver(deputy, cast.experiment, "mc")


def test_who_and_when_makes_sense(cast, deputy):
    with pytest.raises(Refused):
        stand_in(cast, cast.approver)
    with pytest.raises(Refused, match="Nobody stands in"):
        stand_in(cast, cast.experimenter)
    for begin, end in ((3, 1), (-9, -3), (0, 400)):
        with pytest.raises(Refused):
            stand_in(cast, deputy, begin, end)
    with pytest.raises(Refused):
        membership.stand_in(
            cast.operator, deputy, cast.experiment, "mc", begins_at=now(), ends_at=now() + timedelta(days=1),
            by=cast.administrator, reason="no approver",
        )  # fmt: skip
    assert not Approver.objects.exclude(stands_in_for=None).exists()


def test_a_deputy_of_a_deputy_decides_on_nothing(cast, deputy):
    stand_in(cast, deputy)
    third = User.objects.create_user("third")
    membership.join(third, "approver", cast.experiment)
    with pytest.raises(Refused):
        membership.stand_in(
            deputy, third, cast.experiment, "mc", begins_at=now(), ends_at=now() + timedelta(days=1),
            by=cast.administrator, reason="and on",
        )  # fmt: skip
    with pytest.raises(NotAllowed):
        deciding.approve(filed(cast), by=third, reason="no")
