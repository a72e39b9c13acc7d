"""What became of inputs where jobs take them from the catalogue: it alone knows which job had which."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from core.clock import now
from integrations.catalogue.base import CONSUMED, FAILED, TRANSFERRED, UNCONSUMED
from integrations.models import BatchSystem, CatalogueLink
from submissions.logic import missing, offering, planning
from submissions.models import Batch, Job, Submission
from submissions.states import JOB_RANK
from tests import builders
from tests.cast import Cast
from tests.stand_ins.sam.server import Sam, serving

pytestmark = pytest.mark.django_db
FILES = [f"f{n}" for n in range(4)]
STAGE = (
    "[campaign_stage reco]\ndataset_or_split_data=raw\nfiles_per_job=2\n"
    'param_overrides=[["--dataset=", "%(dataset)s"]]\n'
)


@pytest.fixture
def sam(settings) -> Iterator[Sam]:
    settings.HTTP_ALLOW = ["127.0.0.1"]
    with serving() as found:
        for name in FILES:
            found.put(name, datasets=("raw",), size=1, disk="/d")
        yield found


@pytest.fixture
def batch(cast: Cast, sam: Sam) -> Batch:
    """A batch of four files whose first job has succeeded and whose second has failed, both without output."""
    CatalogueLink.objects.create(
        experiment=cast.experiment, system="sam", settings={"url": sam.url, "group": "samdev"}
    )  # fmt: skip
    kind = 'recoveries=[["consumed_status", []]]\n'
    builders.approved_campaign(cast, builders.definition(stages=STAGE) + kind)
    planning.plan_some()
    offering.offer_some()
    submission = Submission.objects.get()
    local = BatchSystem.objects.create(name="local", backend="local")
    for index, state in enumerate(("succeeded", "failed")):
        Job.objects.create(
            experiment=cast.experiment, submission=submission, system=local, external_id=f"1.{index}", index=index,
            state_code=JOB_RANK[state], event_at=now(), state_since=now(), started_at=now(),
        )  # fmt: skip
    Batch.objects.update(state="jobs_completed")
    return Batch.objects.get()


def told(batch: Batch) -> dict[str, str]:
    """Return what became of each file, by its name."""
    names = dict(batch.units.values_list("pk", "file_name"))
    return {names[pk]: fate for pk, fate in missing.fates_of(batch.pk).fate.items()}


def take(sam: Sam, statuses: dict[str, str]) -> None:
    """Let jobs take files from a project of what was offered."""
    offered = Submission.objects.get().offered
    begun = {"name": "project", "defname": offered, "station": "samdev", "group": "samdev"}
    requests.post(f"{sam.url}/startProject", begun, timeout=30)
    sam.book.projects["project"].statuses.update({sam.book.ids[name]: status for name, status in statuses.items()})


def test_a_file_that_no_job_took_is_unconsumed_though_the_job_of_its_list_succeeded(sam: Sam, batch: Batch) -> None:
    take(sam, {"f1": "consumed", "f2": "failed", "f3": "transferred"})
    assert told(batch) == {"f0": UNCONSUMED, "f1": CONSUMED, "f2": FAILED, "f3": TRANSFERRED}


def test_jobs_that_came_by_their_files_another_way_tell_themselves(sam: Sam, batch: Batch) -> None:
    assert told(batch) == {"f0": CONSUMED, "f1": CONSUMED, "f2": FAILED, "f3": FAILED}
    take(sam, {})
    assert told(batch) == {"f0": CONSUMED, "f1": CONSUMED, "f2": FAILED, "f3": FAILED}
