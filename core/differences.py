"""What an edit changed, as text: a unified diff of each field, kept in the ledger beside the reason. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import unified_diff
from typing import Any

BEGIN = "\n\n--- "


def told(reason: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return a person's reason, followed by a diff of the fields that differ."""
    return f"{reason.strip()}\n\n" + "\n".join(_of_field(name, before[name], after[name]) for name in after)


def parted(text: str) -> tuple[str, list[str]]:
    """Return what `told` has put together: the reason, and the lines of the diff (none for any other text)."""
    reason, begin, rest = text.partition(BEGIN)
    return reason, (begin.lstrip("\n") + rest).splitlines()


def between(old: str, new: str) -> list[str]:
    """Return the lines of a unified diff of two texts, without the names of files above it."""
    return list(unified_diff(old.splitlines(), new.splitlines(), lineterm=""))[2:]


def as_text(value: Any) -> str:
    """Return a field's value as a person reads it: a list with one entry a line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
    return str(value)


def _of_field(name: str, before: Any, after: Any) -> str:
    old, new, ends = as_text(before), as_text(after), (f"{name} before", f"{name} after")
    lines = list(unified_diff(old.splitlines(), new.splitlines(), *ends, lineterm=""))
    if not lines:  # only the end of the last line differs
        lines = list(unified_diff(old.split("\n"), new.split("\n"), *ends, lineterm=""))
    return "\n".join(lines)
