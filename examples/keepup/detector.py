"""A pretended detector: writes raw files run after run, with pauses and a late file, and declares each to POMS.

Eight planes of straws see one straight track an event. It knows nothing of schedules or campaigns: it writes a file
with its metadata beside it, and says `poms file declare` until that was done, however long POMS is away.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import records

PLANES = 8
PLANE_DISTANCE_CM = 10.0
RESOLUTION_CM = 0.02
EFFICIENCY = 0.95
LATE_BY = 2  # runs
TRY_AGAIN_SECONDS = 1.0
UNAVAILABLE = 5
"""Exit code of the `poms` command while the service is away."""


class DeclareError(Exception):
    """POMS refuses a file; asking again would not help."""


def readout(runs: int, files: int) -> list[tuple[int, int]]:
    """Return run and number of all files in the order in which they are written.

    The last file of the first run is late: its data were taken in time, but it is written after later runs.
    """
    order = [(run, number) for run in range(1, runs + 1) for number in range(1, files + 1)]
    late = (1, files)
    order.remove(late)
    place = max((index for index, (run, _) in enumerate(order) if run <= 1 + LATE_BY), default=-1)
    return [*order[: place + 1], late, *order[place + 1 :]]


def events_of(seed: int, run: int, number: int, events: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a file: number in the run, and hits as (plane, position in cm) of one straight track.

    The same seed, run and file always give the same events.
    """
    dice = random.Random(f"{seed}/{run}/{number}")
    for event in range((number - 1) * events, number * events):
        place, slope = dice.uniform(-20, 20), dice.gauss(0, 0.1)
        hits = [
            (plane, round(dice.gauss(place + slope * plane * PLANE_DISTANCE_CM, RESOLUTION_CM), 4))
            for plane in range(PLANES)
            if dice.random() < EFFICIENCY
        ]
        yield {"event": event, "hits": hits}


@dataclass(frozen=True)
class Detector:
    """A detector that writes into a folder; the seed decides what it sees."""

    name: str
    folder: Path
    seed: int
    events: int  # of a file

    def write(self, run: int, number: int, taken: datetime) -> Path:
        """Write a raw file and its metadata in SAM's form, the metadata first; return where the file is.

        taken: when its data ended, which may be long ago.
        """
        path = self.folder / f"{self.name}_{run:04d}_{number:02d}.raw"
        about = {"detector": self.name, "run": run, "file": number, "events": self.events}
        unnamed = self.folder / f".{path.name}"
        checksum = records.write(unnamed, about, events_of(self.seed, run, number, self.events))
        metadata = {
            "file_name": path.name,
            "file_size": unnamed.stat().st_size,
            "file_type": "data",
            "data_tier": "raw",
            "checksum": [checksum],
            "event_count": self.events,
            "runs": [[run, number, "physics"]],
            "start_time": (taken - timedelta(seconds=1)).isoformat(),
            "end_time": taken.isoformat(),
            "Detector.Name": self.name,
        }
        records.replace(path.with_name(f"{path.name}.json"), json.dumps(metadata, indent=1, sort_keys=True) + "\n")
        unnamed.replace(path)
        return path


class Declarations:
    """Files that POMS is to know of, in the order in which they came: tried together, again and again until it does."""

    def __init__(self, command: list[str]) -> None:
        """Declare by this command, to which the paths are added."""
        self.command = command
        self.waiting: list[Path] = []
        self.tries = 0
        self._trying: list[Path] = []
        self._child: subprocess.Popen[str] | None = None
        self._not_before = 0.0

    def step(self) -> None:
        """Look what became of the last try, and begin the next one; never waits. Raises DeclareError."""
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return
            _, said = self._child.communicate()
            self._child = None
            if code == 0:
                say(f"declared {', '.join(path.name for path in self._trying)}")
                self.waiting = [path for path in self.waiting if path not in self._trying]
            elif code == UNAVAILABLE:
                say(f"POMS is away; {len(self.waiting)} files wait to be declared")
                self._not_before = time.monotonic() + TRY_AGAIN_SECONDS
            else:
                raise DeclareError(said.strip() or f"{self.command[0]} ended with {code}")
        if self.waiting and time.monotonic() >= self._not_before:
            self._trying = list(self.waiting)
            self.tries += 1
            argv = [*self.command, *map(str, self._trying)]
            environment = {**os.environ, "POMS_RETRY_SECONDS": "0"}
            self._child = subprocess.Popen(
                argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
            )

    def attend(self, seconds: float) -> None:
        """Go on for so many seconds."""
        until = time.monotonic() + seconds
        while True:
            self.step()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.1, left))


def say(text: str) -> None:
    """Print one line at once, for the person on shift."""
    print(text, flush=True)


def take_data(arguments: argparse.Namespace, declarations: Declarations) -> None:
    """Write all runs, with pauses between them, declaring meanwhile; ends when POMS knows every file."""
    detector = Detector(arguments.name, arguments.out, arguments.seed, arguments.events)
    taken: dict[int, datetime] = {}
    current = 0
    for run, number in readout(arguments.runs, arguments.files):
        if run > current:
            if current:
                declarations.attend(arguments.pause)
            current = run
            say(f"run {run} begins")
        late = run < current
        begun = taken.setdefault(run, datetime.now(UTC))
        path = detector.write(run, number, begun if late else datetime.now(UTC))
        say(f"wrote {path.name}" + (f", which belongs to run {run} and is late" if late else ""))
        declarations.waiting.append(path)
        declarations.attend(arguments.period)
    until = time.monotonic() + arguments.patience
    while declarations.waiting:
        if time.monotonic() > until:
            raise DeclareError(f"{len(declarations.waiting)} files could not be declared in {arguments.patience:g} s")
        declarations.attend(0.2)
    say("the data taking is over; POMS knows every file")


def main() -> int:
    """Take data; 0 when POMS knows every file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the raw files")
    parser.add_argument("--name", default="straws", help="of the detector, with which its files begin")
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--poms", default="poms", help="the poms command; address and token are in its environment")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--files", type=int, default=3, help="of a run")
    parser.add_argument("--events", type=int, default=200, help="of a file")
    parser.add_argument("--period", type=float, default=2.0, help="seconds from file to file")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between runs")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to go on declaring at the end")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = [arguments.poms, "file", "declare", "--experiment", arguments.experiment]
    try:
        take_data(arguments, Declarations(command))
    except DeclareError as error:
        print(f"detector: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
