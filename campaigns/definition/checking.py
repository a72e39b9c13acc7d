"""What is wrong with a definition whose job types and set-ups have all been filled in. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from campaigns import command, completion, graph, keepup, recoveries, splitting
from campaigns.definition.model import FROM_PARENT, Definition, JobTypeText, LoginSetupText, StageText
from campaigns.definition.values import PASSES_ON, TRANSFER, named
from core.errors import Problem, nearest
from integrations.catalogue.patterns import is_query


def check(definition: Definition) -> list[Problem]:
    """Return what is wrong with a definition whose job types and set-ups have all been filled in."""
    problems: list[Problem] = []
    names = [stage.name for stage in definition.stages]
    job_types = {entry.name for entry in definition.job_types}
    setups = {entry.name for entry in definition.login_setups}
    fed = {edge.downstream for edge in definition.edges if edge.upstream != edge.downstream}
    fed |= {edge.downstream for edge in definition.across}
    problems += _check_edges(definition, names)
    for stage in definition.stages:
        where = f"[campaign_stage {stage.name}]"
        if stage.type in PASSES_ON:
            problems += _check_passing(stage, where)
        elif stage.job_type not in job_types:
            hint = nearest(stage.job_type, job_types, "define it in a [job_type …] section or choose a known one")
            text = f"there is no job type {stage.job_type or '(none given)'}"
            problems.append(Problem(f"{where} job_type", text, hint, stage.line))
        if stage.type not in PASSES_ON and stage.login_setup not in setups:
            hint = nearest(stage.login_setup, setups, "define it in a [login_setup …] section or choose a known one")
            text = f"there is no launch set-up {stage.login_setup or '(none given)'}"
            problems.append(Problem(f"{where} login_setup", text, hint, stage.line))
        problems += _check_split(stage, where)
        problems += _check_recoveries(definition, stage)
        problems += _check_input(stage, stage.name in fed, where)
        problems += _check_schedule(stage, where)
        problems += _check_recall(stage, where)
        problems += _check_slots(stage, where)
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


def _check_edges(definition: Definition, names: Sequence[str]) -> list[Problem]:
    problems: list[Problem] = []
    for edge in definition.edges:
        for end in (edge.upstream, edge.downstream):
            if end not in names:
                hint = nearest(end, names, f"the stages are {', '.join(names)}")
                problems.append(
                    Problem(f"[dependencies {edge.downstream}]", f"there is no stage {end}", hint, edge.line)
                )
    for edge in definition.across:
        if edge.downstream not in names:
            where, text = f"[dependencies {edge.downstream}]", f"there is no stage {edge.downstream}"
            hint = nearest(edge.downstream, names, f"the stages are {', '.join(names)}")
            problems.append(Problem(where, text, hint, edge.line))
    passing = {stage.name for stage in definition.stages if stage.type in PASSES_ON}
    for edge in definition.edges:
        if edge.upstream in passing and is_query(edge.pattern):
            where, hint = f"[dependencies {edge.downstream}]", f"put the query on what feeds {edge.upstream}"
            problems.append(
                Problem(where, f"{edge.upstream} passes on what it gets; no query is asked there", hint, edge.line)
            )
    known = [edge for edge in definition.edges if edge.upstream in names and edge.downstream in names]
    cycle = graph.find_cycle(names, [(edge.upstream, edge.downstream) for edge in known])
    if cycle:
        line = next(e.line for e in known if (e.upstream, e.downstream) == (cycle[0], cycle[1]))
        text = f"the stages feed each other in a circle: {' → '.join(cycle)}"
        problems.append(Problem("dependencies", text, "remove one of these dependencies", line))
    return problems


def _check_passing(stage: StageText, where: str) -> list[Problem]:
    """Return what a stage says that runs nothing, and that only one with jobs can do."""
    kinds = [criterion.kind for criterion in completion.read(stage.completion)]
    problems = []
    for kind in kinds:
        if kind == "check":
            hint = f"a check of its own in the stage before, or take {stage.completion} away"
            text = "a stage without a job type has nowhere to run a check"
            problems.append(Problem(f"{where} completion", text, hint, stage.line))
    if stage.destination and stage.type != TRANSFER:
        text = "only a stage that transfers data has a destination"
        problems.append(Problem(f"{where} destination", text, f"stage_type={TRANSFER}", stage.line))
    return problems


def _check_recoveries(definition: Definition, stage: StageText) -> list[Problem]:
    for kind in definition.job_types:
        if kind.name == stage.job_type:
            try:
                recoveries.read(kind.recoveries)
            except ValueError as error:
                return [Problem(f"[job_type {kind.name}] recoveries", str(error), "", kind.line or None)]
    return []


def _check_split(stage: StageText, where: str) -> list[Problem]:
    """Return what is wrong with what a split is to cut, where the text alone can tell."""
    cut = splitting.parse(stage.split)
    field = f"{where} dataset_or_split_data"
    if stage.type == "generator" and cut.what.groups not in ("", "rank"):
        text = f"the events of a generator cannot be cut by {stage.split}"
        return [Problem(f"{where} cs_split_type", text, "nevents(n), nfiles(n), mod(n) or None", stage.line)]
    if cut.what.holds == "dataset" or stage.dataset in ("", FROM_PARENT):
        needed = cut.what.holds != "dataset"
        hint = "name them in dataset_or_split_data" if needed else ""
        return [Problem(field, f"{stage.split} needs a list", hint, stage.line)] if needed else []
    try:
        (splitting.values if cut.what.holds == "values" else splitting.datasets)(stage.dataset)
    except ValueError as error:
        return [Problem(field, str(error), "", stage.line)]
    return []


def _check_schedule(stage: StageText, where: str) -> list[Problem]:
    if not stage.schedule:
        return []
    problems = []
    if stage.type == "generator" or stage.dataset in ("", FROM_PARENT):
        text = "only a stage with a dataset of its own looks for new files by a schedule"
        hint = "name the dataset; what is fed by a stage follows it by itself"
        problems.append(Problem(f"{where} schedule", text, hint, stage.line))
    if stage.most_files:
        text = "a stage with a schedule takes every new file"
        problems.append(Problem(f"{where} most_files", text, "take most_files away", stage.line))
    course = keepup.span(stage.schedule, stage.schedule_zone, stage.schedule_start, stage.schedule_end)
    if course.start and course.end and course.next(course.start - keepup.GRACE) is None:
        text = "the schedule has no time between its beginning and its end"
        problems.append(Problem(f"{where} schedule_end", text, "a later end", stage.line))
    return problems


def _check_recall(stage: StageText, where: str) -> list[Problem]:
    """Return what is wrong with when a stage asks for its files on tape: only frozen files can be asked for."""
    said = "recall_times" if stage.recall_times else "recall_window"
    if not stage.recall_times and stage.recall_window == StageText.recall_window:
        return []
    cut = splitting.parse(stage.split)
    if stage.type == "generator" or stage.dataset in ("", FROM_PARENT) or cut.what.holds == "values":
        text = "only the files of a dataset of its own are brought from tape ahead of a stage's launches"
        return [Problem(f"{where} {said}", text, f"name a dataset, or take {said} away", stage.line)]
    if stage.schedule:
        text = "a stage with a schedule takes its files as they come; there is no frozen list to ask for ahead"
        return [Problem(f"{where} {said}", text, f"take schedule or {said} away", stage.line)]
    if not stage.recall_times and not cut.what.staged:
        text = f"{stage.split} waits for no tape, and no times are said at which to ask for files"
        return [
            Problem(f"{where} recall_window", text, "recall_times=0 2 * * *, or a split by stagedfiles", stage.line)
        ]
    return []


def _check_slots(stage: StageText, where: str) -> list[Problem]:
    """Return what is wrong with the slots that a stage asks for: no site may be both wanted and not."""
    problems = []
    asked: list[tuple[str, str, str]] = [("", stage.sites, stage.avoid_sites)]
    for value, own in json.loads(stage.value_overrides or "{}").items():
        asked.append((f" of {value}", own.get("sites", stage.sites), own.get("avoid_sites", stage.avoid_sites)))
    for whose, sites, avoided in dict.fromkeys(asked):
        both = sorted(set(named(sites)) & set(named(avoided)))
        if both:
            text = f"{' and '.join(both)} cannot be both wanted and avoided{whose}"
            hint = "take it away from sites or from avoid_sites"
            problems.append(Problem(f"{where} avoid_sites", text, hint, stage.line))
    return problems


def known_words(
    definition: Definition, stage: StageText, *, experiment: str = "", experimenter: str = ""
) -> dict[str, str]:
    """Return the words that %(…)s may name in a stage, as far as they are known before a launch."""
    return command.words_of(
        definition.keywords, experiment=experiment or definition.experiment, campaign=definition.name,
        stage=stage.name, version=stage.software_version, dataset=stage.dataset, experimenter=experimenter,
    )  # fmt: skip


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
