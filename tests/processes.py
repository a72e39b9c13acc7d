"""The living processes that name something: what a test started, and whatever that has started since."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def that_name(*words: str | os.PathLike[str]) -> dict[int, str]:
    """Return the command lines, by process id, of all others that have one of the words in theirs or in their environment."""
    sought, found = [os.fsencode(word) for word in words], {}
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            if any(word in command or word in environment for word in sought):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found
