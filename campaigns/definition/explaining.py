"""Why a stage has this value: which layer says it, and what it said below (J2, `reference/poms.md` 5). Pure.

Keys stand in layers, the lowest first: what POMS takes where nobody says anything, the experiment, the campaign's
defaults, the stage. Parameters: the job type, the experiment and the campaign's defaults (only where `merge_overrides`
says so, else a stage's own list is all), the stage; at a test run its test parameters over all of them, at a recovery
those of the recovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from campaigns.command import Pair
from campaigns.definition import document
from campaigns.definition.document import Document
from campaigns.definition.model import JobTypeText, StageText
from campaigns.definition.values import STAGE, Bad, pairs, yes_or_no
from campaigns.definition.writing import shown

BUILT_IN, EXPERIMENT, CAMPAIGN, JOB_TYPE, OWN = "POMS", "experiment", "campaign defaults", "job type", "stage"
TEST = "test"
PARAMETERS = ("param_overrides", "test_param_overrides")


@dataclass(frozen=True)
class Why:
    """One value, the layer that says it, and what the layers below said: (layer, value), the nearest first."""

    key: str
    value: str
    layer: str
    beneath: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Explained:
    """A stage's keys and parameters with their reasons; `test` are the parameters of a test run."""

    keys: tuple[Why, ...]
    parameters: tuple[Why, ...]
    test: tuple[Why, ...]


def explain(
    text: str, stage: str, job_types: Iterable[JobTypeText] = (), beneath: Mapping[str, str] | None = None
) -> Explained:
    """Say of each key and parameter of a stage where it comes from; what cannot be read counts as nothing."""
    found = document.read(text)
    layers = [(EXPERIMENT, dict(beneath or {})), (CAMPAIGN, _said(found, "campaign_defaults", "")),
              (OWN, _said(found, "campaign_stage", stage))]  # fmt: skip
    keys = tuple(_why(key, layers) for key in STAGE if key not in PARAMETERS)
    value = {entry.key: entry.value for entry in keys}
    kind = next((entry for entry in job_types if entry.name == value["job_type"]), None)
    merges = _is_true(value["merge_overrides"])
    parameters = [(JOB_TYPE, kind.parameters if kind else ()), *_chain(layers, "param_overrides", merges=merges)]
    tests = [*parameters, *((TEST, own) for _, own in _chain(layers, "test_param_overrides", merges=False))]
    return Explained(keys, _overlaid(parameters), _overlaid(tests))


def _said(found: Document, kind: str, name: str) -> dict[str, str]:
    section = found.section(kind, name)
    return {key: entry.value for key, entry in section.entries.items() if key in STAGE} if section else {}


def _why(key: str, layers: Sequence[tuple[str, Mapping[str, str]]]) -> Why:
    field = STAGE[key][0]
    default = getattr(StageText(name="x"), field, False)
    said = [(BUILT_IN, shown(key, default) or "")]
    said += [(layer, values[key]) for layer, values in layers if key in values]
    layer, value = said[-1]
    return Why(key, value, layer, tuple(reversed(said[:-1])))


def _is_true(text: str) -> bool:
    try:
        return yes_or_no(text)
    except Bad:
        return False


def _chain(
    layers: Sequence[tuple[str, Mapping[str, str]]], key: str, *, merges: bool
) -> list[tuple[str, tuple[Pair, ...]]]:  # fmt: skip
    """Return the lists of parameters that count, the lowest first: all of them, or only the highest."""
    said = []
    for layer, values in layers:
        if key in values:
            try:
                said.append((layer, pairs(values[key])))
            except Bad:
                continue
    return said if merges else said[-1:]


def _overlaid(layers: Sequence[tuple[str, Sequence[Pair]]]) -> tuple[Why, ...]:
    """Return the parameters in the order of the command, each with its reason: a later equal key keeps the place."""
    said: dict[str, list[tuple[str, str]]] = {}
    for layer, own in layers:
        for key, value in own:
            said.setdefault(key, []).append((layer, value))
    return tuple(
        Why(key, entries[-1][1], entries[-1][0], tuple(reversed(entries[:-1]))) for key, entries in said.items()
    )
