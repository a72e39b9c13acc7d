"""What the editor shows of a definition's text: stages and dependencies as a drawing, complaints, inheritance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from campaigns import graph, keepup, layout
from campaigns.definition import PASSES_ON, Definition, JobTypeText, Parsed, document
from campaigns.definition.explaining import Why, explain
from core.errors import Problem

CARD = (190.0, 60.0)
GAP = (84.0, 22.0)
# What can be chosen for a key; the other keys are typed.
CHOICES = {
    "stage_type": ("regular", "generator", *PASSES_ON), "merge_overrides": ("True", "False"),
    "completion_type": ("located", "complete"), "catch_up": keepup.CATCH_UP, "overlap": keepup.OVERLAP,
}  # fmt: skip
_FORMS = ("campaign", "campaign_defaults", "job_type", "login_setup")
_STAGE = re.compile(r"\[(?:campaign_stage|dependencies) ([^\]]+)\]")


def graph_of(parsed: Parsed) -> dict[str, Any]:
    """Return stages with their places, dependencies with their lines, and the size of the whole, as plain data.

    A stage that was moved stands where the text says; all others where the layers put them.
    """
    definition = parsed.definition
    names = [stage.name for stage in definition.stages]
    drawn = _laid_out(definition, names)
    shift = _shift(definition, drawn)
    places = {name: definition.positions.get(name, (x + shift[0], y + shift[1])) for name, (x, y) in drawn.items()}
    wrong, doubtful = _by_stage(parsed.errors), _by_stage(parsed.warnings)
    loops = {edge.upstream for edge in definition.edges if edge.upstream == edge.downstream}
    above = {edge.downstream: f"{edge.campaign}/{edge.upstream}" for edge in definition.across}
    stages = [
        {
            "name": stage.name, "x": round(places[stage.name][0]), "y": round(places[stage.name][1]),
            "type": stage.type, "job_type": stage.job_type, "split": stage.split,
            "dataset": above.get(stage.name, stage.dataset),

            "errors": wrong.get(stage.name, 0), "warnings": doubtful.get(stage.name, 0), "loop": stage.name in loops,
            "line": stage.line, "placed": stage.name in definition.positions,
        }
        for stage in definition.stages
    ]  # fmt: skip
    known = set(names)
    edges = [
        {"from": e.upstream, "to": e.downstream, "pattern": e.pattern, "gate": e.gate, "line": e.line}
        for e in definition.edges if e.upstream in known and e.downstream in known
    ]  # fmt: skip
    return {"name": definition.name, "stages": stages, "edges": edges, "card": CARD}


def problems_of(parsed: Parsed) -> list[dict[str, Any]]:
    """Return the complaints with what they are about, errors first."""
    return [
        {"level": level, "where": p.field, "line": p.line, "message": p.message, "hint": p.hint, "stage": _stage_of(p)}
        for level, problems in (("error", parsed.errors), ("warning", parsed.warnings))
        for p in problems
    ]


def sections_of(text: str) -> list[dict[str, Any]]:
    """Return what the sections say that have a form of their own and are no stages, as it is written."""
    return [
        {"kind": section.kind, "name": section.name, "line": section.line, "values": _values(section)}
        for section in document.read(text).sections
        if section.kind in _FORMS
    ]


def own_of(text: str, stage: str) -> dict[str, str]:
    """Return what a stage says itself, as it is written."""
    section = document.read(text).section("campaign_stage", stage)
    return _values(section) if section else {}


def _values(section: document.Section) -> dict[str, str]:
    return {entry.key: entry.value for entry in section.entries.values()}


def stage_of(
    text: str, stage: str, job_types: Sequence[JobTypeText], beneath: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Return the keys and parameters of a stage with where each comes from; no name: of the defaults."""
    found = explain(text, stage, job_types, beneath)
    return {
        "keys": [_why(entry) for entry in found.keys],
        "parameters": [_why(entry) for entry in found.parameters],
        "test": [_why(entry) for entry in found.test],
    }


def _why(entry: Why) -> dict[str, Any]:
    return {"key": entry.key, "value": entry.value, "layer": entry.layer, "beneath": [list(b) for b in entry.beneath]}


def _laid_out(definition: Definition, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Lay the stages out in layers, without dependencies that close a circle: those are complained of."""
    edges: list[tuple[str, str]] = []
    for edge in definition.edges:
        pair = (edge.upstream, edge.downstream)
        if set(pair) <= set(names):
            edges.append(pair)
    while cycle := graph.find_cycle(names, edges):
        edges = [pair for pair in edges if pair != (cycle[-2], cycle[-1])]
    drawing = layout.layered(names, edges, card=CARD, gap=GAP)
    return {card.name: (card.x, card.y) for card in drawing.cards}


def _shift(definition: Definition, drawn: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Return by how much what is laid out moves, to stand beside what was placed by hand as it did before."""
    both = [(definition.positions[name], drawn[name]) for name in drawn if name in definition.positions]
    if not both:
        return 0.0, 0.0
    return (
        sum(own[0] - at[0] for own, at in both) / len(both),
        sum(own[1] - at[1] for own, at in both) / len(both),
    )


def _by_stage(problems: Sequence[Problem]) -> dict[str, int]:
    found: dict[str, int] = {}
    for problem in problems:
        if name := _stage_of(problem):
            found[name] = found.get(name, 0) + 1
    return found


def _stage_of(problem: Problem) -> str:
    match = _STAGE.match(problem.field)
    return match[1] if match else ""
