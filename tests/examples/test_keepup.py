"""The keep-up example: a detector that never waits for POMS, jobs that lose no event, and the whole demo (live)."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import definition, splitting
from poms_site.overview import keepup_outcome
from tests import processes

HOME = Path(__file__).resolve().parents[2]
KEEPUP = HOME / "examples" / "keepup"

# A poms command that is away for its first calls, then takes what it is given, and writes all of it down. Its second line
# is Python to the shell and a text to Python: the path of Python may have a blank, which a first line cannot.
FAKE_POMS = """#!/bin/sh
''''exec "{python}" "$0" "$@" # '''
import json, os, sys
calls = open({log!r}, "a+")
calls.seek(0)
number = len(calls.readlines())
assert os.environ["POMS_RETRY_SECONDS"] == "0"
paths = sys.argv[5:]
assert all(os.path.exists(path) and os.path.exists(path + ".json") for path in paths)
code = 5 if number < {away} else {code}
print(json.dumps([sys.argv[1:5], paths, code]), file=calls)
if code == 1:
    print("poms: the name is taken", file=sys.stderr)
sys.exit(code)
"""


def load(name: str):
    """Import one of the example's modules, as its scripts do from their own folder."""
    sys.path.insert(0, str(KEEPUP))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(KEEPUP))


records, detector, reco = load("records"), load("detector"), load("reco")


