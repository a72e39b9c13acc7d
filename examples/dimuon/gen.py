"""Generator job: Pythia 8 makes pp -> Z/gamma* -> mu mu events for one or several ranges of event numbers."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pythia8mc as pythia8
from eventfile import (
    CONTENT,
    campaign_name,
    launch_round,
    safe_name,
    say,
    unit_number,
    write_events,
    write_output_list,
)

STAGE = "gen"
PYTHIA_SEEDS = 900_000_000
MUON_PDG = 13

SETTINGS = (
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 13600.",
    "WeakSingleBoson:ffbar2gmZ = on",
    "23:onMode = off",
    "23:onIfAny = 13",
    "PhaseSpace:mHatMin = 60.",
    "PhaseSpace:mHatMax = 120.",
    # Initial- and final-state radiation stay on: they make the pT of the Z and the low-mass tail of the peak.
    # The underlying event and hadronisation do not touch the two muons and cost most of the time: off.
    "PartonLevel:ISR = on",
    "PartonLevel:FSR = on",
    "PartonLevel:MPI = off",
    "HadronLevel:all = off",
    "Random:setSeed = on",
    "Print:quiet = on",
)


class GeneratorError(Exception):
    """Pythia refuses to start or to go on."""


def range_seed(seed: int, first_event: int) -> int:
    """Return Pythia's seed (1 to 900,000,000) for the range of events that begins at `first_event`.

    Two ranges of one production never share a seed as long as it has fewer than 900 million events.
    """
    return (seed * 1_000_003 + first_event) % PYTHIA_SEEDS + 1


def generator(seed: int) -> Any:
    """Return an initialised Pythia; raises GeneratorError when it refuses a setting or cannot start."""
    pythia = pythia8.Pythia("", False)
    for setting in (*SETTINGS, f"Random:seed = {seed}"):
        if not pythia.readString(setting):
            raise GeneratorError(f"Pythia does not know the setting {setting!r}")
    if not pythia.init():
        raise GeneratorError("Pythia could not be initialised")
    return pythia


def generate(first_event: int, events: int, seed: int, crash_at: int | None = None) -> tuple[dict, dict]:
    """Generate `events` events numbered from `first_event` and return their columns and metadata.

    A fresh generator per range makes the events depend on the range alone, not on the job they are made in.
    `crash_at` is the number of events after which the process kills itself with SIGSEGV.
    """
    started = time.monotonic()
    pythia = generator(range_seed(seed, first_event))
    say(STAGE, f"Pythia {version(pythia)} ready in {time.monotonic() - started:.1f} s")
    mass, weight = np.empty(events), np.empty(events)
    momenta = np.empty((events, 2, 4))
    pdg = np.empty((events, 2), dtype=np.int32)
    progress_step = max(events // 4, 1)
    started, failures = time.monotonic(), 0
    for number in range(events):
        while not pythia.next():
            failures += 1
            if failures > max(10, events // 10):
                raise GeneratorError(f"Pythia gave up on {failures} events out of {number + failures}")
        record = pythia.event
        mass[number] = record[5].m()
        weight[number] = pythia.infoPython().weight()
        # Line 5 is the Z of the hard process. Radiation copies a particle to a new line when it changes its
        # momentum; the bottom copy is the last one: the Z that decays, the muon that is seen.
        boson = record[record[5].iBotCopyId()]
        for slot, line in enumerate((boson.daughter1(), boson.daughter2())):
            muon = record[record[line].iBotCopyId()]
            momenta[number, slot] = muon.px(), muon.py(), muon.pz(), muon.e()
            pdg[number, slot] = muon.id()
        if number + 1 == crash_at:
            crash(number + 1)
        if (number + 1) % progress_step == 0:
            rate = (number + 1) / max(time.monotonic() - started, 1e-9)
            share = 100 * (number + 1) // events
            say(STAGE, f"{number + 1} of {events} events ({share} %), {rate:.0f} events/s")
    if not (np.sort(pdg, axis=1) == (-MUON_PDG, MUON_PDG)).all():
        raise GeneratorError("an event without exactly one muon of each charge")
    information = pythia.infoPython()
    columns = {
        "event": first_event + np.arange(events, dtype=np.int64),
        "weight": weight,
        "z_mass": mass,
        "muon_px": momenta[:, :, 0],
        "muon_py": momenta[:, :, 1],
        "muon_pz": momenta[:, :, 2],
        "muon_e": momenta[:, :, 3],
        "muon_charge": -np.sign(pdg).astype(np.int32),
        "muon_pdg": pdg,
    }
    metadata = {
        "stage": STAGE,
        "seed": seed,
        "generator_seed": range_seed(seed, first_event),
        "first_event": first_event,
        "events": events,
        "generator": "Pythia",
        "generator_version": version(pythia),
        "settings": list(SETTINGS),
        "cross_section_pb": information.sigmaGen() * 1e9,
        "cross_section_err_pb": information.sigmaErr() * 1e9,
    }
    return columns, metadata


def version(pythia: Any) -> str:
    """Return the release of the generator, such as `8.317`."""
    return f"{pythia.settings.parm('Pythia:versionNumber'):.3f}"


def crash(events: int) -> None:
    """Die as a program with a wild pointer does, after so many events; leaves no core file behind."""
    say(STAGE, f"made to crash after {events} events (--crash-once): segmentation violation follows")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.SIGSEGV)


def main() -> int:
    """Generate every unit of this job, one output file each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--unit", action="append", required=True, type=json.loads, help="JSON: key, first_event, events, seed"
    )
    parser.add_argument("--campaign", default=campaign_name())
    parser.add_argument("--crash-once", type=int, metavar="N", help="unit N dies of SIGSEGV in round 0")
    arguments = parser.parse_args()
    outputs = []
    for unit in arguments.unit:
        first, events, seed = int(unit["first_event"]), int(unit["events"]), int(unit["seed"])
        number = unit_number(first, events)
        say(STAGE, f"unit {number}: events {first} to {first + events - 1}, seed {seed}")
        crashes = arguments.crash_once == number and launch_round() == 0
        columns, metadata = generate(first, events, seed, max(events // 2, 1) if crashes else None)
        name = f"{safe_name(arguments.campaign)}_{STAGE}_{first:06d}.root"
        metadata[CONTENT] = write_events(Path(name), columns, metadata)
        outputs.append({"name": name, "events": events, "metadata": metadata, "parents": [], "units": [unit["key"]]})
        say(STAGE, f"cross section {metadata['cross_section_pb']:.0f} pb, wrote {name}")
    write_output_list(outputs)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (GeneratorError, OSError) as error:
        sys.exit(f"{STAGE}: {error}")
