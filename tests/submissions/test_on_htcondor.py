"""The dimuon production on a real HTCondor pool, as clusters and as DAGs, while people and machines interfere."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaigns.models import Campaign
from core import loops
from core.models import Transition
from integrations import registry
from integrations.models import BatchSystem
from submissions.models import Job, Output, Submission
from tests import builders
from tests.servers import htcondor

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]

DIMUON = Path(__file__).resolve().parents[2] / "examples" / "dimuon"
SMALL = (("events=20000", "events={events}"), ("cs_split_type=nevents(5000)", "cs_split_type=nevents({half})"),
         ("events_per_job=1000", "events_per_job={quarter}"))  # fmt: skip
FAULTS = (', ["--crash-once ", "7"]', ', ["--hungry ", "12"], ["--hungry-mb ", "400"], ["--corrupt-once ", "3"]')
SOON_S = 900.0


@pytest.fixture(scope="session")
def pool() -> Iterator[htcondor.Pool]:
    """A pool for all tests of this process."""
    with htcondor.running() as found:
        yield found


@pytest.fixture
def system(pool: htcondor.Pool, real_cast, settings, tmp_path) -> BatchSystem:
    """The row of the pool; launches and files are where its jobs reach them."""
    settings.LOCAL_FILES, settings.LOCAL_LAUNCHES = pool.work / tmp_path.name, tmp_path / "launches"
    return BatchSystem.objects.create(name="pool", backend="htcondor", settings={
        "collectors": pool.collector, "schedds": pool.schedds, "config": str(pool.config),
        "log_folders": [str(pool.work)],
    })  # fmt: skip


# A Python of which the jobs of the first stage begin their work once a file is there.
WAITING = """#!/bin/sh
case "$*" in *gen.py*) while [ ! -e {gate} ]; do sleep 0.2; done ;; esac
exec {python} "$@"
"""


@pytest.fixture
def gate(pool: htcondor.Pool) -> Iterator[Path]:
    """The file that is waited for, where the pool's account finds it; beside it lies the Python that waits."""
    with tempfile.TemporaryDirectory(dir=pool.work) as name:
        folder = Path(name)
        folder.chmod(0o755)
        script = folder / "python"
        script.write_text(WAITING.format(gate=shlex.quote(f"{folder}/gate"), python=shlex.quote(sys.executable)))
        script.chmod(0o755)
        yield folder / "gate"


def approved(cast, pool: htcondor.Pool, to: str, events: int, python: Path = Path(sys.executable)) -> Campaign:
    """Take the example's own definition to an approved campaign, with fewer events and none of its planted faults."""
    text = (DIMUON / "dimuon.ini").read_text()
    for before, after in SMALL:
        assert before in text
        text = text.replace(before, after.format(events=events, half=events // 2, quarter=events // 4))
    for fault in FAULTS:
        assert fault in text
        text = text.replace(fault, "")
    text = text.replace('["--stage ', f'["--to ", "{to}"], ["--stage ')
    setup = f'PATH="{DIMUON}:{pool.bin}:$PATH"; POMS_PYTHON="{python}"; export PATH POMS_PYTHON\n'
    builders.login_setup(cast, batch="pool", setup=setup)
    return builders.approved_campaign(cast, text)


def to_the_end(campaign: Campaign, drive: Callable[..., None]) -> None:
    def ended() -> bool:
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended, seconds=SOON_S)
    told = list(Transition.objects.filter(kind="submission").order_by("id").values_list("target", "reason"))
    assert campaign.state == "succeeded", told


def log_of(job: Job, stream: str = "out") -> str:
    text: str = registry.batch("pool").log(job.external_id, stream, 0, 10_000)["text"]
    return text


def test_as_clusters_while_people_and_machines_interfere(real_cast, pool, system, drive, gate):
    campaign = approved(real_cast, pool, "htcondor", events=800, python=gate.with_name("python"))
    gen = Job.objects.filter(submission__batch__stage__name="gen").order_by("external_id")
    drive(lambda: sum(job.state == "processing" for job in gen.all()) == 4, seconds=SOON_S)
    held, removed, evicted, left = (job.external_id for job in gen.all())

    def state(job_id: str) -> str:
        return Job.objects.get(external_id=job_id).state

    def on_schedd(command: str, job_id: str, *more: str) -> None:
        pool.run(command, "-name", pool.schedds[0], *more, job_id.partition("@")[0])

    on_schedd("condor_rm", removed, "-reason", "wrong seed")
    on_schedd("condor_hold", held, "-reason", "disk is full")
    on_schedd("condor_vacate_job", evicted, "-fast")
    drive(lambda: (state(held), state(removed)) == ("held", "removed"), seconds=SOON_S)
    assert "disk is full" in Job.objects.get(external_id=held).reason
    assert "wrong seed" in Job.objects.get(external_id=removed).reason
    pool.kill("SCHEDD")
    for name in ("launch", "observe", "settle", "act"):
        loops.run(name)
    assert state(held) == "held", "a schedd that is gone moves nothing"
    pool.wait(pool.answers, "the schedd is back")
    on_schedd("condor_release", held)
    gate.touch()
    to_the_end(campaign, drive)

    jobs = {job.external_id: job for job in Job.objects.all()}
    assert jobs[held].state == jobs[evicted].state == jobs[left].state == "succeeded"
    # A job that runs on through the schedd's end is counted again when the new schedd takes it over.
    assert (jobs[held].starts, jobs[evicted].starts >= 2) == (2, True)
    ended = [job for job in jobs.values() if job.external_id != removed]
    assert {(job.state, job.exit_code, job.signal) for job in ended} == {("succeeded", 0, None)}
    assert jobs[removed].state == "removed"
    assert all("condor_job: " in log_of(job) and job.node and job.site == "Loopback" for job in ended)
    again = Submission.objects.filter(batch__stage__name="gen", kind="recovery")
    assert [submission.jobs.count() for submission in again] == [1], "what was removed was recovered"
    assert Output.objects.filter(stage__name="gen").count() == Output.objects.filter(stage__name="reco").count() == 4
    peak = Output.objects.get(stage__name="merge", name__endswith="zpeak.json")
    assert Path(peak.path).exists()


def test_as_dags(real_cast, pool, system, drive):
    campaign = approved(real_cast, pool, "dag", events=800)
    to_the_end(campaign, drive)
    jobs = list(Job.objects.all())
    managers = [job for job in jobs if job.slot_type == "dagman"]
    nodes = [job for job in jobs if job.slot_type != "dagman"]
    assert len(managers) == Submission.objects.count()
    assert len(nodes) == 4 + 4 + 1
    assert {(job.state, job.exit_code) for job in jobs} == {("succeeded", 0)}
    for submission in Submission.objects.all():
        mine = [job for job in nodes if job.submission_id == submission.pk]
        assert sorted(job.index for job in mine) == list(range(len(mine)))
    assert all("condor_job: " in log_of(job) for job in nodes)


@pytest.fixture(autouse=True)
def emptied(pool: htcondor.Pool, tmp_path: Path) -> Iterator[None]:
    """Leave no jobs and files to the next test."""
    yield
    pool.inside(["condor_rm", "-all"], env={"CONDOR_CONFIG": str(pool.home / "condor_config"), "PATH": "/usr/bin:/bin"})
    shutil.rmtree(pool.work / tmp_path.name, ignore_errors=True)
