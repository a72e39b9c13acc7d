"""From a definition that leaves things to the request, and the request, to the definition that runs. Pure.

A template says `dataset_or_split_data=requested` where the request's own input belongs; so with the release, the
memory, the number of events and the campaign's name. Line numbers stay as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import Problem

# key of the text -> the field of the request that it is left to
LEFT = {
    "dataset_or_split_data": "dataset", "software_version": "release", "memory_mb": "memory_mb", "events": "events",
    "name": "title",
}  # fmt: skip
_LINE = re.compile(rf"^(\s*({'|'.join(LEFT)})\s*=\s*)requested\s*$")
LONGEST_NAME = 60
REPORT = "the check report"  # what an operator confirms beside the special requirements


@dataclass(frozen=True)
class Wishes:
    """What a request says of those things; an empty one is not said."""

    title: str = ""
    dataset: str = ""
    release: str = ""
    memory_mb: int | None = None
    events: int | None = None


def leaves_open(text: str) -> list[str]:
    """Return the fields of the request that a definition counts on."""
    found = [match[2] for line in text.splitlines() if (match := _LINE.match(line))]
    return list(dict.fromkeys(LEFT[key] for key in found))


def composed(text: str, wishes: Wishes) -> tuple[str, list[Problem]]:
    """Return the text with the wishes in it, and a problem for each that it counts on and the request lacks."""
    said: Mapping[str, str] = {
        "dataset": wishes.dataset, "release": wishes.release, "title": named(wishes.title),
        "memory_mb": str(wishes.memory_mb or ""), "events": str(wishes.events or ""),
    }  # fmt: skip
    lines, problems = [], []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        match = _LINE.match(line)
        field = LEFT[match[2]] if match else ""
        if match and said[field]:
            lines.append(f"{match[1]}{said[field]}\n")
            continue
        if match:
            what = {"dataset": "what to process", "memory_mb": "the memory"}.get(field, f"the {field}")
            hint = "give dataset, files or query" if field == "dataset" else f"give {field}"
            problems.append(
                Problem(field, f"the definition leaves {what} to the request, which does not say", hint, number)
            )
        lines.append(line)
    return "".join(lines), problems


def named(title: str) -> str:
    """Return a title as the name of a campaign: words of letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:LONGEST_NAME].rstrip("-")


def listed(files: str) -> list[str]:
    """Return the names of a list of files, each once, in their order."""
    return list(dict.fromkeys(name.strip() for name in files.splitlines() if name.strip()))


def list_name(experiment: str, names: Sequence[str]) -> str:
    """Return the name of the dataset that a list of files is kept under: the same list, the same name."""
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    return f"{experiment}-list-{digest[:20]}"


def requirements(special: str) -> list[str]:
    """Return the special requirements, each of which an operator ticks off: one a line."""
    return list(dict.fromkeys(line.strip() for line in special.splitlines() if line.strip()))
