"""The text form of a campaign: the .ini of POMS plus keys of ours; parse, check, dump (design 10). Pure.

Our own keys: events, seed, events_per_job, files_per_job, most_files, memory_mb, memory_factor, wall_s,
recovery_rounds in stages; gate_<i> in dependencies; launcher and batch in login set-ups.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from campaigns import command, graph, splitting
from core.errors import Problem

Pair = tuple[str, str]

LONGEST_TEXT = 256 * 1024
LONGEST_LINE = 8 * 1024
MOST_LINES = 5_000
FROM_PARENT = "from_parent"


@dataclass(frozen=True)
class StageText:
    """One stage as the text defines it, defaults filled in."""

    name: str
    type: str = "regular"
    job_type: str = ""
    login_setup: str = ""
    dataset: str = ""
    split: str = "None"
    software_version: str = ""
    vo_role: str = ""
    params: tuple[Pair, ...] = ()
    test_params: tuple[Pair, ...] = ()
    completion_type: str = "located"
    completion_pct: int = 95
    events: int = 0
    seed: int = 0
    events_per_job: int = 0
    files_per_job: int = 1
    most_files: int = 0
    memory_mb: int = 2000
    memory_factor: float = 2.0
    wall_s: int = 86_400
    recovery_rounds: int = 2
    line: int = 0


@dataclass(frozen=True)
class EdgeText:
    """One dependency: the outputs of `upstream` that match `pattern` feed `downstream`."""

    upstream: str
    downstream: str
    pattern: str = "%"
    gate: str = "all"
    line: int = 0


@dataclass(frozen=True)
class JobTypeText:
    """How one kind of job is run."""

    name: str
    launch_script: str = ""
    parameters: tuple[Pair, ...] = ()
    output_file_patterns: str = "%"
    recoveries: tuple[Any, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class LoginSetupText:
    """Where and how scripts are started."""

    name: str
    host: str = "localhost"
    account: str = ""
    setup: str = ""
    launcher: str = "local"
    batch: str = "local"
    line: int = 0


@dataclass(frozen=True)
class Definition:
    """A whole campaign as text defines it."""

    experiment: str = ""
    name: str = ""
    role: str = "production"
    state: str = "Active"
    keywords: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[StageText, ...] = ()
    edges: tuple[EdgeText, ...] = ()
    job_types: tuple[JobTypeText, ...] = ()
    login_setups: tuple[LoginSetupText, ...] = ()

    @property
    def digest(self) -> str:
        """Return the hash to which an approval belongs: that of the canonical text."""
        return hashlib.sha256(dump(self).encode()).hexdigest()


@dataclass
class Parsed:
    """What a text says, and what is wrong with it."""

    definition: Definition
    errors: list[Problem]
    warnings: list[Problem]


class _Bad(ValueError):
    """A value that cannot be read, with a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


# --- Reading values -------------------------------------------------------------------------------------


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise _Bad(f"expected a whole number, not {text or 'nothing'}") from None
        if not least <= value <= most:
            raise _Bad(f"{value} is not between {least} and {most}")
        return value

    return read


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Bad(f"expected a number, not {text or 'nothing'}") from None
    if not 1 <= value <= 16:
        raise _Bad(f"{text} is not between 1 and 16")
    return value


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) else value  # real files quote the whole list once more
    except ValueError as error:
        raise _Bad(f"this is not JSON: {error}", 'for instance [["--stage ", "gen"]]') from None


def _pairs(text: str) -> tuple[Pair, ...]:
    value = _json(text) if text else []
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise _Bad("expected a list of [key, value] pairs", 'for instance [["--stage ", "gen"]]')
    return tuple((str(key), str(word)) for key, word in value)


def _words(text: str) -> dict[str, str]:
    value = _json(text) if text else {}
    if not isinstance(value, dict):
        raise _Bad("expected a JSON object of words", 'for instance {"tune": "G18"}')
    return {str(key): str(word) for key, word in value.items()}


def _list(text: str) -> tuple[Any, ...]:
    value = _json(text) if text else []
    if not isinstance(value, list):
        raise _Bad("expected a JSON list")
    return tuple(value)


def _split(text: str) -> str:
    try:
        return str(splitting.parse(text)) if text not in ("", "None") else "None"
    except ValueError as error:
        raise _Bad(str(error)) from None


