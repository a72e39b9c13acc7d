"""Reconstruction job: gives generated muons the effects of a detector and pairs them to Z candidates."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from eventfile import (
    CONTENT,
    EXIT_DAMAGED_INPUT,
    MUON_MASS,
    Columns,
    DamagedFileError,
    campaign_name,
    launch_round,
    read_events,
    read_metadata,
    safe_name,
    say,
    unit_number,
    write_events,
    write_output_list,
)

STAGE = "reco"

PT_RESOLUTION = 0.015
PT_SCALE = 0.9995
ANGLE_RESOLUTION = 0.0005
EFFICIENCY = 0.95
ETA_MAX = 2.4
PT_MIN_GEV = 20.0


def reconstruct(events: Columns, seed: int) -> Columns:
    """Return one Z candidate per event that has a reconstructed muon of each charge.

    `events` are the columns of a generator file, `seed` that of the generator; the detector's random numbers
    come from it and the name of the stage: the same input always gives the same output. Momenta in GeV.
    """
    random = np.random.default_rng([seed, zlib.crc32(STAGE.encode())])
    counts = ak.num(events["muon_px"])
    px, py, pz = (ak.to_numpy(ak.flatten(events[f"muon_{name}"])) for name in ("px", "py", "pz"))
    true_pt = np.hypot(px, py)
    size = len(px)
    pt = true_pt * PT_SCALE * (1.0 + PT_RESOLUTION * random.normal(size=size))
    eta = np.arcsinh(pz / true_pt) + ANGLE_RESOLUTION * random.normal(size=size)
    phi = np.arctan2(py, px) + ANGLE_RESOLUTION * random.normal(size=size)
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    found = (random.random(size) < EFFICIENCY) & (np.abs(eta) < ETA_MAX) & (pt > PT_MIN_GEV)
    charge = ak.to_numpy(ak.flatten(events["muon_charge"]))

    muons = ak.unflatten(ak.zip({"pt": pt, "eta": eta, "phi": phi, "charge": charge, "found": found}), counts)
    muons = muons[muons.found]
    plus, minus = hardest(muons[muons.charge > 0]), hardest(muons[muons.charge < 0])
    paired = ~(ak.is_none(plus) | ak.is_none(minus))
    candidates: Columns = {name: ak.to_numpy(events[name][paired]) for name in ("event", "weight", "z_mass")}
    for label, muon in (("plus", plus[paired]), ("minus", minus[paired])):
        for quantity in ("pt", "eta", "phi"):
            candidates[f"{label}_{quantity}"] = ak.to_numpy(ak.drop_none(muon[quantity]))
    return {**candidates, **dimuon(candidates)}


def hardest(muons: ak.Array) -> ak.Array:
    """Return the muon with the highest pT of each event, None where there is none."""
    return ak.firsts(muons[ak.argsort(muons.pt, ascending=False)])


def dimuon(muons: Columns) -> Columns:
    """Return mass and pT (GeV) and rapidity of the pairs."""
    total = np.zeros((4, len(muons["event"])))
    for label in ("plus", "minus"):
        pt, eta, phi = (muons[f"{label}_{quantity}"] for quantity in ("pt", "eta", "phi"))
        momentum = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
        total += np.array([*momentum, np.sqrt((momentum**2).sum(axis=0) + MUON_MASS**2)])
    px, py, pz, energy = total
    return {
        "mass": np.sqrt(energy**2 - px**2 - py**2 - pz**2),
        "pt": np.hypot(px, py),
        "y": np.arctanh(pz / energy),
    }


def damage(path: Path) -> None:
    """Overwrite the middle of an input in the sandbox, as a failed transfer would leave it.

    The file is replaced by a copy of its own first: were it a link, the original must not change.
    """
    copy = path.with_name(path.name + ".damaged")
    shutil.copyfile(path, copy)
    size = copy.stat().st_size
    with copy.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\0" * (size // 2))
    copy.replace(path)


def fill_memory(megabytes: int) -> None:
    """Really use so much memory for a moment, growing a little at a time as a leaking program does."""
    held = []
    for count in range(megabytes):
        held.append(b"\1" * (1 << 20))
        if count % 20 == 0:
            time.sleep(0.01)
    say(STAGE, f"holding {len(held)} MB more")
    time.sleep(0.3)


def process(unit: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Reconstruct one input file, with the faults asked for, and return its entry in the output list.

    Raises DamagedFileError when the input cannot be used.
    """
    source = Path(unit["file"])
    about = read_metadata(source)
    number = unit_number(about["first_event"], about["events"])
    say(STAGE, f"unit {number}: {source.name}, {about['events']} events from {about['first_event']}")
    if arguments.corrupt_once == number and launch_round() == 0:
        damage(source)
        say(STAGE, f"made to happen: {source.name} was damaged on its way here (--corrupt-once)")
    events, about = read_events(source)
    if arguments.hungry == number:
        say(STAGE, f"made to happen: this unit needs {arguments.hungry_mb} MB more than others (--hungry)")
        fill_memory(arguments.hungry_mb)
    candidates = reconstruct(events, about["generator_seed"])
    found = len(candidates["event"])
    say(STAGE, f"{found} Z candidates in {about['events']} events ({found / max(about['events'], 1):.1%})")
    metadata = {
        **{name: value for name, value in about.items() if name not in ("checksum", "settings")},
        "stage": STAGE,
        "candidates": found,
        "pt_resolution": PT_RESOLUTION,
        "pt_scale": PT_SCALE,
        "angle_resolution": ANGLE_RESOLUTION,
        "efficiency": EFFICIENCY,
        "eta_max": ETA_MAX,
        "pt_min_gev": PT_MIN_GEV,
    }
    name = f"{safe_name(arguments.campaign)}_{STAGE}_{about['first_event']:06d}.root"
    metadata[CONTENT] = write_events(Path(name), candidates, metadata)
    say(STAGE, f"wrote {name}")
    return {
        "name": name,
        "events": found,
        "metadata": metadata,
        "parents": [source.name],
        "units": [unit["key"]],
    }


def main() -> int:
    """Reconstruct every unit of this job, one output file for each input file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unit", action="append", required=True, type=json.loads, help="JSON: key, file")
    parser.add_argument("--campaign", default=campaign_name())
    parser.add_argument("--hungry", type=int, metavar="N", help="unit N needs more memory, in every round")
    parser.add_argument("--hungry-mb", type=int, metavar="MB", default=0, help="how much more")
    parser.add_argument("--corrupt-once", type=int, metavar="N", help="unit N's input arrives damaged in round 0")
    arguments = parser.parse_args()
    write_output_list([process(unit, arguments) for unit in arguments.unit])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DamagedFileError as error:
        print(f"{STAGE}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_DAMAGED_INPUT)
