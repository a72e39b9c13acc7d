"""Changes of a text that leave every other line of it as it was written: what the editor does. Pure.

Each takes a text and returns another one. What cannot be done is refused with what to do, and the text stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from campaigns.definition import document
from campaigns.definition.document import Document, Section
from campaigns.definition.values import EDGE, NUMBERED
from core.errors import Problem, Refused

_NAME = re.compile(r"[^\s,\[\]=:#;%][^\n,\[\]=:#;%]{0,99}")
_POSITION = re.compile(r"nxy\d+")
MOST_AT_ONCE = 200


def set_value(text: str, kind: str, name: str, key: str, value: str | None) -> str:
    """Say something in a section, which is made if there is none; None takes the key away."""
    return set_values(text, {(kind, name, key): value})


def set_values(text: str, changes: Mapping[tuple[str, str, str], str | None]) -> str:
    """Say several things, each by kind and name of its section and its key; the text is read once for all of them."""
    found = document.read(text)
    sections = {(section.kind, section.name): section for section in reversed(found.sections)}
    lines, edits = list(found.lines), []
    missing: dict[tuple[str, str], dict[str, str]] = {}
    fresh: dict[int, list[str]] = {}
    for (kind, name, key), value in changes.items():
        section = sections.get((kind, name))
        entry = section.entries.get(key) if section else None
        if section is None:
            if value is not None:
                missing.setdefault((kind, name), {})[key] = value
        elif entry is None:
            if value is not None:
                fresh.setdefault(_end_of_entries(section), []).extend(_written(key, value, _style(found, section)))
        elif value is None or _flat(value) != entry.value:
            kept = [line for line in lines[entry.first + 1 : entry.end] if line.strip()[:1] in ("#", ";")]
            said = [] if value is None else _written(key, value, _style(found, section, key))
            edits.append((entry.first, entry.end, [*kept, *said]))
    edits += [(at, at, own) for at, own in fresh.items()]
    for first, end, own in sorted(edits, key=lambda edit: edit[:2], reverse=True):
        if first == end:
            _close(lines, first)
        lines[first:end] = own
    text = "".join(lines)
    for (kind, name), values in missing.items():
        text = add_section(text, kind, name, values)
    return text


def add_section(text: str, kind: str, name: str, values: Mapping[str, str], *, after: Section | None = None) -> str:
    """Add a section at the end, or after another one, with a blank line before it."""
    return add_sections(text, [(kind, name, values)], after=after)


def add_sections(
    text: str, sections: Iterable[tuple[str, str, Mapping[str, str]]], *, after: Section | None = None
) -> str:  # fmt: skip
    """Add sections, each by kind, name and values, one after the other."""
    lines = list(document.read(text).lines)
    at = _end_of_entries(after) if after else len(lines)
    _close(lines, at)
    fresh: list[str] = []
    for kind, name, values in sections:
        before = fresh[-1:] or lines[max(0, at - 1) : at]
        if before and before[0].strip():
            fresh.append("\n")
        fresh.append(f"[{kind} {name}]\n" if name else f"[{kind}]\n")
        fresh += [line for key, value in values.items() for line in _written(key, value, "=")]
    lines[at:at] = fresh
    return "".join(lines)


def remove_section(text: str, kind: str, name: str) -> str:
    """Take a section away, with the comments in it; those before its head stay."""
    return remove_sections(text, {(kind, name)})


def remove_sections(text: str, gone: Collection[tuple[str, str]]) -> str:
    """Take sections away, each by kind and name: of those that are there twice the first."""
    found = document.read(text)
    first = {(section.kind, section.name): section for section in reversed(found.sections)}
    lines = list(found.lines)
    for section in sorted((first[key] for key in gone if key in first), key=lambda one: one.first, reverse=True):
        del lines[section.first : _end_of_entries(section)]
        around = lines[max(0, section.first - 1) : section.first + 1]
        if section.first and not any(line.strip() for line in around):
            del lines[section.first - 1]  # one blank line between its neighbours is enough, and none at the end
    return "".join(lines)


# --- Stages ---------------------------------------------------------------------------------------------------


def stage_names(found: Document) -> list[str]:
    """Return the stages in the order of their sections."""
    return [section.name for section in found.of("campaign_stage")]


def add_stage(text: str, name: str, *, like: str = "", parent: str = "", pattern: str = "%") -> str:
    """Add a stage: empty, or with all that another one says; fed by `parent`, if one is named."""
    return _add(text, [name], like, parent, pattern)


def add_stages(text: str, name: str, number: int, *, like: str = "", parent: str = "", pattern: str = "%") -> str:
    """Add several stages called name_0, name_1, …; each like another one, or fed by a parent."""
    if not 1 <= number <= MOST_AT_ONCE:
        problem = Problem("number", f"{number} is not between 1 and {MOST_AT_ONCE}")
        raise Refused("No stage was added.", [problem])
    taken, n = set(stage_names(document.read(text))), 0
    names: list[str] = []
    while len(names) < number:
        if f"{name}_{n}" not in taken:
            names.append(f"{name}_{n}")
        n += 1
    return _add(text, names, like, parent, pattern)


def _add(text: str, names: Sequence[str], like: str, parent: str, pattern: str) -> str:
    found = document.read(text)
    for name in names:
        _refuse_name(found, name)
    model = _stage(found, like) if like else None
    values = {key: entry.value for key, entry in model.entries.items()} if model else {}
    if parent and not model:
        _stage(found, parent)
        values = {"dataset_or_split_data": "from_parent"}
    after = model or _last(found, ("campaign_stage",))
    text = add_sections(text, [("campaign_stage", name, values) for name in names], after=after)
    text = _listed(text, [*_list(found), *names])
    if not parent:
        return text
    fed = {section.name for section in found.of("dependencies")}
    found = document.read(text)
    _stage(found, parent)
    said = {"campaign_stage_1": parent, "file_pattern_1": pattern}
    fresh = [("dependencies", name, said) for name in names if name not in fed]
    after = _last(found, ("dependencies",)) or _last(found, ("campaign_stage",))
    text = add_sections(text, fresh, after=after)
    for name in names:
        if name in fed:  # what was fed before it was there
            text = connect(text, parent, name, pattern=pattern)
    return text


def remove_stages(text: str, names: Iterable[str]) -> str:
    """Take stages away, with the dependencies that begin or end there and their places in the editor."""
    found, gone = document.read(text), dict.fromkeys(names)
    known = set(stage_names(found))
    for name in gone:
        if name not in known:
            _stage(found, name)
    sections = {(kind, name) for kind in ("campaign_stage", "dependencies") for name in gone}
    changes: dict[tuple[str, str, str], str | None] = {}
    for section in found.of("dependencies"):
        numbers = _numbers_of(section, *gone) if section.name not in gone else ()
        keys = {f"{word}_{number}" for number in numbers for word in EDGE}
        if keys and keys >= set(section.entries):
            sections.add(("dependencies", section.name))
        else:
            changes.update({("dependencies", section.name, key): None for key in keys})
    places = _places(found)
    changes.update({("node_positions", "", places[name][0]): None for name in gone if name in places})
    text = remove_sections(set_values(text, changes), sections)
    return _listed(text, [one for one in _list(found) if one not in gone])


def rename_stage(text: str, old: str, new: str) -> str:
    """Give a stage another name, wherever the text names it."""
    if old == new:
        return text
    found = document.read(text)
    _stage(found, old)
    _refuse_name(found, new)
    lines = list(found.lines)
    for section in found.sections:
        if section.kind in ("campaign_stage", "dependencies") and section.name == old:
            lines[section.first] = _renamed_head(lines[section.first], old, new)
        if section.kind == "dependencies":
            for number in _numbers_of(section, old):
                entry = section.entries[f"campaign_stage_{number}"]
                style = _style(found, section, entry.key)
                lines[entry.first : entry.end] = ["".join(_written(entry.key, new, style))]
    text = "".join(lines)
    text = _listed(text, [new if one == old else one for one in _list(found)])
    place = _places(found).get(old)
    if place is not None:
        key, (x, y) = place
        text = set_value(text, "node_positions", "", key, json.dumps([new, x, y], ensure_ascii=False))
    return text


# --- Dependencies ---------------------------------------------------------------------------------------------


def connect(text: str, upstream: str, downstream: str, *, pattern: str = "%", gate: str = "") -> str:
    """Let the outputs of a stage that match a pattern feed another one, or itself."""
    found = document.read(text)
    _stage(found, upstream)
    _stage(found, downstream)
    section = found.section("dependencies", downstream)
    numbers = _numbers(section)
    if any(said == pattern for _, said in _feeds(section, upstream)):
        problem = Problem("pattern", f"{upstream} feeds {downstream} with {pattern} already")
        raise Refused("Nothing was connected.", [problem])
    fresh = max(numbers, default=0) + 1
    values = {f"campaign_stage_{fresh}": upstream, f"file_pattern_{fresh}": pattern}
    if gate:
        values[f"gate_{fresh}"] = gate
    if section is None:
        after = _last(found, ("dependencies",)) or _last(found, ("campaign_stage",))
        return add_section(text, "dependencies", downstream, values, after=after)
    for key, value in values.items():
        text = set_value(text, "dependencies", downstream, key, value)
    return text


def disconnect(text: str, upstream: str, downstream: str, *, pattern: str | None = None) -> str:
    """Take a dependency away: the one with this pattern, or all between the two."""
    section = document.read(text).section("dependencies", downstream)
    gone = [number for number, said in _feeds(section, upstream) if pattern in (None, said)]
    for number in gone:
        text = _drop(text, downstream, number)
    if not gone:
        raise Refused("Nothing was changed.", [Problem("pattern", f"{upstream} does not feed {downstream} so")])
    return text


def change_edge(text: str, upstream: str, downstream: str, pattern: str, values: Mapping[str, str]) -> str:
    """Give a dependency another pattern or gate; `values` may say `pattern` and `gate`."""
    section = document.read(text).section("dependencies", downstream)
    for number, said in _feeds(section, upstream):
        if said == pattern:
            for name, key in (("pattern", "file_pattern"), ("gate", "gate")):
                if name in values:
                    text = set_value(text, "dependencies", downstream, f"{key}_{number}", values[name] or None)
            return text
    raise Refused("Nothing was changed.", [Problem("pattern", f"{upstream} does not feed {downstream} so")])


# --- Places in the editor -------------------------------------------------------------------------------------


def move(text: str, places: Mapping[str, tuple[float, float] | None]) -> str:
    """Keep where stages stand; None forgets it, and the stage is laid out again."""
    found = document.read(text)
    known = _places(found)
    section = found.section("node_positions")
    taken = {int(key[3:]) for key in section.entries if _POSITION.fullmatch(key)} if section else set()
    fresh = max(taken, default=-1) + 1
    changes: dict[tuple[str, str, str], str | None] = {}
    for name, place in places.items():
        if place is None:
            if name in known:
                changes["node_positions", "", known[name][0]] = None
            continue
        if name in known:
            key = known[name][0]
        else:
            key, fresh = f"nxy{fresh}", fresh + 1
        at = json.dumps([name, round(place[0]), round(place[1])], ensure_ascii=False)
        changes["node_positions", "", key] = at
    return set_values(text, changes)


def arrange(text: str) -> str:
    """Forget all places, so that everything is laid out again."""
    return remove_section(text, "node_positions", "")


# --- What they are made of ------------------------------------------------------------------------------------


def _written(key: str, value: str, style: str) -> list[str]:
    """Return the lines of a key; further lines of its value are indented."""
    first, *more = value.split("\n") if value else [""]
    own = [line.strip() for line in more if line.strip()]
    return [f"{key}{style}{first.strip()}\n", *(f"  {line}\n" for line in own)]


def _flat(value: str) -> str:
    return "\n".join(line.strip() for line in value.split("\n") if line.strip())


def _style(found: Document, section: Section, key: str = "") -> str:
    """Return how keys are joined to values there: "=" or " = "."""
    entry = section.entries.get(key) or next(iter(section.entries.values()), None)
    match = re.match(r"\s*[^=:]*?(\s*[=:][ \t]*)", found.lines[entry.first].rstrip("\n")) if entry else None
    return match[1] if match else "="


def _end_of_entries(section: Section) -> int:
    """Return the line after the last key of a section: before the comments that belong to the next one."""
    return max((entry.end for entry in section.entries.values()), default=section.first + 1)


def _close(lines: list[str], at: int) -> None:
    """End the line before this one, which may be the last of the text and have no end."""
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"


def _renamed_head(line: str, old: str, new: str) -> str:
    match = re.match(r"(\s*\[\s*\w+\s+)", line)
    return f"{match[1]}{new}{line[match.end() + len(old) :]}" if match else line


def _stage(found: Document, name: str) -> Section:
    section = found.section("campaign_stage", name)
    if section is None:
        known = ", ".join(stage_names(found)[:20]) or "none"
        raise Refused("Nothing was changed.", [Problem("stage", f"there is no stage {name}", f"there are {known}")])
    return section


def _refuse_name(found: Document, name: str) -> None:
    if not _NAME.fullmatch(name) or name != name.strip():
        hint = "letters, digits, blanks and _ - . are fine"
        raise Refused("Nothing was changed.", [Problem("name", f"no stage can be called {name[:40]!r}", hint)])
    if name in stage_names(found):
        raise Refused("Nothing was changed.", [Problem("name", f"there is a stage {name} already", "choose another")])


def _list(found: Document) -> list[str]:
    """Return the order of the stages as the text lists them; nothing where it lists none."""
    listed = found.value("campaign", "", "campaign_stage_list")
    return [name.strip() for name in listed.split(",") if name.strip()] if listed else []


def _listed(text: str, names: Sequence[str]) -> str:
    """Write the list of stages anew, where the text has one."""
    listed = document.read(text).value("campaign", "", "campaign_stage_list")
    if listed is None:
        return text
    joint = ", " if ", " in listed else ","
    return set_value(text, "campaign", "", "campaign_stage_list", joint.join(names))


def _numbers(section: Section | None) -> list[int]:
    if section is None:
        return []
    found = (NUMBERED.fullmatch(key) for key in section.entries)
    return sorted({int(match[2]) for match in found if match})


def _numbers_of(section: Section, *upstream: str) -> list[str]:
    """Return the numbers under which a section of dependencies names one of these stages, as they are written.

    A stage of another campaign may have the same name: that is another one.
    """
    found, wanted = [], set(upstream)
    for key, entry in section.entries.items():
        match = re.fullmatch(r"campaign_stage_(\d+)", key)
        if match and entry.value in wanted and not _is_said(section, f"campaign_{match[1]}"):
            found.append(match[1])
    return found


def _is_said(section: Section, key: str) -> bool:
    return key in section.entries and bool(section.entries[key].value)


def _feeds(section: Section | None, upstream: str) -> list[tuple[str, str]]:
    """Return how a stage feeds the one of the section: the number of each entry, and its pattern."""
    if section is None:
        return []
    said = {key: entry.value for key, entry in section.entries.items()}
    return [(number, said.get(f"file_pattern_{number}", "%")) for number in _numbers_of(section, upstream)]


def _drop(text: str, downstream: str, number: str) -> str:
    for key in EDGE:
        text = set_value(text, "dependencies", downstream, f"{key}_{number}", None)
    section = document.read(text).section("dependencies", downstream)
    if section is not None and not section.entries:
        text = remove_section(text, "dependencies", downstream)
    return text


def _last(found: Document, kinds: Sequence[str]) -> Section | None:
    rows = [section for section in found.sections if section.kind in kinds]
    return rows[-1] if rows else None


def _places(found: Document) -> dict[str, tuple[str, tuple[float, float]]]:
    """Return under which key each stage's place stands, and the place."""
    section = found.section("node_positions")
    places: dict[str, tuple[str, tuple[float, float]]] = {}
    for key, entry in section.entries.items() if section else ():
        try:
            name, x, y = json.loads(entry.value)
        except (ValueError, TypeError):  # what cannot be read stays as it stands
            continue
        places[str(name)] = (key, (x, y))
    return places
