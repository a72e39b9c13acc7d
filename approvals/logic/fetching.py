"""The configuration that fife_launch will read, got from where the request says it is: its package at its tag.

The file that `-c` names is not opened: it lies on the launch host, and what this process may read there is more than
the requester may. Where package and tag are missing, the check says so.
"""

from __future__ import annotations

import time
from pathlib import PurePosixPath

from campaigns import fife_launch
from campaigns.fife_launch import Configuration
from integrations.errors import OutsideError, Unavailable
from integrations.probes import git

SECONDS = 60.0  # somebody waits for the report


def fetch(url: str, tag: str, path: str) -> tuple[Configuration | None, str]:
    """Return the configuration with what it includes, as far as the repository has it, or None and why."""
    end = time.monotonic() + SECONDS
    try:
        with git.at_tag(url, tag) as content:

            def included(name: str) -> str | None:
                if time.monotonic() > end:
                    raise Unavailable(f"what {path} includes was not read within {SECONDS:g} s")
                return next((text for text in map(content, _places(name, path)) if text is not None), None)

            text = content(path)
            return (fife_launch.read(text, included, path), "") if text is not None else (None, f"{tag} has no {path}")
    except OutsideError as error:
        return None, str(error)


def _places(name: str, path: str) -> list[str]:
    """Return where in the repository an included file may be: by its path, and beside the file at `path`."""
    place = PurePosixPath(name)
    inside = [] if place.is_absolute() or ".." in place.parts else [str(place)]
    return [*inside, str(PurePosixPath(path).parent / place.name)] if place.name else []
