"""Planning: gates, fan-out and fan-in, datasets; each unit in one batch, each batch once."""

from __future__ import annotations

import pytest

from campaigns.models import Campaign, Stage
from integrations.models import Dataset, File
from submissions.logic import planning
from submissions.models import Batch, Snapshot, StageProgress, Submission, Unit
from submissions.queries import gates
from tests import builders

DIAMOND = """
[campaign_stage gen]
stage_type=generator
events=4
events_per_job=1
cs_split_type=nevents(2)
[campaign_stage left]
cs_split_type=nfiles(2)
[campaign_stage right]
cs_split_type=nfiles(4)
[campaign_stage sum]
cs_split_type=None
files_per_job=100
[dependencies left]
campaign_stage_1=gen
gate_1=each
[dependencies right]
campaign_stage_1=gen
file_pattern_1=%events_1%,%events_2%
[dependencies sum]
campaign_stage_1=left
campaign_stage_2=right
"""


def ended(campaign):
    return Campaign.objects.get(pk=campaign.pk).state in ("succeeded", "failed")


@pytest.mark.django_db(transaction=True)
def test_a_diamond_runs_to_its_end_and_the_last_stage_starts_once(real_cast, local_system, drive):
    builders.login_setup(real_cast)
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=DIAMOND))
    drive(lambda: ended(campaign), seconds=60)
    assert Campaign.objects.get().state == "succeeded"
    batches = {stage.name: Batch.objects.filter(stage=stage).count() for stage in Stage.objects.all()}
    assert batches == {"gen": 2, "left": 2, "right": 1, "sum": 1}
    assert Unit.objects.filter(stage__name="right").count() == 2
    assert Unit.objects.filter(stage__name="sum").count() == 4 + 2
    assert not Unit.objects.filter(batch=None).exists()
    for progress in StageProgress.objects.select_related("stage"):
        units = Unit.objects.filter(stage=progress.stage)
        assert (progress.units, progress.taken, progress.done) == (units.count(),) * 3


def test_the_batches_of_a_generator_partition_its_events(cast):
    text = (
        "[campaign_stage gen]\nstage_type=generator\nevents=103\nevents_per_job=10\ncs_split_type=nevents(30)\nseed=5\n"
    )
    builders.approved_campaign(cast, builders.definition(stages=text))
    planning.plan_some()
    units = list(Unit.objects.order_by("pk").values_list("first_event", "events", "batch__number"))
    assert [(first, events) for first, events, _ in units] == [(n, 10) for n in range(0, 100, 10)] + [(100, 3)]
    assert [number for *_, number in units] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4]
    seeds = set(Unit.objects.values_list("seed", flat=True))
    assert len(seeds) == 11 and min(seeds) > 0
    assert Submission.objects.count() == 4
    assert StageProgress.objects.get().taken == 11


def test_planning_again_makes_nothing_twice(cast):
    builders.approved_campaign(cast)
    planning.plan_some()
    before = (Batch.objects.count(), Submission.objects.count(), Unit.objects.count())
    for stage in Stage.objects.all():
        planning.note([stage.pk])
    planning.plan_some()
    assert (Batch.objects.count(), Submission.objects.count(), Unit.objects.count()) == before


def test_a_dataset_is_frozen_when_the_stage_begins(cast):
    dataset = Dataset.objects.create(experiment=cast.experiment, name="raw_may")
    files = [File.objects.create(experiment=cast.experiment, name=f"f{n}", path=f"/x/f{n}", events=5) for n in range(7)]
    dataset.files.add(*files)
    text = "[campaign_stage reco]\ndataset_or_split_data=raw_may\ncs_split_type=nfiles(3)\nfiles_per_job=2\n"
    builders.approved_campaign(cast, builders.definition(stages=text))
    planning.plan_some()
    dataset.files.add(File.objects.create(experiment=cast.experiment, name="late", path="/x/late"))
    planning.note([Stage.objects.get().pk])
    planning.plan_some()
    assert list(Batch.objects.order_by("number").values_list("n_units", flat=True)) == [3, 3, 1]
    assert Snapshot.objects.get().units == 7
    jobs = Submission.objects.order_by("pk").first().jobs_file["jobs"]
    assert [[unit["file"] for unit in job["units"]] for job in jobs] == [["f0", "f1"], ["f2"]]


def test_a_closed_gate_says_what_it_waits_for(cast):
    campaign = builders.approved_campaign(cast)
    planning.plan_some()
    campaign.refresh_from_db()
    assert [gate["text"] for gate in gates(campaign)] == ["sum waits for all of gen"]
    assert not Batch.objects.filter(stage__name="sum").exists()
