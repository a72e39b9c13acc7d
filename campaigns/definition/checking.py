"""What is wrong with a definition whose job types and set-ups have all been filled in. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace

from campaigns import command, graph, splitting
from campaigns.definition.model import FROM_PARENT, Definition, JobTypeText, LoginSetupText, StageText
from core.errors import Problem


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
        if stage.split.partition("(")[0] in splitting.LATER:
            text = f"POMS cannot cut by {stage.split} yet"
            problems.append(Problem(f"{where} cs_split_type", text, "nfiles(n), nevents(n) or None", stage.line))
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
