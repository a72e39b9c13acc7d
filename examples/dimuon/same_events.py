"""Compare two production folders by their events, not by file bytes.

Exit code 0: the same; 1: different, and it says where; 2: there is nothing to compare.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from eventfile import TREE, Columns, DamagedFileError, read_events

Part = tuple[str, int]


def productions(folder: Path) -> tuple[dict[Part, Columns], dict[str, Any], list[str]]:
    """Return event files by (stage, first event), histograms by name, and complaints about a folder.

    File names do not matter: a production of another campaign name may well have the same events.
    """
    events: dict[Part, Columns] = {}
    histograms: dict[str, Any] = {}
    wrong = []
    for path in sorted(folder.rglob("*.root")):
        try:
            with uproot.open(path) as file:
                has_events = TREE in file
                if not has_events:
                    histograms.update(
                        {name: file[name].to_numpy() for name in file.keys(cycle=False, filter_classname="TH1*")}
                    )
            if has_events:
                columns, about = read_events(path)
                part = (about["stage"], about["first_event"])
                if part in events:
                    wrong.append(f"{folder}: more than one file of {part[0]} from event {part[1]}, one is {path.name}")
                events[part] = columns
        except (DamagedFileError, OSError, ValueError, KeyError) as error:
            wrong.append(f"{path}: cannot be read ({error})")
    return events, histograms, wrong


def column_differences(one: Columns, other: Columns) -> list[str]:
    """Return what differs between the columns of two event files, one short text each."""
    if set(one) != set(other):
        return [f"columns {sorted(set(one) ^ set(other))} are only in one"]
    if len(one["event"]) != len(other["event"]):
        return [f"{len(one['event'])} events against {len(other['event'])}"]
    found = []
    for name in sorted(one):
        left, right = ak.Array(one[name]), ak.Array(other[name])
        if left.ndim > 1 and not ak.all(ak.num(left) == ak.num(right)):
            found.append(f"{name}: lists of different length")
            continue
        differing = ak.any(left != right, axis=-1) if left.ndim > 1 else left != right
        if ak.any(differing):
            first = int(np.argmax(ak.to_numpy(differing)))
            found.append(f"{name} differs in {int(ak.sum(differing))} events, first in event {one['event'][first]}")
    return found


def differences(one: Path, other: Path) -> tuple[list[str], int, int]:
    """Return all differences between two folders, and how many event files and events the first has."""
    left, left_histograms, found = productions(one)
    right, right_histograms, wrong = productions(other)
    found = found + wrong
    for part in sorted(set(left) | set(right)):
        where = f"{part[0]} from event {part[1]}"
        if part not in left or part not in right:
            found.append(f"{where}: only in {one if part in left else other}")
        else:
            found += [f"{where}: {text}" for text in column_differences(left[part], right[part])]
    for name in sorted(set(left_histograms) | set(right_histograms)):
        if name not in left_histograms or name not in right_histograms:
            found.append(f"histogram {name}: only in {one if name in left_histograms else other}")
        elif not all(map(np.array_equal, left_histograms[name], right_histograms[name])):
            found.append(f"histogram {name}: different contents")
    return found, len(left), sum(len(columns["event"]) for columns in left.values())


def main() -> int:
    """Compare the two folders and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    arguments = parser.parse_args()
    for folder in (arguments.one, arguments.other):
        if not folder.is_dir():
            print(f"There is no folder {folder}.", file=sys.stderr)
            return 2
    found, files, events = differences(arguments.one, arguments.other)
    if not files and not found:
        print("Neither folder has event files.", file=sys.stderr)
        return 2
    for text in found:
        print(text)
    print(f"different: {len(found)} differences" if found else f"same: {events} events in {files} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
