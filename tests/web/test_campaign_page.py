"""The campaign's page: its numbers on a campaign that really ran, narrowed, hostile names, and how much it asks."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from core import transitions
from poms_site.overview import campaign_facts
from poms_site.overview.progress import progress_of_campaigns
from poms_site.web import live
from submissions import queries
from submissions.logic import holding, planning
from submissions.models import Batch, Job, JobCount
from submissions.states import JOB_RANK
from tests import builders

CHAIN = (
    "[campaign_stage gen]\nstage_type=generator\nevents=6\nevents_per_job=2\ncs_split_type=nevents(2)\nseed=7\n"
    "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
    "[dependencies sum]\ncampaign_stage_1=gen\ngate_1=all\n"
)
HOSTILE = "\"><script>alert(1)</script>&'<b>"


def numbers(campaign, way="files", stage=""):
    """Return done, running, failed, waiting and their sum."""
    progress = campaign_facts.gather(campaign, way, stage).progress
    return tuple(progress[name] for name in ("done", "running", "failed", "waiting", "units"))


@pytest.mark.django_db(transaction=True)
def test_the_numbers_of_a_campaign_that_ran(real_cast, local_system, drive, as_, text):
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=CHAIN))
    assert numbers(campaign) == (0, 0, 0, 6, 6)  # three ranges of events, and a file of each for the sum
    assert campaign_facts.gather(campaign, "files", "").end is None

    def ended():
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended)
    assert campaign.state == "succeeded"
    assert numbers(campaign) == (6, 0, 0, 0, 6)
    assert numbers(campaign, "files", "gen") == numbers(campaign, "files", "sum") == (3, 0, 0, 0, 3)
    assert numbers(campaign, "events", "gen") == (6, 0, 0, 0, 6)
    assert numbers(campaign, "jobs") == (4, 0, 0, 0, 4)
    assert numbers(campaign, "jobs", "sum") == (1, 0, 0, 0, 1)
    facts = campaign_facts.gather(campaign, "files", "")
    assert (facts.percent, facts.end, facts.gates, facts.jobs) == ("100", None, [], 4)
    assert [stage.name for stage in facts.stages] == ["gen", "sum"]
    assert [(feed.upstream, feed.files) for feed in facts.stages[1].feeds] == [("gen", 3)]
    assert [(strip.stage, len(strip.cells), strip.total) for strip in facts.strips] == [("gen", 3, 3), ("sum", 1, 1)]
    assert {cell.look.mark for strip in facts.strips for cell in strip.cells} == {"done"}
    slow = campaign_facts.gather_slow(campaign, None, facts.stages)
    assert (slow.failures, slow.failures_total, slow.history_total > 0) == ([], 0, True)
    assert {key: value for key, value in progress_of_campaigns([campaign])[campaign.pk].items() if value} == {
        "units": 6, "done": 6,
    }  # fmt: skip
    client = as_(real_cast.experimenter)
    for query in ({}, {"stage": "sum"}, {"by": "events"}, {"by": "jobs", "stage": "gen"}):
        answer = client.get(f"/e/demo/campaigns/c{campaign.pk}/", query)
        assert answer.status_code == 200
        assert "100 % done" in text(answer)


@pytest.fixture
def campaign(world):
    """The running campaign of the world: three batches of one input, of which one failed and one runs."""
    return Campaign.objects.get(pk=world.own.objects["campaign"].pk)


@pytest.mark.django_db
def test_the_numbers_of_a_campaign_that_runs(world, campaign):
    facts = campaign_facts.gather(campaign, "files", "")
    assert numbers(campaign)[-1] == 6
    assert numbers(campaign, "files", "gen")[1:4] == (1, 1, 1)
    assert numbers(campaign, "jobs") == (0, 1, 0, 1, 2)  # of the unsure launch nobody knows yet
    assert sum(numbers(campaign, "events", "gen")[:4]) == numbers(campaign, "events", "gen")[4] == 3
    assert [cell.look.mark for strip in facts.strips for cell in strip.cells] == ["failed", "moving", "wait"]
    assert facts.chosen is None
    assert campaign_facts.gather(campaign, "files", "nosuch").chosen is None
    assert campaign_facts.gather(campaign, "files", "sum").chosen.name == "sum"


@pytest.mark.django_db
def test_what_holds_a_campaign_is_said(world, campaign, cast, as_, text):
    texts = [gate["text"] for gate in campaign_facts.gather(campaign, "files", "").gates]
    assert any("held (campaign) by experimenter: to have one" in text for text in texts)
    assert any(world.own.ref("unsure") in text and "needs a person" in text for text in texts)
    said = text(as_(cast.experimenter).get(f"/e/demo/campaigns/c{campaign.pk}/"))
    assert all(gate in said for gate in texts)
    fresh = builders.request(cast, builders.definition(campaign="fresh"))
    assert fresh.campaign is None


@pytest.mark.django_db
@pytest.mark.parametrize("stage", ["", "gen", "sum"])
@pytest.mark.parametrize("way", ["files", "events", "jobs"])
def test_every_way_of_counting_shows_every_stage(campaign, cast, as_, stage, way):
    answer = as_(cast.experimenter).get(f"/e/demo/campaigns/c{campaign.pk}/", {"by": way, "stage": stage})
    assert answer.status_code == 200


@pytest.mark.django_db
def test_what_a_page_cannot_count_or_narrow_to_is_refused(campaign, cast, as_, text):
    address = f"/e/demo/campaigns/c{campaign.pk}/"
    client = as_(cast.experimenter)
    answer = client.get(address, {"by": "weight"})
    assert (answer.status_code, "files, events, jobs" in text(answer)) == (422, True)
    answer = client.get(address, {"stage": "<b>nosuch"})
    assert (answer.status_code, "has no stage &lt;b&gt;nosuch" in text(answer)) == (404, True)
    assert client.get(f"{address}definition/", {"revision": "99"}).status_code == 404
    assert client.get(f"{address}definition/", {"revision": "1"}).status_code == 200


@pytest.mark.django_db
def test_a_campaign_is_found_by_its_name_the_newest_first(world, campaign, cast, as_):
    newer = builders.approved_campaign(cast, builders.definition(campaign="third"))
    Campaign.objects.filter(pk=newer.pk).update(name=campaign.name)
    answer = as_(cast.experimenter).get(f"/e/demo/campaigns/{campaign.name}/")
    assert (answer.status_code, answer["Location"]) == (302, f"/e/demo/campaigns/c{newer.pk}/")


@pytest.mark.django_db
def test_html_in_names_and_reasons_is_text_everywhere(world, campaign, cast, as_):
    holding.hold("campaign", campaign, actor="user:operator", reason=HOSTILE)
    Campaign.objects.filter(pk=campaign.pk).update(name=HOSTILE, tags=[HOSTILE])
    stage = world.own.objects["stage"]
    type(stage).objects.filter(pk=stage.pk).update(name=HOSTILE)
    Job.objects.filter(pk=world.own.objects["job"].pk).update(
        node=HOSTILE, site=HOSTILE, code=HOSTILE[:20], reason=HOSTILE, **{"state_code": JOB_RANK["failed"]}
    )
    JobCount.objects.update(**{"state_code": JOB_RANK["failed"]})
    client = as_(cast.operator)
    keys = {name: world.own.ref(name).rpartition("/")[2] for name in ("job", "live", "running", "draft")}
    type(world.own.objects["draft"]).objects.filter(pk=world.own.objects["draft"].pk).update(
        title=HOSTILE, free_text=HOSTILE
    )
    for address in (
        "/", "/e/demo/", "/e/demo/campaigns/", f"/e/demo/campaigns/c{campaign.pk}/", "/e/demo/jobs/", "/e/demo/sites/",
        f"/e/demo/campaigns/c{campaign.pk}/history/", f"/e/demo/jobs/{keys['job']}/", "/e/demo/batches/",
        f"/e/demo/batches/{keys['live']}/", f"/e/demo/submissions/{keys['running']}/", "/e/demo/requests/",
        f"/e/demo/requests/{keys['draft']}/", f"/e/demo/requests/{keys['draft']}/edit/",
        f"/e/demo/campaigns/c{campaign.pk}/hold/", "/search/?q=script", f"/e/demo/campaigns/?name_has={HOSTILE}",
        f"/e/demo/campaigns/bulk/prioritise/?ref=c{campaign.pk}",
    ):  # fmt: skip
        answer = client.get(address)
        assert answer.status_code == 200, address
        page = answer.content.decode()
        assert "<script>alert" not in page, address
        assert "'<b>" not in page, address
    assert "&lt;script&gt;alert(1)" in client.get(f"/e/demo/campaigns/c{campaign.pk}/").content.decode()


# --- How much a page asks ------------------------------------------------------------------------------------------


def asked(client, address):
    """Return how many statements an answer takes, with nothing kept."""
    live.forget()
    client.get(address)  # what Django keeps for itself
    live.forget()
    with CaptureQueriesContext(
        connection,
    ) as found:
        assert client.get(address).status_code == 200
    return len(found)


def grow(world, campaign, batches):
    """Add batches with a submission and a job each."""
    like, other = world.own.objects["live"], world.own.objects["running"]
    first = Batch.objects.filter(stage=like.stage).count() + 1
    for n in range(first, first + batches):
        batch = Batch.objects.get(pk=like.pk)
        batch.pk, batch.number, batch.reason_key = None, n, f"grown:{n}"
        batch._state.adding = True
        batch.save()
        attempt = type(other).objects.get(pk=other.pk)
        attempt.pk, attempt.batch, attempt._state.adding = None, batch, True
        attempt.uuid, attempt.reason_key = f"00000000-0000-4000-8000-{n:012d}", f"grown:{n}"
        attempt.save()
        job = Job.objects.get(pk=world.own.objects["job"].pk)
        job.pk, job.submission, job.external_id, job._state.adding = None, attempt, f"{n + 1000}.0@local", True
        job.state_code = JOB_RANK["failed"]
        job.save()
        JobCount.objects.create(submission=attempt, n=1, **{"state_code": JOB_RANK["failed"]})


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "&by=events", "&stage=gen", "&by=jobs&stage=gen"])
def test_a_page_of_a_campaign_asks_no_more_for_more_batches(world, campaign, cast, as_, query):
    client, address = as_(cast.experimenter), f"/e/demo/campaigns/c{campaign.pk}/?part=live{query}"
    grow(world, campaign, 2)
    few = asked(client, address)
    grow(world, campaign, 20)
    assert asked(client, address) == few
    assert few < 60


@pytest.mark.django_db
def test_a_page_of_a_campaign_asks_no_more_for_more_stages(cast, as_):
    kinds = {
        "gen": "stage_type=generator\nevents=4\ncs_split_type=nevents(2)\n",
        "sum": "cs_split_type=None\ncompletion=files(9)\n",
        "skim": "cs_split_type=nfiles(1)\n",
        "look": "stage_type=approval\n",
    }
    above = {"sum": ("gen", "50%"), "skim": ("gen", "each"), "look": ("gen", "all")}

    def counts(number: int) -> tuple[int, ...]:
        """Return how often each look at a campaign of so many stages of each kind asks, and how many gates it has."""
        stages = "".join(f"[campaign_stage {name}{n}]\n{text}" for n in range(number) for name, text in kinds.items())
        edges = "".join(
            f"[dependencies {name}{n}]\ncampaign_stage_1={feeds}{n}\ngate_1={gate}\n"
            for n in range(number)
            for name, (feeds, gate) in above.items()
        )
        text = builders.definition(stages=stages + edges, campaign=f"of-{number}")
        campaign = builders.approved_campaign(cast, text, title=f"of {number}")
        for stage in campaign.stages.all():
            planning.plan(stage.pk)
        address, gates = f"/e/demo/campaigns/c{campaign.pk}/", len(queries.gates(campaign))
        looks = [("operator", ""), ("operator", "?part=live"), ("operator", "accept/"), ("reviewer", "sign_off/")]
        found = [asked(as_(cast.people[role]), f"{address}{part}") for role, part in looks]
        return *found, gates // number

    assert counts(2) == counts(9)


@pytest.mark.django_db
def test_lists_ask_no_more_for_more_rows(world, campaign, cast, as_):
    client = as_(cast.operator)
    lists = ("/", "/e/demo/", "/e/demo/requests/", "/e/demo/campaigns/", "/e/demo/jobs/", "/e/demo/batches/",
             "/e/demo/submissions/", "/e/demo/files/", "/e/demo/sites/", "/search/?q=t",
             f"/e/demo/campaigns/c{campaign.pk}/history/")  # fmt: skip

    def more(n):
        grow(world, campaign, n)
        for k in range(n):
            builders.approved_campaign(cast, builders.definition(campaign=f"more-{n}-{k}"), title=f"more {n} {k}")

    more(2)
    few = {address: asked(client, address) for address in lists}
    more(8)
    assert {address: asked(client, address) for address in lists} == few


@pytest.mark.django_db
def test_the_history_of_a_campaign_shows_each_step_once(world, campaign, cast, as_):
    client, found, query = as_(cast.experimenter), [], "?"
    for n in range(120):
        transitions.record(
            [(campaign.pk, campaign.state)], "campaign", campaign.state, experiment_id=campaign.experiment_id,
            actor="user:operator", reason=f"step {n} of many", verb="prioritise",
        )  # fmt: skip
    while query:
        page = client.get(f"/e/demo/campaigns/c{campaign.pk}/history/{query}").content.decode()
        found += re.findall(r"step (\d+) of many", page)
        link = re.search(r'href="(\?[^"]*)" rel="next"', page)
        query = unescape(link[1]) if link else ""
    assert found == [str(n) for n in reversed(range(120))]


@pytest.mark.django_db
def test_a_plan_made_twice_changes_no_number(world, campaign):
    before = numbers(campaign)
    planning.plan(world.own.objects["stage"].pk)
    assert numbers(campaign) == before
