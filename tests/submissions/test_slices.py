"""Frozen datasets: cut by every split into a partition, whatever the catalogue does meanwhile; taken a few at a time."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from campaigns import splitting
from campaigns.models import Stage
from core.models import Trouble
from integrations import registry
from integrations.catalogue.base import FileSeen, Offer
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable, Unsure
from integrations.models import Dataset
from submissions.logic import feeding, offering, planning, recalling
from submissions.models import Batch, Slice, Snapshot, StageProgress, Submission, Unit
from submissions.queries import gates
from tests import builders
from tests.cast import Cast
from tests.turns import WHOLE, number

pytestmark = pytest.mark.django_db

# split -> what the dataset's field says, and how many of the six files are in no slice
FEW = 6
CASES = {
    "None": ("raw", 0), "nfiles(4)": ("raw", 0), "nevents(25)": ("raw", 0), "bysize(3kB)": ("raw", 0),
    "mod(4)": ("raw", 0), "list": ("raw_a, raw_b", 0), "list(nfiles=2)": ("raw_a,raw_b", 0),
    "multiparam": ('[["a", "b"], ["1", "2", "3"]]', 0), "drainingn(4)": ("raw", 0), "draining": ("raw", 0),
    "limitn(4)": ("raw", 2), "stagedfiles(4)": ("raw", 0), "byrun(low=1,high=2)": ("raw", 2),
    "byexistingruns": ("raw", 0), "new(window=1h)": ("raw", 0), "byvalue(stream,nfiles=2)": ("raw", 0),
}  # fmt: skip
SCRIPT_ASKS = "\nparam_overrides=" + json.dumps([["--dataset=", "%(dataset)s"]])


def put_files(cast: Cast, number: int = 12) -> None:
    """Put files of three runs and two streams into one dataset, and each into one of two others."""
    catalogue, files = LocalCatalogue(cast.experiment), []
    for n in range(number):
        told = {"runs": [[n % 3 + 1, 0, "physics"]], "stream": "calib" if n % 4 == 0 else "physics"}
        files.append(FileSeen(f"f{n:02}", __file__, 1000, events=5 + n, metadata=told))
    assert catalogue.declare(files) == {}
    names = [seen.name for seen in files]
    for dataset, part in (("raw", names), ("raw_a", names[:5]), ("raw_b", names[5:])):
        catalogue.define(dataset, part)


def started(cast: Cast, split: str, dataset: str, more: str = "") -> Stage:
    """Return a stage of an approved campaign which reads a dataset; its script asks for it by name."""
    text = f"[campaign_stage reco]\ndataset_or_split_data={dataset}\ncs_split_type={split}{more}{SCRIPT_ASKS}\n"
    campaign = builders.approved_campaign(cast, builders.definition(stages=text))
    return campaign.stages.get(name="reco")


def result(stage: Stage) -> dict[str, Any]:
    """Return all that planning and offering have made of a stage, as far as it does not differ by chance."""
    batches = [
        (batch.number, batch.label, [unit.key for unit in batch.units.order_by("pk")], batch.submissions.count())
        for batch in Batch.objects.filter(stage=stage).order_by("number")
    ]
    offered = {name: Counter[str]() for name in Submission.objects.values_list("offered", flat=True) if name}
    for name, files in offered.items():
        files.update(seen.name for seen in LocalCatalogue(stage.campaign.experiment).files(name))
    return {
        "batches": batches, "offered": sorted(sorted(files.items()) for files in offered.values()),
        "ready": Submission.objects.exclude(offered="").exclude(offered_at=None).count(),
        "progress": StageProgress.objects.filter(stage=stage).values_list("units", "taken", "closed").get(),
        "snapshot": Snapshot.objects.filter(stage=stage).values_list("units", "left_out", "digest").get(),
    }  # fmt: skip


class Faulty:
    """The local catalogue, of which one call goes wrong: before it is done, in silence, or after it was done."""

    calls: Counter[str] = Counter()

    def __init__(self, inner: LocalCatalogue, fault: str, at: int) -> None:
        self.inner, self.fault, self.at, self.can = inner, fault, at, inner.can

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            Faulty.calls["all"] += 1
            here = Faulty.calls["all"] == self.at
            if here and self.fault == "error":
                raise Unavailable("the catalogue answers 503")
            if here and self.fault == "time-out":
                raise Unsure("the catalogue did not answer within 10 s")
            answer = real(*args, **kwargs)
            if here:
                raise Unsure("the catalogue did it, and did not say so within 10 s")
            return answer

        return call


def run(stage: Stage) -> None:
    """Plan and offer until nothing is left to do, as the loops do it."""
    for _ in range(40):
        Trouble.objects.all().delete()  # time passes
        planning.note([stage.pk])
        planning.plan_some()
        recalling.recall_some()
        offering.offer_some()
        waiting = Submission.objects.exclude(offered="").filter(offered_at=None).exists()
        if (
            not waiting
            and Batch.objects.filter(stage=stage).exists()
            and not Slice.objects.filter(taken_at=None).exists()
        ):
            return
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize("split", CASES)
def test_each_split_puts_every_file_into_one_batch_or_says_why_not(cast, split):
    put_files(cast, FEW)
    dataset, left = CASES[split]
    stage = started(cast, split, dataset)
    run(stage)
    made = result(stage)
    keys = [key for _, _, units, _ in made["batches"] for key in units]
    assert len(keys) == len(set(keys))
    assert len(keys) + left == FEW
    assert sum(made["snapshot"][1].values()) == left
    assert made["progress"] == (len(keys), len(keys), True)
    if split == "multiparam":
        commands = [submission.command[-1] for submission in Submission.objects.order_by("pk")]
        assert commands == [f"--dataset={words}" for words in splitting.values(dataset)]
    else:
        offered = sorted(name for files in made["offered"] for name, _ in files)
        assert offered == sorted(key.removeprefix("file:") for key in keys)
        for submission in Submission.objects.all():
            assert submission.command[-1] == f"--dataset={submission.offered}"


FAULTS = ("error", "time-out", "done-then-time-out")


# In CI every other split meets one fault.
@pytest.mark.parametrize(
    ("split", "fault"),
    [
        (split, fault)
        for split in CASES
        for n, fault in enumerate(FAULTS)
        if WHOLE or number("fault", split) % (2 * len(FAULTS)) == n
    ],
)
def test_a_fault_of_any_call_changes_nothing_of_the_outcome(cast, monkeypatch, split, fault):
    put_files(cast, FEW)
    plain, stage = registry.catalogue, started(cast, split, CASES[split][0])

    def with_fault_at(at: int) -> tuple[dict[str, Any], int]:
        forget(stage)
        Faulty.calls = Counter()
        monkeypatch.setattr(registry, "catalogue", lambda *args: Faulty(plain(*args), fault, at))
        run(stage)
        return result(stage), Faulty.calls["all"]

    clean, calls = with_fault_at(0)
    for at in sorted({1, (calls + 1) // 2, calls} - {0}):
        assert with_fault_at(at)[0] == clean, f"call {at} of {calls}"


def forget(stage: Stage) -> None:
    """Begin anew, as if nothing had been planned before."""
    for model in (Slice, Snapshot, Submission, Unit, Batch, StageProgress):
        model.objects.all().delete()
    Dataset.objects.filter(name__startswith="poms_").delete()
    Stage.objects.filter(pk=stage.pk).update(completed_at=None, succeeded=None)


def test_only_so_many_batches_wait_for_their_launch_and_the_rest_follows(cast, monkeypatch):
    put_files(cast)
    monkeypatch.setattr(planning, "AHEAD", 3)
    stage = started(cast, "nfiles(2)", "raw")
    planning.plan_some()
    assert Batch.objects.count() == 3
    assert Unit.objects.count() == 6
    assert Slice.objects.filter(taken_at=None).count() == 3
    assert StageProgress.objects.get().units == 12
    Batch.objects.filter(number__lte=2).update(**{"state": "submitted"})
    planning.note([stage.pk])
    planning.plan_some()
    assert list(Batch.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4, 5]
    assert Unit.objects.count() == Unit.objects.values("key").distinct().count() == 10


def test_of_a_stage_that_depends_on_itself_one_slice_runs_after_the_other(cast):
    put_files(cast)
    text = (
        "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=nfiles(5)\n"
        "[dependencies reco]\ncampaign_stage_1=reco\n"
    )
    stage = builders.approved_campaign(cast, builders.definition(stages=text)).stages.get()
    for made in (1, 2, 3):
        planning.note([stage.pk])
        planning.plan_some()
        planning.note([stage.pk])
        planning.plan_some()
        assert Batch.objects.count() == made
        Batch.objects.filter(number=made).update(**{"state": "completed"})


def test_a_file_that_came_another_way_is_not_taken_again_with_its_slice(cast, monkeypatch):
    put_files(cast)
    monkeypatch.setattr(planning, "AHEAD", 1)
    stage = started(cast, "nfiles(5)", "raw")
    planning.plan_some()
    once = {"experiment": cast.experiment, "stage": stage, "batch": Batch.objects.get()}
    Unit.objects.create(key="file:f05", file_name="f05", **once)
    monkeypatch.setattr(planning, "AHEAD", 10)
    planning.note([stage.pk])
    planning.plan_some()
    sizes = list(Batch.objects.order_by("number").values_list("n_units", flat=True))
    assert sizes == [5, 4, 2]
    assert Unit.objects.filter(key="file:f05").count() == 1
    assert StageProgress.objects.get().units == 11


def test_a_slice_whose_every_file_came_another_way_makes_no_batch(cast):
    put_files(cast, 3)
    stage = started(cast, "nfiles(5)", "raw")
    planning.plan_some()
    part = Slice.objects.get()
    assert feeding.take(Batch.objects.get().version, part) == []
    assert Unit.objects.filter(stage=stage).count() == 3


def test_a_dataset_that_is_not_there_decides_nothing_and_is_asked_for_again(cast):
    put_files(cast)
    stage = started(cast, "nfiles(5)", "raw")
    Dataset.objects.filter(name="raw").update(name="moved")
    planning.plan_some()
    stage.refresh_from_db()
    assert (Batch.objects.count(), stage.completed_at) == (0, None)
    trouble = Trouble.objects.get()
    assert "there is no dataset raw yet" in trouble.error
    assert trouble.next_at is not None
    Dataset.objects.filter(name="moved").update(name="raw")
    run(stage)
    assert Unit.objects.count() == 12


def test_an_attempt_whose_files_are_not_offered_yet_says_so(cast, monkeypatch):
    put_files(cast)
    stage = started(cast, "None", "raw")
    planning.plan_some()
    assert Submission.objects.get().look_at is None
    told = [gate["text"] for gate in gates(stage.campaign)]
    assert "1 submission waits for the catalogue to offer the inputs" in told

    def fail(*args: Any) -> None:
        raise Unavailable("the catalogue is down")

    monkeypatch.setattr(LocalCatalogue, "offer", fail)
    offering.offer_some()
    assert Submission.objects.get().look_at is None
    assert "the catalogue is down" in Trouble.objects.get().error


def test_the_script_is_told_what_the_catalogue_calls_the_offer(cast, monkeypatch):
    put_files(cast)
    started(cast, "None", "raw")
    planning.plan_some()
    monkeypatch.setattr(LocalCatalogue, "offer", lambda *args: Offer("4711", {"PROJECT": "4711"}))
    offering.offer_some()
    submission = Submission.objects.get()
    assert submission.command[-1] == "--dataset=4711"
    assert submission.environment["PROJECT"] == "4711"
    assert submission.offered.startswith("poms_demo_"), "by which it is found again"


def test_a_taped_dataset_launches_only_what_is_on_disk_and_all_of_it_in_the_end(cast, monkeypatch, settings):
    put_files(cast)
    catalogue = LocalCatalogue(cast.experiment)
    monkeypatch.setattr(LocalCatalogue, "residence", lambda self, names: {n: where.get(n, "tape") for n in names})
    where = {f"f{n:02}": "disk" for n in range(4)}
    asked: list[str] = []
    monkeypatch.setattr(LocalCatalogue, "recall", lambda self, names: asked.extend(names))
    stage = started(cast, "stagedfiles(3)", "raw", "\nrecall_window=2")
    planning.plan_some()
    assert Batch.objects.count() == 0
    assert recalling.recall_some() == 1
    assert asked == ["f04", "f05"]
    planning.plan_some()
    assert [unit.file_name for unit in Unit.objects.order_by("pk")] == ["f00", "f01", "f02"]
    assert "reco: 1 of 9 files are on disk, 0 of the 3 slices that wait are whole" in [
        gate["text"] for gate in gates(stage.campaign)
    ]
    asked.clear()
    assert recalling.recall_some() == 0
    assert asked == ["f06", "f07", "f08"], "the window rolls on, and what was asked for is not asked for again"
    where.update({f"f{n:02}": "disk" for n in range(12)})
    for _ in range(3):
        recalling.recall_some()
        planning.plan_some()
    assert sorted(Unit.objects.values_list("file_name", flat=True)) == [seen.name for seen in catalogue.files("raw")]
    assert Batch.objects.count() == 4


def test_a_catalogue_that_does_not_know_the_disk_is_not_waited_for_in_silence(cast, monkeypatch):
    put_files(cast)
    started(cast, "stagedfiles(3)", "raw")
    planning.plan_some()
    monkeypatch.setattr(LocalCatalogue, "can", frozenset())
    recalling.recall_some()
    assert "does not know what is on disk; cut by nfiles(3)" in Trouble.objects.get().error
