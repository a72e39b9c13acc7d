"""How many SQL statements the pages of campaigns and submissions take: the same for few and many, and as committed.

The committed numbers stand in statements.json; whoever needs another one writes it there, and says why.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cast import Cast
from tests.scale.campaigns import ROLE, fill, pages, statements

COMMITTED = Path(__file__).with_name("statements.json")


def counted(cast: Cast, campaigns: int, submissions: int) -> dict[str, int]:
    past = fill(campaigns, submissions, cast)
    asked = pages(past, times=1)
    return {name: statements(addresses, cast.people[ROLE]) for name, addresses in asked.items()}


@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow_and_is_what_is_committed(cast: Cast) -> None:
    few = counted(cast, 3, 200)
    many = counted(cast, 40, 1_500)
    assert many == few
    assert few == json.loads(COMMITTED.read_text()), "write tests/web/statements.json anew, if this is meant"