@pytest.fixture
def take(tmp_path):
    """A function that runs the detector against a pretended `poms`; returns how it ended, its calls and its folder."""

    def run(*arguments: str, away: int = 0, code: int = 0):
        poms, log, raw = tmp_path / "a poms", tmp_path / "calls", tmp_path / "raw"
        poms.write_text(FAKE_POMS.format(python=sys.executable, log=str(log), away=away, code=code))
        poms.chmod(0o755)
        argv = [sys.executable, str(KEEPUP / "detector.py"), "--out", str(raw), "--poms", str(poms)]
        argv += ["--events", "5", "--period", "0.05", "--pause", "0.1", *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        return done, [json.loads(line) for line in log.read_text().splitlines()], raw

    return run


# --- Detector -------------------------------------------------------------------------------------------------


@given(runs=st.integers(1, 12), files=st.integers(1, 6))
def test_every_file_is_written_once_and_only_the_last_of_the_first_run_is_late(runs, files):
    order = detector.readout(runs, files)
    assert Counter(order) == Counter((run, number) for run in range(1, runs + 1) for number in range(1, files + 1))
    late = (1, files)
    assert [entry for entry in order if entry != late] == sorted(set(order) - {late})
    assert max(run for run, _ in order[: order.index(late) + 1]) == min(runs, 1 + detector.LATE_BY)


def test_the_seed_decides_the_events_and_numbers_go_on_through_a_run():
    one, again, other = (list(detector.events_of(seed, 2, 3, 10)) for seed in (1, 1, 2))
    assert one == again != other
    assert [event["event"] for event in one] == list(range(20, 30))
    assert one != list(detector.events_of(1, 3, 3, 10))


def test_all_files_are_declared_with_their_metadata_and_the_late_one_belongs_to_its_run(take):
    done, calls, raw = take("--runs", "3", "--files", "2", "--name", "tubes")
    assert (done.returncode, done.stderr) == (0, "")
    assert {tuple(command) for command, _, _ in calls} == {("file", "declare", "--experiment", "demo")}
    declared = Counter(Path(path).name for _, paths, _ in calls for path in paths)
    assert declared == Counter(path.name for path in raw.glob("*.raw"))
    assert len(declared) == 6
    assert {path.suffix for path in raw.iterdir()} == {".raw", ".json"}, "nothing unfinished is left"
    (late,) = keepup_outcome.late_ones(raw.glob("*.raw"))
    assert late.name == "tubes_0001_02.raw"
    metadata = json.loads((raw / f"{late.name}.json").read_text())
    assert (metadata["runs"], metadata["event_count"]) == ([[1, 2, "physics"]], 5)
    assert metadata["file_size"] == late.stat().st_size
    assert metadata["checksum"] == [late.read_text().splitlines()[-1]]
    later = json.loads((raw / "tubes_0002_01.raw.json").read_text())
    assert metadata["end_time"] < later["end_time"], "its data were taken in time"


def test_data_are_taken_while_poms_is_away_and_declared_when_it_is_back(take):
    done, calls, raw = take("--runs", "2", "--files", "2", away=1)
    assert done.returncode == 0, done.stderr
    assert "POMS is away" in done.stdout
    assert len(calls[0][1]) == 1 < len(calls[1][1]), "the files gathered meanwhile"
    good = Counter(path for _, paths, code in calls if code == 0 for path in paths)
    assert good == Counter(str(path) for path in raw.glob("*.raw"))


def test_a_refusal_ends_the_detector_with_what_poms_said(take):
    done, calls, _ = take("--runs", "1", "--files", "1", code=1)
    assert (done.returncode, len(calls)) == (1, 1)
    assert "the name is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_detector_that_cannot_declare_gives_up_and_says_so(take):
    done, _, _ = take("--runs", "1", "--files", "1", "--patience", "0.5", away=100)
    assert done.returncode == 1
    assert "1 files could not be declared" in done.stderr


# --- Files and reconstruction ---------------------------------------------------------------------------------


def test_a_file_that_is_cut_or_changed_is_noticed(tmp_path):
    path = tmp_path / "a.raw"
    records.write(path, {"run": 1}, detector.events_of(1, 1, 1, 3))
    about, events = records.read(path)
    assert (about, len(events)) == ({"run": 1}, 3)
    text = path.read_text()
    for damaged in (text[:-10], text.replace('"event":1', '"event":2'), "".join(text.splitlines(True)[:-2]), ""):
        path.write_text(damaged)
        with pytest.raises(records.DamagedFileError, match=r"a\.raw is damaged"):
            records.read(path)


def test_a_straight_line_is_found_and_an_event_without_hits_is_kept():
    hits = [[plane, 3 + 0.1 * plane * detector.PLANE_DISTANCE_CM] for plane in (0, 2, 5, 7)]
    assert reco.track(9, hits) == {"event": 9, "hits": 4, "place": 3.0, "slope": 0.1, "chi2": 0.0}
    assert reco.track(9, hits[:2]) == {"event": 9, "hits": 2}


def test_tracks_fit_as_well_as_the_straws_measure():
    tracks = [reco.track(event["event"], event["hits"]) for event in detector.events_of(1, 1, 1, 400)]
    assert 0.9 < fmean(entry["chi2"] / (entry["hits"] - 2) for entry in tracks if "chi2" in entry) < 1.1


def run_job(folder: Path, *files: str) -> subprocess.CompletedProcess:
    units = [text for name in files for text in ("--unit", json.dumps({"key": f"file:{name}", "file": name}))]
    argv = [sys.executable, "-s", str(KEEPUP / "reco.py"), "--campaign", "keep up/2026", *units]
    return subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_job_gives_every_event_of_every_file_back(tmp_path):
    source = detector.Detector("straws", tmp_path, 1, 20)
    files = [source.write(run, 1, detector.datetime.now(detector.UTC)) for run in (1, 2)]
    done = run_job(tmp_path, *(path.name for path in files))
    assert done.returncode == 0, done.stderr
    outputs = json.loads((tmp_path / "outputs.json").read_text())
    assert [entry["name"] for entry in outputs] == [f"keep_up_2026_straws_000{run}_01.tracks" for run in (1, 2)]
    assert [(entry["parents"], entry["units"]) for entry in outputs] == [
        ([path.name], [f"file:{path.name}"]) for path in files
    ]
    made = [tmp_path / entry["name"] for entry in outputs]
    assert keepup_outcome.events_in(made) == keepup_outcome.events_in(files)
    assert keepup_outcome.events_in(files).total() == 40


def test_a_damaged_file_fails_its_job_with_a_sentence(tmp_path):
    path = detector.Detector("straws", tmp_path, 1, 20).write(1, 1, detector.datetime.now(detector.UTC))
    path.write_text(path.read_text()[:-100])
    done = run_job(tmp_path, path.name)
    assert (done.returncode, "is damaged" in done.stderr, "Traceback" in done.stderr) == (65, True, False)
    assert not list(tmp_path.glob("*.tracks"))


def test_an_event_that_is_done_twice_or_not_at_all_is_counted(tmp_path):
    raw = detector.Detector("straws", tmp_path, 1, 20).write(1, 1, detector.datetime.now(detector.UTC))
    assert run_job(tmp_path, raw.name).returncode == 0
    (made,) = tmp_path.glob("*.tracks")
    again, part = tmp_path / "again.tracks", tmp_path / "part.tracks"
    again.write_text(made.read_text())
    part.write_text("".join(line for line in made.read_text().splitlines(True) if '"event":7,' not in line))
    taken = keepup_outcome.events_in([raw])
    assert (keepup_outcome.events_in([made, again]) - taken).total() == 20
    assert taken - keepup_outcome.events_in([part]) == Counter({(raw.name, 7): 1})


# --- Campaign -------------------------------------------------------------------------------------------------


def test_the_definition_is_complete_and_cuts_what_a_tick_brings_by_runs():
    parsed = definition.parse((KEEPUP / "keepup.ini").read_text())
    assert (parsed.errors, parsed.warnings) == ([], [])
    assert definition.check(parsed.definition) == []
    (stage,) = parsed.definition.stages
    assert (stage.schedule, stage.catch_up, stage.files_per_job) == ("every 5 s", "last", 1)
    split = splitting.parse(stage.split)
    inputs = [splitting.Input(rank, run=run) for rank, run in enumerate((7, 7, 8, 7))]
    assert [len(part.members) for part in splitting.cut(split, inputs).slices] == [3, 1]


def test_its_submission_makes_a_job_of_each_file(launch_of):
    launch = launch_of(KEEPUP, "keepup_submit")
    units = [
        {"key": f"file:{name}", "file": name, "path": f"/raw data/{name}", "events": 5} for name in ("a.raw", "b.raw")
    ]
    plan = {
        "uuid": "11111111-2222-3333-4444-555555555555", "experiment": "demo", "campaign": "keepup", "stage": "reco",
        "memory_mb": 200, "wall_s": 60, "output_dir": "/out", "output_patterns": ["*.tracks"],
        "jobs": [{"index": index, "units": [unit]} for index, unit in enumerate(units)],
    }  # fmt: skip
    done = launch(plan)
    assert done.returncode == 0, done.stderr
    document = json.loads(launch.record.read_text())["document"]
    assert [job["units"] for job in document["jobs"]] == [["file:a.raw"], ["file:b.raw"]]
    assert document["jobs"][1]["inputs"] == [{"name": "b.raw", "path": "/raw data/b.raw"}]
    assert document["jobs"][0]["argv"][2] == str(launch.example / "reco.py")
    del units[0]["path"]
    refused = launch(plan)
    assert (refused.returncode, "cannot be one of stage reco" in refused.stderr) == (1, True)


# --- All of it ------------------------------------------------------------------------------------------------


@pytest.mark.scale
def test_the_demo_reconstructs_every_file_once_through_a_restart_of_everything(tmp_path):
    state = tmp_path / "with a blank" / "state"
    # The settings of the tests ring no bells.
    ours = ("POMS", "DJANGO", "DATABASE_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "manage.py", "demo_keepup", "--runs", "3", "--seed", "11"],
        cwd=HOME, env={**environment, "POMS_STATE": str(state)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    wanted = {
        "state": "succeeded", "raw_files": 9, "runs": 3, "late": 1, "events": 1800, "reconstructed": 9,
        "duplicates": 0, "lost": 0, "ticks_without_outcome": 0, "restarts": 1,
    }  # fmt: skip
    assert wanted.items() <= outcome.items(), outcome
    assert outcome["ticks"] >= outcome["ticks_ran"] >= 2
    assert "POMS is away" in done.stdout
    time.sleep(1)
    assert processes.that_name(state) == {}
