"""Print the part of requirements.lock that a server needs: python deploy/runtime_lock.py > runtime.lock.

The lock holds what developers and examples need as well, a browser driver and an event generator among it. Each entry
says for whom it is there (`# via`); what leads up to a dependency of the project itself is kept, word for word, with
its hashes. Standard library only, so that it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent


def normal(name: str) -> str:
    """Return the name of a package as the lock writes it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name.strip(), maxsplit=1)[0]).lower()


def entries(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Return by package its entry of the lock and for whom it is there."""
    found = {}
    for text in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        if text.strip():
            via = re.findall(r"(?m)^    #   (?:via )?(\S+)|^    # via (\S+)", text)
            found[normal(text.partition("==")[0])] = (text, {normal(one or other) for one, other in via})
    return found


def needed(lock: dict[str, tuple[str, set[str]]], wanted: set[str]) -> set[str]:
    """Return what is wanted and everything that is there for it, over any number of steps."""
    found = wanted & set(lock)
    while more := {name for name, (_, via) in lock.items() if via & found} - found:
        found |= more
    return found


def runtime(home: Path = HOME) -> str:
    """Return the lock of a server."""
    project = tomllib.loads((home / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = entries((home / "requirements.lock").read_text(encoding="utf-8"))
    wanted = {normal(line) for line in project["dependencies"]}
    if missing := sorted(wanted - set(lock)):
        raise SystemExit(f"requirements.lock is older than pyproject.toml: {', '.join(missing)}; make lock")
    kept = needed(lock, wanted)
    return "".join(text for name, (text, _) in lock.items() if name in kept)


if __name__ == "__main__":
    sys.stdout.write(runtime())
