"""A campaign stage by stage: in, done, failed, recovering, running, waiting, out, by files, events and jobs; and when."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db.models import F

from campaigns.models import Campaign, StageVersion
from core.clock import now
from integrations.catalogue.base import FileSeen
from integrations.catalogue.local import LocalCatalogue
from poms_site.overview import campaign_facts
from poms_site.overview.counting import NAMES, WAYS, counts_by, together
from poms_site.overview.progress import expected_ends, progress_of_campaigns
from poms_site.overview.run_facts import stages_of
from submissions.logic import completing, planning, recovering, reprocessing
from submissions.models import Batch, JobCount, Slice, Submission
from submissions.states import JOB_RANK
from tests import builders, jobs

pytestmark = pytest.mark.django_db
SHOWN = ("units", "done", "failed", "recovering", "running", "waiting", "coming", "out")
PAIR = (
    "[campaign_stage gen]\nstage_type=generator\nevents=12\nevents_per_job=2\ncs_split_type=nevents(4)\nseed=7\n{more}"
    "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
    "[dependencies sum]\ncampaign_stage_1=gen\ngate_1=all\n"
)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.LOCAL_FILES = tmp_path


def campaign_of(cast, stages: str = "", more: str = "") -> Campaign:
    return builders.approved_campaign(cast, builders.definition(stages=stages or PAIR.format(more=more)))


def counts(campaign: Campaign, way: str = "files") -> dict[str, tuple[int, ...]]:
    """Return the counts of each stage in the order of SHOWN; what is in is always the sum of the rest."""
    found = counts_by(way, stages_of(Campaign.objects.get(pk=campaign.pk)))
    for entry in found.values():
        assert entry["units"] == sum(entry[name] for name in NAMES)
    return {name: tuple(entry[key] for key in SHOWN) for name, entry in found.items()}


def some_jobs(submission: Submission, **by_state: int) -> None:
    """Let a submission have so many jobs in each state."""
    JobCount.objects.bulk_create(
        JobCount(submission=submission, state_code=JOB_RANK[state], n=number) for state, number in by_state.items()
    )


def the_batch(campaign: Campaign, number: int) -> Batch:
    """Return a batch of the present pass of gen."""
    own = Batch.objects.filter(stage__campaign=campaign, stage__name="gen", pass_number=F("stage__pass_number"))
    return own.get(number=number)


def last_of(batch: Batch) -> Submission:
    return Submission.objects.filter(batch=batch).latest("pk")


def set_running(batch: Batch) -> None:
    Submission.objects.filter(pk=last_of(batch).pk).update(state="running")
    Batch.objects.filter(pk=batch.pk).update(state="project_running")


def fail_one_input(campaign: Campaign) -> None:
    """End the first batch of gen, of whose two inputs one leaves nothing; the recover loop decides on it."""
    batch = the_batch(campaign, 1)
    attempt = last_of(batch)
    jobs.leave(attempt, fails={"events:0"})
    Submission.objects.filter(pk=attempt.pk).update(state="jobs_completed")
    Batch.objects.filter(pk=batch.pk).update(state="jobs_completed")
    jobs.settling.settle(Submission.objects.get(pk=attempt.pk))
    recovering.decide(batch.pk)


# --- Counts -------------------------------------------------------------------------------------------------------


def test_before_anything_runs_everything_is_to_come(cast):
    campaign = campaign_of(cast)
    assert counts(campaign) == {"gen": (6, 0, 0, 0, 0, 6, 6, 0), "sum": (6, 0, 0, 0, 0, 6, 6, 0)}
    assert counts(campaign, "events") == {"gen": (12, 0, 0, 0, 0, 12, 12, 0), "sum": (12, 0, 0, 0, 0, 12, 12, 0)}
    assert counts(campaign, "jobs") == {"gen": (0,) * 8, "sum": (0,) * 8}


def test_done_recovering_running_and_waiting_stand_apart_and_add_up(cast):
    campaign = campaign_of(cast, more="recovery_rounds=1\n")
    jobs.plan(campaign)
    set_running(the_batch(campaign, 2))
    some_jobs(last_of(the_batch(campaign, 1)), succeeded=1, failed=1)
    some_jobs(last_of(the_batch(campaign, 2)), processing=1, idle=1)
    planned = last_of(the_batch(campaign, 3)).n_jobs
    fail_one_input(campaign)
    assert last_of(the_batch(campaign, 1)).kind == "recovery"
    # 1 done and one again of the first batch, two run of the second, two wait of the third; one file for the sum
    assert counts(campaign)["gen"] == (6, 1, 0, 1, 2, 2, 0, 1)
    assert counts(campaign)["sum"] == (6, 0, 0, 0, 0, 6, 5, 0)
    assert counts(campaign, "events")["gen"] == (12, 2, 0, 2, 4, 4, 0, 2)
    assert counts(campaign, "events")["sum"] == (12, 0, 0, 0, 0, 12, 10, 0)
    again = last_of(the_batch(campaign, 1)).n_jobs
    assert planned > 0
    assert counts(campaign, "jobs")["gen"] == (4 + planned + again, 1, 1, again, 1, 1 + planned, 0, 1)
    some_jobs(last_of(the_batch(campaign, 1)), processing=1)
    assert counts(campaign, "jobs")["gen"] == (5 + planned, 1, 1, 1, 1, 1 + planned, 0, 1)
    whole = progress_of_campaigns([campaign])[campaign.pk]
    assert (whole["recovering"], whole["units"]) == (1, sum(whole[name] for name in NAMES))


def test_what_has_failed_for_good_is_relaunched_as_recovering(cast):
    campaign = campaign_of(cast, more="recovery_rounds=0\n")
    jobs.plan(campaign)
    fail_one_input(campaign)
    assert counts(campaign)["gen"] == (6, 1, 1, 0, 0, 4, 0, 1)
    assert counts(campaign, "events")["gen"] == (12, 2, 2, 0, 0, 8, 0, 2)
    recovering.relaunch(the_batch(campaign, 1), actor="user:ann", reason="mended")
    assert counts(campaign)["gen"] == (6, 1, 0, 1, 0, 4, 0, 1)
    set_running(the_batch(campaign, 1))
    assert counts(campaign)["gen"] == (6, 1, 0, 1, 0, 4, 0, 1)
    assert counts(campaign, "events")["gen"] == (12, 2, 0, 2, 0, 8, 0, 2)
    jobs.run(campaign)
    assert counts(campaign) == {"gen": (6, 6, 0, 0, 0, 0, 0, 6), "sum": (6, 6, 0, 0, 0, 0, 0, 6)}
    assert counts(campaign, "events") == {"gen": (12, 12, 0, 0, 0, 0, 0, 12), "sum": (12, 12, 0, 0, 0, 0, 0, 12)}


def test_what_failed_in_the_parent_never_comes(cast):
    campaign = campaign_of(cast, PAIR.format(more="recovery_rounds=0\ncompletion_pct=50\n"))
    jobs.run(campaign, fails={"events:0"})
    assert Campaign.objects.get(pk=campaign.pk).state == "succeeded"
    assert counts(campaign) == {"gen": (6, 5, 1, 0, 0, 0, 0, 5), "sum": (5, 5, 0, 0, 0, 0, 0, 5)}
    assert counts(campaign, "events")["gen"] == (12, 10, 2, 0, 0, 0, 0, 10)


def test_only_the_present_pass_counts(cast):
    campaign = campaign_of(cast)
    jobs.run(campaign)
    for submission in Submission.objects.filter(batch__stage__campaign=campaign):
        some_jobs(submission, succeeded=2)
    assert counts(campaign, "jobs")["gen"] == (6, 6, 0, 0, 0, 0, 0, 6)
    reprocessing.process_again(campaign, "gen", actor="user:ann", reason="a better calibration")
    jobs.plan(campaign)
    planned = sum(Submission.objects.filter(state="pending").values_list("n_jobs", flat=True))
    assert counts(campaign)["gen"] == (6, 0, 0, 0, 0, 6, 0, 0)
    assert counts(campaign)["sum"][:2] == (6, 0)
    assert counts(campaign, "events")["gen"] == (12, 0, 0, 0, 0, 12, 0, 0)
    assert counts(campaign, "jobs")["gen"] == (planned, 0, 0, 0, 0, planned, 0, 0)
    assert ends(campaign) == (None, {})  # by the first pass there would be a rate
    fail_one_input(campaign)
    assert counts(campaign)["gen"] == (6, 1, 0, 1, 0, 4, 0, 1)
    assert counts(campaign)["sum"] == (6, 0, 0, 0, 0, 6, 5, 0)
    assert counts(campaign, "events")["sum"] == (12, 0, 0, 0, 0, 12, 10, 0)


def test_events_of_a_frozen_dataset_are_known_before_any_batch_takes_them(cast, monkeypatch):
    monkeypatch.setattr(planning, "BATCHES_A_STEP", 10)
    catalogue = LocalCatalogue(cast.experiment)
    names = [f"f{n:02}" for n in range(30)]
    known = [FileSeen(name, __file__, 1000, events=None if n == 7 else n) for n, name in enumerate(names)]
    assert catalogue.declare(known) == {}
    catalogue.define("raw", names)
    text = "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=nfiles(1)\n"
    campaign = campaign_of(cast, text)
    planning.plan(campaign.stages.get().pk)
    total = sum(range(30)) - 7
    waiting = Slice.objects.filter(taken_at=None)
    assert 0 < waiting.count() < 30
    assert sum(waiting.values_list("events", flat=True)) < total
    assert counts(campaign)["reco"] == (30, 0, 0, 0, 0, 30, 0, 0)
    assert counts(campaign, "events")["reco"] == (total, 0, 0, 0, 0, total, 0, 0)


def test_a_stage_that_runs_nothing_counts_its_files_and_no_jobs(cast, as_, text):
    stages = (
        "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\n"
        "[campaign_stage look]\nstage_type=approval\ncs_split_type=nfiles(2)\n"
        "[campaign_stage sum]\ncs_split_type=None\n"
        "[dependencies look]\ncampaign_stage_1=gen\n[dependencies sum]\ncampaign_stage_1=look\n"
    )
    campaign = campaign_of(cast, stages)
    jobs.run(campaign)
    campaign.refresh_from_db()
    assert counts(campaign)["look"] == (4, 0, 0, 0, 0, 4, 0, 0)
    assert counts(campaign, "jobs")["look"] == (0,) * 8
    rows = {row.stage.name: row for row in campaign_facts.gather(campaign, "files", "").rows}
    assert rows["look"].waits == [("pending_approval", "waits for an approval")]
    assert rows["sum"].waits == [("pending", "waits for others")]
    assert rows["gen"].waits == []
    client, address = as_(cast.operator), f"/e/demo/campaigns/c{campaign.pk}/"
    assert "runs no jobs" in text(client.get(address, {"by": "jobs"}))
    said = text(client.get(address))
    assert "waits for an approval" in said
    assert "nobody can say" in said
    completing.sign_off(campaign, "look", passed=True, actor="user:ann", reason="good")
    assert counts(campaign)["look"] == (4, 4, 0, 0, 0, 0, 0, 0)
    assert {row.stage.name: row.waits for row in campaign_facts.gather(campaign, "files", "").rows}["look"] == []


def test_a_stage_that_waits_for_its_completion_says_so(cast, as_, text):
    campaign = campaign_of(cast, more="completion=signoff\n")
    jobs.run(campaign)
    for row in completing.Completion.objects.filter(ended_at=None):
        completing.complete(row.pk)
    campaign.refresh_from_db()
    (row, below) = campaign_facts.gather(campaign, "files", "").rows
    assert row.waits == [("held", "waits for its completion")]
    assert (row.counts["done"], row.counts["waiting"], row.end) == (6, 0, None)
    assert below.waits == [("pending", "waits for others")]
    assert "waits for its completion" in text(as_(cast.operator).get(f"/e/demo/campaigns/c{campaign.pk}/"))


# --- The expected end ---------------------------------------------------------------------------------------------


def many(number: int, more: str = "") -> str:
    """Return the text of a generator with so many batches of two inputs, and a sum of it."""
    return PAIR.format(more=more + "recovery_rounds=0\n").replace("events=12\n", f"events={4 * number}\n")


def settle(campaign: Campaign, number: int, *, every: float) -> None:
    """End so many batches of gen, the last of them just now, one each `every` seconds."""
    at = now()
    waiting = Batch.objects.filter(stage__campaign=campaign, stage__name="gen", state="pending").order_by("number")
    for place, batch in enumerate(list(waiting[:number])):
        attempt = last_of(batch)
        jobs.leave(attempt)
        Submission.objects.filter(pk=attempt.pk).update(state="jobs_completed")
        Batch.objects.filter(pk=batch.pk).update(state="jobs_completed")
        jobs.settling.settle(Submission.objects.get(pk=attempt.pk))
        recovering.decide(batch.pk)
        then = at - timedelta(seconds=every * (number - place))
        Submission.objects.filter(pk=attempt.pk).update(ended_at=then)


def ends(campaign: Campaign):
    campaign = Campaign.objects.get(pk=campaign.pk)
    stages = stages_of(campaign)
    return expected_ends(campaign, stages, counts_by("files", stages))


def seconds_to(end) -> float:
    return (end.end - end.at).total_seconds()


def test_a_stage_with_a_known_rate_ends_when_its_rate_says(cast):
    campaign = campaign_of(cast, many(9))
    jobs.plan(campaign)
    assert ends(campaign) == (None, {})
    settle(campaign, 2, every=600)
    assert ends(campaign) == (None, {})  # two results are no rate
    settle(campaign, 2, every=600)  # at the same times as those before
    whole, by_stage = ends(campaign)
    assert list(by_stage) == ["gen"]  # the sum has given nothing yet
    # Four results of two inputs in 1200 s, ten inputs of gen to go; with those of the sum, 28.
    assert seconds_to(by_stage["gen"]) == pytest.approx(10 * 1200 / 8, rel=0.02)
    assert seconds_to(whole) == pytest.approx(28 * 1200 / 8, rel=0.02)
    share = by_stage["gen"].spread / timedelta(seconds=seconds_to(by_stage["gen"]))
    assert share == pytest.approx((1 / 4 + 2 / 10) ** 0.5, rel=0.02)
    assert by_stage["gen"].at < by_stage["gen"].earliest < by_stage["gen"].end < by_stage["gen"].latest


def test_nobody_can_say_while_it_does_not_run_or_waits_for_a_person(cast):
    campaign = campaign_of(cast, many(5))
    jobs.plan(campaign)
    settle(campaign, 3, every=60)
    assert ends(campaign)[0] is not None
    StageVersion.objects.filter(stage__campaign=campaign, stage__name="sum").update(type="approval")
    whole, by_stage = ends(campaign)
    assert (whole, list(by_stage)) == (None, ["gen"])
    for state in ("approved", "failed", "succeeded", "cancelled"):
        Campaign.objects.filter(pk=campaign.pk).update(state=state)
        assert ends(campaign) == (None, {})


def test_the_latest_results_give_the_rate(cast, monkeypatch):
    monkeypatch.setattr("poms_site.overview.progress.LATEST", 3)
    campaign = campaign_of(cast, many(9))
    jobs.plan(campaign)
    settle(campaign, 3, every=100_000)
    settle(campaign, 3, every=100)
    assert seconds_to(ends(campaign)[1]["gen"]) == pytest.approx(6 * 300 / 6, rel=0.05)
    assert seconds_to(ends(campaign)[0]) == pytest.approx(24 * 300 / 6, rel=0.05)


# --- The page -----------------------------------------------------------------------------------------------------


def cells(answer, stage: str) -> dict[str, str]:
    """Return the cells of a stage's row in the table, by what a phone shows before them."""
    page = answer.content.decode()
    row = next(row for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL) if f">{stage}<" in row and "data-th" in row)
    found = re.findall(r'<td[^>]*data-th="([^"]*)"[^>]*>(.*?)</td>', row, re.DOTALL)
    return {name: " ".join(re.sub(r"<[^>]*>", " ", cell).split()) for name, cell in found}


