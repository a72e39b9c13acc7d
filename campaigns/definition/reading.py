"""From the text to what it says, with every complaint and its line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from campaigns import command
from campaigns.definition import document
from campaigns.definition.document import Document, Section
from campaigns.definition.model import Definition, EdgeText, JobTypeText, LoginSetupText, Parsed, StageText
from campaigns.definition.values import (
    CAMPAIGN,
    IGNORED,
    JOB_TYPE,
    LOGIN_SETUP,
    NUMBERED,
    SECTIONS,
    STAGE,
    Bad,
    bare_list,
    pairs,
    position,
    words,
)
from core.errors import Problem, nearest

LONGEST_NAME = 100
_REFERENCE = re.compile(r"%\(\w+\)s")
_PLACEHOLDER = re.compile(
    r"\b(override|change|fill|replace)_?(me|this|in)\b|\{\{\s*\w+\s*\}\}|\b(FIXME|TODO|XXX)\b", re.I
)


class Reader:
    """Reads one document, gathering what is wrong with it."""

    def __init__(self, found: Document) -> None:
        self.document = found
        self.errors: list[Problem] = list(found.problems)
        self.malformed: list[Problem] = list(found.problems)
        self.warnings: list[Problem] = []

    def wrong(self, where: str, message: str, line: int | None, hint: str = "") -> None:
        """Note what keeps the definition from being run."""
        self.errors.append(Problem(where, message, hint, line))

    def lacks(self, where: str, message: str, line: int | None, hint: str = "") -> None:
        """Note what keeps the text from being the definition of a campaign at all."""
        self.wrong(where, message, line, hint)
        self.malformed.append(self.errors[-1])

    def warn(self, where: str, message: str, line: int | None, hint: str = "") -> None:
        """Note what is probably not meant so."""
        self.warnings.append(Problem(where, message, hint, line))

    def unknown(self, section: Section, known: Iterable[str]) -> None:
        """Warn of keys that are not known there; they are kept in the text."""
        for key, entry in section.entries.items():
            if key not in known:
                hint = nearest(key, known, "it is kept, and POMS does not use it")
                self.warn(f"{section.title} {key}", "unknown key", entry.line, hint)

    def word(self, section: Section | None, key: str, default: str = "") -> str:
        """Return what a key says, or the default."""
        return section.entries[key].value if section and key in section.entries else default


def parse(text: str, beneath: Mapping[str, str] | None = None) -> Parsed:
    """Read a text; every complaint carries its line. A definition is usable only without errors.

    `beneath` are the experiment's own defaults: keys of a stage, on which those of the campaign stand.
    """
    return parse_document(document.read(text), beneath)


def parse_document(found: Document, beneath: Mapping[str, str] | None = None) -> Parsed:
    """Read a text whose sections have been found."""
    reader = Reader(found)
    campaign = found.section("campaign")
    if campaign is None and not reader.errors:
        reader.lacks("definition", "there is no [campaign] section", None, "begin with [campaign] and name=…")
    if campaign is not None:
        reader.unknown(campaign, CAMPAIGN)
    for section in found.sections:
        if section.kind not in SECTIONS:
            hint = nearest(section.kind, SECTIONS, f"one of {', '.join(SECTIONS)}")
            reader.warn(f"[{section.kind}]", "unknown section", section.line, hint)
    listed = reader.word(campaign, "campaign_stage_list")
    edges = _edges(reader)
    definition = Definition(
        experiment=reader.word(campaign, "experiment"), name=reader.word(campaign, "name"),
        role=reader.word(campaign, "poms_role", "production"), state=reader.word(campaign, "state", "Active"),
        keywords=_keywords(reader, campaign), stages=_stages(reader, listed, beneath or {}),
        edges=tuple(edge for edge in edges if not edge.campaign),
        across=tuple(edge for edge in edges if edge.campaign), job_types=_job_types(reader),
        login_setups=_login_setups(reader),
        positions=_positions(reader),
    )  # fmt: skip
    if campaign is not None and not definition.name:
        reader.lacks("name", "the campaign has no name", campaign.line, "name=… in [campaign]")
    elif len(definition.name) > LONGEST_NAME:
        reader.lacks("name", f"{definition.name[:40]}… is longer than {LONGEST_NAME} characters", None, "shorten it")
    _unfilled(reader)
    return Parsed(definition, reader.errors, reader.warnings, reader.malformed)


def _unfilled(reader: Reader) -> None:
    """Warn of what a template leaves to be filled in and nobody has."""
    for section in reader.document.sections:
        for key, entry in section.entries.items():
            named = section.kind == "campaign" and key == "name"  # a name is taken as it is
            match = _PLACEHOLDER.search(entry.value) or (_REFERENCE.search(entry.value) if named else None)
            if match:
                where = f"{section.title} {key}"
                reader.warn(where, f"{match[0]} looks like a placeholder that nobody filled in", entry.line)


def _keywords(reader: Reader, campaign: Section | None) -> Mapping[str, str]:
    """Return the campaign's own words; real files have them among the defaults, too."""
    found: dict[str, str] = {}
    for section in (reader.document.section("campaign_defaults"), campaign):
        if section is None or "campaign_keywords" not in section.entries:
            continue
        entry = section.entries["campaign_keywords"]
        try:
            found |= words(entry.value)
        except Bad as error:
            reader.wrong(f"{section.title} campaign_keywords", str(error), entry.line, error.hint)
    return found


