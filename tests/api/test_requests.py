"""A request's way through the API: made, checked, filed, decided on; the first decision wins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from approvals.models import Decision, Request
from campaigns.models import Campaign
from experiments.logic import membership
from experiments.models import User
from tests import builders

URL = "/api/v1/requests/"


def make(client, **values):
    body = {"experiment": "demo", "title": "tiny", "production_stage": "mc", "definition": builders.definition()}
    answer = client.post(URL, {**body, **values})
    assert answer.status_code == 201, answer.content
    return answer.json()


def say(client, request, verb, **body):
    return client.post(f"{URL}{request['ref']}/{verb}/", body)


@pytest.fixture
def author(cast, call_as):
    builders.login_setup(cast)
    return call_as(cast.experimenter)


@pytest.fixture
def approver(cast, call_as):
    return call_as(cast.approver)


@pytest.mark.django_db
def test_a_request_is_made_checked_filed_and_approved(author, approver):
    request = make(author, priority=70, hours_per_file=0.5, release="v1", free_text="please")
    assert (request["state"], request["requester"], request["campaign"], request["checks"]) == (
        "draft", "experimenter", None, [],
    )  # fmt: skip
    report = say(author, request, "check").json()
    assert report["verdict"] in ("pass", "warn")
    assert {"check", "result", "text", "hint"} == set(report["lines"][0])
    filed = say(author, request, "file").json()
    assert (filed["state"], filed["campaign_state"]) == ("pending_approval", "pending_approval")
    assert [line["result"] for line in filed["checks"]] == [line["result"] for line in report["lines"]]
    approved = say(approver, request, "approve", reason="looks right", revision=filed["revision"]).json()
    assert (approved["state"], approved["campaign_state"]) == ("approved", "approved")
    assert [(d["who"], d["verdict"], d["reason"]) for d in approved["decisions"]] == [
        ("approver", "approve", "looks right")
    ]
    history = author.get(f"{URL}{request['ref']}/history/").json()["results"]
    assert [(s["from"], s["to"]) for s in sorted(history, key=lambda s: s["at"])] == [
        ("", "draft"), ("draft", "pending_approval"), ("pending_approval", "approved"),
    ]  # fmt: skip
    text = author.get(f"/api/v1/campaigns/{approved['campaign']}/text/")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert b"[campaign_stage gen]" in text.content


@pytest.mark.django_db
def test_a_request_that_fails_its_checks_is_not_filed(cast, author):
    from integrations.models import Dataset, File

    held = Dataset.objects.create(experiment=cast.experiment, name="held")
    held.files.add(File.objects.create(experiment=cast.experiment, name="a", path="/a"))
    request = make(author, definition=builders.definition(stages="[campaign_stage a]\ndataset_or_split_data=held\n"))
    held.files.clear()
    answer = say(author, request, "file")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "dataset", "message": "the dataset held is empty", "hint": "wait for its files, or name another"}
    ]
    assert author.get(f"{URL}{request['ref']}/").json()["state"] == "draft"
    assert not Campaign.objects.exists()


@pytest.mark.django_db
def test_authors_do_not_approve_their_own(cast, author):
    membership.join(cast.experimenter, "approver", cast.experiment)
    membership.register_approver(cast.experimenter, cast.experiment, "mc")
    request = make(author)
    say(author, request, "file")
    answer = say(author, request, "approve", reason="mine")
    assert answer.status_code == 403
    assert "ask another approver" in answer.json()["detail"]
    assert not Decision.objects.exists()


@pytest.mark.django_db
def test_approvers_of_another_stage_do_not_approve(cast, author, call_as):
    other = User.objects.create_user(username="other_approver")
    membership.join(other, "approver", cast.experiment)
    membership.register_approver(other, cast.experiment, "reco")
    request = make(author)
    say(author, request, "file")
    for verb in ("approve", "return", "reject"):
        answer = say(call_as(other), request, verb, reason="because")
        assert answer.status_code == 403
        assert "not registered as an approver of mc in demo" in answer.json()["detail"]
    assert not Decision.objects.exists()


@pytest.mark.django_db
def test_what_was_changed_after_reading_is_a_conflict(author, approver):
    request = make(author)
    read = say(author, request, "file").json()["revision"]
    assert say(approver, request, "return", reason="another seed").json()["state"] == "returned"
    better = builders.definition().replace("seed=7", "seed=8")
    assert author.patch(f"{URL}{request['ref']}/", {"definition": better}).status_code == 200
    fresh = say(author, request, "file").json()["revision"]
    assert fresh != read
    answer = say(approver, request, "approve", revision=read)
    assert answer.status_code == 409
    assert "read it again" in answer.json()["detail"]
    assert say(approver, request, "approve", revision=fresh).status_code == 200


@pytest.mark.django_db
def test_what_was_decided_keeps_the_report_that_was_read(author, approver):
    request = make(author)
    say(author, request, "file")
    read = say(approver, request, "approve").json()["checks"]
    for verb in ("file", "check"):
        assert say(author, request, verb).status_code == (409 if verb == "file" else 200)
        assert author.get(f"{URL}{request['ref']}/").json()["checks"] == read


@pytest.mark.django_db
def test_only_the_author_and_production_change_a_request(cast, author, call_as):
    request = make(author)
    for role in ("approver", "analyser"):
        for verb in ("file", "withdraw"):
            assert say(call_as(cast.people[role]), request, verb, reason="x").status_code == 403
        assert call_as(cast.people[role]).patch(f"{URL}{request['ref']}/", {"title": "x"}).status_code == 403
    assert author.get(f"{URL}{request['ref']}/").json()["checks"] == [], "who may not file it left no report"
    corrected = call_as(cast.operator).patch(f"{URL}{request['ref']}/", {"title": "corrected"}).json()
    assert (corrected["title"], corrected["requester"]) == ("corrected", "experimenter")


@pytest.mark.django_db
def test_a_withdrawn_request_takes_its_campaign_along(author, approver):
    request = make(author)
    say(author, request, "file")
    answer = say(author, request, "withdraw", reason="changed my mind").json()
    assert (answer["state"], answer["campaign_state"]) == ("withdrawn", "cancelled")
    assert say(approver, request, "approve").status_code == 409
    assert say(author, request, "file").status_code == 409


@pytest.mark.django_db
def test_a_list_is_filtered_and_paged_newest_first(author, approver):
    made = [make(author, title=f"n{n}")["ref"] for n in range(5)]
    say(author, {"ref": made[2]}, "file")
    pending = author.get(URL, {"state": "pending_approval"}).json()
    assert [row["ref"] for row in pending["results"]] == [made[2]]
    seen, cursor = [], None
    while True:
        page = author.get(URL, {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["results"]) <= 2
        seen += [row["ref"] for row in page["results"]]
        make(author, title="comes meanwhile") if len(seen) == 2 else None
        if not (cursor := page["next"]):
            break
    assert seen == made[::-1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_ledger")
def test_of_many_decisions_at_once_the_first_wins(real_cast, call_as):
    builders.login_setup(real_cast)
    author = call_as(real_cast.experimenter)
    request = make(author)
    filed = say(author, request, "file").json()
    clients = []
    for n in range(12):
        user = User.objects.create_user(username=f"approver{n}")
        membership.join(user, "approver", real_cast.experiment)
        membership.register_approver(user, real_cast.experiment, "mc")
        clients.append(call_as(user))
    together = Barrier(len(clients))

    def decide(n: int):
        try:
            together.wait(30)
            verb = ("approve", "return", "reject")[n % 3]
            body = {"reason": f"by {n}", **({"revision": filed["revision"]} if verb == "approve" else {})}
            return say(clients[n], request, verb, **body)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(decide, range(len(clients))))
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [200] + [409] * 11
    winner = codes.index(200)
    decision = Decision.objects.get()
    assert (decision.approver.username, decision.reason) == (f"approver{winner}", f"by {winner}")
    assert (
        Request.objects.get().state
        == {"approve": "approved", "return": "returned", "reject": "rejected"}[decision.verdict]
    )
    assert all("nothing was changed" in a.json()["detail"] for a in answers if a.status_code == 409)
