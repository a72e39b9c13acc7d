"""Running the ways on a batch system, as jobs of a submission that POMS knows."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core import loops
from integrations.batch.base import Slots, Wanted
from integrations.batch.local import LocalBatch
from integrations.models import Service
from submissions.logic import planning
from submissions.models import Job, Submission
from tests import builders
from tests.cast import Cast
from tests.failures_corpus.ways import EXPERIMENT, VARIANTS, Way

SERVICES = ("batch", "catalogue", "storage", "cvmfs", "network", "tokens")


def services() -> None:
    """Enter the services that the rules of POMS name, as those of all experiments."""
    for name in SERVICES:
        Service.objects.create(name=name, kind="none", gates="nothing")


def running(cast: Cast, system: str, name: str = "broken", release: str = "v1") -> Submission:
    """Return a submission of a new campaign whose jobs are in a batch system: the tests put them there themselves."""
    campaign = builders.approved_campaign(cast, builders.definition(campaign=name))
    stage = campaign.stages.get(name="gen")
    stage.versions.update(software_version=release)
    planning.plan(stage.pk)
    submission = Submission.objects.filter(batch__stage=stage).order_by("pk").first()
    assert submission is not None
    Submission.objects.filter(pk=submission.pk).update(state="running", system=system, look_at=None)
    submission.refresh_from_db()
    return submission


def on_local(local: Any, submission: Submission, ways: Iterable[Way]) -> dict[str, Way]:
    """Submit every variant of the ways to the local batch system; return the way of each job id."""
    system = LocalBatch(local.spool)
    env = {**os.environ, **system.environment(Wanted(str(submission.uuid), slots=Slots(memory_mb=100)))}
    found: dict[str, Way] = {}
    for way in ways:
        jobs = [
            {"argv": ["bash", "-c", way.job(variant)], "memory_mb": way.memory_mb, "wall_s": way.wall_s}
            for variant in VARIANTS
        ]
        done = subprocess.run(
            [env["POMS_PYTHON"], "-S", "-E", "-s", "-B", env["POMS_LOCAL_SUBMIT"], "submit", "--spool", env["POMS_LOCAL_SPOOL"]],
            input=json.dumps({"uuid": str(submission.uuid), "attributes": {}, "jobs": jobs}),
            env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found |= dict.fromkeys(json.loads(done.stdout)["job_ids"], way)
    return found


def until_ended(drive: Callable[..., None], many: int) -> None:
    """Bring in what the batch system says until so many jobs have ended."""
    drive(lambda: Job.objects.filter(ended_at__isnull=False).count() == many, seconds=600, names=("observe",))


def until_recognised() -> None:
    """Let the loop recognise everything."""
    loops.run("diagnose", budget=300)


@dataclass
class Score:
    """How well the atlas did: jobs in a group whose most frequent way is theirs, and those that went to the right owner."""

    jobs: int = 0
    pure: int = 0
    whole: int = 0
    routed: int = 0
    caused: int = 0
    groups: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def purity(self) -> float:
        return self.pure / self.jobs

    @property
    def routing(self) -> float:
        return self.routed / self.jobs

    def __str__(self) -> str:
        return (
            f"{self.jobs} jobs in {self.groups} groups: purity {self.purity:.1%}, whole {self.whole / self.jobs:.1%},"
            f" routed {self.routing:.1%}, cause {self.caused / self.jobs:.1%}"
        )


def score(ways: dict[str, Way], *, held_out: bool) -> Score:
    """Compare what the atlas says of the jobs with what they are; of one half of the ways."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    by_way: dict[str, Counter[str]] = defaultdict(Counter)
    found = Score()
    rows: Sequence[Job] = Job.objects.filter(external_id__in=ways).select_related("failure__failure__signature")
    for job in rows:
        way = ways[job.external_id]
        failure = job.failure.failure
        # Whatever the other half is taken for, it counts against this one where they meet in a group.
        groups[failure.signature.digest][way.name] += 1
        if way.is_held_out != held_out:
            continue
        by_way[way.name][failure.signature.digest] += 1
        owner = failure.service.name if failure.service else EXPERIMENT
        found.jobs += 1
        found.routed += owner == way.owner
        found.caused += failure.signature.cause == way.cause
        if owner != way.owner or failure.signature.cause != way.cause:
            found.wrong.append(f"{way.name}: {failure.signature.cause}, {owner}: {failure.signature.title}")
    for name, digests in by_way.items():
        if len(digests) > 1:
            found.wrong.append(f"{name}: in {len(digests)} groups")
        found.whole += digests.most_common(1)[0][1]
        found.pure += sum(n for digest, n in digests.items() if groups[digest].most_common(1)[0][0] == name)
    found.groups = len({digest for digests in by_way.values() for digest in digests})
    return found
