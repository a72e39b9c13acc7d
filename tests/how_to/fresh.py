"""Probe `fresh`: a file of this machine that something outside writes again and again is not older than it may be."""

from __future__ import annotations

from pathlib import Path

from core.clock import now
from integrations.errors import Unavailable
from integrations.probes.base import DOWN, UP, Asked, Look, Setting, read

SETTINGS = (
    Setting("path", "the file, such as /data/transfers/heartbeat"),
    Setting("minutes", "how old it may be", "10", whole=True),
)


class Fresh:
    """Looks at the time of a file's last change."""

    def __init__(self, asked: Asked) -> None:
        """Take the settings; what is wrong with them is refused."""
        found = read(SETTINGS, asked.settings)
        self.path, self.minutes = Path(found["path"]), found["minutes"]

    def look(self, *, was_down: bool) -> Look:
        """Look once. A file that is not there is down; a disk that does not answer is no look at all."""
        try:
            changed = self.path.stat().st_mtime
        except FileNotFoundError:
            return Look(DOWN, f"there is no file {self.path}")
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be looked at: {error.strerror}") from error
        age = round((now().timestamp() - changed) / 60)
        said = f"it was written {age} min ago"
        return Look(UP if age <= self.minutes else DOWN, said, {"minutes": age})


ROW = {
    "fresh": ("a file is written again and again", SETTINGS, Fresh),
}
