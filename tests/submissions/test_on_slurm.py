"""The dimuon production on a real Slurm, as arrays, while people and the controller interfere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.models import Campaign
from core import loops
from core.models import Transition
from integrations import registry
from integrations.models import BatchSystem
from submissions.logic import acting
from submissions.models import Job, Output, Submission
from tests import builders
from tests.servers import slurm

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("slurm")]

DIMUON = Path(__file__).resolve().parents[2] / "examples" / "dimuon"
SMALL = (("events=20000", "events=4000"), ("cs_split_type=nevents(5000)", "cs_split_type=nevents(2000)"))
FAULTS = (', ["--hungry ", "12"], ["--hungry-mb ", "400"], ["--corrupt-once ", "3"]',)
CRASH = ('["--crash-once ", "7"]', '["--crash-once ", "1"]')
SOON_S = 300.0


@pytest.fixture
def server() -> Iterator[slurm.Slurm]:
    with slurm.running(slots=4) as found:
        yield found


@pytest.fixture
def system(server: slurm.Slurm, real_cast, settings) -> BatchSystem:
    """The row of the cluster; launches and files lie in its folder."""
    settings.LOCAL_FILES, settings.LOCAL_LAUNCHES = server.home / "files", server.home / "launches"
    return BatchSystem.objects.create(
        name="farm", backend="slurm",
        settings={"conf": str(server.configuration), "cluster": slurm.CLUSTER, "logs": [str(server.home / "files")]},
    )  # fmt: skip


def approved(cast) -> Campaign:
    """Take the example's own definition to an approved campaign, with fewer events and one crash."""
    text = (DIMUON / "dimuon.ini").read_text()
    for before, after in (*SMALL, CRASH, *((fault, "") for fault in FAULTS)):
        assert before in text
        text = text.replace(before, after)
    text = text.replace('["--stage ', '["--to ", "slurm"], ["--stage ').replace(
        "memory_mb=300", "memory_mb=300\ncpus=1"
    )
    setup = f'PATH="{DIMUON}:$PATH"; POMS_PYTHON="{sys.executable}"; export PATH POMS_PYTHON\n'
    builders.login_setup(cast, batch="farm", setup=setup)
    return builders.approved_campaign(cast, text)


def log_of(job: Job, stream: str = "out") -> str:
    text: str = registry.batch("farm").log(job.external_id, stream, 0, 10_000)["text"]
    return text


def test_the_production_comes_to_its_end_whatever_is_done_to_jobs_and_controller(real_cast, server, system, drive):
    # No node takes a job until people have had their turn.
    server.run("scontrol", "update", "NodeName=here,there", "State=DRAIN", "Reason=test")
    campaign = approved(real_cast)

    def jobs() -> dict[str, Job]:
        return {job.external_id: job for job in Job.objects.filter(submission__batch__stage__name="gen")}

    def state(job_id: str) -> str:
        return Job.objects.get(external_id=job_id).state

    drive(lambda: [job.state for job in jobs().values()] == ["idle"] * 4, seconds=SOON_S)
    first, second = (list(s.jobs.order_by("index")) for s in Submission.objects.order_by("pk"))
    held, removed, theirs = first[0].external_id, second[0].external_id, second[1].external_id
    number = held.partition("@")[0]

    # By the cluster's own commands, and by ours.
    server.run("scontrol", "hold", number)
    drive(lambda: state(held) == "held", seconds=SOON_S)
    server.run("scancel", removed.partition("@")[0])
    acting.command("hold", second[1].submission, job=second[1], actor="user:operator", reason="the disk is full")
    drive(lambda: (state(removed), state(theirs)) == ("removed", "held"), seconds=SOON_S)
    assert "the disk is full" in Job.objects.get(external_id=theirs).reason

    server.stop_controller()
    for name in ("launch", "observe", "settle", "act"):
        loops.run(name)
    assert (state(held), state(theirs), state(removed)) == ("held", "held", "removed"), "unknown is not absent"
    system.refresh_from_db()
    assert "does not answer" in system.error
    server.start_controller()

    server.run("scontrol", "release", number)
    acting.command("release", second[1].submission, job=second[1], actor="user:operator", reason="room again")
    for node in slurm.NODES:  # one that the restart has brought back already needs no more
        server.tried("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def ended() -> bool:
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended, seconds=SOON_S)
    told = list(Transition.objects.filter(kind="submission").order_by("id").values_list("target", "reason"))
    assert campaign.state == "succeeded", told

    found = jobs()
    assert found[held].state == found[theirs].state == "succeeded"
    crashed = [job for job in found.values() if job.state == "failed"]
    assert [(job.signal, job.exit_code, job.index) for job in crashed] == [(11, None, 1)]
    assert "signal 11" in crashed[0].reason
    good = [job for job in Job.objects.all() if job.state == "succeeded"]
    assert all(job.exit_code == 0 and job.node in slurm.NODES and job.site == slurm.CLUSTER for job in good)
    assert all(job.memory_mb and job.cpu_s for job in good), "the accounting has said what each used"
    assert all("slurm_job: 1 outputs" in log_of(job) for job in good if job.submission.batch.stage.name != "merge")
    kinds = Submission.objects.filter(batch__stage__name="gen").order_by("pk")
    assert sorted(s.kind for s in kinds) == ["first", "first", "recovery", "recovery"]
    again = [s for s in kinds if s.kind == "recovery"]
    assert sorted(s.jobs.count() for s in again) == [1, 1], "only what was removed, and what crashed, was run again"
    assert Output.objects.filter(stage__name="gen").count() == Output.objects.filter(stage__name="reco").count() == 4
    peak = Output.objects.get(stage__name="merge", name__endswith="zpeak.json")
    assert Path(peak.path).exists()