def _among(*names: str, **others: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names and text not in others:
            raise _Bad(f"unknown: {text}", f"one of {', '.join(names)}")
        return others.get(text, text)

    return read


def _bool(text: str) -> bool:
    return _among("True", "False", true="True", false="False", **{"1": "True", "0": "False"})(text) == "True"


# key of the text -> (field, how to read it)
_STAGE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "stage_type": ("type", _among("regular", "generator")),
    "job_type": ("job_type", str),
    "login_setup": ("login_setup", str),
    "dataset_or_split_data": ("dataset", lambda text: "" if text == "None" else text),
    "cs_split_type": ("split", _split),
    "software_version": ("software_version", str),
    "vo_role": ("vo_role", str),
    "param_overrides": ("params", _pairs),
    "test_param_overrides": ("test_params", _pairs),
    "merge_overrides": ("merge_overrides", _bool),
    "completion_type": ("completion_type", _among("located", "complete", completed="complete")),
    "completion_pct": ("completion_pct", _whole(1, 100)),
    "events": ("events", _whole(1, 10**12)),
    "seed": ("seed", _whole(0, 10**9)),
    "events_per_job": ("events_per_job", _whole(1, 10**9)),
    "files_per_job": ("files_per_job", _whole(1, 10**6)),
    "most_files": ("most_files", _whole(0, 10**9)),
    "memory_mb": ("memory_mb", _whole(1, 10**7)),
    "memory_factor": ("memory_factor", _factor),
    "wall_s": ("wall_s", _whole(1, 10**7)),
    "recovery_rounds": ("recovery_rounds", _whole(0, 20)),
}
_IGNORED = ("default_clear_cronjob", "output_ancestor_depth", "test_split_type")
_CAMPAIGN = ("experiment", "poms_role", "name", "state", "campaign_keywords", "campaign_stage_list")
_JOB_TYPE = ("launch_script", "parameters", "output_file_patterns", "recoveries")
_LOGIN_SETUP = ("host", "account", "setup", "launcher", "batch")


# --- Parsing ----------------------------------------------------------------------------------------------


@dataclass
class _Section:
    kind: str
    name: str
    line: int
    values: dict[str, tuple[str, int]] = field(default_factory=dict)


