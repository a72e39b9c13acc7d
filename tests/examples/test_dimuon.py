"""The dimuon example: real jobs as processes, from generated events to the fitted Z peak."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from campaigns import definition
from integrations.batch import local_daemon

# One worker makes the events that the tests share.
pytestmark = pytest.mark.xdist_group("dimuon")

DIMUON = Path(__file__).resolve().parents[2] / "examples" / "dimuon"
SEED = 12345
EVENTS = 1000
FIRST = (0, 1000, 2000)


class Jobs:
    """Runs job scripts in folders of their own, as the batch system does; compiled code is shared."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "POMS4_CAMPAIGN_NAME": "Z to mu mu/2026",
        }

    def run(self, sandbox: str, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a script in the folder `sandbox`, which is made when it is not there."""
        where = self.sandbox(sandbox)
        return subprocess.run(
            [sys.executable, str(DIMUON / script), *arguments],
            check=False,
            cwd=where,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def sandbox(self, name: str) -> Path:
        where = self.folder / name
        where.mkdir(exist_ok=True)
        return where

    def stage_in(self, sandbox: str, *files: Path) -> list[str]:
        """Copy files into a sandbox and return the arguments of a job that takes them as its units."""
        for file in files:
            shutil.copy(file, self.sandbox(sandbox) / file.name)
        return files_as_units(files)


def event_range(first: int, events: int = EVENTS, seed: int = SEED) -> list[str]:
    unit = {"key": f"events:{first}", "first_event": first, "events": events, "seed": seed}
    return ["--unit", json.dumps(unit)]


def files_as_units(files: tuple[Path, ...]) -> list[str]:
    return [text for file in files for text in ("--unit", json.dumps({"key": f"file:{file.name}", "file": file.name}))]


def outputs_of(sandbox: Path) -> list[dict]:
    return json.loads((sandbox / "outputs.json").read_text())


def column(file: Path, name: str) -> np.ndarray:
    import uproot  # here, because it takes seconds and other test workers only collect this file

    with uproot.open(file) as opened:
        return opened["events"][name].array(library="np")


def histogram(file: Path, name: str) -> np.ndarray:
    import uproot

    with uproot.open(file) as opened:
        return opened[name].to_numpy()[0]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return Jobs(tmp_path_factory.mktemp("di muon"))


@pytest.fixture
def module(monkeypatch):
    """A function that imports one of the example's modules into the test's own process."""
    monkeypatch.syspath_prepend(DIMUON)
    return importlib.import_module


@pytest.fixture(scope="module")
def generated(jobs):
    """Three files of 1000 events, made by one job of three units."""
    done = jobs.run("gen", "gen.py", *(text for first in FIRST for text in event_range(first)))
    assert done.returncode == 0, done.stderr
    return sorted((jobs.folder / "gen").glob("*.root"))


@pytest.fixture(scope="module")
def reconstructed(jobs, generated):
    done = jobs.run("reco", "reco.py", *jobs.stage_in("reco", *generated))
    assert done.returncode == 0, done.stderr
    return sorted((jobs.folder / "reco").glob("*_reco_*.root"))


# --- Generator ---------------------------------------------------------------------------------------------


def test_a_generator_job_writes_one_file_per_unit_and_says_what_is_in_it(jobs, generated):
    assert [file.name for file in generated] == [f"Z_to_mu_mu_2026_gen_{first:06d}.root" for first in FIRST]
    outputs = outputs_of(jobs.folder / "gen")
    assert [entry["name"] for entry in outputs] == [file.name for file in generated]
    assert [entry["units"] for entry in outputs] == [[f"events:{first}"] for first in FIRST]
    for entry, first in zip(outputs, FIRST, strict=True):
        assert entry["events"] == EVENTS
        assert entry["metadata"]["seed"] == SEED
        assert entry["metadata"]["first_event"] == first
        assert 1200 < entry["metadata"]["cross_section_pb"] < 1900


def test_event_numbers_are_unique_over_the_units_of_a_production(generated):
    numbers = np.concatenate([column(file, "event") for file in generated])
    assert sorted(numbers) == list(range(len(FIRST) * EVENTS))


def test_units_of_one_production_have_different_events(generated):
    masses = np.concatenate([column(file, "z_mass") for file in generated])
    assert len(np.unique(masses)) == len(masses)


def test_muons_balance_the_boson_they_come_from(generated):
    """Charges are opposite, and photons can only take from the mass of the Z."""
    assert not any(sum(charges) for charges in column(generated[0], "muon_charge"))
    energy, *momentum = (np.stack(column(generated[0], f"muon_{name}")).sum(axis=1) for name in ("e", "px", "py", "pz"))
    mass, boson = np.sqrt(energy**2 - sum(part**2 for part in momentum)), column(generated[0], "z_mass")
    assert (mass < boson + 1e-3).all()
    assert np.isclose(mass, boson, atol=1e-3).mean() > 0.5


def test_a_unit_gives_the_same_events_in_whatever_job_it_is_done(module, generated):
    """Made alone here, as the second of three in the job that made the files."""
    columns, metadata = module("gen").generate(FIRST[1], EVENTS, SEED)
    assert module("eventfile").checksum(columns) == module("eventfile").read_metadata(generated[1])["checksum"]
    assert metadata["generator_seed"] == module("eventfile").read_metadata(generated[1])["generator_seed"]


def test_another_seed_gives_other_events(module):
    generate = module("gen").generate
    one, again, other = (generate(0, 20, seed)[0]["z_mass"] for seed in (1, 1, 2))
    assert (one == again).all()
    assert not set(one) & set(other)


def test_the_unit_that_is_to_crash_crashes_in_the_first_round_only(jobs):
    crash = ["--crash-once", "7"]
    first = jobs.run("crash", "gen.py", *crash, *event_range(120, 20), *event_range(140, 20), POMS_ROUND="0")
    assert first.returncode == -signal.SIGSEGV
    assert [file.name for file in (jobs.folder / "crash").iterdir()] == ["Z_to_mu_mu_2026_gen_000120.root"]
    assert jobs.run("crash", "gen.py", *crash, *event_range(140, 20), POMS_ROUND="1").returncode == 0


# --- Reconstruction ----------------------------------------------------------------------------------------


def test_reconstruction_keeps_event_numbers_and_accepts_a_third(jobs, generated, reconstructed):
    for before, after in zip(generated, reconstructed, strict=True):
        numbers = column(after, "event")
        assert set(numbers) <= set(column(before, "event"))
        assert 0.25 * EVENTS < len(numbers) < 0.5 * EVENTS
    for name in ("plus", "minus"):
        assert column(reconstructed[0], f"{name}_pt").min() > 20
        assert np.abs(column(reconstructed[0], f"{name}_eta")).max() < 2.4
    assert [entry["parents"] for entry in outputs_of(jobs.folder / "reco")] == [[file.name] for file in generated]


def test_reconstruction_of_the_same_input_gives_the_same_output(jobs, generated, reconstructed):
    done = jobs.run("reco_again", "reco.py", *jobs.stage_in("reco_again", *generated))
    assert done.returncode == 0, done.stderr
    compared = jobs.run("compare", "same_events.py", *(str(jobs.folder / name) for name in ("reco", "reco_again")))
    # Both sandboxes hold the inputs as well.
    events = len(FIRST) * EVENTS + sum(len(column(file, "event")) for file in reconstructed)
    assert compared.stdout == f"same: {events} events in {2 * len(FIRST)} files\n"
    assert compared.returncode == 0


def test_a_damaged_input_is_exit_code_65_once_and_its_original_stays_whole(jobs, generated):
    original = generated[1].read_bytes()
    link = jobs.sandbox("damaged") / generated[1].name
    link.symlink_to(generated[1])
    arguments = ["--corrupt-once", "1", *files_as_units((link,))]
    done = jobs.run("damaged", "reco.py", *arguments, POMS_ROUND="0")
    assert done.returncode == 65
    assert re.search(rf"reco: {link.name} (cannot be read|is damaged)", done.stderr)
    assert not (jobs.folder / "damaged" / "outputs.json").exists()
    assert generated[1].read_bytes() == original
    shutil.copy(generated[1], link)
    assert jobs.run("damaged", "reco.py", *arguments, POMS_ROUND="1").returncode == 0


def test_events_that_do_not_have_their_checksum_are_refused(module, generated, tmp_path):
    """Damage that ROOT does not see: a file whose events are readable, but not the ones that were written."""
    eventfile = module("eventfile")
    columns, metadata = eventfile.read_events(generated[0])
    eventfile.write_events(tmp_path / "whole.root", columns, metadata)
    assert eventfile.read_events(tmp_path / "whole.root")[1]["checksum"] == metadata["checksum"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eventfile, "checksum", lambda _: metadata["checksum"])
        eventfile.write_events(tmp_path / "forged.root", {**columns, "weight": columns["weight"] * 2}, metadata)
    with pytest.raises(eventfile.DamagedFileError, match="do not have the checksum"):
        eventfile.read_events(tmp_path / "forged.root")


def test_the_hungry_unit_really_uses_the_memory_in_every_round(jobs, generated):
    arguments = ["--hungry", "2", "--hungry-mb", "250", *jobs.stage_in("hungry", generated[2])]
    assert peak_mb(jobs, "hungry", *arguments, POMS_ROUND="1") > 250
    calm = ["--hungry", "2", "--hungry-mb", "250", *jobs.stage_in("calm", generated[1])]
    assert peak_mb(jobs, "calm", *calm) < 200


# The kernel's `ru_maxrss` of a child counts what its parent held when it forked; the high-water mark of the
# process itself does not.
MEASURED = """
import atexit, pathlib, runpy, sys
atexit.register(lambda: pathlib.Path("status").write_text(pathlib.Path("/proc/self/status").read_text()))
sys.argv = sys.argv[1:]
sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def peak_mb(jobs: Jobs, sandbox: str, *arguments: str, **environment: str) -> float:
    where = jobs.sandbox(sandbox)
    subprocess.run(
        [sys.executable, "-c", MEASURED, str(DIMUON / "reco.py"), *arguments],
        cwd=where,
        env={**jobs.environment, **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (mark,) = re.findall(r"^VmHWM:\s+(\d+) kB$", (where / "status").read_text(), re.MULTILINE)
    return int(mark) / 1024


# --- Merge -------------------------------------------------------------------------------------------------


def test_the_merged_sample_has_its_peak_at_the_z_mass(jobs, reconstructed):
    done = jobs.run("merge", "merge.py", *jobs.stage_in("merge", *reconstructed))
    assert done.returncode == 0, done.stderr
    where, stem = jobs.folder / "merge", "Z_to_mu_mu_2026_zpeak"
    result = json.loads((where / f"{stem}.json").read_text())
    assert abs(result["z_mass_gev"] - 91.19) < 0.5
    assert 0 < result["z_mass_err_gev"] < 0.15
    assert 0.5 < result["sigma_gev"] < 1.6
    assert result["chi2_per_ndf"] < 1.7
    assert result["duplicates"] == 0
    assert result["generated_events"] == len(FIRST) * EVENTS
    assert result["n_events"] == sum(len(column(file, "event")) for file in reconstructed)
    counts = histogram(where / f"{stem}.root", "dimuon_mass")
    assert 0.95 * result["n_events"] < counts.sum() <= result["n_events"]
    assert (where / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    assert (where / f"{stem}.png").stat().st_size > 30_000
    outputs = outputs_of(where)
    assert {entry["name"] for entry in outputs} == {f"{stem}{ending}" for ending in (".root", ".json", ".png")}
    assert all(entry["parents"] == [file.name for file in reconstructed] for entry in outputs)
    assert list(jobs.home.iterdir()) == [], "jobs write nothing to the home folder"


def test_an_event_in_two_files_fails_the_merge(module, reconstructed, tmp_path):
    merge = module("merge")
    copy = tmp_path / "another_name.root"
    shutil.copy(reconstructed[0], copy)
    with pytest.raises(merge.MergeError, match=f"^{EVENTS} events are in the sample twice"):
        merge.summary(*merge.join([*reconstructed, copy]))


def test_too_few_pairs_for_a_fit_are_said_so(module):
    zpeak = module("zpeak")
    with pytest.raises(zpeak.FitError, match=r"only 50 muon pairs .* too few to fit"):
        zpeak.fit(np.full(50, 91.0))


def test_the_fit_finds_a_mass_that_was_put_in_with_the_right_error(module):
    """Without background, too, where the fit runs against the end of a parameter's range."""
    zpeak = module("zpeak")
    random = np.random.default_rng(7)
    shape = zpeak.signal_shape(90.6, 1.1)
    pulls = []
    for _ in range(9):
        masses = random.choice(zpeak._MASS, size=1000, p=shape / shape.sum())
        fitted = zpeak.fit(masses + random.uniform(-0.025, 0.025, 1000))
        pulls.append(abs(fitted.values["mass"] - 90.6) / fitted.errors["mass"])
    assert sum(pull > 2 for pull in pulls) <= 2
    assert max(pulls) < 4


# --- Comparison --------------------------------------------------------------------------------------------


def test_folders_that_differ_by_a_file_or_by_a_value_are_different(module, generated, tmp_path):
    eventfile, differences = module("eventfile"), module("same_events").differences
    original, less, changed = (tmp_path / name for name in ("original", "less", "changed"))
    for folder in (original, less, changed):
        folder.mkdir()
        shutil.copy(generated[1], folder)
    shutil.copy(generated[0], original)
    columns, metadata = eventfile.read_events(generated[0])
    weight = columns["weight"].to_numpy().copy()
    weight[41] *= 1.0000001
    eventfile.write_events(changed / "renamed.root", {**columns, "weight": weight}, metadata)
    assert differences(original, less)[0] == [f"gen from event 0: only in {original}"]
    assert differences(original, changed)[0] == ["gen from event 0: weight differs in 1 events, first in event 41"]


def test_there_is_nothing_to_compare_in_folders_without_events(module, monkeypatch, tmp_path):
    main = module("same_events").main
    for other in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setattr("sys.argv", ["same_events.py", str(tmp_path), str(other)])
        assert main() == 2


# --- Submission --------------------------------------------------------------------------------------------


@pytest.fixture
def launch(launch_of):
    """A function that launches, in a folder of its own, a copy of the example under a path with a blank."""
    return launch_of(DIMUON, "dimuon_submit")


def plan(*units: dict, **changes: object) -> dict:
    return {
        "uuid": "11111111-2222-3333-4444-555555555555",
        "experiment": "demo",
        "campaign": "dimuon",
        "stage": "gen",
        "round": 1,
        "memory_mb": 600,
        "wall_s": 300,
        "output_dir": "/some where/out",
        "output_patterns": ["*.root"],
        "jobs": [{"index": index, "units": [unit]} for index, unit in enumerate(units)],
        **changes,
    }


GEN_UNITS = tuple({"key": f"events:{first}", "first_event": first, "events": EVENTS, "seed": SEED} for first in FIRST)
FILE_UNIT = {"key": "file:a.root", "file": "a.root", "path": "/some where/a.root", "events": 1000}


def test_submitting_makes_one_batch_job_of_each_entry(launch):
    done = launch(plan(*GEN_UNITS), "--stage", "gen", "--crash-once", "7")
    assert done.returncode == 0, done.stderr
    assert "3 jobs with 3 units" in done.stdout
    assert "12.0@local, 12.1@local, 12.2@local" in done.stdout
    record = json.loads(launch.record.read_text())
    assert record["argv"] == ["submit", "--spool", str(launch.spool)]
    document = record["document"]
    assert document["uuid"] == "11111111-2222-3333-4444-555555555555"
    assert document["attributes"] == {"experiment": "demo", "campaign": "dimuon", "stage": "gen", "round": 1}
    assert [job["index"] for job in document["jobs"]] == [0, 1, 2]
    assert [job["units"] for job in document["jobs"]] == [[unit["key"]] for unit in GEN_UNITS]
    job = document["jobs"][1]
    assert job["argv"][:3] == [sys.executable, "-s", str(launch.example / "gen.py")]
    assert job["argv"][3:7] == ["--campaign", "dimuon", "--crash-once", "7"]
    assert json.loads(job["argv"][-1]) == GEN_UNITS[1]
    assert (job["memory_mb"], job["wall_s"], job["output_dir"]) == (600, 300, "/some where/out")
    assert job["output_patterns"] == ["*.root"]
    assert job["env"]["POMS_ROUND"] == "1"
    assert job["env"]["POMS_SUBMISSION_ID"] == document["uuid"]
    assert "POMS_LOCAL_SPOOL" not in job["env"], "a job has no business with the spool"
    assert all(isinstance(value, str) for value in job["env"].values())


def test_input_files_are_staged_in_and_faults_go_to_the_stage_they_are_for(launch):
    faults = ("--hungry", "12", "--hungry-mb", "400", "--corrupt-once", "3", "--crash-once", "7")
    assert launch(plan(FILE_UNIT, stage="reco"), "--stage", "reco", *faults).returncode == 0
    (job,) = json.loads(launch.record.read_text())["document"]["jobs"]
    assert job["inputs"] == [{"name": "a.root", "path": "/some where/a.root"}]
    assert job["argv"][5:-2] == ["--hungry", "12", "--hungry-mb", "400", "--corrupt-once", "3"]
    assert json.loads(job["argv"][-1])["file"] == "a.root"


@pytest.mark.parametrize(
    ("given", "stage", "changes", "said"),
    [
        (None, "gen", {}, "There is no jobs.json in"),
        (plan(*GEN_UNITS), "gen", {"POMS_LOCAL_SPOOL": None}, "POMS_LOCAL_SPOOL is not set"),
        (plan(*GEN_UNITS), "gen", {"POMS_LOCAL_SUBMIT": None}, "POMS_LOCAL_SUBMIT is not set"),
        (plan(*GEN_UNITS), "gen", {"POMS_PYTHON": None}, "POMS_PYTHON is not set"),
        (plan(*GEN_UNITS), "gen", {"POMS_PYTHON": "/nowhere/python"}, "did not run"),
        (plan(*GEN_UNITS), "gen", {"POMS_SUBMISSION_ID": "another"}, "but this launch is of another"),
        (plan(*GEN_UNITS), "reco", {}, "it cannot be one of stage reco"),
        (plan(*GEN_UNITS), "gen", {"FAKE_REFUSES": "1"}, "the spool is full"),
        (plan(), "gen", {}, "says nothing about jobs"),
    ],
)
def test_a_submission_that_cannot_be_made_fails_with_a_sentence(launch, given, stage, changes, said):
    done = launch(given, "--stage", stage, **changes)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_stage_is_a_wrong_call(launch):
    done = launch(plan(*GEN_UNITS), "--stage", "rekonstruct")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


# --- Definition and batch system ---------------------------------------------------------------------------


def test_the_definition_is_complete_and_its_faults_hit_existing_units():
    parsed = definition.parse((DIMUON / "dimuon.ini").read_text())
    assert parsed.errors == []
    assert parsed.warnings == []
    assert definition.check(parsed.definition) == []
    gen, reco, merge = parsed.definition.stages
    units = gen.events // gen.events_per_job
    faults = {key.strip(): int(value) for key, value in (*gen.params, *reco.params) if key != "--stage "}
    numbers = [faults[name] for name in ("--crash-once", "--hungry", "--corrupt-once")]
    assert len(set(numbers)) == 3
    assert max(numbers) < units
    # More than the first limit, and with all that the job needs besides less than the doubled one.
    assert reco.memory_mb < faults["--hungry-mb"] + 50 < 1.7 * reco.memory_mb
    assert merge.completion_pct == 100


def test_jobs_run_in_the_local_batch_system(jobs, launch, tmp_path):
    """One generator job crashes in it, another one delivers; both are told apart by what the log says."""
    out, entry = tmp_path / "out", local_daemon.ENTRY
    (launch.spool / "bytecode").symlink_to(jobs.folder / "bytecode")
    units = [{**unit, "events": 20, "first_event": 20 * number} for number, unit in enumerate(GEN_UNITS[:2])]
    arguments = ("--stage", "gen", "--crash-once", "1")
    done = launch(plan(*units, output_dir=str(out), round=0), *arguments, POMS_LOCAL_SUBMIT=entry, POMS_ROUND="0")
    assert done.returncode == 0, done.stderr
    serve = [sys.executable, entry, "serve", "--spool", str(launch.spool), "--slots", "2", "--end-jobs"]
    daemon = subprocess.Popen(serve)
    try:
        ends: dict[int, dict] = {}
        deadline = time.monotonic() + 60
        while len(ends) < 2 and time.monotonic() < deadline:
            assert daemon.poll() is None
            time.sleep(0.1)
            log = (launch.spool / "log.jsonl").read_text().splitlines()
            ends = {number: event for number, event in enumerate(map(json.loads, log)) if event["event"] == "end"}
    finally:
        daemon.terminate()
        daemon.wait(20)
    assert sorted((end["exit_code"], end["signal"]) for end in ends.values() if end["signal"] is None) == [(0, None)]
    assert [end["signal"] for end in ends.values() if end["signal"] is not None] == [signal.SIGSEGV]
    assert [file.name for file in out.glob("*.root")] == ["dimuon_gen_000000.root"]
    (manifest,) = [json.loads(file.read_text()) for file in out.glob("*.manifest.json")]
    (output,) = manifest["outputs"]
    assert (output["events"], output["metadata"]["seed"], manifest["units"]) == (20, SEED, ["events:0"])
