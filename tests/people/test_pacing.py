"""How much one person may ask and launch within a minute, by page, API, old call and command; loops are never refused."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import requests
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from poms_client.client import Client as PomsClient
from poms_client.errors import Unavailable
from rest_framework.test import APIClient

from campaigns.models import Campaign
from core import loops
from core.models import Rate
from experiments.logic import tokens
from poms_site.web.verbs import VERBS
from submissions.models import Batch, Submission
from tests import builders
from tests.contracts import checks

pytestmark = pytest.mark.django_db
NOBODY = "demo/b999999"  # a launch is counted before anything is looked up


def signed_in(user: Any, secret: str = "") -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret or tokens.issue(user, 'test')[1]}")
    return client


def refused(answer: Any, who: str) -> int:
    """Return the seconds until there is room, as header and sentence both say them."""
    assert answer.status_code == 429
    wait = int(answer.headers["Retry-After"])
    said = answer.json()["detail"] if "json" in answer.headers["Content-Type"] else answer.content.decode()
    assert f"{who} " in said
    assert f"come again in {wait} s." in said
    return wait


def test_calls_are_counted_for_the_person_whatever_the_token(cast, settings):
    settings.API_PER_MINUTE = 4
    one, other = signed_in(cast.operator), signed_in(cast.operator)
    answers = [client.get("/api/v1/campaigns/") for client in (one, other, one, other, one)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert 1 <= refused(answers[-1], "You have called the API 4 times") <= 65
    assert signed_in(cast.shifter).get("/api/v1/campaigns/").status_code == 200


def test_counting_is_one_statement_of_a_call(cast, settings):
    client = signed_in(cast.operator)
    client.get("/api/v1/campaigns/")
    seen: list[int] = []
    for limit in (0, 100):
        settings.API_PER_MINUTE = limit
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/api/v1/campaigns/").status_code == 200
        seen.append(len(asked))
    assert seen[1] == seen[0] + 1


def test_unknown_tokens_are_counted_by_address(cast, settings):
    settings.BAD_TOKENS_PER_MINUTE = 3
    client = signed_in(cast.operator, "poms_nonsense")
    assert [client.get("/api/v1/campaigns/").status_code for _ in range(4)] == [401] * 3 + [429]
    assert signed_in(cast.operator).get("/api/v1/campaigns/").status_code == 200  # from the same address


def test_page_api_and_old_call_share_one_count_of_launches(cast, settings):
    settings.LAUNCHES_PER_MINUTE = 3
    api, page = signed_in(cast.operator), Client()
    page.force_login(cast.operator)
    request = builders.request(cast)
    assert api.post(f"/api/v1/batches/{NOBODY}/relaunch/", {"reason": "again"}).status_code == 404
    assert api.post("/poms/launch_jobs", {"campaign_stage_id": "999999"}, format="multipart").status_code == 404
    page.post(f"/e/demo/requests/r{request.pk}/test/", {"reason": "try"})
    assert refused(page.post(f"/e/demo/requests/r{request.pk}/test/", {"reason": "try"}), "You have launched 3 times")
    assert refused(api.post(f"/api/v1/batches/{NOBODY}/relaunch/", {"reason": "again"}), "You have launched 3 times")
    old = api.post("/poms/launch_jobs", {"campaign_stage_id": "999999"}, format="multipart")
    assert refused(old, "You have launched 3 times")
    assert api.get("/api/v1/campaigns/").status_code == 200  # looking is not launching
    assert page.get(f"/e/demo/requests/r{request.pk}/").status_code == 200


def test_each_of_many_campaigns_is_a_launch_and_says_so(cast, settings):
    settings.LAUNCHES_PER_MINUTE = 1
    rows = [builders.approved_campaign(cast) for _ in range(2)]
    loops.run("plan")
    Batch.objects.update(state="failed")
    Submission.objects.update(state="failed")
    Campaign.objects.update(state="running")
    page = Client()
    page.force_login(cast.operator)
    refs = [f"c{row.pk}" for row in rows]
    answer = page.post("/e/demo/campaigns/bulk/relaunch/", {"ref": refs, "reason": "again"})
    assert answer.status_code == 200
    told = answer.content.decode()
    assert told.count("You have launched 1 times within a minute") == 1
    again = Batch.objects.filter(state="pending").values_list("stage__campaign", flat=True)
    assert set(again) == {rows[0].pk}


def test_every_verb_that_launches_is_counted_on_page_and_api_alike():
    pages = {(verb.letter, verb.name) for verb in VERBS if verb.launches}
    api = set()
    for address, pattern in checks.routes(get_resolver().url_patterns):
        view = checks.view_class(pattern.callback)
        match = re.fullmatch(r"api/v1/\w+/<(\w)_ref:ref>/(\w+)/", address)
        for method, action in checks.served(pattern.callback).items() if match else ():
            if match and method == "POST" and action in getattr(view, "launches", ()):
                api.add((match[1], match[2]))
    assert api == pages
    assert {("b", "relaunch"), ("c", "recover"), ("r", "test"), ("s", "give_up")} <= pages


@pytest.mark.django_db(transaction=True)
def test_a_hundred_clicks_at_once_pass_as_often_as_they_may(real_cast, settings):
    settings.LAUNCHES_PER_MINUTE = 10
    secret = tokens.issue(real_cast.operator, "test")[1]
    answers: list[int] = []

    def click() -> None:
        client = signed_in(real_cast.operator, secret)
        answers.extend(
            client.post(f"/api/v1/batches/{NOBODY}/relaunch/", {"reason": "again"}).status_code for _ in range(10)
        )
        connection.close()

    threads = [threading.Thread(target=click) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [404] * 10 + [429] * 90


def test_reports_of_agents_and_jobs_are_never_refused(cast, settings):
    settings.API_PER_MINUTE = settings.LAUNCHES_PER_MINUTE = 1
    agent = signed_in(cast.operator)
    sent = {"submission_id": "999999", "status": "Running"}
    answers = [agent.post("/poms/update_submission", sent, format="multipart").status_code for _ in range(3)]
    assert answers == [200] * 3
    job = APIClient()
    job.credentials(HTTP_AUTHORIZATION="Bearer nobody's")
    statuses = {job.post("/api/v1/reports/", {}).status_code for _ in range(3)}
    assert 429 not in statuses
    assert not Rate.objects.filter(key__startswith="api:").exists()


def test_loops_launch_whatever_people_may(cast, settings, drive, local):
    settings.API_PER_MINUTE = settings.LAUNCHES_PER_MINUTE = 1
    Rate.objects.create(key=f"launch:user:{cast.operator.pk}", slots=[9] * 13, slot=2**40, passed=False)
    campaign = builders.approved_campaign(cast)
    for name in ("plan", "launch"):
        loops.run(name)
    assert Submission.objects.filter(campaign=campaign).exists()
    assert Rate.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_client_waits_as_long_as_it_is_told(live_server, real_cast, settings):
    settings.API_PER_MINUTE = 2
    secret = tokens.issue(real_cast.operator, "test")[1]
    waits: list[float] = []

    def forgiven(problem: Unavailable, wait: float) -> None:
        waits.append(wait)
        Rate.objects.all().delete()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("poms_client.client.time.sleep", lambda seconds: None)
        client = PomsClient(live_server.url, secret, on_wait=forgiven)
        for _ in range(3):
            client.get("campaigns")
    assert len(waits) == 1
    assert 1 <= waits[0] <= 65
    told = requests.get(f"{live_server.url}/api/v1/schema/", timeout=10)
    assert told.status_code == 200
