"""The examples of the API's description: for each operation a request that a test really sends, and its answer.

They stand in examples.json. tests/contracts/test_openapi.py sends each of them, and writes the file anew when it is
told to; what an answer looks like is described by its example.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

HOME = Path(__file__).with_name("examples.json")
JSON = "application/json"
# Objects of which the keys are data: counts by state, settings by name. Any other object has the fields that it has.
MAPS = {
    "jobs", "batch_states", "states", "environment", "told", "settings", "tally", "figures", "metadata", "kinds",
    "experiments", "left_out", "recipe",
}  # fmt: skip
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True)
class Example:
    """One request, below /api/v1/, and what it was answered."""

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    status: int = 200
    type: str = JSON
    answer: Any = None

    def document(self) -> dict[str, Any]:
        """Return it as it is kept: without what is as usual."""
        usual = asdict(Example())
        return {name: value for name, value in asdict(self).items() if value != usual[name]}


@cache
def examples() -> dict[str, Example]:
    """Return the examples by operation."""
    return {name: Example(**kept) for name, kept in json.loads(HOME.read_text()).items()} if HOME.exists() else {}


def keep(found: dict[str, Example]) -> None:
    """Write the examples, a line for each part of one."""
    entries = [
        f" {json.dumps(name)}: {{\n"
        + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in kept.items())
        + "\n }"
        for name, kept in ((name, example.document()) for name, example in sorted(found.items()))
    ]
    HOME.write_text("{\n" + ",\n".join(entries) + "\n}\n")
    examples.cache_clear()


def shape(value: Any, name: str = "", *, whole: bool = False) -> dict[str, Any]:
    """Return the schema of what looks like a value; of a `whole` document every field is there."""
    if isinstance(value, dict):
        if name in MAPS:
            return {"type": ["object", "null"], "additionalProperties": _together([*value.values()])}
        fields = {key: shape(inner, key) for key, inner in value.items()}
        if whole:
            return {"type": "object", "properties": fields, "required": sorted(fields)}
        return {"type": ["object", "null"], "properties": fields}
    if isinstance(value, list):
        return {"type": ["array", "null"], "items": _together(value)}
    if isinstance(value, bool):
        return {"type": ["boolean", "null"]}
    if isinstance(value, int | float):
        return {"type": ["number", "null"]}
    if isinstance(value, str):
        moment = {"format": "date-time"} if MOMENT.fullmatch(value) else {}
        return {"type": ["string", "null"], **moment}
    return {}  # nothing was there: it may be anything


def _together(values: list[Any]) -> dict[str, Any]:
    """Return the schema of values of one kind: with the fields of all of them, or of anything where they differ."""
    shapes = [shape(value) for value in values if value is not None]
    if not shapes or any(one["type"] != shapes[0]["type"] for one in shapes):
        return {}
    if "properties" not in shapes[0]:
        return shapes[0]
    return {**shapes[0], "properties": {key: inner for one in shapes for key, inner in one["properties"].items()}}
