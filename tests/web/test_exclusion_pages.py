"""Pages of exclusions, guards and waste: what they say, to whom, and that their forms do what they say."""

from __future__ import annotations

import pytest

from submissions.models import Exclusion, Guard, Job, WasteLimit
from tests.submissions.test_guarding import ended, guard_of, healthy, look, system, two  # noqa: F401

pytestmark = pytest.mark.django_db


def text_of(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_the_evidence_stands_on_the_page_and_the_verbs_act(cast, client, system, two):  # noqa: F811
    mine, _ = two
    healthy(mine)
    ended(mine, "bad", 9, 9)
    guard_of(system)
    look()
    row = Exclusion.objects.get(experiment=cast.experiment)
    client.force_login(cast.shifter)
    sites = text_of(client.get("/e/demo/sites/"))
    assert f"/e/demo/exclusions/e{row.pk}/" in sites
    assert "the guard only observes" in sites
    page = text_of(client.get(f"/e/demo/exclusions/e{row.pk}/"))
    assert "9 of 9 jobs failed in 30 min; of the same campaigns' on 20 other nodes 0.0% do" in page.replace(
        "&#x27;", "'"
    )
    assert mine.campaign.name in page
    assert f"/e/demo/jobs/j{Job.objects.filter(node='bad').order_by('pk').first().pk}/" in page
    assert "concerns 2 experiments" in page
    done = client.post(f"/e/demo/exclusions/e{row.pk}/exclude/", {"hours": "48", "reason": "it is so"})
    assert done.status_code == 303
    row.refresh_from_db()
    assert row.state == "excluded"
    assert client.post(f"/e/demo/exclusions/e{row.pk}/extend/", {"hours": "x", "reason": "so"}).status_code == 422
    assert client.post(f"/e/demo/exclusions/e{row.pk}/release/", {"reason": "mended"}).status_code == 303
    assert Exclusion.objects.get(pk=row.pk).state == "undone"
    client.force_login(cast.stranger)
    assert client.get(f"/e/demo/exclusions/e{row.pk}/").status_code == 404
    theirs = Exclusion.objects.get(experiment=cast.other)
    page = text_of(client.get(f"/e/other/exclusions/e{theirs.pk}/"))
    assert "of other experiments" in page
    assert mine.campaign.name not in page.replace("tiny", "") or mine.campaign.ref not in page


def test_excluding_by_hand_says_what_is_wrong_and_keeps_what_was_typed(cast, client, system):  # noqa: F811
    client.force_login(cast.operator)
    asked = {"system": "local", "level": "node", "name": "worse", "hours": "many", "reason": "its disk"}
    refused = client.post("/e/demo/exclusions/", asked)
    assert refused.status_code == 422
    assert "no number: many" in text_of(refused)
    assert 'value="worse"' in text_of(refused)
    assert client.post("/e/demo/exclusions/", {**asked, "hours": "12"}).status_code == 303
    assert "worse" in text_of(client.get("/e/demo/exclusions/?state=excluded"))


def test_administrators_of_the_whole_service_let_a_guard_act(cast, client, system):  # noqa: F811
    guard_of(system)
    client.force_login(cast.experimenter)
    assert "administrators of the whole service change it" in text_of(client.get("/e/demo/guard/?system=local"))
    client.force_login(cast.administrator)
    asked = {"system": "local", "mode": "act", "cap": "20", "hours": "2", "reason": "it was right for a week"}
    assert client.post("/e/demo/guard/", {**asked, "cap": "90"}).status_code == 422
    assert client.post("/e/demo/guard/", asked).status_code == 303
    assert Guard.objects.values_list("mode", "cap", "hours").get() == ("act", 20, 2.0)
    assert client.get("/e/demo/guard/?system=nosuch").status_code == 404


def test_the_campaigns_page_says_what_is_wasteful_and_sets_its_limit(cast, client, system, two):  # noqa: F811
    mine, _ = two
    ended(mine, "n1", 20, 0, long=0.1)
    Job.objects.update(wall_s=6.0)
    client.force_login(cast.operator)
    key = f"c{mine.campaign_id}"
    page = text_of(client.get(f"/e/demo/campaigns/{key}/"))
    assert "too short" in page
    assert "Change <code>events_per_job</code> from <b>1</b> to <b>10</b>" in page
    shown = client.get(f"/api/v1/campaigns/demo/{key}/").json()["waste"]
    assert (shown["share"], shown["least"], shown["flags"][0]["word"]) == (50, 20, "too_short")
    asked = {"share": "80", "least": "30", "reason": "its inputs are poor"}
    assert client.post(f"/e/demo/campaigns/{key}/limit_waste/", asked).status_code == 303
    assert WasteLimit.objects.values_list("share", "least").get() == (80, 30)
