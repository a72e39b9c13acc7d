"""Event logs of HTCondor: every real one as the official reader sees it, whole, in pieces, cut and garbled."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from integrations.batch import htcondor_log
from integrations.batch.htcondor_log import Reading, dump, events, follow, load, read

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "condor_logs"
LOGS = sorted(CASES.glob("*")) if CASES.is_dir() else []
needs_cases = pytest.mark.skipif(not LOGS, reason=f"there are no real logs at {CASES}")

# The library's reader, in a process of its own: it ends the process on some of what it cannot read.
OFFICIAL = """
import json, sys, htcondor2
found = []
log = htcondor2.JobEventLog(sys.argv[1])
try:
    for event in log.events(stop_after=0):
        keys = ("ReturnValue", "TerminatedNormally", "TerminatedBySignal", "HoldReason", "HoldReasonCode",
                "HoldReasonSubCode", "Type")
        values = {key: event[key] for key in keys if key in event}
        found.append([int(event.type), event.cluster, event.proc, int(event.timestamp), values])
except Exception as error:
    print(repr(error), file=sys.stderr)
print(json.dumps(found))
"""


def official(path: Path) -> list[list]:
    done = subprocess.run(
        [sys.executable, "-E", "-s", "-c", OFFICIAL, str(path)], capture_output=True, text=True, check=False,
        env={**os.environ, "CONDOR_CONFIG": "/dev/null"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states_of(found: list[list]) -> dict[str, tuple[str, int | None, int | None]]:
    """Fold the official reader's events by the state machine of the reference, written down apart from the code."""
    states: dict[str, tuple[str, int | None, int | None]] = {}
    for number, cluster, proc, _, values in found:
        job = f"{cluster}.{proc}"
        now = states.get(job, ("idle", None, None))
        if now[0] in ("succeeded", "failed", "removed") and number != 0:
            continue
        if number == 5:
            normal = values.get("TerminatedNormally")
            code = values.get("ReturnValue") if normal else None
            now = ("succeeded" if normal and code == 0 else "failed", code, values.get("TerminatedBySignal"))
        elif number == 40:
            now = ({2: "staging_in", 5: "staging_out"}.get(values.get("Type"), now[0]), None, None)
        else:
            word = {1: "processing", 4: "idle", 7: "idle", 24: "idle", 9: "removed", 10: "suspended", 11: "processing",
                    12: "held", 13: "idle"}.get(number, now[0])  # fmt: skip
            now = (word, *now[1:])
        states[job] = now
    return states


def ours(data: bytes) -> tuple[list[tuple[int, int, int]], dict[str, tuple[str, int | None, int | None]]]:
    jobs: dict = {}
    found = []
    for event, _ in events(data):
        follow(jobs, event)
        found.append((event.number, event.cluster, event.proc))
    return found, {name: (seen.state, seen.exit_code, seen.signal) for name, seen in jobs.items()}


@needs_cases
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_states_are_as_the_official_reader_sees_them(path: Path) -> None:
    seen = official(path)
    assert seen, "the official reader sees nothing in it"
    found, states = ours(path.read_bytes())
    assert found == [tuple(entry[:3]) for entry in seen]
    assert states == states_of(seen)


@needs_cases
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_a_log_that_is_cut_is_as_the_official_reader_sees_it(path: Path, tmp_path: Path) -> None:
    """At the end of any event, and anywhere in the last one, which is not told before it is whole."""
    data = path.read_bytes()
    ends = [end for _, end in events(data)]
    throw = random.Random(3)
    for end in throw.sample(ends, min(4, len(ends))):
        cut = tmp_path / "cut"
        cut.write_bytes(data[:end])
        assert ours(data[:end])[1] == states_of(official(cut))
        assert ours(data[: end - 2])[0] == ours(data[:end])[0][:-1]


