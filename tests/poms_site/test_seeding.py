"""What `make run` begins with: made once, however often it starts."""

from __future__ import annotations

import pytest

from approvals.logic import deciding, filing
from approvals.models import Request
from experiments.models import User
from poms_site import seeding

pytestmark = pytest.mark.django_db


def test_the_example_waits_as_a_draft_that_can_be_filed_and_approved():
    seeding.seed()
    draft = seeding.stand_ready()
    assert (draft.ref.split("/")[0], draft.state, draft.requester.username) == ("demo", "draft", "experimenter")
    filed = filing.file(draft, by=draft.requester)
    decided = deciding.approve(filed, by=User.objects.get(username="approver"), reason="go on")
    assert decided.campaign.state == "approved"


def test_a_second_start_makes_nothing_twice_and_new_passwords():
    first, draft = seeding.seed(), seeding.stand_ready()
    again = seeding.seed()
    assert seeding.stand_ready() == draft
    assert Request.objects.count() == 1
    assert set(again) == set(first)
    assert User.objects.filter(service=None).count() == len(first)
    assert User.objects.filter(service__isnull=False).count() == 1
    for role, account in again.items():
        user = User.objects.get(username=account.username)
        assert user.check_password(account.password), role
        assert not user.check_password(first[role].password), role
        assert user.tokens.filter(name="demo").count() == 1, role