def test_the_table_switches_between_files_events_and_jobs_by_its_address(cast, as_, text):
    campaign = campaign_of(cast, more="recovery_rounds=1\n")
    jobs.plan(campaign)
    some_jobs(last_of(the_batch(campaign, 1)), succeeded=1, failed=1)
    fail_one_input(campaign)
    client, address = as_(cast.operator), f"/e/demo/campaigns/c{campaign.pk}/"
    shown = cells(client.get(address), "gen")
    assert shown == {
        "in": "6", "done": "1", "failed": "0", "recovering": "1", "running": "0", "waiting": "4", "files out": "1",
        "expected end": "nobody can say",
    }  # fmt: skip
    assert cells(client.get(address), "sum")["waiting"] == "6 5 to come"
    shown = cells(client.get(address, {"by": "events"}), "gen")
    assert (shown["in"], shown["done"], shown["recovering"], shown["events out"]) == ("12", "2", "2", "2")
    answer = client.get(address, {"by": "jobs", "stage": "sum"})
    shown = cells(answer, "gen")  # the table shows every stage, whichever is chosen
    assert (shown["done"], shown["failed"], shown["files out"]) == ("1", "1", "1")
    page = answer.content.decode()
    for way in ("files", "events"):
        assert f'href="?by={way}&amp;stage=sum#counts"' in page
    assert 'href="?by=jobs&amp;stage=sum#counts"' not in page
    assert f"?campaign=c{campaign.pk}&amp;stage=gen&amp;state=failed" in page
    facts = campaign_facts.gather(campaign, "files", "")
    assert facts.together == together(row.counts for row in facts.rows) == facts.progress


