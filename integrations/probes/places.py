"""Places: room on a disk of worker or launch host, a launch host itself, a path that scripts need there (P2)."""

from __future__ import annotations

import os
import shlex

from integrations import errors, registry
from integrations.launcher.models import LaunchHost
from integrations.probes.base import DOWN, UNKNOWN, UP, Asked, Look, Setting, read

HOST = Setting("host", "the launch host by its name; empty: the worker's own", "")
DISK = (
    Setting("path", "a folder on the disk"),
    HOST,
    Setting("least_mb", "megabytes that must be free", whole=True),
    Setting("reopen_mb", "megabytes that must be free again; empty: a quarter more", "", whole=True),
)
PATH = (Setting("path", "a file or folder that must be there and can be read"), HOST)
HOST_ONLY = (Setting("host", "the launch host by its name"),)


def _host(asked: Asked, name: str) -> LaunchHost:
    """Return the launch host; several accounts on it are asked by the first."""
    row = LaunchHost.objects.filter(experiment=asked.experiment, name=name, active=True).order_by("pk").first()
    if row is None:
        raise errors.Refused(f"There is no launch host {name}, or it was put away.")
    return row


class HostProbe:
    """A launch host answers a call of the shim."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        self.asked, self.name = asked, read(HOST_ONLY, asked.settings)["host"]

    def look(self, *, was_down: bool) -> Look:
        """Ask its shim for the fate of nothing."""
        launcher = registry.ssh_launcher(_host(self.asked, self.name))
        try:
            launcher.status([NOBODY])
        except errors.OutsideError as error:
            return Look(DOWN, f"{self.name} does not answer: {error}")
        return Look(UP, f"{self.name} answers")


NOBODY = "00000000-0000-0000-0000-000000000000"  # a launch that there never is


class PathProbe:
    """A set-up script or a folder of CVMFS is there and can be read."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        found = read(PATH, asked.settings)
        self.asked, self.path, self.host = asked, found["path"], found["host"]

    def look(self, *, was_down: bool) -> Look:
        """Look once; of a host that does not answer nothing is known."""
        if not self.host:
            try:
                there = os.access(self.path, os.R_OK) and (not os.path.isdir(self.path) or os.listdir(self.path) != [])
            except OSError as error:
                return Look(DOWN, f"{self.path} cannot be read: {error.strerror}")
        else:
            quoted = shlex.quote(self.path)
            there = _holds(_host(self.asked, self.host), f"test -r {quoted} && ls -- {quoted} >/dev/null 2>&1")
        where = f" on {self.host}" if self.host else ""
        return (
            Look(UP, f"{self.path} can be read{where}") if there else Look(DOWN, f"{self.path} cannot be read{where}")
        )


class Disk:
    """A disk has room: launches stop before it is full (F21)."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings."""
        found = read(DISK, asked.settings)
        self.asked, self.path, self.host, self.least = asked, found["path"], found["host"], found["least_mb"]
        self.reopen = found["reopen_mb"] if found["reopen_mb"] is not None else self.least * 5 // 4

    def look(self, *, was_down: bool) -> Look:
        """Look how much is free."""
        if self.host:
            return self._there(was_down=was_down)
        try:
            found = os.statvfs(self.path)
        except OSError as error:
            return Look(UNKNOWN, f"{self.path} cannot be looked at: {error.strerror}")
        free = found.f_bavail * found.f_frsize // 2**20
        least = self.reopen if was_down else self.least
        text = f"{free} MB are free in {self.path}"
        figures = {"free_mb": free, "least_mb": least}
        return Look(UP, text, figures) if free >= least else Look(DOWN, f"{text}, fewer than {least}", figures)

    def _there(self, *, was_down: bool) -> Look:
        least = self.reopen if was_down else self.least
        path = shlex.quote(self.path)
        free = f"$(df -Pm -- {path} | awk 'NR == 2 {{ print $4 }}')"
        enough = _holds(_host(self.asked, self.host), f'test -d {path} && test "{free}" -ge {least}')
        text = f"{least} MB are free in {self.path} on {self.host}"
        return Look(UP, f"at least {text}") if enough else Look(DOWN, f"not even {text}", {"least_mb": least})


def _holds(row: LaunchHost, condition: str) -> bool:
    """Ask a launch host whether a condition of the shell holds: where it does not, no program is found any more."""
    setup = f"if {condition}; then :; else PATH=/nowhere; fi"
    return registry.ssh_launcher(row).present(setup, ["sh"])["sh"]