class _Reader:
    """Reads one text, gathering what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self.sections = self._sections(text)

    def wrong(self, where: str, message: str, line: int | None, hint: str = "") -> None:
        self.errors.append(Problem(where, message, hint, line))

    def warn(self, where: str, message: str, line: int | None, hint: str = "") -> None:
        self.warnings.append(Problem(where, message, hint, line))

    def of(self, kind: str) -> list[_Section]:
        return [section for section in self.sections if section.kind == kind]

    def unknown(self, section: _Section, known: Iterable[str]) -> None:
        for key, (_, line) in section.values.items():
            if key not in known:
                near = difflib.get_close_matches(key, list(known), 1)
                hint = f"did you mean {near[0]}?" if near else "it is not used by POMS"
                self.warn(f"[{section.kind} {section.name}".strip() + f"] {key}", "unknown key", line, hint)

    def _sections(self, text: str) -> list[_Section]:
        lines = text.splitlines()
        if len(text) > LONGEST_TEXT or len(lines) > MOST_LINES or any(len(li) > LONGEST_LINE for li in lines):
            self.wrong(
                "definition", f"the text is too large ({len(text)} characters, {len(lines)} lines)", None,
                f"at most {LONGEST_TEXT} characters, {MOST_LINES} lines of {LONGEST_LINE} characters",
            )  # fmt: skip
            return []
        found: list[_Section] = []
        key = ""
        for number, raw in enumerate(lines, 1):
            line = raw.strip()
            if not line or line[0] in "#;":
                continue
            if raw[0].isspace() and key and found:
                value, first = found[-1].values[key]
                found[-1].values[key] = (f"{value}\n{line}", first)
            elif line.startswith("["):
                key = ""
                match = re.fullmatch(r"\[\s*(\w+)(?:\s+([^\]]+?))?\s*\]", line)
                if match is None:
                    self.wrong("definition", f"this is no section head: {line[:80]}", number, "[campaign_stage gen]")
                    continue
                section = _Section(match[1], match[2] or "", number)
                if any((s.kind, s.name) == (section.kind, section.name) for s in found):
                    self.wrong(line, "this section stands here a second time", number, "join the two")
                found.append(section)
            elif "=" not in line:
                self.wrong("definition", f"neither a section nor key=value: {line[:80]}", number)
            elif not found:
                self.wrong("definition", "a key before the first section", number, "begin with [campaign]")
            else:
                name, _, value = line.partition("=")
                key = name.strip()
                if key in found[-1].values:
                    self.wrong(key, "this key stands here a second time", number, "keep one")
                found[-1].values[key] = (value.strip(), number)
        return found


def parse(text: str) -> Parsed:
    """Read a text; every complaint carries its line. A definition is usable only without errors."""
    reader = _Reader(text)
    campaigns = reader.of("campaign")
    if not campaigns and not reader.errors:
        reader.wrong("definition", "there is no [campaign] section", None, "begin with [campaign] and name=…")
    values = campaigns[0].values if campaigns else {}
    for section in campaigns[:1]:
        reader.unknown(section, _CAMPAIGN)
    for section in reader.sections:
        known = ("campaign", "campaign_defaults", "campaign_stage", "dependencies", "job_type", "login_setup")
        if section.kind not in (*known, "node_positions"):
            reader.warn(f"[{section.kind}]", "unknown section", section.line, f"one of {', '.join(known)}")

    def word(key: str, default: str = "") -> str:
        return values.get(key, (default, 0))[0]

    keywords: Mapping[str, str] = {}
    try:
        keywords = _words(word("campaign_keywords"))
    except _Bad as error:
        reader.wrong("campaign_keywords", str(error), values["campaign_keywords"][1], error.hint)
    definition = Definition(
        experiment=word("experiment"), name=word("name"), role=word("poms_role", "production"),
        state=word("state", "Active"), keywords=keywords, stages=_stages(reader, word("campaign_stage_list")),
        edges=_edges(reader), job_types=_job_types(reader), login_setups=_login_setups(reader),
    )  # fmt: skip
    if campaigns and not definition.name:
        reader.wrong("name", "the campaign has no name", campaigns[0].line, "name=… in [campaign]")
    return Parsed(definition, reader.errors, reader.warnings)


def _stages(reader: _Reader, listed: str) -> tuple[StageText, ...]:
    defaults: dict[str, Any] = {}
    for section in reader.of("campaign_defaults"):
        reader.unknown(section, (*_STAGE, *_IGNORED))
        defaults = _values(reader, section)
    stages = {}
    for section in reader.of("campaign_stage"):
        if not section.name:
            reader.wrong("campaign_stage", "the stage has no name", section.line, "[campaign_stage gen]")
            continue
        reader.unknown(section, (*_STAGE, *_IGNORED))
        own = _values(reader, section)
        merged = {**defaults, **own}
        if merged.pop("merge_overrides", False) and "params" in own:
            merged["params"] = tuple(command.overlay(defaults.get("params", ()), own["params"]))
        stages[section.name] = StageText(name=section.name, line=section.line, **merged)
    if reader.of("campaign") and not stages:
        reader.wrong("campaign_stage", "there is no stage", None, "add a section [campaign_stage gen]")
    named = [name.strip() for name in listed.split(",") if name.strip()]
    for name in named:
        if name not in stages:
            reader.warn("campaign_stage_list", f"names {name}, which has no section", None)
    listed_first = [stages[name] for name in named if name in stages]
    return tuple(dict.fromkeys([*listed_first, *stages.values()]))


def _values(reader: _Reader, section: _Section) -> dict[str, Any]:
    found = {}
    for key, (text, line) in section.values.items():
        where = f"[{section.kind} {section.name}".strip() + f"] {key}"
        if key in _IGNORED or (key == "completion_type" and text.startswith("complete")):
            hint = "completion goes by located output" if key == "completion_type" else ""
            reader.warn(where, "this is kept out of the definition: POMS does not use it yet", line, hint)
        if key in _STAGE:
            name, read = _STAGE[key]
            try:
                found[name] = read(text)
            except _Bad as error:
                reader.wrong(where, str(error), line, error.hint)
    return found


def _edges(reader: _Reader) -> tuple[EdgeText, ...]:
    found = []
    for section in reader.of("dependencies"):
        numbered: dict[str, dict[str, tuple[str, int]]] = {}
        for key, value in section.values.items():
            match = re.fullmatch(r"(campaign_stage|file_pattern|gate)_(\d+)", key)
            if match is None:
                where = f"[dependencies {section.name}] {key}"
                reader.warn(where, "unknown key", value[1], "campaign_stage_1, file_pattern_1, gate_1")
            else:
                numbered.setdefault(match[2], {})[match[1]] = value
        for number, entry in numbered.items():
            if "campaign_stage" not in entry:
                reader.wrong(f"[dependencies {section.name}]", f"campaign_stage_{number} is missing", section.line)
                continue
            upstream, line = entry["campaign_stage"]
            gate, gate_line = entry.get("gate", ("all", line))
            if gate not in ("all", "each") and not re.fullmatch(r"[1-9]\d?%", gate):
                reader.wrong(
                    f"gate_{number}",
                    f"unknown: {gate}",
                    gate_line,
                    "one of all, each, or a share such as 90%",
                )
            pattern = entry.get("file_pattern", ("%", line))[0] or "%"
            found.append(EdgeText(upstream, section.name, pattern, gate, line))
    return tuple(found)


def _job_types(reader: _Reader) -> tuple[JobTypeText, ...]:
    found = []
    for section in reader.of("job_type"):
        reader.unknown(section, _JOB_TYPE)
        word = {key: text for key, (text, _) in section.values.items()}
        read: dict[str, tuple[Any, ...]] = {}
        for key, reading in (("parameters", _pairs), ("recoveries", _list)):
            try:
                read[key] = reading(word.get(key, ""))
            except _Bad as error:
                reader.wrong(f"[job_type {section.name}] {key}", str(error), section.values[key][1], error.hint)
        if not word.get("launch_script"):
            where = f"[job_type {section.name}] launch_script"
            reader.wrong(where, "is missing", section.line, "the experiment's own submission command")
        found.append(
            JobTypeText(
                section.name, word.get("launch_script", ""), read.get("parameters", ()),
                word.get("output_file_patterns") or "%", read.get("recoveries", ()), section.line,
            )
        )  # fmt: skip
    return tuple(found)


def _login_setups(reader: _Reader) -> tuple[LoginSetupText, ...]:
    found = []
    for section in reader.of("login_setup"):
        reader.unknown(section, _LOGIN_SETUP)
        word = {key: text for key, (text, _) in section.values.items() if key in _LOGIN_SETUP}
        found.append(LoginSetupText(section.name, line=section.line, **word))
    return tuple(found)


# --- Checking -----------------------------------------------------------------------------------------------


def check(definition: Definition) -> list[Problem]:
    """Return what is wrong with a definition whose job types and set-ups have all been filled in."""
    problems: list[Problem] = []
    names = [stage.name for stage in definition.stages]
    job_types = {entry.name for entry in definition.job_types}
    setups = {entry.name for entry in definition.login_setups}
    fed = {edge.downstream for edge in definition.edges if edge.upstream != edge.downstream}
    for edge in definition.edges:
        for end in (edge.upstream, edge.downstream):
            if end not in names:
                near = difflib.get_close_matches(end, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"the stages are {', '.join(names)}"
                problems.append(
                    Problem(f"[dependencies {edge.downstream}]", f"there is no stage {end}", hint, edge.line)
                )
    known = [edge for edge in definition.edges if edge.upstream in names and edge.downstream in names]
    cycle = graph.find_cycle(names, [(edge.upstream, edge.downstream) for edge in known])
    if cycle:
        line = next(e.line for e in known if (e.upstream, e.downstream) == (cycle[0], cycle[1]))
        text = f"the stages feed each other in a circle: {' → '.join(cycle)}"
        problems.append(Problem("dependencies", text, "remove one of these dependencies", line))
    for stage in definition.stages:
        where = f"[campaign_stage {stage.name}]"
        if stage.job_type not in job_types:
            near = difflib.get_close_matches(stage.job_type, job_types, 1)
            hint = f"did you mean {near[0]}?" if near else "define it in a [job_type …] section or choose a known one"
            text = f"there is no job type {stage.job_type or '(none given)'}"
            problems.append(Problem(f"{where} job_type", text, hint, stage.line))
        if stage.login_setup not in setups:
            near = difflib.get_close_matches(stage.login_setup, setups, 1)
            hint = (
                f"did you mean {near[0]}?" if near else "define it in a [login_setup …] section or choose a known one"
            )
            text = f"there is no launch set-up {stage.login_setup or '(none given)'}"
            problems.append(Problem(f"{where} login_setup", text, hint, stage.line))
        problems += _check_input(stage, stage.name in fed, where)
    for stage in definition.stages:
        words = known_words(definition, stage)
        entry = next((e for e in definition.job_types if e.name == stage.job_type), None)
        texts = [text for pair in (*stage.params, *stage.test_params) for text in pair]
        texts += [entry.launch_script, *(text for pair in entry.parameters for text in pair)] if entry else []
        for name in sorted({name for text in texts for name in command.references(text)} - set(words)):
            hint = f"known are {', '.join(sorted(words))}; add it to campaign_keywords"
            problems.append(
                Problem(f"[campaign_stage {stage.name}]", f"%({name})s refers to nothing", hint, stage.line)
            )
    return problems


def _check_input(stage: StageText, fed: bool, where: str) -> list[Problem]:
    problems = []
    if stage.type == "generator":
        if not stage.events:
            problems.append(
                Problem(f"{where} events", "a generator needs the number of events", "events=10000", stage.line)
            )
        if fed:
            problems.append(
                Problem(where, "a generator cannot be fed by another stage", "stage_type=regular", stage.line)
            )
    elif not fed and stage.dataset in ("", FROM_PARENT):
        problems.append(
            Problem(
                f"{where} dataset_or_split_data", "the stage has neither a dataset nor a parent",
                "name a dataset, add a [dependencies …] section, or make it a generator", stage.line,
            )
        )  # fmt: skip
    return problems


def known_words(definition: Definition, stage: StageText) -> dict[str, str]:
    """Return the words that %(…)s may name in a stage, as far as they are known before a launch."""
    return {
        **definition.keywords,
        "experiment": definition.experiment, "version": stage.software_version, "dataset": stage.dataset,
        "parameter": stage.dataset, "campaign": definition.name, "stage": stage.name,
        "group": definition.experiment, "experimenter": "",
    }  # fmt: skip


def complete(
    definition: Definition, job_types: Iterable[JobTypeText], login_setups: Iterable[LoginSetupText]
) -> Definition:
    """Return the definition with the known job types and set-ups that its stages name but it does not define."""
    used_types = {stage.job_type for stage in definition.stages}
    used_setups = {stage.login_setup for stage in definition.stages}
    own_types = {entry.name for entry in definition.job_types}
    own_setups = {entry.name for entry in definition.login_setups}
    return replace(
        definition,
        job_types=(*definition.job_types, *(e for e in job_types if e.name in used_types - own_types)),
        login_setups=(
            *definition.login_setups,
            *(e for e in login_setups if e.name in used_setups - own_setups),
        ),
    )


# --- Writing ------------------------------------------------------------------------------------------------


def dump(definition: Definition) -> str:
    """Return the canonical text: everything said, nothing inherited, always in the same order."""
    lines = ["[campaign]"]
    lines += [
        f"experiment={definition.experiment}",
        f"poms_role={definition.role}",
        f"name={definition.name}",
    ]
    lines += [
        f"state={definition.state}",
        f"campaign_keywords={json.dumps(dict(definition.keywords), sort_keys=True)}",
    ]
    lines += [f"campaign_stage_list={','.join(stage.name for stage in definition.stages)}", ""]
    for stage in definition.stages:
        lines.append(f"[campaign_stage {stage.name}]")
        for key, (name, _) in _STAGE.items():
            if key != "merge_overrides" and (value := _shown(key, getattr(stage, name))) is not None:
                lines.append(f"{key}={value}")
        lines.append("")
    for downstream in dict.fromkeys(edge.downstream for edge in definition.edges):
        lines.append(f"[dependencies {downstream}]")
        own = [edge for edge in definition.edges if edge.downstream == downstream]
        for number, edge in enumerate(own, 1):
            lines += [f"campaign_stage_{number}={edge.upstream}", f"file_pattern_{number}={edge.pattern}"]
            lines.append(f"gate_{number}={edge.gate}")
        lines.append("")
    for entry in sorted(definition.job_types, key=lambda e: e.name):
        lines += [f"[job_type {entry.name}]", f"launch_script={entry.launch_script}"]
        lines.append(f"parameters={json.dumps(entry.parameters, ensure_ascii=False)}")
        lines.append(f"output_file_patterns={entry.output_file_patterns}")
        lines += [f"recoveries={json.dumps(entry.recoveries, ensure_ascii=False)}", ""]
    for setup in sorted(definition.login_setups, key=lambda e: e.name):
        lines += [f"[login_setup {setup.name}]", f"host={setup.host}", f"account={setup.account}"]
        text = setup.setup.replace("\n", "\n  ")
        lines += [f"setup={text}", f"launcher={setup.launcher}", f"batch={setup.batch}", ""]
    return "\n".join(lines)


def _shown(key: str, value: Any) -> str | None:
    if key in ("param_overrides", "test_param_overrides"):
        return json.dumps(value, ensure_ascii=False)
    if key in ("events", "events_per_job", "most_files") and not value:
        return None
    return str(value)
