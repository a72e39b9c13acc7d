"""The folders of an installation on this host: they are there, can be written, and their disks have room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding
from poms_site.overview import words

LITTLE, ALMOST_NONE = (0.05, 2 * 1024**3), (0.01, 200 * 1024**2)  # a share of the disk, and bytes


def folders() -> Iterator[Finding]:
    """Look at each folder into which this host writes, and once at each disk."""
    seen: set[int] = set()
    named = {
        "POMS_STATE": settings.STATE_DIR, "POMS_LOCAL_LAUNCHES": settings.LOCAL_LAUNCHES,
        "POMS_LOCAL_SPOOL": settings.LOCAL_SPOOL, "POMS_LOCAL_FILES": settings.LOCAL_FILES,
    }  # fmt: skip
    for name, folder in named.items():
        there = _nearest(Path(folder))
        if not os.access(there, os.W_OK | os.X_OK):
            text = f"{name}: this account cannot write into {there}."
            yield Finding("disk", BROKEN, text, f"Give the folder to the account of the workers, or set {name}.")
        elif (device := there.stat().st_dev) not in seen:
            seen.add(device)
            yield judge_disk(name, there, os.statvfs(there))


def judge_disk(name: str, folder: Path, disk: os.statvfs_result) -> Finding:
    """Judge the room of a disk, in bytes and in files; some file systems count no files and say 0 of 0."""
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    room = f"{words.size(free)} of {words.size(size)} free"
    remedy = "Make room: when it is full, launches fail and logs stop."
    if disk.f_files and disk.f_favail < disk.f_files * ALMOST_NONE[0]:
        text = f"The disk of {name} ({folder}) has room for {words.number(disk.f_favail)} more files."
        return Finding("disk", BROKEN, text, remedy)
    for level, (share, least) in ((BROKEN, ALMOST_NONE), (WARNING, LITTLE)):
        if free < min(least, size * share):
            return Finding("disk", level, f"The disk of {name} ({folder}) is almost full: {room}.", remedy)
    return Finding("disk", WELL, f"The disk of {name} ({folder}) has room: {room}.")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there: it is made when it is needed."""
    while not folder.exists():
        folder = folder.parent
    return folder