def test_the_table_names_the_expected_end_of_each_stage(cast, as_):
    campaign = campaign_of(cast, many(5))
    jobs.plan(campaign)
    settle(campaign, 3, every=7200)
    answer = as_(cast.operator).get(f"/e/demo/campaigns/c{campaign.pk}/")
    assert re.fullmatch(r"in [34] h ± \d h( \d+ min)?", cells(answer, "gen")["expected end"])
    assert cells(answer, "sum")["expected end"] == "nobody can say"


@pytest.mark.parametrize("way", WAYS)
def test_the_counts_take_as_many_statements_for_many_stages(cast, way, django_assert_num_queries):
    chain = [
        f"[campaign_stage s{n}]\n[dependencies s{n}]\ncampaign_stage_1={'gen' if n == 0 else f's{n - 1}'}\n"
        for n in range(6)
    ]
    campaign = campaign_of(
        cast, "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\n" + "".join(chain)
    )
    stages = stages_of(campaign)
    with django_assert_num_queries(0 if way == "files" else 1):
        assert len(counts_by(way, stages)) == 7
    Campaign.objects.filter(pk=campaign.pk).update(state="running")
    campaign.refresh_from_db()
    with django_assert_num_queries(1):
        expected_ends(campaign, stages, counts_by("files", stages))