def _stages(reader: Reader, listed: str, beneath: Mapping[str, str]) -> tuple[StageText, ...]:
    layers: list[dict[str, Any]] = [{STAGE[key][0]: STAGE[key][1](value) for key, value in beneath.items()}]
    for section in reader.document.of("campaign_defaults")[:1]:
        reader.unknown(section, (*STAGE, *IGNORED, "campaign_keywords"))
        layers.append(_values(reader, section))
    stages = {}
    for section in reader.document.of("campaign_stage"):
        if not section.name:
            reader.lacks("campaign_stage", "the stage has no name", section.line, "[campaign_stage gen]")
            continue
        reader.unknown(section, (*STAGE, *IGNORED))
        values = _joined([*layers, _values(reader, section)])
        stages[section.name] = StageText(name=section.name, line=section.line, **values)
    if reader.document.of("campaign") and not stages:
        reader.lacks("campaign_stage", "there is no stage", None, "add a section [campaign_stage gen]")
    named = [name.strip() for name in listed.split(",") if name.strip()]
    for name in named:
        if name not in stages:
            reader.warn("campaign_stage_list", f"names {name}, which has no section", None)
    listed_first = [stages[name] for name in named if name in stages]
    return tuple(dict.fromkeys([*listed_first, *stages.values()]))


def _joined(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what holds of several layers, the lowest first; parameters join where `merge_overrides` says so."""
    values = {name: value for layer in layers for name, value in layer.items()}
    if values.pop("merge_overrides", False):
        values["params"] = tuple(command.overlay(*(layer.get("params", ()) for layer in layers)))
    return values


def _values(reader: Reader, section: Section) -> dict[str, Any]:
    found = {}
    for key, entry in section.entries.items():
        where = f"{section.title} {key}"
        if key == "completion_type" and entry.value == "completed":
            reader.warn(where, "completed is not a word of it", entry.line, "complete")
        elif key in IGNORED:
            reader.warn(where, "this is kept in the text: POMS does not use it yet", entry.line)
        if key in STAGE:
            name, read = STAGE[key]
            try:
                found[name] = read(entry.value)
            except Bad as error:
                reader.wrong(where, str(error), entry.line, error.hint)
    return found


def _edges(reader: Reader) -> tuple[EdgeText, ...]:
    found = []
    for section in reader.document.of("dependencies"):
        for number, entry in numbered(reader, section).items():
            if "campaign_stage" not in entry:
                reader.wrong(section.title, f"campaign_stage_{number} is missing", section.line)
                continue
            upstream, line = entry["campaign_stage"]
            gate, gate_line = entry.get("gate", ("all", line))
            if gate not in ("all", "each") and not re.fullmatch(r"[1-9]\d?%", gate):
                hint = "one of all, each, or a share such as 90%"
                reader.wrong(f"gate_{number}", f"unknown: {gate}", gate_line, hint)
            pattern = entry.get("file_pattern", ("%", line))[0] or "%"
            campaign = entry.get("campaign", ("", line))[0]
            found.append(EdgeText(upstream, section.name, pattern, gate, campaign, line))
    return tuple(found)


def numbered(reader: Reader, section: Section) -> dict[str, dict[str, tuple[str, int]]]:
    """Return the entries of a dependency section by their number: what each key says, and its line."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for key, entry in section.entries.items():
        match = NUMBERED.fullmatch(key)
        if match is None:
            hint = "campaign_stage_1, file_pattern_1, gate_1, campaign_1"
            reader.warn(f"{section.title} {key}", "unknown key", entry.line, hint)
        else:
            found.setdefault(match[2], {})[match[1]] = (entry.value, entry.line)
    return found


def _job_types(reader: Reader) -> tuple[JobTypeText, ...]:
    found = []
    for section in reader.document.of("job_type"):
        reader.unknown(section, JOB_TYPE)
        read: dict[str, tuple[Any, ...]] = {}
        for key, reading in (("parameters", pairs), ("recoveries", bare_list)):
            try:
                read[key] = reading(reader.word(section, key))
            except Bad as error:
                reader.wrong(f"{section.title} {key}", str(error), section.entries[key].line, error.hint)
        if not reader.word(section, "launch_script"):
            hint = "the experiment's own submission command"
            reader.wrong(f"{section.title} launch_script", "is missing", section.line, hint)
        found.append(
            JobTypeText(
                section.name, reader.word(section, "launch_script"), read.get("parameters", ()),
                reader.word(section, "output_file_patterns") or "%", read.get("recoveries", ()), section.line,
            )
        )  # fmt: skip
    return tuple(found)


def _login_setups(reader: Reader) -> tuple[LoginSetupText, ...]:
    found = []
    for section in reader.document.of("login_setup"):
        reader.unknown(section, LOGIN_SETUP)
        said = {key: entry.value for key, entry in section.entries.items() if key in LOGIN_SETUP}
        found.append(LoginSetupText(section.name, line=section.line, **said))
    return tuple(found)


def _positions(reader: Reader) -> Mapping[str, tuple[float, float]]:
    """Return where stages stand in the editor: nxy<i>=["gen", x, y], as POMS writes it."""
    found = {}
    for section in reader.document.of("node_positions"):
        for key, entry in section.entries.items():
            try:
                name, x, y = position(entry.value)
            except Bad as error:
                reader.warn(f"{section.title} {key}", str(error), entry.line, error.hint)
            else:
                found[name] = (x, y)
    return found
