"""Loop `recall`: bring the files of slices from tape to disk in a rolling window, and say which slices can be launched.

A stage that is split by `stagedfiles` takes a slice only when all its files are on disk: so no slot waits for a tape
robot, and the disk in front of it holds little more than the window. A stage with `recall_times` asks for the next
window at these times only, when the drives are free; one that waits for no disk is ahead of its launches by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from django.db.models import Exists, F, OuterRef, Q

from campaigns import keepup, splitting
from campaigns.models import StageVersion
from core.clock import due, now
from core.crashpoints import crashpoint
from core.loops import careful
from integrations import registry
from integrations.catalogue.base import NOWHERE, ON_DISK, ON_TAPE, RESIDENCE, Catalogue
from integrations.errors import Refused
from submissions.logic import planning
from submissions.models import Prestaging, Slice, Snapshot
from submissions.queries import ahead_of_launch, recalls_by_clock

log = structlog.get_logger()

ASK_AGAIN = timedelta(hours=1)


def recall_some() -> int:
    """Look after every running stage that waits for files on tape; return how many slices came to be on disk."""
    needed = Slice.objects.filter(
        Q(taken_at=None) | Q(batch__state="pending"), snapshot__stage_id=OuterRef("stage_id"),
        snapshot__pass_number=OuterRef("stage__pass_number"), on_disk_at=None,
    )  # fmt: skip
    by_clock = ~Q(recall_times="") & Q(revision__campaign__test=False)
    versions = StageVersion.objects.select_related("stage", "revision__campaign__experiment").filter(
        Q(split__startswith="stagedfiles") | by_clock, revision__campaign__revision_id=F("revision_id"),
        revision__campaign__state__in=("approved", "running"),
    )  # fmt: skip
    ready = 0
    for version in versions.filter(Exists(needed)).order_by("pk"):
        with careful("recall", "stage", version.stage_id):
            ready += recall(version)
    return ready


def recall(version: StageVersion) -> int:
    """Ask where the files of the next slices are, and for those on tape; return how many slices are on disk now.

    Raises integrations.errors.OutsideError: where the catalogue does not answer, nothing is decided.
    """
    split, row = splitting.parse(version.split), _timetable(version)
    may_ask = row is None or (row.next_at is not None and row.next_at <= now())
    if not (split.what.staged or may_ask):
        return 0
    catalogue = registry.catalogue(version.revision.campaign.experiment, version.catalogue)
    if RESIDENCE not in catalogue.can:
        mend = f"cut by nfiles({split.limit}) instead" if split.what.staged else "take recall_times away"
        raise Refused(f"the catalogue does not know what is on disk; {mend}")
    rows = ahead_of_launch(version).filter(on_disk_at=None).order_by("snapshot_id", "number")
    window = list(rows[: version.recall_window])
    names = {part.pk: part.file_names() for part in window}
    where = catalogue.residence([name for own in names.values() for name in own])
    seen = {key: sum(where.get(name) == ON_DISK for name in own) for key, own in names.items()}
    _count(window, seen)
    ready = [key for key, own in names.items() if seen[key] == len(own)]
    rest = [part for part in window if seen[part.pk] < len(names[part.pk])]
    wanted = {part.pk: [name for name in names[part.pk] if where.get(name) == ON_TAPE] for part in rest}
    if row is None:
        _ask(catalogue, rest, wanted)
    elif may_ask and not ready:  # else the window rolls on first, in the next pass, which follows at once
        _asked(version, row, _ask(catalogue, rest, wanted))
    gone = sum(1 for own in names.values() for name in own if where.get(name, NOWHERE) == NOWHERE)
    if gone:
        log.warning("recall.nowhere", stage=version.stage.ref, files=gone)
    if ready:
        Slice.objects.filter(pk__in=ready).update(on_disk_at=due())
        planning.note([version.stage_id])
    return len(ready)


def _count(window: Sequence[Slice], seen: Mapping[int, int]) -> None:
    """Keep how many files of each slice are on disk, for those who wait for it."""
    changed = [part for part in window if part.on_disk != seen[part.pk]]
    for part in changed:
        part.on_disk = seen[part.pk]
    Slice.objects.bulk_update(changed, ["on_disk"])


def _ask(catalogue: Catalogue, parts: Sequence[Slice], wanted: Mapping[int, list[str]]) -> int:
    """Ask for what the slices want from tape, unless it was asked for of late; return for how many files."""
    asking = [part.pk for part in parts if part.asked_at is None or part.asked_at < now() - ASK_AGAIN]
    files = [name for key in asking for name in wanted[key]]
    if files:
        catalogue.recall(files)
        crashpoint("recall.after_ask")
        Slice.objects.filter(pk__in=asking).update(asked_at=now())
    return len(files)


def _timetable(version: StageVersion) -> Prestaging | None:
    """Return when a stage asks next; None where it asks at any time.

    What came due before this revision was approved, or before there was anything to ask for, is not made up for.
    """
    if not recalls_by_clock(version):
        return None
    times = f"{version.recall_times} ({version.schedule_zone})"
    stage, since = version.stage, version.revision.state_since
    frozen = Snapshot.objects.filter(stage=stage, pass_number=stage.pass_number).order_by("pk").last()
    since = max(since, frozen.taken_at) if frozen else since
    row = Prestaging.objects.filter(stage_id=version.stage_id).first()
    if row is None or row.times != times or (row.next_at is not None and row.next_at < since):
        row, _ = Prestaging.objects.update_or_create(
            stage=stage, defaults={"times": times, "next_at": _after(version, since)}
        )
    return row


def _asked(version: StageVersion, row: Prestaging, files: int) -> None:
    """Keep that it asked: once for all the times that have come, if several passed while nobody asked or answered."""
    at = now()
    # Whoever asked at the same time has written the same: to the catalogue, both were one question.
    Prestaging.objects.filter(pk=row.pk, times=row.times, next_at=row.next_at).update(
        next_at=_after(version, at), asked_at=at, files=files
    )
    log.info("recall.asked", stage=version.stage.ref, files=files, nominal=row.next_at)


def _after(version: StageVersion, at: datetime) -> datetime | None:
    return keepup.Span(keepup.read(version.recall_times), keepup.zone(version.schedule_zone)).next(at)
