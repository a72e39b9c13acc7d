"""The definition as YAML: the same sections and keys as the .ini, with lists and words as YAML has them. Pure.

What cannot be said otherwise stands under `other`, so that nothing is lost but comments and blank lines.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from campaigns.definition import changing, document
from campaigns.definition.document import LONGEST_TEXT, Document, Section
from campaigns.definition.values import EDGE, NUMBERED, Bad, from_json
from core.errors import Problem, Refused

# Keys whose value is JSON in the .ini.
STRUCTURED = ("campaign_keywords", "param_overrides", "test_param_overrides", "parameters", "recoveries")
# Kind of section -> where its sections stand in YAML, by name; the first two have no name.
PLACES = {
    "campaign": "campaign", "campaign_defaults": "defaults", "campaign_stage": "stages", "dependencies": "dependencies",
    "job_type": "job_types", "login_setup": "login_setups", "node_positions": "positions",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Reads plain data; an alias could make a small text endless."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "an alias (*name) is not taken here", event.start_mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Writes plain data; what YAML takes for the end of a line, and PyYAML does not quote, is quoted."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)


def to_yaml(text: str) -> str:
    """Return what a text says as YAML; raises Refused where it is no text of sections and keys."""
    found = document.read(text)
    if found.problems:
        raise Refused("The text cannot be read.", found.problems)
    said: dict[str, Any] = {}
    other: dict[str, dict[str, str]] = {}
    for section in found.sections:
        place = PLACES.get(section.kind)
        plain = section.kind in ("campaign", "campaign_defaults", "node_positions")
        if place is None or plain == bool(section.name):
            other[section.title[1:-1]] = {key: entry.value for key, entry in section.entries.items()}
        elif section.kind == "node_positions":
            said[place] = [_plain("recoveries", entry.value) for entry in section.entries.values()]
        elif section.kind == "dependencies":
            said.setdefault(place, {})[section.name] = _edges(section)
        elif section.name:
            said.setdefault(place, {})[section.name] = _values(section)
        else:
            said[place] = _values(section)
    if other:
        said["other"] = other
    return str(
        yaml.dump(said, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)
    )


def from_yaml(text: str) -> str:
    """Return the .ini of what YAML says; raises Refused with the line where it cannot be read."""
    if len(text) > LONGEST_TEXT:
        raise Refused("The text is too large.", [Problem("definition", f"more than {LONGEST_TEXT} characters")])
    try:
        said = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader, with less
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        problem = Problem("definition", f"this is not YAML: {what}", "", mark.line + 1 if mark else None)
        raise Refused("The definition cannot be read.", [problem]) from error
    except (RecursionError, ValueError) as error:
        raise Refused("The definition cannot be read.", [Problem("definition", "this is not YAML")]) from error
    if not isinstance(said, dict):
        hint = "campaign: {name: …}, stages: {gen: {…}}"
        raise Refused("The definition cannot be read.", [Problem("definition", "expected keys and values", hint)])
    made = ""
    for kind, place in PLACES.items():
        content = said.pop(place, None)
        if content is None:
            continue
        if kind in ("campaign", "campaign_defaults"):
            made = changing.add_section(made, kind, "", _written(_mapping(content, place)))
        elif kind == "node_positions":
            rows = content if isinstance(content, list) else []
            made = changing.add_section(made, kind, "", {f"nxy{n}": _text(row) for n, row in enumerate(rows)})
        else:
            for name, own in _mapping(content, place).items():
                values = _numbered(own) if kind == "dependencies" else _written(_mapping(own, f"{place}.{name}"))
                made = changing.add_section(made, kind, _name(name, place), values)
    for title, own in _mapping(said.pop("other", None) or {}, "other").items():
        kind, _, name = str(title).partition(" ")
        made = changing.add_section(made, kind, name, _written(_mapping(own, f"other.{title}")))
    if said:
        known = ", ".join([*PLACES.values(), "other"])
        raise Refused("The definition cannot be read.", [Problem(str(next(iter(said))), "unknown", f"one of {known}")])
    return made


def _values(section: Section) -> dict[str, Any]:
    return {key: _plain(key, entry.value) for key, entry in section.entries.items()}


def _plain(key: str, value: str) -> Any:
    """Return a value as YAML has it: lists and words where the .ini has JSON, numbers that are written as ever."""
    if key in STRUCTURED:
        try:
            return from_json(value)
        except Bad:
            return value
    if re.fullmatch(r"0|[1-9][0-9]{0,14}", value):
        return int(value)
    return {"True": True, "False": False}.get(value, value)


def _edges(section: Section) -> list[dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for key, entry in section.entries.items():
        match = NUMBERED.fullmatch(key)
        number, word = (match[2], EDGE[match[1]]) if match else ("", key)
        rows.setdefault(number, {})[word] = entry.value
    return [{"number": number, **row} if number != str(n) else row for n, (number, row) in enumerate(rows.items(), 1)]


def _numbered(rows: Any) -> dict[str, str]:
    found = {}
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        hint = "[{from: gen, pattern: '%.root'}]"
        raise Refused("The definition cannot be read.", [Problem("dependencies", "expected a list", hint)])
    words = {word: key for key, word in EDGE.items()}
    for n, row in enumerate(rows, 1):
        number = str(row.get("number", n))
        for word, value in row.items():
            if word != "number":
                found[f"{words[word]}_{number}" if word in words and number else str(word)] = _text(value)
    return found


def _written(said: dict[str, Any]) -> dict[str, str]:
    return {str(key): _text(value) for key, value in said.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value) if not isinstance(value, (list, dict)) else _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise Refused("The definition cannot be read.", [Problem("definition", f"no plain value: {error}")]) from error


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused("The definition cannot be read.", [Problem(place, "expected keys and values")])
    return value


def _name(name: Any, place: str) -> str:
    text = str(name)
    if not text.strip() or any(mark in text for mark in "[]\n"):
        raise Refused("The definition cannot be read.", [Problem(place, f"nothing can be called {text[:40]!r}")])
    return text


def same(one: Document, other: Document) -> bool:
    """Tell whether two texts say the same, whatever their comments, blanks and order of sections."""
    return _said(one) == _said(other)


def _said(found: Document) -> dict[tuple[str, str, str], Any]:
    return {(s.kind, s.name, key): _plain(key, e.value) for s in found.sections for key, e in s.entries.items()}
