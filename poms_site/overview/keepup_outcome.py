"""How a keep-up came out: the raw files that a detector left on disk against what is in the reconstructed files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from campaigns.models import Campaign, Schedule
from core.clock import now
from poms_site.overview.outcome import launched_otherwise
from submissions.models import Acceptance, Batch, Output, Submission, Tick

Event = tuple[str, int]  # name of the raw file, number of the event


def keepup_outcome_of(campaign: Campaign, raw: Path) -> dict[str, Any]:
    """Return the demo's figures of a campaign that has kept up with the raw files of a folder.

    Events are compared as they stand in the files, whatever our rows say of them. duplicates: events that are in
    reconstructed files more often than in raw ones, raw files with several accepted results, and submissions that the
    batch system got more than once. lost: raw events that are in no reconstructed file, raw files without an accepted
    result, and launched submissions of which the batch system knows nothing.
    """
    files = sorted(raw.glob("*.raw"))
    outputs = Output.objects.filter(stage__campaign=campaign).order_by("pk")
    taken, found = events_in(files), events_in(map(Path, outputs.values_list("path", flat=True)))
    results = Counter(
        Acceptance.objects.filter(unit__stage__campaign=campaign).values_list("unit__file_name", flat=True)
    )
    doubled, unknown = launched_otherwise(campaign)
    kept_up = [path for path in files if results[path.name] == 1 and _is_whole(path, found)]
    return {
        "campaign": campaign.ref,
        "state": campaign.state,
        "raw_files": len(files),
        "runs": len({_run(path) for path in files}),
        "late": len(late_ones(files)),
        "events": taken.total(),
        "reconstructed": len(kept_up),
        "duplicates": sum((found - taken).values()) + sum(n - 1 for n in results.values()) + doubled,
        "lost": sum((taken - found).values()) + sum(not results[path.name] for path in files) + unknown,
        "batches": Batch.objects.filter(stage__campaign=campaign).count(),
        "submissions": Submission.objects.filter(batch__stage__campaign=campaign).count(),
        **_ticks(campaign),
    }


def events_in(files: Iterable[Path]) -> Counter[Event]:
    """Count the events in raw files and reconstructed files, by the raw file that they belong to."""
    return Counter(event for path in files for event in _events(path))


def late_ones(files: Iterable[Path]) -> list[Path]:
    """Return the raw files that came after files of later runs, by when they were written."""
    late, latest = [], 0
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns):
        run = _run(path)
        if run < latest:
            late.append(path)
        latest = max(latest, run)
    return late


def _ticks(campaign: Campaign) -> dict[str, int]:
    """Count outcomes, and nominal times that came while schedules went on and have none; by the text, not `next_at`."""
    outcomes = Tick.objects.filter(schedule__stage__campaign=campaign)
    without = 0
    for schedule in Schedule.objects.filter(stage__campaign=campaign):
        known = set(outcomes.filter(schedule=schedule).values_list("nominal", flat=True))
        until = schedule.ended_at or now()
        for nominal in schedule.course().after(schedule.since):
            if nominal > until:
                break
            without += nominal not in known
    words = Counter(outcomes.values_list("outcome", flat=True))
    return {
        "ticks": words.total(), "ticks_ran": words["ran"], "ticks_skipped": words["skipped"],
        "ticks_without_outcome": without,
    }  # fmt: skip


def _run(path: Path) -> int:
    with path.open() as file:
        return int(json.loads(file.readline())["run"])


def _is_whole(path: Path, found: Counter[Event]) -> bool:
    return all(found[event] == 1 for event in _events(path))


def _events(path: Path) -> Iterator[Event]:
    """Yield the events of a file of records (examples/keepup/records.py); a raw file does not name another."""
    about, *events = path.read_text().splitlines()[:-1]
    name = json.loads(about).get("raw", path.name)
    for line in events:
        yield name, json.loads(line)["event"]
