"""The failure atlas as people see it: who sees what, what they may say, and what others have written stays text."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import now
from core.models import Transition
from integrations.models import Service
from submissions.models import Failure, Job, JobFailure, Route, Sighting, Signature
from submissions.states import JOB_RANK

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"


def made(world, title: str = "KeyError: 'constants'", cause: str = "software", ago: float = 0, **values) -> Failure:
    at = now() - timedelta(seconds=ago)
    signature = Signature.objects.create(digest=f"{title}{ago}"[:40], title=title, cause=cause)
    own = world.own
    row = Failure.objects.create(
        experiment=own.experiment, signature=signature, first_at=at - timedelta(days=2), last_at=at, jobs=4, **values
    )
    Sighting.objects.create(failure=row, stage=own.objects["stage"], day=at.date(), site="FNAL", release="v2", jobs=4)
    return row


def test_the_list_shows_failures_with_owner_fix_and_trend_and_can_be_narrowed(cast, world, as_, text):
    service = Service.objects.create(name="sam", kind="none", gates="nothing")
    made(world, title=HOSTILE, fix=HOSTILE)
    made(world, title="connection refused", cause="service", service=service, ago=60)
    browser = as_(cast.shifter)
    answer = browser.get("/e/demo/failures/")
    assert answer.status_code == 200 and HOSTILE not in answer.content.decode()
    shown = text(answer)
    assert "connection refused" in shown and "FNAL, v2" in shown and "Rules of routing" in shown
    assert shown.index("alert(1)") < shown.index("connection refused"), "the latest first"
    for query, seen in (
        ("cause=service", True), ("cause=node", False), ("owner=sam", True), ("owner=experiment", False),
        ("site=FNAL", True), ("site=CERN", False), ("release=v2", True), ("text=REFUSED", True), ("fix=known", False),
        (f"campaign=c{world.own.objects['campaign'].pk}", True), ("campaign=c999999", False),
    ):  # fmt: skip
        assert ("connection refused" in text(browser.get(f"/e/demo/failures/?{query}"))) is seen, query
    for wrong in ("cause=bad%20luck", "campaign=x", "fix=perhaps", "after=nowhere"):
        assert browser.get(f"/e/demo/failures/?{wrong}").status_code == 422, wrong


def test_pages_of_the_list_follow_one_another_without_gap(cast, world, as_):
    refs = {made(world, title=f"error {n:03}", ago=n // 3).ref.rpartition("/")[2] for n in range(120)}
    browser, seen, address = as_(cast.shifter), [], "/e/demo/failures/"
    while address:
        listed = browser.get(address).context["list"]
        seen += [row.ref.rpartition("/")[2] for row in listed.rows]
        address = f"/e/demo/failures/{listed.next}" if listed.next else ""
    assert len(seen) == len(set(seen)) and refs < set(seen)


def test_the_list_costs_the_same_however_many_there_are(cast, world, as_, django_assert_num_queries):
    def cost() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as asked:
            browser.get("/e/demo/failures/")
        return len(asked)

    browser = as_(cast.shifter)
    made(world)
    browser.get("/e/demo/failures/")
    few = cost()
    for n in range(40):
        made(world, title=f"error {n}")
    assert cost() == few


def test_a_failure_shows_its_evidence_and_what_was_done(cast, world, as_, text):
    row = made(world, title="no constants")
    job: Job = world.own.objects["job"]
    JobFailure.objects.create(
        job=job, failure=row, state_code=JOB_RANK["failed"], at=now(), tail=f"reading {HOSTILE}\nno constants\n"
    )
    key = f"f{row.pk}"
    page = as_(cast.operator).get(f"/e/demo/failures/{key}/")
    assert page.status_code == 200 and HOSTILE not in page.content.decode()
    shown = text(page)
    assert job.ref in shown and "reading" in shown and "the experiment's software" in shown.replace("&#x27;", "'")
    assert "Open a ticket" not in shown, "there is no service desk"
    post = as_(cast.shifter).post(f"/e/demo/failures/{key}/fix/", {"fix": "take v3", "reason": ""})
    assert post.status_code == 303
    shown = text(as_(cast.shifter).get(f"/e/demo/failures/{key}/"))
    assert "take v3" in shown and "what helps: take v3" in shown
    row.refresh_from_db()
    assert (row.fix, row.fix_by) == ("take v3", cast.shifter.actor)
    assert Transition.objects.get(kind="failure", thing_id=row.pk, verb="fix").actor == cast.shifter.actor


@pytest.mark.parametrize(
    ("verb", "body"),
    [("route", {"owner": "nobody", "reason": "x"}), ("route", {"owner": "demo", "reason": ""}),
     ("link", {"link": "javascript:alert(1)"}), ("link", {"link": "https://x y"}), ("fix", {"fix": "x" * 4001}),
     ("ticket", {"reason": "please"}), ("logbook", {"reason": "please"}), ("ticket", {"reason": ""})],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_and_changes_nothing(cast, world, call, verb, body):
    row = made(world)
    before = Failure.objects.filter(pk=row.pk).values().get()
    answer = call(cast.operator).post(f"/api/v1/failures/{row.ref}/{verb}/", body, format="json")
    assert answer.status_code in (409, 422), answer.content
    assert Failure.objects.filter(pk=row.pk).values().get() == before
    assert not Transition.objects.filter(kind="failure").exists()


@pytest.fixture
def call():
    """Return a client of the API for somebody."""
    from rest_framework.test import APIClient

    def signed_in(user):
        client = APIClient()
        client.force_authenticate(user)
        return client

    return signed_in


def test_a_provider_sees_and_says_what_goes_to_the_service_and_no_jobs(cast, world, as_, text, call):
    service = Service.objects.create(name="storage", kind="none", gates="nothing")
    service.providers.add(cast.service_provider)
    mine = made(world, title="stale file handle", service=service)
    other = made(world, title="a matter of the experiment")
    shown = text(as_(cast.service_provider).get("/provided/"))
    assert "stale file handle" in shown and "a matter of the experiment" not in shown
    assert "You provide no service" in text(as_(cast.shifter).get("/provided/"))
    client = call(cast.service_provider)
    listed = client.get("/api/v1/failures/").json()["results"]
    assert [row["ref"] for row in listed] == [mine.ref]
    whole = client.get(f"/api/v1/failures/{mine.ref}/").json()
    assert whole["examples"] == [] and whole["seen"]["stages"] == [] and whole["seen"]["sites"][0]["site"] == "FNAL"
    assert client.get(f"/api/v1/failures/{other.ref}/").status_code == 404
    fix = client.post(f"/api/v1/failures/{mine.ref}/fix/", {"fix": "mount it again"}, format="json")
    assert fix.status_code == 200 and fix.json()["fix"] == "mount it again"
    assert client.post(f"/api/v1/failures/{mine.ref}/ticket/", {"reason": "x"}, format="json").status_code == 403
    back = client.post(
        f"/api/v1/failures/{mine.ref}/route/", {"owner": "demo", "reason": "it is their mount"}, format="json"
    )
    assert back.status_code == 200 and client.get(f"/api/v1/failures/{mine.ref}/").status_code == 404


def test_what_helps_elsewhere_is_shown_to_who_may_see_it_there(cast, world, as_, text):
    mine = made(world, title="no constants")
    Failure.objects.create(
        experiment=world.other.experiment, signature=mine.signature, first_at=now(), last_at=now(), jobs=9,
        fix="the other experiment's secret way",
    )  # fmt: skip
    address = f"/e/demo/failures/f{mine.pk}/"
    assert "secret way" not in text(as_(cast.operator).get(address))
    assert "secret way" in text(as_(cast.supervisor).get(address))


def test_rules_are_set_by_who_administers_with_a_reason(cast, world, as_, text):
    Service.objects.create(name="dcache", kind="none", gates="nothing")
    Route.objects.all().delete()
    browser = as_(cast.administrator)
    body = {"pattern": "stale|dcap", "service": "dcache", "place": "5", "cause": "", "reason": "they run it"}
    for wrong in ({"pattern": "("}, {"reason": ""}, {"place": "x"}, {"cause": "bad luck"}, {"pattern": ""}):
        answer = browser.post("/e/demo/routes/", {**body, **wrong})
        assert answer.status_code == 422, wrong
    assert not Route.objects.exists()
    assert browser.post("/e/demo/routes/", body).status_code == 303
    shown = text(browser.get("/e/demo/routes/"))
    assert "stale|dcap" in shown and "they run it" in shown and "no such service: passed over" in shown
    row = Route.objects.get()
    assert browser.post(f"/e/demo/routes/o{row.pk}/remove/", {"reason": "no longer"}).status_code == 303
    assert Route.objects.get().ended_at is not None
    assert list(Transition.objects.filter(kind="route").order_by("id").values_list("verb", flat=True)) == [
        "route",
        "remove",
    ]
