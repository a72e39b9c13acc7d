"""Lists of jobs look through so many rows for those that fit, say so, and go on from there: page and API."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from rest_framework.test import APIClient

from experiments.logic import tokens
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem
from submissions import queries
from submissions.logic import merging, planning
from submissions.models import Submission
from tests import builders
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(cast: Cast) -> Submission:
    """A submission with forty jobs, of which every thirteenth ran on a rare node."""
    builders.approved_campaign(cast)
    planning.plan_some()
    found = Submission.objects.first()
    seen = [
        JobSeen(id=f"{n:02}@x", uuid=str(found.uuid), state="processing", starts=1, at=1_700_000_000.0 + n,
                node="rare" if n % 13 == 0 else "common")
        for n in range(40)
    ]  # fmt: skip
    merging.merge(BatchSystem.objects.create(name="local").pk, seen, source="test")
    return found


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(queries, "LOOKED_THROUGH", 10)


def walk(client: Client, query: str) -> list[tuple[list[str], int]]:
    """Return, page by page, which jobs it shows and how many it says to have looked through."""
    found, path = [], f"/e/demo/jobs/{query}"
    while path:
        page = client.get(f"{path}&part=live").content.decode()
        looked = re.search(r"(\d+) (?:jobs )?that were looked through", page)
        found.append((re.findall(r"(\d+@x)", page), int(looked[1]) if looked else 0))
        later = re.search(r'href="(\?[^"]*)" rel="next"', page)
        path = f"/e/demo/jobs/{later[1].replace('&amp;', '&')}" if later else ""
    return found


def test_a_page_says_how_far_it_looked_and_goes_on(submission, cast):
    client = Client()
    client.force_login(cast.operator)
    assert walk(client, "?node=rare") == [(["39@x"], 10), (["26@x"], 10), (["13@x"], 10), (["00@x"], 0)]
    assert walk(client, "?node=none") == [([], 10), ([], 10), ([], 10), ([], 0)]


def test_what_an_index_finds_is_found_at_once(submission, cast):
    client = Client()
    client.force_login(cast.operator)
    assert walk(client, f"?node=rare&submission=s{submission.pk}") == [(["39@x", "26@x", "13@x", "00@x"], 0)]


def test_the_api_goes_on_in_the_same_way(submission, cast):
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(cast.operator, 'test')[1]}")
    found, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/api/v1/jobs/?node=rare&experiment=demo{f'&cursor={cursor}' if cursor else ''}").json()
        found.append([row["external_id"] for row in page["results"]])
        cursor = page["next"]
    assert found == [["39@x"], ["26@x"], ["13@x"], ["00@x"]]
    assert len(api.get("/api/v1/jobs/?experiment=demo").json()["results"]) == 40
