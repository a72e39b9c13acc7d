"""How many SQL statements the pages of campaigns and submissions take: the same for few and many, and as committed.

The committed numbers stand in statements.json; whoever needs another one writes it there, and says why.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection

from tests.cast import Cast
from tests.scale.campaigns import ROLE, fill, pages, statements

COMMITTED = Path(__file__).with_name("statements.json")


def asked(cast: Cast, campaigns: int, submissions: int) -> dict[str, list[str]]:
    past = fill(campaigns, submissions, cast)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does in its time: the planner would take the tables for empty
    found = pages(past, times=1)
    return {name: statements(addresses, cast.people[ROLE]) for name, addresses in found.items()}


@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow_and_is_what_is_committed(cast: Cast) -> None:
    of_few, of_many = asked(cast, 3, 200), asked(cast, 40, 1_500)
    few, many = ({name: len(sql) for name, sql in found.items()} for found in (of_few, of_many))
    more = {name: [sql[:200] for sql in of_many[name]] for name in few if few[name] != many[name]}
    assert many == few, json.dumps(more, indent=1)
    assert few == json.loads(COMMITTED.read_text()), "write tests/web/statements.json anew, if this is meant"
