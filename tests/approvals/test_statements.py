"""How many SQL statements inbox, list and search take: the same for few and many requests, as many as are committed.

The committed numbers stand in statements.json; whoever needs another one writes it there, and says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from poms_site.web import live
from tests import builders
from tests.approvals.desk import filed
from tests.scale.requests import PAGES, fill

COMMITTED = Path(__file__).with_name("statements.json")


def counted(cast: Any) -> dict[str, int]:
    found = {}
    for name, (role, path) in PAGES.items():
        client = Client()
        client.force_login(cast.people[role])
        client.get(path)  # what is looked up once for a session
        live.forget()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200, path
        found[name] = len(queries)
    request = filed(cast, builders.definition(campaign=f"seen{len(found)}"))
    for name, role, path in (
        ("request", "experimenter", f"/e/demo/requests/r{request.pk}/"),
        ("decide", "approver", f"/admin/approvals/request/{request.pk}/change/"),
    ):
        client = Client()
        client.force_login(cast.people[role])
        client.get(path)
        live.forget()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200, path
        found[name] = len(queries)
    return found


@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow_and_is_what_is_committed(cast):
    people = {"experiment": cast.experiment, "requester": cast.experimenter, "approver": cast.approver}
    fill(40, **people, definition=builders.definition())
    few = counted(cast)
    fill(400, **people, definition=builders.definition())
    many = counted(cast)
    assert {name: many[name] for name in PAGES} == {name: few[name] for name in PAGES}
    assert few == json.loads(COMMITTED.read_text()), "write tests/approvals/statements.json anew, if this is meant"
