"""Batches at a glance, jobs over time on their page, and two clicks from a campaign to a log (M2)."""

from __future__ import annotations

import re
from html import unescape

import pytest

from core.clock import now
from poms_site.overview import heat
from submissions.models import Batch, JobSample

pytestmark = pytest.mark.django_db


def more_batches(world, states):
    """Make a batch for each state, in the stage of the world's campaign."""
    like = world.own.objects["broken"]
    number = Batch.objects.filter(stage=like.stage).count()
    return [
        Batch.objects.create(
            experiment=like.experiment, stage=like.stage, version=like.version, number=number + n + 1, state=state,
            reason_key=f"test:{like.stage_id}:{number + n + 1}", n_units=2, done=1,
        )
        for n, state in enumerate(states)
    ]  # fmt: skip


def test_each_batch_is_a_cell_by_number_or_the_worst_first(world, cast):
    campaign = world.own.objects["campaign"]
    made = more_batches(world, ["completed", "failed", "pending", "completed"])
    [one] = heat.heat_of(campaign)
    keys = [
        f"b{pk}"
        for pk in Batch.objects.filter(stage__campaign=campaign).order_by("number").values_list("pk", flat=True)
    ]
    assert [cell.key for cell in one.cells] == keys and (one.total, one.size) == (len(keys), 1)
    [worst] = heat.heat_of(campaign, "worst")
    states = [cell.state for cell in worst.cells]
    assert states == sorted(states, key=heat.RANK.index) and states[0] == "failed"
    assert sorted(cell.key for cell in worst.cells) == sorted(keys)
    assert f"b{made[1].pk}" in [cell.key for cell in worst.cells[:2]]


def test_where_there_are_many_several_share_a_cell_which_is_as_the_worst_of_them(world, cast, monkeypatch):
    monkeypatch.setattr(heat, "MOST_CELLS", 3)
    Batch.objects.filter(stage=world.own.objects["stage"]).update(**{"state": "completed"})
    more_batches(world, ["completed", "completed", "failed", "completed", "completed"])
    [one] = heat.heat_of(world.own.objects["campaign"])
    assert (one.total, one.size, len(one.cells)) == (8, 3, 3)
    assert [(cell.first, cell.last, cell.state, cell.key) for cell in one.cells] == [
        (1, 3, "completed", ""), (4, 6, "failed", ""), (7, 8, "completed", ""),
    ]  # fmt: skip
    assert one.cells[1].states == {"failed": 1, "completed": 2}
    assert sum(sum(cell.states.values()) for cell in one.cells) == one.total


def test_a_group_leads_to_the_list_of_its_batches(world, cast, as_, monkeypatch):
    monkeypatch.setattr(heat, "MOST_CELLS", 2)
    more_batches(world, ["completed"] * 5)
    client, key = as_(cast.experimenter), world.own.ref("campaign").rpartition("/")[2]
    shown = client.get(f"/e/demo/campaigns/{key}/heat/").content.decode()
    link = unescape(re.search(r'href="([^"]*numbers=5-8)"', shown)[1])
    there = client.get(link).content.decode()
    found = re.findall(r'<th scope="row"><a href="/e/demo/batches/(b\d+)/"', there)
    assert len(found) == 4
    assert client.get(link.replace("5-8", "x")).status_code == 422


def test_its_page_and_the_api_refuse_an_order_that_there_is_not(world, cast, as_):
    client, ref = as_(cast.experimenter), world.own.ref("campaign")
    assert client.get(f"/e/demo/campaigns/{ref.rpartition('/')[2]}/heat/", {"order": "best"}).status_code == 422
    assert client.get(f"/api/v1/campaigns/{ref}/heat/", {"order": "best"}).status_code == 422
    told = client.get(f"/api/v1/campaigns/{ref}/heat/", {"order": "worst"}).json()["stages"]
    assert {cell["state"] for cell in told[0]["cells"]} >= {"failed"}


def test_the_jobs_page_draws_them_over_time(world, cast, as_, text):
    client = as_(cast.experimenter)
    assert "No job was there in this day" in text(client.get("/e/demo/jobs/"))
    JobSample.objects.create(experiment=cast.experiment, at=now(), hourly=False, idle=3, processing=40)
    shown = client.get("/e/demo/jobs/", {"span": "week"})
    assert "processing 40 now" in text(shown)
    assert client.get("/e/demo/jobs/", {"span": "age"}).status_code == 422
    told = client.get("/api/v1/jobs/over-time/", {"experiment": "demo", "span": "week"}).json()["results"]
    assert (told[-1]["processing"], told[-1]["idle"]) == (40, 3)


def links(answer):
    return {unescape(link) for link in re.findall(r'href="(/e/demo/[^"#]*)', answer.content.decode())}


def test_it_is_two_clicks_from_a_campaign_to_the_log_of_a_job(world, cast, as_):
    client, key = as_(cast.experimenter), world.own.ref("campaign").rpartition("/")[2]
    first = client.get(f"/e/demo/campaigns/{key}/")
    logs = set()
    for link in sorted(links(first)):
        if not re.match(r"/e/demo/(jobs|batches|submissions)/", link):
            continue
        for second in links(client.get(link)):
            if re.fullmatch(r"/e/demo/jobs/j\d+/", second):
                assert 'id="log"' in client.get(second).content.decode()
                logs.add(second)
    assert f"/e/demo/jobs/{world.own.ref('job').rpartition('/')[2]}/" in logs
