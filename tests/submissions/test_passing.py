"""Stages that run nothing: files wait for an approval, or for their way to a place, and go on as they are."""

from __future__ import annotations

import pytest

from campaigns.models import Campaign
from core.errors import Conflict, Refused
from integrations import registry
from integrations.catalogue.local import LocalCatalogue
from submissions.logic import completing, passing, planning, recovering
from submissions.models import Acceptance, Batch, StageProgress, Submission, Unit
from submissions.queries import gates
from tests import builders, jobs

pytestmark = pytest.mark.django_db
CHAIN = (
    "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncs_split_type=nevents(2)\n"
    "[campaign_stage {kind}]\nstage_type={kind}\n{more}"
    "[campaign_stage sum]\ncs_split_type=None\n"
    "[dependencies {kind}]\ncampaign_stage_1=gen\ngate_1=each\n"
    "[dependencies sum]\ncampaign_stage_1={kind}\nfile_pattern_1=%.root\n"
)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.LOCAL_FILES = tmp_path


def chain(cast, kind: str, more: str = "") -> Campaign:
    text = builders.definition(stages=CHAIN.format(kind=kind, more=more))
    return builders.approved_campaign(cast, text)


def outcome(campaign: Campaign) -> str:
    return Campaign.objects.get(pk=campaign.pk).state


def test_what_is_approved_goes_on_as_it_is_and_who_did_it_stands_there(cast):
    campaign = chain(cast, "approval", "cs_split_type=nfiles(2)\n")
    jobs.run(campaign, endings=("root", "log"))
    approval = campaign.stages.get(name="approval")
    assert list(Batch.objects.filter(stage=approval).values_list("state", "n_units")) == [("pending", 2)] * 4
    assert "approval: 4 batches wait for an approval" in [gate["text"] for gate in gates(campaign)]
    assert not Submission.objects.filter(batch__stage__name="sum").exists()
    completing.sign_off(campaign, "approval", passed=True, actor="user:ann", reason="the plots look right")
    units = Unit.objects.filter(stage=approval)
    assert Acceptance.objects.filter(unit__stage=approval).count() == units.count() == 8
    attempt = Submission.objects.filter(batch__stage=approval).first()
    assert (attempt.kind, attempt.state, attempt.why) == ("approval", "completed", "the plots look right")
    jobs.plan(campaign)
    below = Unit.objects.filter(stage__name="sum")
    assert sorted(below.values_list("file_name", flat=True)) == sorted(
        n for n in units.values_list("file_name", flat=True) if n.endswith("root")
    )
    assert {unit.output_id for unit in below} <= {unit.output_id for unit in units}
    jobs.run(campaign)
    assert outcome(campaign) == "succeeded"
    progress = StageProgress.objects.get(stage=approval)
    assert (progress.units, progress.taken, progress.done) == (8, 8, 8)


def test_what_is_refused_ends_the_campaign_until_somebody_approves_after_all(cast):
    campaign = chain(cast, "approval")
    jobs.run(campaign)
    with pytest.raises(Refused, match="needs a reason"):
        completing.sign_off(campaign, "approval", passed=False, actor="user:ann", reason=" ")
    completing.sign_off(campaign, "approval", passed=False, actor="user:ann", reason="a hot channel")
    jobs.plan(campaign)
    assert outcome(campaign) == "failed"
    batch = Batch.objects.get(stage__name="approval")
    assert batch.state == "failed"
    with pytest.raises(Conflict, match=r"signs .* off"):
        recovering.relaunch(batch, actor="user:ann", reason="again")
    completing.sign_off(campaign, "approval", passed=True, actor="user:bea", reason="the channel is masked")
    assert outcome(campaign) == "running"
    jobs.run(campaign)
    assert outcome(campaign) == "succeeded"
    with pytest.raises(Conflict, match="Nothing waits"):
        completing.sign_off(campaign, "approval", passed=True, actor="user:bea", reason="once more")


def test_files_are_brought_to_a_place_before_they_go_on(cast, tmp_path, monkeypatch):
    campaign = chain(cast, "datatransfer", "destination=far_site\n")
    jobs.run(campaign)
    monkeypatch.setattr(LocalCatalogue, "bring", lambda self, names, to: set(names[1:]))
    assert passing.pass_some() == 0
    assert "datatransfer: 1 batch waits for files on their way to far_site" in [
        gate["text"] for gate in gates(campaign)
    ]
    monkeypatch.undo()
    assert passing.pass_some() == 1
    names = set(Unit.objects.filter(stage__name="datatransfer").values_list("file_name", flat=True))
    assert {path.name for path in (tmp_path / "demo" / "places" / "far_site").iterdir()} == names
    jobs.run(campaign)
    assert outcome(campaign) == "succeeded"
    assert passing.pass_some() == 0


def test_without_a_destination_files_are_brought_from_tape(cast, settings):
    settings.LOCAL_RECALL_SECONDS = 0.0
    campaign = chain(cast, "datatransfer")
    jobs.run(campaign)
    names = list(Unit.objects.filter(stage__name="datatransfer").values_list("file_name", flat=True))
    LocalCatalogue(cast.experiment).put_on_tape(names)
    assert passing.pass_some() == 0
    assert passing.pass_some() == 1
    jobs.run(campaign)
    assert outcome(campaign) == "succeeded"


def test_a_catalogue_that_does_not_answer_delays_and_decides_nothing(cast, monkeypatch):
    campaign = chain(cast, "datatransfer")
    jobs.run(campaign)

    class Silent(LocalCatalogue):
        def residence(self, names):
            raise registry.Unavailable("the catalogue sleeps")

    monkeypatch.setattr(registry, "catalogue", lambda *of: Silent(cast.experiment))
    assert passing.pass_some() == 0
    assert not Acceptance.objects.filter(unit__stage__name="datatransfer").exists()
    planning.plan(campaign.stages.get(name="datatransfer").pk)
    assert outcome(campaign) == "running"
