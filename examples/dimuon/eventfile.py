"""Event files of the dimuon production (a ROOT tree and what is known about it) and a job's output list."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

TREE = "events"
METADATA = "metadata"
CONTENT = "content_checksum"  # what POMS compares in a reproduction, since ROOT writes the time into its files
MUON = "muon_"
MUON_MASS = 0.1056584

EXIT_DAMAGED_INPUT = 65
"""EX_DATAERR of sysexits.h: the input is there but cannot be used."""

Columns = dict[str, Any]


class DamagedFileError(Exception):
    """An event file cannot be read or does not hold what its metadata says."""


def say(stage: str, text: str) -> None:
    """Print one log line at once, so that a person who follows the log of a running job sees it."""
    print(f"{stage}: {text}", flush=True)


def safe_name(text: str) -> str:
    """Return `text` as the beginning of a file name: letters, digits, dots, hyphens and underscores only."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-") or "campaign"


def checksum(columns: Columns) -> str:
    """Return a SHA-256 over names, types, list lengths and values of the columns, ordered by name.

    Files with the same events have the same checksum, though not the same bytes (ROOT stores the time).
    """
    digest = hashlib.sha256()
    for name in sorted(columns):
        array = ak.Array(columns[name])
        if array.ndim > 1:
            digest.update(ak.to_numpy(ak.num(array)).astype("<i8").tobytes())
            array = ak.flatten(array)
        values = ak.to_numpy(array)
        digest.update(f"{name} {values.dtype.str} {len(values)}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return f"sha256:{digest.hexdigest()}"


def write_events(path: Path, columns: Columns, metadata: dict[str, Any]) -> str:
    """Write the columns as the tree `events`, and as a JSON string the metadata with the columns' checksum; return it.

    A column has one value per event or, when named `muon_…`, one list per event; the lists of one event are
    equally long.
    """
    muons = {
        name.removeprefix(MUON): ak.from_regular(values) for name, values in columns.items() if name.startswith(MUON)
    }
    branches: Columns = {name: values for name, values in columns.items() if not name.startswith(MUON)}
    if muons:
        branches["muon"] = ak.zip(muons)
    with uproot.recreate(path) as file:
        tree = file.mktree(TREE, {name: ak.Array(values).type.content for name, values in branches.items()})
        tree.extend(branches)
        content = checksum(columns)
        file[METADATA] = json.dumps({**metadata, "checksum": content}, sort_keys=True)
    return content


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what the file says about its events; raises DamagedFileError when it cannot be read."""
    try:
        with uproot.open(path) as file:
            return json.loads(str(file[METADATA]))
    except Exception as error:
        raise _damaged(path, error) from error


def read_events(path: Path) -> tuple[Columns, dict[str, Any]]:
    """Return columns and metadata of an event file.

    Raises DamagedFileError when it cannot be read or when the columns do not have the checksum they were
    written with: a damaged file must never become a smaller or slightly different sample.
    """
    metadata = read_metadata(path)
    try:
        with uproot.open(path) as file:
            events = file[TREE].arrays(library="ak")
    except Exception as error:
        raise _damaged(path, error) from error
    columns = {name: events[name] for name in events.fields if name != "nmuon"}
    if checksum(columns) != metadata.get("checksum"):
        raise DamagedFileError(f"{path.name} is damaged: its events do not have the checksum they were written with")
    return columns, metadata


def _damaged(path: Path, error: Exception) -> DamagedFileError:
    """Say which file could not be read and why; a broken file can make the reader raise anything."""
    reason = str(error).strip().splitlines() or [""]
    return DamagedFileError(f"{path.name} cannot be read: {type(error).__name__}: {reason[0]}")


def write_output_list(outputs: list[dict[str, Any]]) -> None:
    """Leave `outputs.json` in the sandbox: for each output its name, events, metadata, parents and units."""
    Path("outputs.json").write_text(json.dumps(outputs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def campaign_name() -> str:
    """Return the campaign name the launch gave (POMS4_CAMPAIGN_NAME), `dimuon` outside a launch."""
    return os.environ.get("POMS4_CAMPAIGN_NAME") or "dimuon"


def launch_round() -> int:
    """Return the round of the batch: 0 at first, 1 and more in a recovery (POMS_ROUND)."""
    return int(os.environ.get("POMS_ROUND") or 0)


def unit_number(first_event: int, events: int) -> int:
    """Return the number of a unit over the whole stage, counted from 0, for units of equal size."""
    return first_event // max(events, 1)