@needs_cases
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_a_log_that_grows_is_read_as_one_that_is_there(path: Path, tmp_path: Path) -> None:
    data, growing = path.read_bytes(), tmp_path / "growing"
    whole = ours(data)[1]
    growing.write_bytes(b"")
    throw, written, text, told = random.Random(1), 0, {}, {}
    while written < len(data):
        step = throw.randint(1, max(2, len(data) // 7))
        with growing.open("ab") as log:
            log.write(data[written : written + step])
        written += step
        reading = load(json.loads(json.dumps(text)))
        # Without a description nobody's job is told; the fold is what is compared here.
        reading, _ = read(growing, reading)
        # Who has ended and was told is forgotten, so that what comes after the end begins it anew.
        told |= {name: seen.state for name, seen in reading.jobs.items() if told.get(name) not in htcondor_log.ENDED}
        text = dump(reading)
    assert told == {name: state for name, (state, _, _) in whole.items()}


@needs_cases
@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
@pytest.mark.parametrize("seed", range(8))
def test_a_garbled_log_never_stops_the_reader(path: Path, seed: int, tmp_path: Path) -> None:
    throw, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(max(3, len(data) // 300)):
        at = throw.randrange(len(data))
        match throw.randrange(4):
            case 0:
                data[at] = throw.randrange(256)
            case 1:
                del data[at : at + throw.randrange(200)]
            case 2:
                data[at:at] = bytes(throw.randrange(256) for _ in range(throw.randrange(200)))
            case 3:
                data[at:at] = data[: throw.randrange(300)]
        if not data:
            break
    garbled = tmp_path / "garbled"
    garbled.write_bytes(bytes(data))
    reading, _ = read(garbled, Reading())
    assert reading.offset <= len(data)
    again, told = read(garbled, load(dump(reading)))
    assert (again.offset, told) == (reading.offset, [])


HEAD = "{number:03d} ({job}) 2026-11-30 20:00:{second:02d} {text}\n"


def event(number: int, second: int, text: str, *body: str, job: str = "007.000.000") -> str:
    lines = "".join(f"{line}\n" for line in body)
    return HEAD.format(number=number, job=job, second=second, text=text) + lines + "...\n"


ABOUT = event(
    28, 1, "Job ad information event triggered.", "Proc = 0", 'POMS_SUBMISSION_ID = "u-1"', "POMS_JOB_INDEX = 3",
    'JOB_Site = "FNAL"', "EventTypeNumber = 28",
)  # fmt: skip


def test_a_job_is_told_with_uuid_start_end_and_place(tmp_path: Path) -> None:
    log = tmp_path / "EventLog"
    log.write_text(event(0, 0, "Job submitted from host: <x>") + ABOUT)
    reading, told = read(log, Reading())
    assert [(seen.uuid, seen.state, seen.starts, seen.index, seen.site) for seen in told] == [
        ("u-1", "idle", 0, 3, "FNAL")
    ]
    with log.open("a") as more:
        more.write(event(1, 3, "Job executing on host: <x>", "\tSlotName: slot1_2@worker.example.org"))
        more.write(event(4, 5, "Job was evicted.", "\t(0) CPU times", "\tReason: drained"))
    reading, told = read(log, reading)
    assert [(seen.state, seen.starts, seen.node, seen.reason) for seen in told] == [
        ("idle", 1, "worker.example.org", "drained")
    ]
    with log.open("a") as more:
        more.write(event(1, 7, "Job executing on host: <x>"))
        more.write(event(5, 9, "Job terminated.", "\t(1) Normal termination (return value 3)",
                         "\t\tUsr 0 00:01:00, Sys 0 00:00:05  -  Total Remote Usage"))  # fmt: skip
    reading, told = read(log, load(json.loads(json.dumps(dump(reading)))))
    assert [(seen.uuid, seen.state, seen.starts, seen.exit_code, seen.cpu_s) for seen in told] == [
        ("u-1", "failed", 2, 3, 65)
    ]
    assert reading.jobs == {}, "who has ended is forgotten"


def test_a_log_that_was_rotated_is_read_to_its_end_first(tmp_path: Path) -> None:
    log = tmp_path / "EventLog"
    log.write_text(event(0, 0, "Job submitted from host: <x>") + ABOUT)
    reading, _ = read(log, Reading())
    with log.open("a") as more:
        more.write(event(1, 3, "Job executing on host: <x>"))
    log.rename(tmp_path / "EventLog.old")
    log.write_text(event(5, 9, "Job terminated.", "\t(0) Abnormal termination (signal 9)"))
    reading, told = read(log, reading)
    assert [(seen.state, seen.starts, seen.signal) for seen in told] == [("failed", 1, 9)]
    assert reading.offset == log.stat().st_size


def test_a_log_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "EventLog"
    log.write_text((event(0, 0, "Job submitted from host: <x>") + ABOUT) * 3)
    reading, _ = read(log, Reading())
    log.write_text(ABOUT + event(9, 5, "Job was aborted.", "\tvia condor_rm (by user x)"))
    _, told = read(log, reading)
    assert [(seen.state, seen.reason) for seen in told] == [("removed", "via condor_rm (by user x)")]


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing", Reading()) == (Reading(), [])


def test_an_end_is_an_end(tmp_path: Path) -> None:
    log = tmp_path / "EventLog"
    log.write_text(
        ABOUT
        + event(5, 2, "Job terminated.", "\t(1) Normal termination (return value 0)")
        + event(12, 3, "Job was held.")
    )
    assert [seen.state for seen in read(log, Reading())[1]] == ["succeeded"]
    assert htcondor_log.END == b"..."
