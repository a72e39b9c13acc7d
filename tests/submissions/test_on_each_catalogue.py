"""One production on each catalogue, with real jobs that get their files there: all of it, once, and the catalogue agrees."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as installation

from campaigns.models import Campaign
from core.models import Transition, Trouble
from integrations import registry
from integrations.catalogue import server as talk
from integrations.catalogue.base import CONSUMED, CONSUMPTION, FAILED, LINEAGE
from submissions.logic.attempting import as_attempt
from submissions.models import Job, Output, Result, Submission, SubmissionUnit, Unit
from tests import builders
from tests.cast import Cast
from tests.servers import metacat as real_metacat
from tests.servers import rucio as real_rucio
from tests.stand_ins.data_dispatcher.server import DataDispatcherServer
from tests.stand_ins.metacat.server import MetaCatServer
from tests.stand_ins.rucio.server import RucioServer
from tests.stand_ins.sam.server import serving
from tests.submissions.grounds import RAW, Ground, LocalGround, MetaCatGround, RucioGround, SamGround

pytestmark = pytest.mark.django_db(transaction=True)

SUBMIT = builders.TINY_SUBMIT.with_name("catalogue_submit")
LOOPS = ("plan", "offer", "launch", "observe", "settle", "recover")
BROKEN = "raw_07.dat"  # cannot be read at first
RECO = [name.replace("raw", "reco") for name in RAW if int(name[4:6]) % 4]
CALIB = [name.replace("raw", "calib") for name in RAW if int(name[4:6]) % 4 == 0]


@pytest.fixture(scope="module")
def engine() -> Iterator[real_metacat.EngineServer]:
    with real_metacat.running(installation.DATABASES["default"]) as found:
        yield found


@pytest.fixture(scope="module")
def really() -> Iterator[real_rucio.RucioServer]:
    with real_rucio.running(installation.DATABASES["default"]) as found:
        yield found


@pytest.fixture
def dispatcher(tmp_path: Path) -> Iterator[DataDispatcherServer]:
    found = DataDispatcherServer(tmp_path / "storage")
    yield found
    found.stop()


@pytest.fixture
def on_local(tmp_path: Path, local, settings) -> Ground:
    return LocalGround(settings.LOCAL_FILES, settings.LOCAL_FILES)


@pytest.fixture
def on_sam(tmp_path: Path) -> Iterator[Ground]:
    with serving() as sam:
        yield SamGround(tmp_path / "storage", sam)


@pytest.fixture
def on_metacat(tmp_path: Path, dispatcher: DataDispatcherServer) -> Iterator[Ground]:
    server = MetaCatServer()
    yield MetaCatGround(tmp_path / "storage", server, dispatcher)
    server.stop()


@pytest.fixture
def on_metacat_engine(tmp_path: Path, dispatcher: DataDispatcherServer, engine: real_metacat.EngineServer) -> Ground:
    engine.store.reset()
    return MetaCatGround(tmp_path / "storage", engine, dispatcher)


@pytest.fixture
def on_rucio(tmp_path: Path) -> Iterator[Ground]:
    server = RucioServer()
    yield RucioGround(tmp_path / "storage", server.url)
    server.stop()


@pytest.fixture
def on_real_rucio(tmp_path: Path, really: real_rucio.RucioServer) -> Ground:
    return RucioGround(tmp_path / "storage", really.url)


LIVE = {"metacat_engine": "metacat", "real_rucio": "rucio"}


@pytest.fixture(
    params=[
        "local", "sam", "metacat", "rucio",
        *(pytest.param(name, marks=[pytest.mark.live, pytest.mark.xdist_group(group)]) for name, group in LIVE.items()),
    ]
)  # fmt: skip
def ground(request: pytest.FixtureRequest, settings, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A catalogue on loopback, with a name and a secret for us."""
    found: Ground = request.getfixturevalue(f"on_{request.param}")
    settings.HTTP_ALLOW = ["127.0.0.1"]
    name, secret = found.credential
    if name:
        monkeypatch.setenv(f"POMS_CREDENTIAL_{name.upper()}", secret)
    talk.TOKENS.forget()
    return found


def definition(ground: Ground, secret: Path) -> str:
    """Return a campaign of three stages: one output of each file, merged by six without calibration, then all in one."""
    told = {"on": ground.on, **ground.told(), "storage": str(ground.storage), "fail-once": BROKEN.removesuffix(".dat"),
            "dataset": "%(dataset)s"}  # fmt: skip
    if ground.credential[1]:
        secret.write_text(ground.credential[1])
        told["secret"] = str(secret)
    pairs = json.dumps([[f"--{name} ", value] for name, value in told.items()])
    return (
        "[campaign]\nexperiment=demo\nname=production\npoms_role=production\n"
        "[campaign_defaults]\njob_type=each\nlogin_setup=local\nsoftware_version=v1\nmemory_mb=200\nwall_s=60\n"
        f"completion_pct=100\nparam_overrides={pairs}\n"
        f"[campaign_stage reco]\ndataset_or_split_data={ground.dataset}\ncs_split_type=nfiles(5)\nfiles_per_job=3\n"
        "[campaign_stage merge]\ndataset_or_split_data=from_parent\ncs_split_type=nfiles(6)\nfiles_per_job=6\n"
        "[campaign_stage final]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
        "[dependencies merge]\ncampaign_stage_1=reco\nfile_pattern_1=reco_%.dat\ngate_1=each\n"
        "[dependencies final]\ncampaign_stage_1=merge\nfile_pattern_1=merge_%.dat\ngate_1=all\n"
        f"[job_type each]\nlaunch_script={json.dumps(str(SUBMIT))}\noutput_file_patterns=%.dat\n"
        f'recoveries=[["{ground.recovery}", []]]\n'
    )


