"""Merge job: joins the reconstructed files, proves that no event is in twice, fits and plots the Z peak."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from eventfile import (
    CONTENT,
    EXIT_DAMAGED_INPUT,
    Columns,
    DamagedFileError,
    campaign_name,
    read_events,
    safe_name,
    say,
    write_output_list,
)
from zpeak import FitError, fit, plot

STAGE = "merge"

HISTOGRAMS = {"mass": (120, 60.0, 120.0), "pt": (100, 0.0, 200.0), "y": (50, -2.5, 2.5)}


class MergeError(Exception):
    """The inputs do not make a sample: an event is in twice."""


def join(files: list[Path]) -> tuple[Columns, list[dict[str, Any]]]:
    """Read all files and return their events in the order of the event number, and each file's metadata.

    Raises DamagedFileError for a file that cannot be read.
    """
    parts, about = [], []
    for count, file in enumerate(files, 1):
        columns, metadata = read_events(file)
        parts.append({name: np.asarray(values) for name, values in columns.items()})
        about.append(metadata)
        say(STAGE, f"read {count} of {len(files)}: {file.name}, {len(parts[-1]['event'])} candidates")
    events = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(events["event"], kind="stable")
    events = {name: values[order] for name, values in events.items()}
    return events, about


def duplicates(numbers: np.ndarray, about: list[dict[str, Any]]) -> int:
    """Return how many events are there more than once.

    Counted are the candidates and, as not every event becomes one, the ranges the files were generated for.
    """
    ranges = sorted((metadata["first_event"], metadata["first_event"] + metadata["events"]) for metadata in about)
    overlap, reached = 0, -1
    for first, end in ranges:
        overlap += max(0, min(reached, end) - first)
        reached = max(reached, end)
    return max(overlap, len(numbers) - len(np.unique(numbers)))


def summary(events: Columns, about: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the sample is: events generated, candidates, cross section (pb) and luminosity (1/pb).

    Raises MergeError when an event is in it twice.
    """
    repeated = duplicates(events["event"], about)
    if repeated:
        raise MergeError(f"{repeated} events are in the sample twice: a unit of work was done or merged twice")
    generated = sum(metadata["events"] for metadata in about)
    cross_section = sum(metadata["cross_section_pb"] * metadata["events"] for metadata in about) / generated
    return {
        "files": len(about),
        "generated_events": generated,
        "n_events": len(events["event"]),
        "duplicates": repeated,
        "first_event": min(metadata["first_event"] for metadata in about),
        "end_event": max(metadata["first_event"] + metadata["events"] for metadata in about),
        "seeds": sorted({metadata["seed"] for metadata in about}),
        "generator": f"{about[0]['generator']} {about[0]['generator_version']}",
        "cross_section_pb": cross_section,
        "luminosity_inverse_pb": generated / cross_section,
    }


def merge(units: list[dict[str, Any]], campaign: str) -> list[dict[str, Any]]:
    """Merge the files of the units into result, histograms and plot; returns the list of outputs."""
    files = [Path(unit["file"]) for unit in units]
    events, about = join(files)
    sample = summary(events, about)
    say(STAGE, f"{sample['n_events']} candidates from {sample['generated_events']} events, no event twice")
    fitted = fit(events["mass"])
    result = {
        **sample,
        "z_mass_gev": fitted.values["mass"],
        "z_mass_err_gev": fitted.errors["mass"],
        "sigma_gev": fitted.values["sigma"],
        "sigma_err_gev": fitted.errors["sigma"],
        "signal_events": fitted.values["signal"],
        "background_events": fitted.values["background"],
        "chi2": fitted.chi2,
        "ndf": fitted.ndf,
        "chi2_per_ndf": fitted.chi2 / fitted.ndf,
    }
    say(
        STAGE,
        f"Z mass {result['z_mass_gev']:.3f} +- {result['z_mass_err_gev']:.3f} GeV, "
        f"resolution {result['sigma_gev']:.2f} GeV, chi2/ndf {fitted.chi2:.1f}/{fitted.ndf}",
    )
    # A second merge job of the campaign (more files than one job takes) must not write the first one's names.
    part = f"_{sample['first_event']:06d}" if sample["first_event"] else ""
    stem = f"{safe_name(campaign)}_zpeak{part}"
    Path(f"{stem}.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    filled = {
        f"dimuon_{name}": np.histogram(events[name], bins=bins, range=(low, high), weights=events["weight"])
        for name, (bins, low, high) in HISTOGRAMS.items()
    }
    with uproot.recreate(f"{stem}.root") as file:
        for name, histogram in filled.items():
            file[name] = histogram
        file["fit_expected"] = (fitted.expected(fitted.edges), fitted.edges)
        file["metadata"] = json.dumps(result, sort_keys=True)
    luminosity = rf"{sample['luminosity_inverse_pb']:.1f} pb$^{{-1}}$"
    plot(fitted, Path(f"{stem}.png"), rf"{sample['generator']}, pp $\sqrt{{s}} = 13.6$ TeV, {luminosity}")
    content = hashlib.sha256(json.dumps(result, sort_keys=True).encode())
    for heights, edges in filled.values():
        content.update(heights.tobytes() + edges.tobytes())
    keys, parents = [unit["key"] for unit in units], [file.name for file in files]
    outputs = [
        {
            "name": f"{stem}{ending}",
            "events": sample["n_events"],
            # The other two have the same bytes each time; ROOT writes the time into its files.
            "metadata": {**result, CONTENT: f"sha256:{content.hexdigest()}"} if ending == ".root" else result,
            "parents": parents,
            "units": keys,
        }
        for ending in (".root", ".json", ".png")
    ]
    say(STAGE, "wrote " + ", ".join(output["name"] for output in outputs))
    return outputs


def main() -> int:
    """Merge the units of this job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unit", action="append", required=True, type=json.loads, help="JSON: key, file")
    parser.add_argument("--campaign", default=campaign_name())
    arguments = parser.parse_args()
    write_output_list(merge(arguments.unit, arguments.campaign))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DamagedFileError as error:
        print(f"{STAGE}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_DAMAGED_INPUT)
    except (MergeError, FitError) as error:
        sys.exit(f"{STAGE}: {error}")
