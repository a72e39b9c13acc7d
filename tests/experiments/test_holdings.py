"""What a person holds is read once in a request that changes nothing, and anew in each that does."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments import scoping
from experiments.logic import membership
from experiments.models import Membership
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def asked(cast: Cast, user: object) -> tuple[list[bool], int]:
    """Ask the same four times; return the answers and the number of statements."""
    with CaptureQueriesContext(connection) as captured:
        found = [
            scoping.may(user, "operate", cast.experiment), scoping.may(user, "operate", cast.other),
            "operate" in scoping.held_on(user, cast.experiment), "operate" in scoping.held_on(user, cast.experiment),
        ]  # fmt: skip
    return found, len(captured)


def test_each_question_is_asked_unless_it_may_be_kept(cast):
    expected = [True, False, True, True]
    assert asked(cast, cast.operator) == (expected, 4)
    scoping.read_once(cast.operator)
    assert asked(cast, cast.operator) == (expected, 2)
    assert asked(cast, cast.experimenter) == ([False, False, False, False], 4), "what one holds is not another's"


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(cast, client):
    client.force_login(cast.operator)
    assert client.get("/e/demo/campaigns/").status_code == 200
    for held in Membership.objects.filter(user=cast.operator):
        membership.leave(held)
    assert client.get("/e/demo/campaigns/").status_code == 404
