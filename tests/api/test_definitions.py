"""Definitions through the API and the real command: imported, exported byte for byte, saved, compared."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from campaigns.models import Campaign, Stage
from tests.api.test_command_line import poms

TEXT = """# made by hand
[campaign]
experiment=demo
name=begun
[campaign_stage gen]
stage_type = generator
their_own=kept
[node_positions]
nxy0=["gen", 5, 6]
"""


@pytest.fixture
def as_(cast):
    def client(who):
        found = APIClient()
        found.force_authenticate(cast.people[who])
        return found

    return client


@pytest.mark.django_db
def test_an_import_says_first_what_it_would_do(as_):
    body = {"experiment": "demo", "text": TEXT}
    told = as_("experimenter").post("/api/v1/campaigns/import/", body, format="json").json()
    assert (told["name"], told["campaign"], told["applied"]) == ("begun", None, False)
    assert "[campaign_stage gen] job_type" in {entry["where"] for entry in told["unready"]}
    assert [(entry["where"], entry["line"]) for entry in told["warnings"]] == [("[campaign_stage gen] their_own", 7)]
    assert as_("experimenter").get("/api/v1/campaigns/").json()["results"] == []
    made = as_("experimenter").post("/api/v1/campaigns/import/", {**body, "apply": True}, format="json")
    assert (made.status_code, made.json()["revision"]) == (201, 1)
    ref = made.json()["ref"]
    assert as_("shifter").get(f"/api/v1/campaigns/{ref}/export/").content.decode() == TEXT
    again = as_("experimenter").post(
        "/api/v1/campaigns/import/", {**body, "text": TEXT.replace("begun\n", "begun\nstate=Active\n")}, format="json"
    )
    assert again.json()["campaign"] == ref
    assert "+state=Active" in again.json()["difference"]


@pytest.mark.django_db
def test_of_two_who_save_the_second_is_told(as_):
    made = as_("operator").post(
        "/api/v1/campaigns/import/", {"experiment": "demo", "text": TEXT, "apply": True}, format="json"
    )
    place = f"/api/v1/campaigns/{made.json()['ref']}"
    first = as_("operator").put(
        f"{place}/definition/", {"text": TEXT + "# one\n", "base": 1, "note": "one"}, format="json"
    )
    assert (first.status_code, first.json()["number"], first.json()["state"]) == (200, 2, "draft")
    second = as_("operator").put(f"{place}/definition/", {"text": TEXT + "# two\n", "base": 1}, format="json")
    assert second.status_code == 409
    assert "saved revision 2" in second.json()["detail"]
    rows = as_("operator").get(f"{place}/revisions/").json()["results"]
    assert [(row["number"], row["note"], row["author"]) for row in rows] == [
        (2, "one", "operator"), (1, "imported", "operator"),
    ]  # fmt: skip
    assert as_("operator").get(f"{place}/diff/").json() == {
        "from": 1, "to": 2, "difference": as_("operator").get(f"{place}/diff/?from=1&to=2").json()["difference"],
    }  # fmt: skip
    assert as_("operator").get(f"{place}/diff/?from=9").status_code == 404
    assert as_("operator").get(f"{place}/export/?form=xml").status_code == 422


@pytest.mark.django_db(transaction=True)
def test_the_command_takes_in_and_gives_out(real_cast, live_server, tmp_path):
    file = tmp_path / "begun.ini"
    file.write_text(TEXT)
    user = real_cast.experimenter
    dry = poms(live_server, user, "campaign", "import", str(file), "-e", "demo", "--dry-run")
    assert dry.returncode == 0
    assert "would be a new campaign" in dry.stderr
    assert "not ready to run" in dry.stderr
    made = poms(live_server, user, "campaign", "import", str(file), "-e", "demo", "--quiet")
    ref = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    assert poms(live_server, user, "campaign", "export", ref).stdout == TEXT
    yaml = poms(live_server, user, "campaign", "export", ref, "--yaml").stdout
    (tmp_path / "again.yaml").write_text(yaml)
    again = poms(live_server, user, "campaign", "import", str(tmp_path / "again.yaml"), "-e", "demo", "--json")
    assert json.loads(again.stdout)["revision"] == 2, again.stderr
    assert "stage_type=generator" in poms(live_server, user, "campaign", "export", ref).stdout
    assert poms(live_server, user, "campaign", "export", ref, "--revision", "1").stdout == TEXT
    differs = poms(live_server, user, "campaign", "diff", ref)
    assert (differs.returncode, "-# made by hand" in differs.stdout) == (1, True)
    assert "imported" in poms(live_server, user, "campaign", "revisions", ref).stdout
    refused = poms(live_server, user, "campaign", "import", "-", "-e", "demo")
    assert refused.returncode == 1
    assert "no [campaign] section" in refused.stderr


@pytest.mark.django_db
def test_a_list_of_campaigns_asks_no_more_for_more_of_them(as_, cast):
    def asked(number):
        for n in range(number):
            made = Campaign.objects.create(experiment=cast.experiment, name=f"c{n}", owner=cast.operator)
            Stage.objects.create(campaign=made, name="gen")
        with CaptureQueriesContext(connection) as statements:
            rows = as_("operator").get("/api/v1/campaigns/").json()["results"]
        names = ("units", "done", "failed", "running", "recovering", "waiting")
        assert rows[0]["progress"] == dict.fromkeys(names, 0)
        return len(statements)

    assert asked(2) == asked(20)
