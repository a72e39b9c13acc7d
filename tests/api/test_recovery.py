"""Recoveries by the API, the command line and the pages: the plan is read, and applied as it was read."""

from __future__ import annotations

import json

import pytest
from poms_client.main import main

from experiments.logic import tokens
from submissions.models import Batch, Submission
from tests.cast import Cast
from tests.failures import campaign_of, failed, planned


@pytest.fixture
def batches(cast: Cast) -> list[Batch]:
    return failed(cast)


@pytest.mark.django_db
def test_the_api_plans_and_applies_once_under_one_key(cast, batches, call_as):
    client, url = call_as(cast.operator), f"/api/v1/campaigns/{campaign_of(batches).ref}"
    found = client.get(f"{url}/recovery/").json()
    assert json.loads(json.dumps(planned(campaign_of(batches)))) == found
    body = {"plan": found["plan"], "reason": "mended"}
    first = client.post(f"{url}/recover/", body, headers={"Idempotency-Key": "k1"})
    again = client.post(f"{url}/recover/", body, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (200, 200), first.content
    assert first.json() == again.json()
    assert [entry["inputs"] for entry in first.json()["launched"]] == [3, 3]
    later = client.post(f"{url}/recover/", body, headers={"Idempotency-Key": "k2"})
    assert later.status_code == 409
    assert later.json()["errors"][0]["field"] == "plan"
    assert client.get(f"{url}/recovery/?kind=nonsense").status_code == 422
    assert client.post(f"{url}/recover/", {**body, "kind": "nonsense"}).status_code == 422


@pytest.mark.django_db
def test_a_stage_has_its_plan_too(cast, batches, call_as):
    answer = call_as(cast.operator).get(f"/api/v1/stages/{batches[0].stage.ref}/recovery/", {"kind": "proj_status"})
    assert (answer.json()["kind"], answer.json()["inputs"]) == ("process_status", 6)


@pytest.mark.django_db
def test_the_page_shows_the_plan_and_does_only_what_it_showed(cast, batches, client):
    client.force_login(cast.operator)
    url = f"/e/demo/campaigns/c{campaign_of(batches).pk}/recover/"
    page = client.get(url, {"kind": "process_status"})
    text = page.content.decode()
    found = planned(campaign_of(batches), "process_status")
    assert f'name="plan" value="{found["plan"]}"' in text
    assert 'name="kind" value="process_status"' in text
    assert "measured on this stage (2 jobs)" in text
    old = {"plan": "0" * 16, "kind": "process_status", "reason": "mended"}
    refused = client.post(url, old)
    assert refused.status_code == 409
    assert "different now" in refused.content.decode()
    assert f'name="plan" value="{found["plan"]}"' in refused.content.decode()
    assert client.post(url, {**old, "plan": found["plan"]}).status_code == 303
    assert Submission.objects.filter(kind="relaunch").count() == 2


# --- The command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def poms(real_cast, live_server, monkeypatch, capsys):
    """Run the command as the operator; return its exit code and what it wrote."""
    _, secret = tokens.issue(real_cast.operator, "test")
    monkeypatch.setenv("POMS_URL", live_server.url)
    monkeypatch.setenv("POMS_TOKEN", secret)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        return code, *capsys.readouterr()

    return run


@pytest.mark.django_db(transaction=True)
def test_the_command_plans_with_2_applies_what_was_read_and_plans_with_0(real_cast, poms):
    batches = failed(real_cast)
    ref = campaign_of(batches).ref
    code, out, said = poms("recover", "plan", ref)
    assert code == 2
    assert [line.split("\t")[:3] for line in out.splitlines()[1:]] == [[batch.ref, "gen", "3"] for batch in batches]
    assert "6 inputs in 6 jobs; core-hours 3, output unknown" in said
    code, out, _ = poms("recover", "plan", "c" + ref.rpartition("/c")[2] + "/gen", "-e", "demo", "--json")
    plan = json.loads(out)["plan"]
    assert (code, plan in said) == (2, True)
    code, _, said = poms("recover", "apply", ref, "--reason", "mended", "--plan", "0" * 16)
    assert (code, "different now" in said) == (1, True)
    assert poms("recover", "apply", ref)[0] == 64
    code, out, _ = poms("recover", "apply", ref, "--reason", "mended", "--plan", plan)
    assert (code, out.count("launched for")) == (0, 2)
    assert poms("recover", "plan", ref)[0] == 0
    code, out, said = poms("recover", "plan", batches[0].ref)
    assert (code, "have not ended" in out) == (0, True)
    assert poms("recover", "apply", batches[0].ref, "--reason", "again")[0] == 1
    assert Submission.objects.filter(kind="relaunch").count() == 2
