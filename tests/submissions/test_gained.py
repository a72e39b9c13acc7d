"""What a dataset gains after it was frozen: taken as further slices of the same pass, by the list or by hand."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.models import Campaign, Stage, StageVersion
from core.errors import Conflict
from core.models import Transition, Trouble
from integrations import registry
from integrations.catalogue.base import FileSeen
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable
from poms_site.overview import recovery
from submissions.logic import planning, proposing
from submissions.models import Acceptance, Batch, Result, Slice, Snapshot, StageProgress, Submission, Unit
from tests import builders
from tests.cast import Cast

pytestmark = pytest.mark.django_db

ADDED = [["added_files", []]]


@pytest.fixture
def stage(cast: Cast) -> Stage:
    return started(cast)


def started(cast: Cast, split: str = "nfiles(2)", more: str = "") -> Stage:
    """Return a stage that has put the four files of its dataset into batches."""
    put(cast, "abcd")
    text = f"[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type={split}\n{more}"
    campaign = builders.approved_campaign(cast, builders.definition(stages=text))
    found = campaign.stages.get(name="reco")
    planning.plan(found.pk)
    return found


def put(cast: Cast, letters: str) -> None:
    """Give the dataset these files too."""
    catalogue = LocalCatalogue(cast.experiment)
    assert catalogue.declare([FileSeen(f"f{letter}", __file__, 1000, events=5) for letter in letters]) == {}
    had = [seen.name for seen in catalogue.files("raw")]
    catalogue.define("raw", [*had, *(f"f{letter}" for letter in letters)])


def end(stage: Stage) -> None:
    """Let every batch of the stage complete with a result for each input."""
    for batch in Batch.objects.filter(stage=stage).exclude(state="completed"):
        submission = batch.submissions.get()
        result = Result.objects.create(experiment=batch.experiment, submission=submission, job=f"{submission.pk}.0")
        units = list(Unit.objects.filter(batch=batch))
        Acceptance.objects.bulk_create(Acceptance(unit=unit, result=result) for unit in units)
        Submission.objects.filter(pk=submission.pk).update(state="completed")
        Batch.objects.filter(pk=batch.pk).update(state="completed", done=len(units))
    StageProgress.objects.filter(stage=stage).update(done=Unit.objects.filter(stage=stage).count())


def planned(thing: Any, kind: str = "") -> dict[str, Any]:
    asked = proposing.ask(thing, kind)
    return recovery.document(asked, proposing.plan(asked))


def campaign_of(stage: Stage) -> Campaign:
    return Campaign.objects.get(pk=stage.campaign_id)


def keys(stage: Stage) -> list[list[str]]:
    batches = Batch.objects.filter(stage=stage).order_by("number")
    return [[unit.file_name for unit in batch.units.order_by("pk")] for batch in batches]


class Deaf(LocalCatalogue):
    def count(self, dataset: str) -> int | None:
        raise Unavailable("the catalogue answers 503")

    def freeze(self, dataset: str) -> Any:
        raise Unavailable("the catalogue answers 503")


def test_new_files_are_planned_without_a_trace_and_then_taken_once(cast, stage):
    assert not planned(stage, "added_files")["anything"]
    put(cast, "efg")
    found = planned(campaign_of(stage), "added_files")
    (entry,) = found["stages"]
    assert (entry["inputs"], entry["slices"], entry["jobs"], entry["summary"]) == (3, 2, 3, "3 new files in 2 slices")
    assert (found["inputs"], found["core_hours"], found["anything"]) == (3, None, True)
    assert Snapshot.objects.count() == 1
    asked = proposing.ask(campaign_of(stage), "added_files", freeze=True)
    done = proposing.apply(asked, said=found["plan"], actor="user:operator", reason="they came late")
    assert [gain.summary for gain in done.gains] == ["3 new files in 2 slices"]
    with pytest.raises(Conflict):
        proposing.apply(asked, said=found["plan"], actor="user:operator", reason="they came late")
    planning.plan(stage.pk)
    assert keys(stage) == [["fa", "fb"], ["fc", "fd"], ["fe", "ff"], ["fg"]]
    assert list(Snapshot.objects.order_by("number").values_list("number", "units")) == [(1, 4), (2, 3)]
    assert StageProgress.objects.filter(stage=stage).values_list("units", "taken").get() == (7, 7)
    assert Transition.objects.filter(kind="campaign", verb="recover", reason__contains="reco takes 3 new").count() == 1
    assert not planned(stage, "added_files")["anything"]


def test_a_file_that_comes_between_plan_and_apply_is_a_conflict(cast, stage):
    put(cast, "e")
    said = planned(stage, "added_files")["plan"]
    put(cast, "f")
    with pytest.raises(Conflict) as raised:
        proposing.apply(proposing.ask(stage, "added_files"), said=said, actor="user:operator", reason="late")
    assert "2 new files in 1 slice" in str(raised.value)
    assert Snapshot.objects.count() == 1


def test_a_catalogue_that_does_not_answer_leaves_it_unknown(cast, stage, monkeypatch):
    put(cast, "e")
    monkeypatch.setattr(registry, "catalogue", lambda experiment, *of: Deaf(experiment))
    found = planned(stage, "added_files")
    assert (found["anything"], found["unknown"]) == (False, [stage.ref])
    assert "503" in found["stages"][0]["summary"]


def test_a_stage_that_has_ended_goes_on_for_them_while_its_campaign_does(cast, stage):
    end(stage)
    Stage.objects.filter(pk=stage.pk).update(completed_at=stage.campaign.created_at, succeeded=True)
    put(cast, "e")
    proposing.apply(proposing.ask(stage, "added_files"), actor="user:operator", reason="late")
    planning.plan(stage.pk)
    assert keys(stage)[-1] == ["fe"]
    assert Stage.objects.get(pk=stage.pk).completed_at is None
    Campaign.objects.update(**{"state": "succeeded"})
    put(cast, "f")
    assert "runs no more" in planned(stage, "added_files")["stages"][0]["why"]


def test_by_the_list_a_stage_looks_once_more_before_it_ends(cast, stage, monkeypatch):
    StageVersion.objects.filter(stage=stage).update(recoveries=ADDED)
    end(stage)
    put(cast, "e")
    found = planned(campaign_of(stage))
    assert (found["anything"], [entry["by"] for entry in found["stages"]]) == (False, ["loop"])
    with monkeypatch.context() as patch:
        patch.setattr(registry, "catalogue", lambda experiment, *of: Deaf(experiment))
        planning.note([stage.pk])
        planning.plan_some()
        assert Trouble.objects.exists()
        assert Stage.objects.get(pk=stage.pk).completed_at is None
    planning.plan(stage.pk)
    assert keys(stage)[-1] == ["fe"]
    end(stage)
    put(cast, "f")  # the step stands once in the list
    planning.plan(stage.pk)
    assert Stage.objects.get(pk=stage.pk).succeeded
    assert len(keys(stage)) == 3


def test_a_stage_without_the_step_ends_as_it_was_frozen(cast, stage):
    end(stage)
    put(cast, "e")
    planning.plan(stage.pk)
    assert Stage.objects.get(pk=stage.pk).succeeded
    assert Slice.objects.count() == 2


@pytest.mark.parametrize(("split", "more"), [("limitn(4)", ""), ("nfiles(2)", "schedule=@daily\n")])
def test_what_takes_a_part_or_keeps_up_gains_nothing(cast, split, more):
    stage = started(cast, split, more)
    put(cast, "e")
    assert planned(stage, "added_files")["stages"] == []
