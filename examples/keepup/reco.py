"""Reconstruction job: fits a straight track to the hits of each event of a raw file."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import records
from detector import PLANE_DISTANCE_CM, RESOLUTION_CM

STAGE = "reco"
FEWEST_HITS = 3
EXIT_DAMAGED_INPUT = 65
"""EX_DATAERR of sysexits.h: the input is there but cannot be used."""


def track(event: int, hits: list[list[float]]) -> dict[str, Any]:
    """Return the least-squares line through the hits: place at the first plane (cm), slope, chi2 and hits.

    Without enough hits there is no line, but the event is there: what goes in comes out.
    """
    found: dict[str, Any] = {"event": event, "hits": len(hits)}
    if len(hits) < FEWEST_HITS:
        return found
    along = [plane * PLANE_DISTANCE_CM for plane, _ in hits]
    across = [position for _, position in hits]
    middle, level = sum(along) / len(hits), sum(across) / len(hits)
    spread = sum((z - middle) ** 2 for z in along)
    slope = sum((z - middle) * (x - level) for z, x in zip(along, across, strict=True)) / spread
    place = level - slope * middle
    chi2 = sum(((x - place - slope * z) / RESOLUTION_CM) ** 2 for z, x in zip(along, across, strict=True))
    return {**found, "place": round(place, 4), "slope": round(slope, 6), "chi2": round(chi2, 2)}


def process(unit: dict[str, Any], campaign: str) -> dict[str, Any]:
    """Reconstruct one raw file and return its entry in the output list; raises records.DamagedFileError."""
    source = Path(unit["file"])
    about, events = records.read(source)
    tracks = [track(event["event"], event["hits"]) for event in events]
    found = sum("place" in entry for entry in tracks)
    name = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', campaign)}_{source.stem}.tracks"
    kept = {"raw": source.name, "run": about["run"], "file": about["file"], "events": len(tracks)}
    records.write(Path(name), kept, tracks)
    print(f"{STAGE}: {source.name}: {found} tracks in {len(tracks)} events", flush=True)
    return {
        "name": name,
        "events": len(tracks),
        "metadata": {"data_tier": "reconstructed", "runs": [[about["run"], about["file"], "physics"]], "tracks": found},
        "parents": [source.name],
        "units": [unit["key"]],
    }


def main() -> int:
    """Reconstruct every unit of this job, one output file for each raw file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unit", action="append", required=True, type=json.loads, help="JSON: key, file")
    parser.add_argument("--campaign", default=os.environ.get("POMS4_CAMPAIGN_NAME") or "keepup")
    arguments = parser.parse_args()
    outputs = [process(unit, arguments.campaign) for unit in arguments.unit]
    records.replace(Path("outputs.json"), json.dumps(outputs, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except records.DamagedFileError as error:
        print(f"{STAGE}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_DAMAGED_INPUT)
