"""Any history of crashes, failed and double launches, late outputs, recoveries of recoveries: one result a unit, none lost.

POMS_OPERATIONS=1000000 is the full size: so many fates of units are decided, settled and followed downstream.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from campaigns.models import Campaign, Edge, Stage
from core import crashpoints
from core.models import Trouble
from integrations import registry
from integrations.catalogue.base import Attempt, FileSeen, Frozen, Produced
from submissions.logic import planning, recovering, settling
from submissions.models import Acceptance, Batch, Output, PlanDue, Result, Slice, StageProgress, Submission, Unit
from tests import builders
from tests.cast import Cast

OPERATIONS = int(os.environ.get("POMS_OPERATIONS") or 150)
SEED = int(os.environ.get("POMS_SEED") or random.SystemRandom().randrange(10**6))
MOST_CAMPAIGNS = 20  # that are tried until something came twice, and crashes were at most of the points
# Files of a campaign, and how many of them go into a batch. Where 10^6 fates are asked for, some campaigns are large.
SIZES = ((24, 8), (240, 30), (2400, 200), (24000, 4000))[: 1 if OPERATIONS < 10_000 else 4]
STAGES = (
    "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=nfiles({slice})\nfiles_per_job=2\nrecovery_rounds=3\n"
    "most_tries=100\n"
    "[campaign_stage skim]\ncs_split_type=nfiles({part})\nfiles_per_job=2\n"
    "[campaign_stage merge]\ncs_split_type=None\nfiles_per_job=1000\n"
    "[dependencies skim]\ncampaign_stage_1=reco\ngate_1=each\n"
    "[dependencies merge]\ncampaign_stage_1=reco\nfile_pattern_1=%even%\ncampaign_stage_2=skim\n"
)
AS_CLAIMED = Submission.objects.select_related("experiment", "batch__version")
POINTS = (
    "plan.after_fetch", "plan.after_batch", "plan.before_end", "plan.after_commit", "settle.after_follow",
    "settle.after_declare", "settle.before_commit", "settle.after_commit", "settle.after_late_declare",
    "recover.before_commit", "recover.after_commit",
)  # fmt: skip


class CrashError(BaseException):
    """The process ended here."""


class Outside:
    """What is true outside whatever we believe: files, and what each job of each launch leaves, and when."""

    can: frozenset[str] = frozenset()

    def __init__(self, dice: random.Random, number: int) -> None:
        self.dice, self.number, self.calm, self.fates = dice, number, False, 0
        self.left: dict[str, list[tuple[str, Produced]]] = defaultdict(list)  # by uuid: "now" or "late", and what
        self.late: set[str] = set()  # uuids of which what is late has come by now

    def freeze(self, dataset: str) -> Frozen:
        return Frozen(dataset, "", self.number)

    def files(self, dataset: Frozen, wants: Collection[str] = ()) -> list[FileSeen]:
        return [FileSeen(f"raw{n}") for n in range(self.number)]

    def known(self, names: Sequence[str]) -> set[str]:
        return set()

    def count(self, dataset: str) -> int:
        return self.number

    def absent(self, dataset: str, limit: int) -> list[str]:
        return []

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        return {}

    def produced(self, attempt: Attempt) -> list[Produced]:
        return [entry for when, entry in self.left[attempt.uuid] if when == "now" or attempt.uuid in self.late]

    def run(self, submission: Submission) -> None:
        """Let the jobs of a launch run; some twice, since the launch itself was doubled outside."""
        for job in submission.jobs_file["jobs"]:
            keys = [unit["key"] for unit in job["units"]]
            self.fates += len(keys)
            fate = "now" if self.calm else self.dice.choices(("now", "late", "never", "twice"), (60, 10, 25, 5))[0]
            for again in range(2 if fate == "twice" else 1):
                name = f"{submission.uuid}.{job['index']}.{again}.{'even' if job['index'] % 2 == 0 else 'odd'}"
                entry = Produced(f"{job['index']}.{again}", keys, [FileSeen(name, f"/out/{name}", 1)])
                if fate != "never":
                    self.left[str(submission.uuid)].append(("late" if fate == "late" else "now", entry))


class History:
    """One campaign and everything that happens to it."""

    def __init__(self, campaign: Campaign, outside: Outside) -> None:
        self.campaign, self.outside, self.dice = campaign, outside, outside.dice
        self.crashes: Counter[str] = Counter()

    def attempt(self, step: Callable[[], Any]) -> None:
        try:
            step()
        except CrashError as crash:
            self.crashes[str(crash)] += 1

    def plan(self) -> None:
        for stage in Stage.objects.filter(campaign=self.campaign):
            self.attempt(lambda stage=stage: planning.plan(stage.pk))

    def launch(self) -> None:
        for submission in Submission.objects.filter(campaign=self.campaign, state="pending"):
            if not self.outside.calm and self.dice.random() < 0.4:
                Submission.objects.filter(pk=submission.pk).update(**{"state": "launch_failed", "look_at": None})
                Batch.objects.filter(pk=submission.batch_id).update(due_at=submission.created_at, launch_failures=0)
                continue
            self.outside.run(submission)
            for rows in (Submission.objects.filter(pk=submission.pk), Batch.objects.filter(pk=submission.batch_id)):
                rows.update(**{"state": "jobs_completed"})

    def settle(self) -> None:
        for submission in Submission.objects.filter(campaign=self.campaign, state="jobs_completed"):
            if self.outside.calm or self.dice.random() < 0.8:
                self.attempt(lambda row=submission: settling.settle(AS_CLAIMED.get(pk=row.pk)))

    def come_late(self) -> None:
        for submission in Submission.objects.filter(campaign=self.campaign, state__in=("completed", "failed")):
            if self.outside.calm or self.dice.random() < 0.3:
                self.outside.late.add(str(submission.uuid))
                self.attempt(lambda row=submission: settling.look_late(AS_CLAIMED.get(pk=row.pk)))

    def recover(self) -> None:
        for batch in Batch.objects.filter(stage__campaign=self.campaign, due_at__isnull=False):
            self.attempt(lambda row=batch: recovering.decide(row.pk))

    def relaunch(self) -> None:
        for batch in Batch.objects.filter(stage__campaign=self.campaign, state="failed"):
            if recovering.missing.units_of(batch):
                recovering.relaunch(batch, actor="user:operator", reason="once more")

    def live(self) -> None:
        """Go through everything in any order, until the campaign has ended, and wake what a crash left."""
        steps = [self.plan, self.launch, self.settle, self.come_late, self.recover]
        for round_number in range(400):
            self.outside.calm = round_number > 6
            Trouble.objects.all().delete()  # time passes
            self.dice.shuffle(steps)
            for step in steps:
                step()
            if round_number % 3 == 2:
                self.relaunch()
            self.campaign.refresh_from_db()
            if self.campaign.state == "succeeded":
                return
        raise AssertionError(f"it does not end: {self.campaign.state}, {self.told()}")

    def told(self) -> Any:
        batches = Batch.objects.filter(stage__campaign=self.campaign).values_list(
            "stage__name", "state", "n_units", "done"
        )
        return list(batches), list(PlanDue.objects.values_list("stage__name", flat=True))

    def check(self) -> None:
        """Look at the ledger alone: each input has one result, and each output of it came downstream once."""
        stages = {stage.name: stage for stage in Stage.objects.filter(campaign=self.campaign)}
        units = Unit.objects.filter(stage__campaign=self.campaign)
        raw = sorted(units.filter(stage=stages["reco"]).values_list("file_name", flat=True))
        assert raw == sorted(f"raw{n}" for n in range(self.outside.number))
        assert not Slice.objects.filter(snapshot__stage__campaign=self.campaign, taken_at=None).exists()
        for name in ("reco", "skim", "merge"):
            own = units.filter(stage=stages[name])
            assert Acceptance.objects.filter(unit__in=own).count() == own.count() > 0
            assert own.filter(batch=None).count() == 0
            progress = StageProgress.objects.get(stage=stages[name])
            assert (progress.units, progress.taken, progress.done) == (own.count(),) * 3
        for edge in Edge.objects.filter(campaign=self.campaign):
            outputs = Output.objects.filter(stage=edge.upstream)
            outputs = outputs.filter(name__contains="even") if "even" in edge.pattern else outputs
            fed = units.filter(edge=edge).values_list("output_id", flat=True)
            assert sorted(fed) == sorted(outputs.values_list("pk", flat=True))
        results = Result.objects.filter(submission__campaign=self.campaign)
        assert not Output.objects.filter(result__in=results.exclude(refused="")).exists()
        for result in results.exclude(refused=""):
            assert "have a result already" in result.refused or "after its stage had ended" in result.refused


@pytest.mark.django_db
def test_any_history_leaves_one_result_for_each_input(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    monkeypatch.setattr(crashpoints, "_random", dice)
    monkeypatch.setattr(crashpoints, "_die", _crash)
    decided, refused, crashes = 0, 0, Counter[str]()
    number = 0
    while decided < OPERATIONS or (number < MOST_CAMPAIGNS and not (refused and len(crashes) > len(POINTS) // 2)):
        files, slice_ = dice.choice(SIZES)
        outside = Outside(dice, files)
        monkeypatch.setattr(registry, "catalogue", lambda *args, outside=outside: outside)
        text = builders.definition(
            stages=STAGES.format(slice=slice_, part=slice_ * 3 // 4), campaign=f"history{number}"
        )
        campaign = builders.approved_campaign(cast, text)
        monkeypatch.setenv("POMS_CRASHPOINT", ",".join(f"{point}:0.1" for point in POINTS))
        history = History(campaign, outside)
        history.live()
        monkeypatch.delenv("POMS_CRASHPOINT")
        history.check()
        refused += Result.objects.filter(submission__campaign=campaign).exclude(refused="").count()
        decided += outside.fates
        crashes += history.crashes
        number += 1
    told = f"{decided} fates in {number} campaigns, {sum(crashes.values())} crashes, {refused} results set aside"
    with capsys.disabled():
        print(f" seed {SEED}: {told} ", end="")
    assert set(crashes) <= set(POINTS)
    assert len(crashes) > len(POINTS) // 2, crashes
    assert refused, "nothing came twice or late: this history proves nothing"


def _crash(name: str) -> None:
    raise CrashError(name)