def test_a_production_runs_to_its_end_and_the_catalogue_and_the_ledger_say_the_same(
    ground: Ground, real_cast: Cast, local, local_system, drive: Callable[..., None], tmp_path: Path
) -> None:
    ground.link(real_cast.experiment)
    ground.fill(real_cast.experiment)
    campaign = builders.approved_campaign(real_cast, definition(ground, tmp_path / "secret"))

    def ended() -> bool:
        troubles = Trouble.objects.values_list("loop", "error")
        assert not troubles, list(troubles)
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended, seconds=120, names=LOOPS)
    assert campaign.state == "succeeded", story(local.spool)
    in_the_catalogue(ground)
    in_the_ledger(ground, campaign)
    at_its_jobs(ground, campaign)


def story(spool: Path) -> str:
    """Return why it went wrong: what the ledger tells, what was refused, and what the jobs complained of."""
    told = [f"{step.kind} {step.source} → {step.target}: {step.reason}" for step in Transition.objects.order_by("id")]
    told += Result.objects.exclude(refused="").values_list("refused", flat=True)
    told += [file.read_text() for file in sorted(spool.glob("jobs/*/err"))]
    return "\n".join(filter(None, told))


def in_the_catalogue(ground: Ground) -> None:
    """Each input has one output where it belongs, and what was made of all comes from each of them once."""
    made = {file.name: file for file in ground.made()}
    assert Counter(file.stage for file in made.values()) == {"reco": len(RAW), "merge": 3, "final": 1}
    of_raw = {file.plain: file.parents for file in made.values() if file.stage == "reco"}
    raw_of = {name.partition("_")[2]: f"{ground.before}{name}" for name in RAW}
    assert of_raw == {name: {raw_of[name.partition("_")[2]]} for name in (*RECO, *CALIB)}

    merged = [file for file in made.values() if file.stage == "merge"]
    assert [len(file.parents) for file in merged] == [6, 6, 6]
    assert sorted(made[name].plain for file in merged for name in file.parents) == RECO
    (final,) = (file for file in made.values() if file.stage == "final")
    assert final.parents == {file.name for file in merged}

    for file in made.values():
        place = file.place or ground.home(file.stage) / file.plain
        assert place.is_relative_to(ground.home(file.stage))
        assert place.name == file.plain
        rows = place.read_text().splitlines()
        assert len(rows) == {"reco": 1, "merge": 6, "final": len(RECO)}[file.stage]
        if file is final:
            assert sorted(rows) == [name.replace("reco", "raw") for name in RECO]


def in_the_ledger(ground: Ground, campaign: Campaign) -> None:
    """Our rows say of every input and output what the catalogue says, and each unit was accepted once."""
    made = {file.name: file for file in ground.made()}
    units = Unit.objects.filter(stage__campaign=campaign)
    assert Counter(units.values_list("stage__name", flat=True)) == {"reco": len(RAW), "merge": len(RECO), "final": 3}
    assert not units.filter(acceptance=None).exists()
    outputs = Output.objects.filter(stage__campaign=campaign)
    assert Counter(outputs.values_list("name", "stage__name")) == {(f.name, f.stage): 1 for f in made.values()}
    for result in Result.objects.filter(submission__campaign=campaign):
        assert not result.refused
        of = {name for output in outputs.filter(result=result) for name in made[output.name].parents}
        assert set(units.filter(acceptance__result=result).values_list("file_name", flat=True)) == of
    catalogue = registry.catalogue(campaign.experiment)
    if LINEAGE in catalogue.can:
        children = catalogue.children(ground.raw)
        assert children == {name: [f.name for f in made.values() if name in f.parents] for name in ground.raw}


def at_its_jobs(ground: Ground, campaign: Campaign) -> None:
    """One job failed, what it had not done was done by a second attempt, and whoever follows inputs says so."""
    submissions = Submission.objects.filter(campaign=campaign)
    assert Counter(submissions.values_list("kind", flat=True)) == {"first": 5 + 3 + 1, "recovery": 1}
    jobs = Job.objects.filter(submission__campaign=campaign)
    assert Counter(job.state for job in jobs) == {"succeeded": 5 * 2 + 3 + 1, "failed": 1}
    broken = f"{ground.before}{BROKEN}"
    again = SubmissionUnit.objects.filter(submission__kind="recovery").values_list("unit__file_name", flat=True)
    assert broken in again
    catalogue = registry.catalogue(campaign.experiment)
    if CONSUMPTION not in catalogue.can:
        return
    told = {submission: catalogue.fates(as_attempt(submission)) for submission in submissions}
    used = Counter(name for fates in told.values() for name, fate in fates.items() if fate == CONSUMED)
    assert used == dict.fromkeys(Unit.objects.filter(stage__campaign=campaign).values_list("file_name", flat=True), 1)
    failed = [(s.kind, name) for s, fates in told.items() for name, fate in fates.items() if fate == FAILED]
    assert failed == ([] if ground.on == "local" else [("first", broken)])
